"""Panoptic quality: are the objects found, and each as a whole (Kirillov et al., CVPR 2019)?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.checks import check_array
from clip3d_cli.metrics.confusion import ConfusionMatrix
from clip3d_cli.metrics.scores import Convention

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_MATCHES = 0.5
_INSTANCE_BITS = 32


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """Which points of a cloud are one segment: those of one class and one instance.

    Attributes:
        class_index: (N,) int32; −1 = none.
        instance: (N,) int32; in a truth, −1 = not judged. All points of 0 in a class are one
            segment, as ground and walls are.
    """

    class_index: npt.NDArray[np.int32]
    instance: npt.NDArray[np.int32]

    def __post_init__(self) -> None:
        check_array("class_index", self.class_index, np.int32, (None,))
        check_array("instance", self.instance, np.int32, (len(self.class_index),))


@dataclass(frozen=True, slots=True, eq=False)
class PanopticCounts:
    """Which segments were found, of K classes; counts of scenes add up.

    Attributes:
        confusion: of the points that are judged here.
        things: the classes that come in single objects; the others are stuff.
        matched: (K,) int64: segments that share over half of their points with an answered one.
        missed: (K,) int64: true segments that match none and are not too small.
        invented: (K,) int64: answered segments that match none and are not too small.
        overlap: (K,) float64: the sum of the matched ones' intersection over union.
    """

    confusion: ConfusionMatrix
    things: frozenset[int]
    matched: Integers
    missed: Integers
    invented: Integers
    overlap: Floats

    @classmethod
    def of(
        cls,
        truth: Segments,
        answer: Segments,
        classes: int,
        *,
        things: Iterable[int],
        min_points: int,
    ) -> PanopticCounts:
        """Compare the segments of one scene, as PanopticEval of semantic-kitti-api does.

        Points whose truth is not judged are taken away first, from answered segments too.

        Args:
            truth: of N points.
            answer: of the same points.
            classes: K.
            things: the classes that come in single objects.
            min_points: smaller segments are neither missed nor invented; they may match.
        """
        judged = (truth.class_index >= 0) & (truth.instance >= 0)
        class_of_truth, class_of_answer = truth.class_index[judged], answer.class_index[judged]
        wanted = _Parts.of(class_of_truth, truth.instance[judged])
        found = _Parts.of(class_of_answer, answer.instance[judged])
        agree = class_of_truth == class_of_answer
        one, other, overlap = _matches(wanted, found, agree)
        matched = wanted.class_index[one]
        return cls(
            ConfusionMatrix.of(class_of_truth, class_of_answer, classes),
            frozenset(things),
            np.bincount(matched, minlength=classes),
            wanted.count_others(one, classes, min_points),
            found.count_others(other, classes, min_points),
            np.bincount(matched, overlap, classes).astype(np.float64),
        )

    def __add__(self, other: PanopticCounts) -> PanopticCounts:
        return PanopticCounts(
            self.confusion + other.confusion,
            self.things,
            self.matched + other.matched,
            self.missed + other.missed,
            self.invented + other.invented,
            self.overlap + other.overlap,
        )

    @property
    def sq(self) -> Floats:
        """(K,) segmentation quality: mean IoU of the matched segments; 0 where none matches."""
        quality: Floats = self.overlap / np.maximum(self.matched, 1)
        return quality

    @property
    def rq(self) -> Floats:
        """(K,) recognition quality: the F1 score of the segments; 0 where there is none."""
        segments = self.matched + 0.5 * (self.missed + self.invented)
        quality: Floats = np.divide(
            self.matched, segments, out=np.zeros(len(segments)), where=segments > 0
        )
        return quality

    @property
    def pq(self) -> Floats:
        """(K,) panoptic quality: ``sq * rq``."""
        return self.sq * self.rq


@dataclass(frozen=True, slots=True)
class Quality:
    """Means over some classes; NaN where there is none.

    Attributes:
        pq: panoptic quality.
        sq: segmentation quality.
        rq: recognition quality.
    """

    pq: float
    sq: float
    rq: float


@dataclass(frozen=True, slots=True, eq=False)
class PanopticScores:
    """What is said of K classes and of all of them together.

    Attributes:
        pq, sq, rq: (K,) per class; NaN where the convention leaves a class out of the means.
        all: means over all classes.
        things: means over what comes in single objects.
        stuff: means over the rest.
        pq_dagger: mean of the things' PQ and the stuff's IoU (Porzi et al., CVPR 2019).
    """

    pq: Floats
    sq: Floats
    rq: Floats
    all: Quality
    things: Quality
    stuff: Quality
    pq_dagger: float


def panoptic_scores_of(
    counts: PanopticCounts, convention: Convention = "present"
) -> PanopticScores:
    """The scores of all scenes that were counted.

    ``present`` leaves absent classes out. Otherwise a class without any matched segment counts 0,
    absent or not, as in PanopticEval of nuscenes-devkit (1.2.0) and semantic-kitti-api (a9c749e).
    """
    absent = (counts.confusion.true_points == 0) & (convention == "present")
    pq, sq, rq = (np.where(absent, np.nan, part) for part in (counts.pq, counts.sq, counts.rq))
    is_thing = np.isin(np.arange(counts.confusion.classes), list(counts.things))
    iou = counts.confusion.hits / np.maximum(counts.confusion.union, 1)
    mixed = np.where(is_thing, counts.pq, iou)[~absent]
    return PanopticScores(
        pq=pq,
        sq=sq,
        rq=rq,
        all=_means((pq, sq, rq), ~absent),
        things=_means((pq, sq, rq), ~absent & is_thing),
        stuff=_means((pq, sq, rq), ~absent & ~is_thing),
        pq_dagger=float(mixed.mean()) if len(mixed) else float("nan"),
    )


def _means(per_class: tuple[Floats, ...], of: npt.NDArray[np.bool_]) -> Quality:
    return Quality(*(float(q[of].mean()) if of.any() else float("nan") for q in per_class))


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """The S segments of P points.

    Attributes:
        class_index: (S,) int64.
        size: (S,) int64, points.
        part_of_point: (P,) int64; −1 = in none.
    """

    class_index: Integers
    size: Integers
    part_of_point: Integers

    @classmethod
    def of(cls, class_index: npt.NDArray[np.int32], instance: npt.NDArray[np.int32]) -> _Parts:
        inside = np.flatnonzero(class_index >= 0)
        key = class_index[inside].astype(np.int64) << _INSTANCE_BITS
        key |= instance[inside].astype(np.int64) & ((1 << _INSTANCE_BITS) - 1)
        keys, part, size = np.unique(key, return_inverse=True, return_counts=True)
        part_of_point = np.full(len(class_index), -1, dtype=np.int64)
        part_of_point[inside] = part.reshape(-1)
        return cls(keys >> _INSTANCE_BITS, size.astype(np.int64), part_of_point)

    def count_others(self, matched: Integers, classes: int, min_points: int) -> Integers:
        """(K,) segments of every class that are large enough and not among the matched."""
        others = self.size >= min_points
        others[matched] = False
        return np.bincount(self.class_index[others], minlength=classes)


def _matches(
    wanted: _Parts, found: _Parts, agree: npt.NDArray[np.bool_]
) -> tuple[Integers, Integers, Floats]:
    """Pairs (S,) of segments of one class that match, and their intersection over union.

    No segment matches twice: two of its matches would share points.
    """
    width = max(len(found.size), 1)
    pair = wanted.part_of_point[agree] * width + found.part_of_point[agree]
    pairs, shared = np.unique(pair, return_counts=True)
    one, other = np.divmod(pairs, width)
    overlap = shared / (wanted.size[one] + found.size[other] - shared)
    match = overlap > _MATCHES
    return one[match], other[match], overlap[match]
