"""Evaluation: answers compared with the truth of every point of every scene."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.embeddings import ClassEmbeddings
from clip3d_cli.core.labels import UNLABELED_INDEX
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.scenes import PosedScene, transform_points
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.datasets.dataset import Dataset, Submission
from clip3d_cli.encoders.voxel_encoder import VoxelEncoder
from clip3d_cli.errors import UsageError
from clip3d_cli.labelling.label import Progress, label_cloud, silent
from clip3d_cli.metrics.confusion import ConfusionMatrix
from clip3d_cli.metrics.panoptic import PanopticCounts, Segments
from clip3d_cli.metrics.rules import NO_BENCHMARK, BenchmarkRules
from clip3d_cli.metrics.scores import Convention, Scores, scores_of
from clip3d_cli.objects.clusters import instances_of
from clip3d_cli.registry import unknown_name_error

ClassIndex = npt.NDArray[np.int32]
Answer = Callable[[PosedScene, PointCloud], ClassIndex]


@dataclass(frozen=True, slots=True)
class EvalOptions:
    """What is counted, and how it is summed up.

    Attributes:
        convention: how a mean treats classes that no judged point has.
        bands_m: rising edges of distance bands, metres from the sensor seen from above; the
            first band begins at 0, the last one has no end.
        ignored: classes that the mean IoU of the foreground leaves out.
        novel: classes unseen in training, for the harmonic mean with the others.
        panoptic: also compare instances.
        link_m: answered points of a thing class nearer than this are one instance, metres.
        only: judge where this other answer is not −1; None judges all points with truth.

    Raises:
        ValueError: edges that do not rise from above 0.
    """

    convention: Convention = "present"
    bands_m: tuple[float, ...] = ()
    ignored: tuple[str, ...] = ()
    novel: tuple[str, ...] = ()
    panoptic: bool = False
    link_m: float = 0.5
    only: Answer | None = None

    def __post_init__(self) -> None:
        edges = (0.0, *self.bands_m, math.inf)
        if not all(near < far for near, far in itertools.pairwise(edges)):
            raise ValueError(f"bands_m {self.bands_m} do not rise from above 0")


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """What was counted within a band of distances from the sensor, seen from above.

    Attributes:
        from_m: the nearest of its points lie here, metres.
        to_m: all of its points lie nearer, metres; inf for the last band.
        confusion: of its points.
    """

    from_m: float
    to_m: float
    confusion: ConfusionMatrix


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """How often points were answered right.

    Attributes:
        vocabulary: the K classes of the truth.
        confusion: of all judged points.
        bands: the same by distance, if asked for.
        panoptic: of instances, if asked for.
        scenes: how many were judged.
        passed_over: how many have no truth.
        rules: of the data set's benchmark.
    """

    vocabulary: Vocabulary
    confusion: ConfusionMatrix
    bands: tuple[Band, ...]
    panoptic: PanopticCounts | None
    scenes: int
    passed_over: int
    rules: BenchmarkRules = NO_BENCHMARK

    @property
    def points(self) -> int:
        """How many points were judged."""
        return int(self.confusion.counts.sum())

    def scores(self, convention: Convention = "present") -> Scores:
        """The scores of all judged points."""
        return scores_of(self.confusion, convention, self.rules)


def evaluate(
    dataset: Dataset,
    scenes: Sequence[PosedScene],
    answer: Answer,
    options: EvalOptions | None = None,
    *,
    submission: Submission | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """Compare answers with the truth of every point of every scene's key frame.

    Args:
        dataset: reads clouds and truth.
        scenes: those without truth are not judged.
        answer: given a scene and all N points of its key frame in the world, (N,) int32 class
            indices of the data set's vocabulary, −1 = unlabeled.
        options: what is counted.
        submission: takes every answer, of scenes without truth too; the caller finishes it.
        progress: wraps the scenes.

    Raises:
        UsageError: E_DATASET: the data set has no classes to judge by, or no instances;
            E_UNKNOWN_NAME: an option names a class that it has not.
        InputError: a file cannot be read.
    """
    options = options or EvalOptions()
    vocabulary = judged_vocabulary(dataset)
    require_options(dataset, options)
    tally = _Tally.empty(len(vocabulary), options)
    judged = 0
    for scene in progress(scenes, "judging"):
        truth = dataset.ground_truth(scene)
        if truth is None and submission is None:
            continue
        cloud = key_cloud(dataset, scene)
        found = answer(scene, cloud)
        if submission is not None:
            submission.add(scene, found)
        if truth is None:
            continue
        if options.only is not None:
            truth = np.where(options.only(scene, cloud) == UNLABELED_INDEX, np.int32(-1), truth)
        tally.add(dataset, scene, _Answered(cloud.xyz, truth, found))
        judged += 1
    return Evaluation(
        vocabulary=vocabulary,
        confusion=tally.confusion,
        bands=tally.bands,
        panoptic=tally.panoptic,
        scenes=judged,
        passed_over=len(scenes) - judged,
        rules=dataset.rules,
    )


def network_answer(encoder: VoxelEncoder, classes: ClassEmbeddings) -> Answer:
    """What `label_cloud` says: the same as ``clip3d label``."""
    return lambda _, cloud: label_cloud(cloud, encoder, classes).class_index


def key_cloud(dataset: Dataset, scene: PosedScene) -> PointCloud:
    """All points of a scene's key frame in the order of its file, in the world.

    Raises:
        InputError: its file cannot be read.
    """
    sweep = scene.sweeps[0]
    cloud = dataset.cloud(sweep)
    return replace(cloud, xyz=transform_points(sweep.world_from_sensor, cloud.xyz))


def judged_vocabulary(dataset: Dataset) -> Vocabulary:
    """The classes of a data set's truth.

    Raises:
        UsageError: E_DATASET: it has none.
    """
    if dataset.vocabulary is None:
        raise UsageError(
            "E_DATASET", str(dataset.root), "has no vocabulary to judge by", "Add vocabulary.toml."
        )
    return dataset.vocabulary


def require_options(dataset: Dataset, options: EvalOptions) -> None:
    """Refuse options that a data set cannot meet, before anything is labelled.

    Raises:
        UsageError: E_UNKNOWN_NAME: a class that it has not; E_DATASET: no instances.
    """
    vocabulary = judged_vocabulary(dataset)
    class_indices(vocabulary, options.ignored, "--ignore")
    class_indices(vocabulary, options.novel, "--novel")
    if options.panoptic and not dataset.thing_classes:
        raise _without_instances(dataset, "--panoptic")


def class_indices(vocabulary: Vocabulary, names: Iterable[str], where: str) -> frozenset[int]:
    """The positions of classes in a vocabulary.

    Args:
        vocabulary: has them.
        names: of the classes.
        where: which option named them.

    Raises:
        UsageError: E_UNKNOWN_NAME: it has no such class; it lists what it has.
    """
    known = [entry.name for entry in vocabulary.classes]
    for name in names:
        if name not in known:
            raise unknown_name_error(where, name, known)
    return frozenset(known.index(name) for name in names)


@dataclass(frozen=True, slots=True, eq=False)
class _Answered:
    """A scene's N points in the world, what they are, and what was answered."""

    xyz: npt.NDArray[np.float64]
    truth: ClassIndex
    found: ClassIndex


