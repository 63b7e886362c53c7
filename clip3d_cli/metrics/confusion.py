"""Confusion counts, and the scores that are read from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.checks import check_array


@dataclass(frozen=True, slots=True)
class ConfusionMatrix:
    """How often each true class was answered with each class.

    Attributes:
        counts: (K, K + 1) int64: row = truth, column = answer; the last column counts points
            that were left unlabeled, a miss.
    """

    counts: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        check_array("counts", self.counts, np.int64, (len(self.counts), len(self.counts) + 1))

    @classmethod
    def of(
        cls, truth: npt.NDArray[np.int32], answer: npt.NDArray[np.int32], classes: int
    ) -> ConfusionMatrix:
        """Count N points of which truth is 0…K−1, or −1 for not judged, and answer −1…K−1.

        Raises:
            ValueError: a class of K or more.
        """
        highest = max(int(truth.max(initial=-1)), int(answer.max(initial=-1)))
        if highest >= classes:
            raise ValueError(f"class {highest} of {classes}")
        judged = truth >= 0
        column = np.where(answer[judged] < 0, classes, answer[judged]).astype(np.int64)
        cell = truth[judged].astype(np.int64) * (classes + 1) + column
        counts = np.bincount(cell, minlength=classes * (classes + 1))
        return cls(counts.reshape(classes, classes + 1).astype(np.int64))

    def __add__(self, other: ConfusionMatrix) -> ConfusionMatrix:
        return ConfusionMatrix(self.counts + other.counts)

    @property
    def classes(self) -> int:
        """K."""
        return len(self.counts)

    @property
    def hits(self) -> npt.NDArray[np.int64]:
        """(K,) points of a class that were answered right."""
        return np.diagonal(self.counts)

    @property
    def true_points(self) -> npt.NDArray[np.int64]:
        """(K,) judged points that truly are of a class."""
        points: npt.NDArray[np.int64] = self.counts.sum(axis=1)
        return points

    @property
    def union(self) -> npt.NDArray[np.int64]:
        """(K,) judged points that are of a class, or were answered to be."""
        answered: npt.NDArray[np.int64] = self.counts[:, :-1].sum(axis=0)
        return self.true_points + answered - self.hits

    @property
    def iou(self) -> npt.NDArray[np.float64]:
        """(K,) intersection over union; NaN for a class that no judged point truly has."""
        return np.where(self.true_points > 0, self.hits / np.maximum(self.union, 1), np.nan)

    @property
    def recall(self) -> npt.NDArray[np.float64]:
        """(K,) share of a class's points that were answered right; NaN for an absent class."""
        truth = self.true_points
        return np.where(truth > 0, self.hits / np.maximum(truth, 1), np.nan)

    @property
    def mean_iou(self) -> float:
        """The mean IoU over the classes that are there; NaN when none is."""
        present = self.iou[~np.isnan(self.iou)]
        return float(present.mean()) if len(present) else float("nan")
