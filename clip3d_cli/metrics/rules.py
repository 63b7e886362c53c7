"""Rules of a benchmark's own evaluation code that the definition of a score leaves open."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BenchmarkRules:
    """How the official code of a benchmark treats unused classes and missing predictions.

    All benchmarks agree that a class without ground truth that was predicted has an IoU of 0.

    Attributes:
        source: the official code: repository, function, version; empty if there is none.
        unused_class_iou: IoU in the mean of a class that is neither in the ground truth nor
            predicted; None if such a class is left out of the mean.
        counts_unlabeled: whether points without a prediction count as wrong in the overall
            accuracy.
        min_points: number of points below which a segment counts neither as a false negative nor
            as a false positive in panoptic scores.
    """

    source: str = ""
    unused_class_iou: float | None = None
    counts_unlabeled: bool = True
    min_points: int = 1


NO_BENCHMARK = BenchmarkRules()