@dataclass(slots=True)
class _Tally:
    """What was counted so far."""

    options: EvalOptions
    confusion: ConfusionMatrix
    bands: tuple[Band, ...]
    panoptic: PanopticCounts | None

    @classmethod
    def empty(cls, classes: int, options: EvalOptions) -> _Tally:
        nothing = ConfusionMatrix(np.zeros((classes, classes + 1), dtype=np.int64))
        edges = (0.0, *options.bands_m, math.inf) if options.bands_m else ()
        bands = tuple(Band(near, far, nothing) for near, far in itertools.pairwise(edges))
        return cls(options, nothing, bands, None)

    def add(self, dataset: Dataset, scene: PosedScene, seen: _Answered) -> None:
        classes = self.confusion.classes
        self.confusion += ConfusionMatrix.of(seen.truth, seen.found, classes)
        if self.bands:
            origin = scene.sweeps[0].world_from_sensor[:2, 3]
            away_m = np.linalg.norm(seen.xyz[:, :2] - origin, axis=1)
            self.bands = tuple(_with_points(band, seen, away_m) for band in self.bands)
        if self.options.panoptic:
            counts = self._instances(dataset, scene, seen)
            self.panoptic = counts if self.panoptic is None else self.panoptic + counts

    def _instances(self, dataset: Dataset, scene: PosedScene, seen: _Answered) -> PanopticCounts:
        truth = dataset.instances(scene)
        if truth is None:
            raise _without_instances(dataset, scene.name)
        found = instances_of(
            seen.xyz, seen.found, dataset.thing_classes, link_m=self.options.link_m
        )
        return PanopticCounts.of(
            Segments(seen.truth, truth),
            Segments(seen.found, found),
            self.confusion.classes,
            thing_classes=dataset.thing_classes,
            min_points=dataset.rules.min_points,
        )


def _without_instances(dataset: Dataset, where: str) -> UsageError:
    return UsageError(
        "E_DATASET",
        where,
        f"the truth of {dataset.name} does not tell objects apart",
        "Leave out --panoptic.",
    )


def _with_points(band: Band, seen: _Answered, away_m: npt.NDArray[np.float64]) -> Band:
    rows = (away_m >= band.from_m) & (away_m < band.to_m)
    found = ConfusionMatrix.of(seen.truth[rows], seen.found[rows], band.confusion.classes)
    return replace(band, confusion=band.confusion + found)
