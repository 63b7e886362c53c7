"""Predictions of an image teacher for points, so that it can be evaluated as a network is."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from clip3d_cli.core.embeddings import ClassEmbeddings
from clip3d_cli.core.labels import UNLABELED_INDEX
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.scenes import PosedScene
from clip3d_cli.pipelines.evaluate.run import ClassIndex, Predictor
from clip3d_cli.teachers.cache import read_features
from clip3d_cli.teachers.sampling import pseudo_labels, sample_features
from clip3d_cli.training.clip2scene.pixel_pairs import BatchOptions, visible_points


def teacher_predictor(folder: Path, classes: ClassEmbeddings, options: BatchOptions) -> Predictor:
    """Return a predictor that labels the points that are visible in images by their pixels.

    A point that several views see gets the class of the sum of its vectors. There is no prediction
    for other points.

    Args:
        folder: folder with the teacher's features of every scene.
        classes: embedded words of the classes.
        options: options that decide which points a view sees.
    """

    def predict(scene: PosedScene, cloud: PointCloud) -> ClassIndex:
        features = read_features(folder / f"{scene.name}.safetensors", scene, classes.space)
        prediction = np.full(len(cloud), UNLABELED_INDEX, dtype=np.int32)
        finite = np.flatnonzero(np.isfinite(cloud.xyz).all(axis=1))  # (F,) points of the cloud
        finite_cloud = cloud.select(finite)
        vectors = np.zeros((len(finite), classes.space.dim), dtype=np.float32)  # (F, D)
        for view, grid in zip(scene.views, features, strict=True):
            seen = visible_points(view, finite_cloud, options)
            vectors[seen.point_index] += sample_features(grid, seen.uv, view.size)
        seen_rows = np.flatnonzero(vectors.any(axis=1))  # rows of `vectors`
        word, _ = pseudo_labels(vectors[seen_rows], classes)
        prediction[finite[seen_rows]] = classes.class_of_vector[word]
        return prediction

    return predict
