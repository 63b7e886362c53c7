"""Panoptic quality (Kirillov et al., CVPR 2019): are objects found, and each as a whole?

Classes are either *things*, which come in countable objects, or *stuff*. A segment is all points
of one object, or of one stuff class. A segment of the ground truth and a predicted one match if
their intersection over union is above one half.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.validation import validate_array
from clip3d_cli.metrics.confusion import ConfusionMatrix
from clip3d_cli.metrics.scores import Convention

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_MATCH_IOU = 0.5
_INSTANCE_BITS = 32


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """Segments of a cloud: points of one class and one instance number are one segment.

    Attributes:
        class_index: (N,) int32; −1 = ignored in the ground truth, no prediction in a prediction.
        instance: (N,) int32; 0 for all points of a stuff class; in the ground truth −1 = ignored.
    """

    class_index: npt.NDArray[np.int32]
    instance: npt.NDArray[np.int32]

    def __post_init__(self) -> None:
        validate_array("class_index", self.class_index, np.int32, (None,))
        validate_array("instance", self.instance, np.int32, (len(self.class_index),))


@dataclass(frozen=True, slots=True, eq=False)
class PanopticCounts:
    """Matched and unmatched segments of K classes. The counts of several scenes can be added.

    Attributes:
        confusion: confusion matrix of the points that are not ignored.
        thing_classes: class indices of the things.
        matched: (K,) int64 pairs of matching segments (true positives).
        missed: (K,) int64 segments of the ground truth without a match that have at least the
            smallest number of points (false negatives).
        spurious: (K,) int64 predicted segments without a match that have at least the smallest
            number of points (false positives).
        matched_iou: (K,) float64 sum of the intersection over union of the matching pairs.
    """

    confusion: ConfusionMatrix
    thing_classes: frozenset[int]
    matched: Integers
    missed: Integers
    spurious: Integers
    matched_iou: Floats

    @classmethod
    def of(
        cls,
        ground_truth: Segments,
        prediction: Segments,
        classes: int,
        *,
        thing_classes: Iterable[int],
        min_points: int,
    ) -> PanopticCounts:
        """Compare the segments of one scene, as PanopticEval of semantic-kitti-api does.

        Points that the ground truth ignores are removed first, from predicted segments too.

        Args:
            ground_truth: segments of N points.
            prediction: segments of the same points.
            classes: K, number of classes.
            thing_classes: class indices of the things.
            min_points: smaller segments count neither as missed nor as spurious, but may match.
        """
        labelled = (ground_truth.class_index >= 0) & (ground_truth.instance >= 0)
        true_class = ground_truth.class_index[labelled]
        predicted_class = prediction.class_index[labelled]
        true_segments = _SegmentTable.of(true_class, ground_truth.instance[labelled])
        predicted_segments = _SegmentTable.of(predicted_class, prediction.instance[labelled])
        true_match, predicted_match, iou = _matches(
            true_segments, predicted_segments, true_class == predicted_class
        )
        matched_class = true_segments.class_index[true_match]
        return cls(
            ConfusionMatrix.of(true_class, predicted_class, classes),
            frozenset(thing_classes),
            np.bincount(matched_class, minlength=classes),
            true_segments.count_unmatched(true_match, classes, min_points),
            predicted_segments.count_unmatched(predicted_match, classes, min_points),
            np.bincount(matched_class, iou, classes).astype(np.float64),
        )

    def __add__(self, other: PanopticCounts) -> PanopticCounts:
        return PanopticCounts(
            self.confusion + other.confusion,
            self.thing_classes,
            self.matched + other.matched,
            self.missed + other.missed,
            self.spurious + other.spurious,
            self.matched_iou + other.matched_iou,
        )

    @property
    def sq(self) -> Floats:
        """(K,) segmentation quality: mean IoU of the matching pairs; 0 if there is none."""
        quality: Floats = self.matched_iou / np.maximum(self.matched, 1)
        return quality

    @property
    def rq(self) -> Floats:
        """(K,) recognition quality: F1 score of the segments; 0 if there is no segment."""
        segments = self.matched + 0.5 * (self.missed + self.spurious)
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
    """Means over some classes, 0…1; NaN if there is no class.

    Attributes:
        pq: mean panoptic quality.
        sq: mean segmentation quality.
        rq: mean recognition quality.
    """

    pq: float
    sq: float
    rq: float


@dataclass(frozen=True, slots=True, eq=False)
class PanopticScores:
    """Panoptic scores per class and over all K classes.

    Attributes:
        pq: (K,) panoptic quality; NaN for a class that is left out of the means.
        sq: (K,) segmentation quality; NaN likewise.
        rq: (K,) recognition quality; NaN likewise.
        all: means over all classes.
        things: means over the thing classes.
        stuff: means over the stuff classes.
        pq_dagger: mean of the PQ of things and the IoU of stuff (Porzi et al., CVPR 2019).
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
    """Return the panoptic scores of all counted scenes.

    Args:
        counts: counts of K classes.
        convention: ``present`` leaves classes without ground truth out. Otherwise a class without
            matching segments counts 0 even if it has no ground truth, as in PanopticEval of
            nuscenes-devkit (1.2.0) and semantic-kitti-api (a9c749e).
    """
    left_out = (counts.confusion.true_points == 0) & (convention == "present")
    pq, sq, rq = (np.where(left_out, np.nan, q) for q in (counts.pq, counts.sq, counts.rq))
    is_thing = np.isin(np.arange(counts.confusion.classes), list(counts.thing_classes))
    iou = counts.confusion.hits / np.maximum(counts.confusion.union, 1)
    pq_or_iou = np.where(is_thing, counts.pq, iou)[~left_out]
    return PanopticScores(
        pq=pq,
        sq=sq,
        rq=rq,
        all=_means((pq, sq, rq), ~left_out),
        things=_means((pq, sq, rq), ~left_out & is_thing),
        stuff=_means((pq, sq, rq), ~left_out & ~is_thing),
        pq_dagger=float(pq_or_iou.mean()) if len(pq_or_iou) else float("nan"),
    )


