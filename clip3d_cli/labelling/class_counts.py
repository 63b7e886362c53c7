"""What a labelling found, class by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clip3d_cli.core.labels import Labels
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.vocabulary import ClassName


@dataclass(frozen=True, slots=True)
class ClassShare:
    """The points of one class.

    Attributes:
        entry: the class.
        points: how many points took it.
        share: that number over all points of the cloud, 0…1.
        mean_score: of these points, 0…1; None where there are none.
    """

    entry: ClassName
    points: int
    share: float
    mean_score: float | None


def class_shares(labels: Labels) -> list[ClassShare]:
    """One entry per class of the vocabulary, in its order, whether points took it or not."""
    classes = labels.vocabulary.classes
    # Row 0 counts the unlabeled points, whose class index is −1.
    rows = labels.class_index.astype(np.int64) + 1
    points = np.bincount(rows, minlength=len(classes) + 1)[1:]
    total = np.bincount(rows, weights=labels.score, minlength=len(classes) + 1)[1:]
    return [
        ClassShare(
            entry,
            int(count),
            float(count / len(labels)) if len(labels) else 0.0,
            float(score / count) if count else None,
        )
        for entry, count, score in zip(classes, points, total, strict=True)
    ]


def merged_shares(of_files: Sequence[Sequence[ClassShare]], points: int) -> list[ClassShare]:
    """The shares of several labellings together.

    Args:
        of_files: those of each file, all of one vocabulary.
        points: of all files.
    """
    merged = []
    for shares in zip(*of_files, strict=True):
        count = sum(share.points for share in shares)
        total = sum(share.points * (share.mean_score or 0) for share in shares)
        merged.append(
            ClassShare(
                shares[0].entry,
                count,
                count / points if points else 0.0,
                total / count if count else None,
            )
        )
    return merged


def points_per_m2(cloud: PointCloud) -> float | None:
    """The points over the occupied square metres seen from above; None without any."""
    xy = cloud.xyz[np.isfinite(cloud.xyz).all(axis=1), :2]
    if not len(xy):
        return None
    # Ranks instead of cell numbers: a far outlier cannot overflow the key.
    ranks = [np.unique(np.floor(xy[:, axis]), return_inverse=True)[1] for axis in (0, 1)]
    cells = np.unique(ranks[0] * len(xy) + ranks[1])
    return len(xy) / len(cells)
