"""How a benchmark's own code scores what is not there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BenchmarkRules:
    """What the official code of a benchmark does where the definition of a score leaves it open.

    In all of them an absent class that was answered all the same has an IoU of 0.

    Attributes:
        source: the code: repository, function, version; empty where there is none.
        unmet_iou: what a class counts in the mean that is neither true nor answered anywhere;
            None where it is left out.
        judges_unlabeled: whether points that were left unlabeled lower the overall accuracy.
        min_points: objects and pieces of ground with fewer points are neither missed nor invented
            in panoptic scores.
    """

    source: str = ""
    unmet_iou: float | None = None
    judges_unlabeled: bool = True
    min_points: int = 1


NO_BENCHMARK = BenchmarkRules()
