"""What a teacher that sees images says of points, to be judged as a network is."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from clip3d_cli.core.embeddings import ClassEmbeddings
from clip3d_cli.core.labels import UNLABELED_INDEX
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.scenes import PosedScene
from clip3d_cli.pipelines.evaluate.run import Answer, ClassIndex
from clip3d_cli.teachers.cache import read_features
from clip3d_cli.teachers.sampling import pseudo_labels, sample_features
from clip3d_cli.training.clip2scene.pixel_pairs import BatchOptions, visible_points


def teacher_answer(folder: Path, classes: ClassEmbeddings, options: BatchOptions) -> Answer:
    """What the teacher says of the points that images see, −1 of all others.

    A point that several views see is compared by the mean of their vectors.

    Args:
        folder: with the teacher's features of every scene.
        classes: the words.
        options: which points are seen.
    """

    def answer(scene: PosedScene, cloud: PointCloud) -> ClassIndex:
        features = read_features(folder / f"{scene.name}.safetensors", scene, classes.space)
        index = np.full(len(cloud), UNLABELED_INDEX, dtype=np.int32)
        placed = np.flatnonzero(np.isfinite(cloud.xyz).all(axis=1))
        there = cloud.select(placed)
        total = np.zeros((len(there), classes.space.dim), dtype=np.float32)
        for view, grid in zip(scene.views, features, strict=True):
            seen = visible_points(view, there, options)
            total[seen.point_index] += sample_features(grid, seen.uv, view.size)
        rows = np.flatnonzero(total.any(axis=1))
        word, _ = pseudo_labels(total[rows], classes)
        index[placed[rows]] = classes.class_of_vector[word]
        return index

    return answer
