"""Confusion matrix, and the scores per class that follow from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.validation import validate_array


@dataclass(frozen=True, slots=True)
class ConfusionMatrix:
    """Numbers of points by class of the ground truth and predicted class.

    Attributes:
        counts: (K, K + 1) int64: row = ground truth, column = prediction; the last column counts
            points without a prediction.
    """

    counts: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        validate_array("counts", self.counts, np.int64, (len(self.counts), len(self.counts) + 1))

    @classmethod
    def of(
        cls, ground_truth: npt.NDArray[np.int32], prediction: npt.NDArray[np.int32], classes: int
    ) -> ConfusionMatrix:
        """Count the points of a cloud.

        Args:
            ground_truth: (N,) int32, 0…K−1, or −1 for a point that is ignored.
            prediction: (N,) int32, 0…K−1, or −1 for no prediction.
            classes: K, number of classes.

        Raises:
            ValueError: a class index is K or more.
        """
        highest = max(int(ground_truth.max(initial=-1)), int(prediction.max(initial=-1)))
        if highest >= classes:
            raise ValueError(f"class {highest} of {classes}")
        labelled = ground_truth >= 0
        row = ground_truth[labelled].astype(np.int64)
        column = np.where(prediction[labelled] < 0, classes, prediction[labelled])
        # Every pair of row and column as one number, so that one pass counts them all.
        pair = row * (classes + 1) + column.astype(np.int64)
        counts = np.bincount(pair, minlength=classes * (classes + 1))
        return cls(counts.reshape(classes, classes + 1).astype(np.int64))

    def __add__(self, other: ConfusionMatrix) -> ConfusionMatrix:
        return ConfusionMatrix(self.counts + other.counts)

    @property
    def classes(self) -> int:
        """K, number of classes."""
        return len(self.counts)

    @property
    def hits(self) -> npt.NDArray[np.int64]:
        """(K,) number of correctly predicted points of each class."""
        return np.diagonal(self.counts)

    @property
    def true_points(self) -> npt.NDArray[np.int64]:
        """(K,) number of points of each class in the ground truth."""
        points: npt.NDArray[np.int64] = self.counts.sum(axis=1)
        return points

    @property
    def union(self) -> npt.NDArray[np.int64]:
        """(K,) number of points of each class in the ground truth or in the prediction."""
        predicted: npt.NDArray[np.int64] = self.counts[:, :-1].sum(axis=0)
        return self.true_points + predicted - self.hits

    @property
    def iou(self) -> npt.NDArray[np.float64]:
        """(K,) intersection over union; NaN for a class without ground truth."""
        return np.where(self.true_points > 0, self.hits / np.maximum(self.union, 1), np.nan)

    @property
    def recall(self) -> npt.NDArray[np.float64]:
        """(K,) share of the points of each class that were predicted correctly, 0…1; or NaN."""
        points = self.true_points
        return np.where(points > 0, self.hits / np.maximum(points, 1), np.nan)

    @property
    def mean_iou(self) -> float:
        """Mean IoU over the classes with ground truth; NaN if there is none."""
        present = self.iou[~np.isnan(self.iou)]
        return float(present.mean()) if len(present) else float("nan")
