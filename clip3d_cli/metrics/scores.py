"""Scores of a confusion matrix, by one of three conventions for what is not there."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from clip3d_cli.metrics.confusion import ConfusionMatrix
from clip3d_cli.metrics.rules import NO_BENCHMARK, BenchmarkRules

Convention = Literal["present", "official", "reference"]
Floats = npt.NDArray[np.float64]

_MEANINGS: dict[Convention, str] = {
    "present": "mIoU over present classes: a class that no judged point truly has is left out",
    "official": "mIoU over classes that are there or answered: any other is left out",
    "reference": "mIoU as CLIP2Scene computes it: a class neither there nor answered counts 1",
}
# utils/metrics.py, compute_IoU_from_cmatrix, of CLIP2Scene (f37dae7).
_REFERENCE = BenchmarkRules("CLIP2Scene, compute_IoU_from_cmatrix (f37dae7)", unmet_iou=1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What is said of K classes and of all of them together.

    Attributes:
        convention: by which these were taken.
        iou: (K,) intersection over union; NaN where the convention leaves a class out of the mean.
        recall: (K,) share of a class's points that were answered right; NaN for an absent class.
        mean_iou: over the classes whose ``iou`` is a number; NaN where none is.
        mean_accuracy: mean of ``recall`` over the classes that are there.
        frequency_weighted_iou: mean IoU weighted by true points; in ``reference``, hits over
            2 N − hits, which CLIP2Scene prints under that name.
        accuracy: share of all judged points that were answered right.
        absent: the classes that no judged point truly has.
        points: that were judged.
    """

    convention: Convention
    iou: Floats
    recall: Floats
    mean_iou: float
    mean_accuracy: float
    frequency_weighted_iou: float
    accuracy: float
    absent: tuple[int, ...]
    points: int


def scores_of(
    confusion: ConfusionMatrix,
    convention: Convention = "present",
    rules: BenchmarkRules = NO_BENCHMARK,
) -> Scores:
    """The scores of all points that were counted.

    ``present`` leaves every absent class out. ``official`` follows the benchmark's own code, and
    ``reference`` CLIP2Scene's: both count an absent class that was answered as 0.

    Args:
        confusion: of K classes.
        convention: for absent classes, and for what "frequency-weighted" means.
        rules: of the data set's benchmark; only ``official`` asks.
    """
    iou = _iou(confusion, convention, rules)
    recall = confusion.recall
    points = int(confusion.counts.sum())
    return Scores(
        convention=convention,
        iou=iou,
        recall=recall,
        mean_iou=_mean(iou),
        mean_accuracy=_mean(recall),
        frequency_weighted_iou=_frequency_weighted(confusion, convention),
        accuracy=_accuracy(confusion, convention, rules),
        absent=tuple(np.flatnonzero(confusion.true_points == 0).tolist()),
        points=points,
    )


def metric_name(convention: Convention, rules: BenchmarkRules = NO_BENCHMARK) -> str:
    """The exact name of a mean IoU: what is averaged, and what an absent class counts."""
    if convention != "official" or not rules.source:
        return _MEANINGS[convention]
    unmet = "is left out" if rules.unmet_iou is None else f"counts {rules.unmet_iou:g}"
    return f"mIoU as {rules.source} computes it: a class neither there nor answered {unmet}"


def foreground_iou(confusion: ConfusionMatrix, ignored: Collection[int]) -> float:
    """The mean IoU over the present classes that are not ignored; NaN when none is left.

    Points of ignored classes are judged all the same: answers on them count against a class.
    """
    return _mean_over(confusion, set(range(confusion.classes)) - set(ignored))


def harmonic_iou(confusion: ConfusionMatrix, novel: Collection[int]) -> tuple[float, float, float]:
    """Mean IoU of the base classes, of the novel ones, and the harmonic mean of the two.

    Over present classes, as in PLA (Ding et al., CVPR 2023). NaN where the classes of one kind
    are all absent.
    """
    base = _mean_over(confusion, set(range(confusion.classes)) - set(novel))
    new = _mean_over(confusion, set(novel))
    both = base + new
    return base, new, 2 * base * new / both if both else both


def _iou(confusion: ConfusionMatrix, convention: Convention, rules: BenchmarkRules) -> Floats:
    if convention == "present":
        return confusion.iou
    unmet = (_REFERENCE if convention == "reference" else rules).unmet_iou
    union = confusion.union
    iou: Floats = np.where(
        union > 0, confusion.hits / np.maximum(union, 1), np.nan if unmet is None else unmet
    )
    return iou


def _frequency_weighted(confusion: ConfusionMatrix, convention: Convention) -> float:
    points, hits = int(confusion.counts.sum()), int(confusion.hits.sum())
    if not points:
        return float("nan")
    if convention == "reference":
        return hits / (2 * points - hits)
    # nuscenes-devkit 1.2.0, lidarseg/utils.py, ConfusionMatrix.get_freqweighted_iou.
    return float(np.nansum(confusion.iou * confusion.true_points)) / points


def _accuracy(confusion: ConfusionMatrix, convention: Convention, rules: BenchmarkRules) -> float:
    answered = convention == "official" and not rules.judges_unlabeled
    points = int((confusion.counts[:, :-1] if answered else confusion.counts).sum())
    return int(confusion.hits.sum()) / points if points else float("nan")


def _mean_over(confusion: ConfusionMatrix, classes: set[int]) -> float:
    return _mean(confusion.iou[sorted(classes)])


def _mean(numbers: Floats) -> float:
    there = numbers[~np.isnan(numbers)]
    return float(there.mean()) if len(there) else float("nan")
