"""How many points of labelled clouds belong to each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clip3d_cli.core.labels import Labels
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.vocabulary import SemanticClass


@dataclass(frozen=True, slots=True)
class ClassCount:
    """The points of one class.

    Attributes:
        entry: the class.
        points: number of points with this class.
        share: that number divided by all points of the cloud, 0…1.
        mean_score: mean score of these points, 0…1; None if there are none.
    """

    entry: SemanticClass
    points: int
    share: float
    mean_score: float | None


def count_classes(labels: Labels) -> list[ClassCount]:
    """Count the points of every class of the vocabulary, in its order, absent ones included."""
    classes = labels.vocabulary.classes
    # Shifted by one: bin 0 counts the unlabeled points, whose class index is -1.
    bins = labels.class_index.astype(np.int64) + 1
    points = np.bincount(bins, minlength=len(classes) + 1)[1:]
    total_score = np.bincount(bins, weights=labels.score, minlength=len(classes) + 1)[1:]
    return [
        ClassCount(
            entry,
            int(count),
            float(count / len(labels)) if len(labels) else 0.0,
            float(score / count) if count else None,
        )
        for entry, count, score in zip(classes, points, total_score, strict=True)
    ]


def merge_counts(counts_of_files: Sequence[Sequence[ClassCount]], points: int) -> list[ClassCount]:
    """Add up the counts of several clouds.

    Args:
        counts_of_files: counts of each cloud, all of the same vocabulary.
        points: number of points of all clouds together.
    """
    merged = []
    for counts in zip(*counts_of_files, strict=True):
        count = sum(each.points for each in counts)
        total_score = sum(each.points * (each.mean_score or 0) for each in counts)
        merged.append(
            ClassCount(
                counts[0].entry,
                count,
                count / points if points else 0.0,
                total_score / count if count else None,
            )
        )
    return merged


def points_per_m2(cloud: PointCloud) -> float | None:
    """Return points per occupied square metre, seen from above; None if no point is finite."""
    xy = cloud.xyz[np.isfinite(cloud.xyz).all(axis=1), :2]
    if not len(xy):
        return None
    # Ranks of the cell numbers instead of the numbers: a far outlier cannot overflow the key.
    ranks = [np.unique(np.floor(xy[:, axis]), return_inverse=True)[1] for axis in (0, 1)]
    cells = np.unique(ranks[0] * len(xy) + ranks[1])
    return len(xy) / len(cells)