def _means(per_class: tuple[Floats, ...], included: npt.NDArray[np.bool_]) -> Quality:
    is_empty = not included.any()
    return Quality(*(float("nan") if is_empty else float(q[included].mean()) for q in per_class))


@dataclass(frozen=True, slots=True, eq=False)
class _SegmentTable:
    """The S segments of P points.

    Attributes:
        class_index: (S,) int64 class of each segment.
        size: (S,) int64 number of points of each segment.
        segment_of_point: (P,) int64; −1 = in no segment.
    """

    class_index: Integers
    size: Integers
    segment_of_point: Integers

    @classmethod
    def of(
        cls, class_index: npt.NDArray[np.int32], instance: npt.NDArray[np.int32]
    ) -> _SegmentTable:
        in_segment = np.flatnonzero(class_index >= 0)
        # Class in the upper 32 bits, instance in the lower ones: equal keys are one segment.
        key = class_index[in_segment].astype(np.int64) << _INSTANCE_BITS
        key |= instance[in_segment].astype(np.int64) & ((1 << _INSTANCE_BITS) - 1)
        keys, segment, size = np.unique(key, return_inverse=True, return_counts=True)
        segment_of_point = np.full(len(class_index), -1, dtype=np.int64)
        segment_of_point[in_segment] = segment.reshape(-1)
        return cls(keys >> _INSTANCE_BITS, size.astype(np.int64), segment_of_point)

    def count_unmatched(self, matched: Integers, classes: int, min_points: int) -> Integers:
        """Return the (K,) numbers of unmatched segments of at least ``min_points`` points.

        Args:
            matched: numbers of the matched segments.
            classes: K, number of classes.
            min_points: smallest number of points.
        """
        unmatched = self.size >= min_points
        unmatched[matched] = False
        return np.bincount(self.class_index[unmatched], minlength=classes)


def _matches(
    true_segments: _SegmentTable,
    predicted_segments: _SegmentTable,
    classes_agree: npt.NDArray[np.bool_],
) -> tuple[Integers, Integers, Floats]:
    """Return all pairs of segments that match.

    No segment has two matches, because these would have to share points.

    Args:
        true_segments: segments of the ground truth.
        predicted_segments: segments of the prediction.
        classes_agree: (P,) True where both have the same class.

    Returns:
        (M,) segment of the ground truth, (M,) predicted segment, (M,) intersection over union.
    """
    width = max(len(predicted_segments.size), 1)
    # Both segments of a point as one number; only points of equal class can be in a match.
    pair_of_point = (
        true_segments.segment_of_point[classes_agree] * width
        + predicted_segments.segment_of_point[classes_agree]
    )
    pairs, shared = np.unique(pair_of_point, return_counts=True)
    true_segment, predicted_segment = np.divmod(pairs, width)
    union = true_segments.size[true_segment] + predicted_segments.size[predicted_segment] - shared
    iou = shared / union
    is_match = iou > _MATCH_IOU
    return true_segment[is_match], predicted_segment[is_match], iou[is_match]
