"""Scores of a confusion matrix, by one of three conventions for classes without ground truth."""

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
    "present": "mIoU over present classes: a class without ground truth is left out",
    "official": "mIoU over classes in the ground truth or the predictions: others are left out",
    "reference": "mIoU as CLIP2Scene computes it: a class in neither ground truth nor predictions "
    "counts 1",
}
# utils/metrics.py, compute_IoU_from_cmatrix, of CLIP2Scene (f37dae7).
_REFERENCE = BenchmarkRules("CLIP2Scene, compute_IoU_from_cmatrix (f37dae7)", unused_class_iou=1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Scores per class and over all K classes.

    Attributes:
        convention: how classes without ground truth are treated.
        iou: (K,) intersection over union; NaN for a class that is left out of the mean.
        recall: (K,) share of each class's points that were predicted correctly; NaN for a class
            without ground truth.
        mean_iou: mean of ``iou`` over the classes that are not left out; NaN if all are.
        mean_accuracy: mean of ``recall`` over the classes with ground truth.
        frequency_weighted_iou: mean IoU weighted by points in the ground truth; for ``reference``,
            hits / (2 N − hits), which CLIP2Scene prints under that name.
        accuracy: share of all labelled points that were predicted correctly.
        absent: classes without ground truth.
        points: number of points with ground truth.
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
    """Return the scores of all counted points.

    Args:
        confusion: counts of K classes.
        convention: ``present`` leaves all classes without ground truth out of the mean.
            ``official`` follows the benchmark's code and ``reference`` CLIP2Scene's: in both, such
            a class has an IoU of 0 if it was predicted.
        rules: rules of the data set's benchmark, used for ``official`` only.
    """
    iou = _iou(confusion, convention, rules)
    recall = confusion.recall
    return Scores(
        convention=convention,
        iou=iou,
        recall=recall,
        mean_iou=_mean(iou),
        mean_accuracy=_mean(recall),
        frequency_weighted_iou=_frequency_weighted_iou(confusion, convention),
        accuracy=_accuracy(confusion, convention, rules),
        absent=tuple(np.flatnonzero(confusion.true_points == 0).tolist()),
        points=int(confusion.counts.sum()),
    )


def metric_name(convention: Convention, rules: BenchmarkRules = NO_BENCHMARK) -> str:
    """Return the exact name of a mean IoU: over which classes, and how unused classes count.

    Args:
        convention: how classes without ground truth are treated.
        rules: rules of the data set's benchmark.
    """
    if convention != "official" or not rules.source:
        return _MEANINGS[convention]
    iou = rules.unused_class_iou
    unused = "is left out" if iou is None else f"counts {iou:g}"
    return (
        f"mIoU as {rules.source} computes it: a class in neither ground truth nor predictions "
        f"{unused}"
    )


def foreground_iou(confusion: ConfusionMatrix, ignored: Collection[int]) -> float:
    """Return the mean IoU over the classes with ground truth that are not ignored.

    Points of ignored classes still count: a wrong prediction there lowers the predicted class.

    Args:
        confusion: counts of K classes.
        ignored: class indices to leave out of the mean.

    Returns:
        Mean IoU, 0…1; NaN if no class is left.
    """
    return _mean_over(confusion, set(range(confusion.classes)) - set(ignored))


def harmonic_iou(confusion: ConfusionMatrix, novel: Collection[int]) -> tuple[float, float, float]:
    """Return the mean IoU of base classes, of novel classes, and their harmonic mean.

    Means are over the classes with ground truth, as in PLA (Ding et al., CVPR 2023).

    Args:
        confusion: counts of K classes.
        novel: indices of the novel classes; all others are base classes.

    Returns:
        Three numbers, 0…1; NaN where there is no such class with ground truth.
    """
    base_iou = _mean_over(confusion, set(range(confusion.classes)) - set(novel))
    novel_iou = _mean_over(confusion, set(novel))
    total = base_iou + novel_iou
    return base_iou, novel_iou, 2 * base_iou * novel_iou / total if total else total


def _iou(confusion: ConfusionMatrix, convention: Convention, rules: BenchmarkRules) -> Floats:
    """Return (K,) IoU; NaN for classes that are left out of the mean."""
    if convention == "present":
        return confusion.iou
    unused = (_REFERENCE if convention == "reference" else rules).unused_class_iou
    union = confusion.union
    iou: Floats = np.where(
        union > 0, confusion.hits / np.maximum(union, 1), np.nan if unused is None else unused
    )
    return iou


def _frequency_weighted_iou(confusion: ConfusionMatrix, convention: Convention) -> float:
    points, hits = int(confusion.counts.sum()), int(confusion.hits.sum())
    if not points:
        return float("nan")
    if convention == "reference":
        return hits / (2 * points - hits)
    # nuscenes-devkit 1.2.0, lidarseg/utils.py, ConfusionMatrix.get_freqweighted_iou.
    return float(np.nansum(confusion.iou * confusion.true_points)) / points


def _accuracy(confusion: ConfusionMatrix, convention: Convention, rules: BenchmarkRules) -> float:
    only_predicted = convention == "official" and not rules.counts_unlabeled
    points = int((confusion.counts[:, :-1] if only_predicted else confusion.counts).sum())
    return int(confusion.hits.sum()) / points if points else float("nan")


def _mean_over(confusion: ConfusionMatrix, classes: set[int]) -> float:
    return _mean(confusion.iou[sorted(classes)])


def _mean(numbers: Floats) -> float:
    finite = numbers[~np.isnan(numbers)]
    return float(finite.mean()) if len(finite) else float("nan")
