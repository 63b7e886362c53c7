"""How well scenes with truth are labelled, by a network or by what a teacher sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.clouds import PointCloud
from clip3d_cli.core.labels import UNLABELED
from clip3d_cli.core.scenes import PosedScene
from clip3d_cli.core.words import ClassEmbeddings, Vocabulary
from clip3d_cli.datasets.contract import Dataset, world_cloud
from clip3d_cli.encoders.voxel_encoder import VoxelEncoder
from clip3d_cli.errors import UsageError
from clip3d_cli.metrics.confusion import ConfusionMatrix
from clip3d_cli.pipelines.label import Progress, label_cloud, silent
from clip3d_cli.teachers.cache import read_features
from clip3d_cli.teachers.sampling import pseudo_labels, sample_features
from clip3d_cli.training.pixel_pairs import BatchOptions, seen_points

ClassIndex = npt.NDArray[np.int32]
Answer = Callable[[PosedScene, PointCloud], ClassIndex]


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """How often points were answered right.

    Attributes:
        vocabulary: the K classes of the truth.
        confusion: of all judged points.
    """

    vocabulary: Vocabulary
    confusion: ConfusionMatrix

    @property
    def mean_iou(self) -> float:
        """The mean intersection over union of the classes that are there; NaN without any."""
        return self.confusion.mean_iou

    @property
    def points(self) -> int:
        """How many points were judged."""
        return int(self.confusion.counts.sum())


def judge_scenes(
    dataset: Dataset,
    scenes: Sequence[PosedScene],
    answer: Answer,
    *,
    only: Answer | None = None,
    progress: Progress = silent,
) -> Judgement:
    """Compare answers with the truth of every scene's key frame.

    Args:
        dataset: reads clouds and truth.
        scenes: those without truth are passed over.
        answer: given a scene and the N points of its key frame in the world, (N,) int32 class
            indices of the data set's vocabulary, −1 = unlabeled.
        only: judge where this other answer is not −1.
        progress: wraps the scenes.

    Raises:
        UsageError: E_DATASET: the data set has no classes to judge by.
        InputError: a file cannot be read.
    """
    vocabulary = dataset.vocabulary
    if vocabulary is None:
        raise UsageError(
            "E_DATASET", str(dataset.root), "has no vocabulary to judge by", "Add vocabulary.toml."
        )
    classes = len(vocabulary)
    total = ConfusionMatrix(np.zeros((classes, classes + 1), dtype=np.int64))
    for scene in progress(scenes, "judging"):
        truth = dataset.truth(scene)
        if truth is None:
            continue
        cloud, keep = world_cloud(dataset, scene.sweeps[0])
        judged = truth[keep]
        if only is not None:
            judged = np.where(only(scene, cloud) == UNLABELED, np.int32(-1), judged)
        total += ConfusionMatrix.of(judged, answer(scene, cloud), classes)
    return Judgement(vocabulary, total)


def network_answer(encoder: VoxelEncoder, classes: ClassEmbeddings) -> Answer:
    """What `label_cloud` says: the same as ``clip3d label``."""
    return lambda _, cloud: label_cloud(cloud, encoder, classes).class_index


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
        total = np.zeros((len(cloud), classes.space.dim), dtype=np.float32)
        for view, grid in zip(scene.views, features, strict=True):
            seen = seen_points(view, cloud, options)
            total[seen.point_index] += sample_features(grid, seen.uv, view.size)
        index = np.full(len(cloud), UNLABELED, dtype=np.int32)
        rows = np.flatnonzero(total.any(axis=1))
        word, _ = pseudo_labels(total[rows], classes)
        index[rows] = classes.class_of_vector[word]
        return index

    return answer
