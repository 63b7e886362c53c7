"""Evaluation: predictions compared with the ground truth of every point of every scene."""

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
Predictor = Callable[[PosedScene, PointCloud], ClassIndex]
"""Function from a scene and the N points of its key frame in world coordinates to (N,) int32 class
indices of the data set's vocabulary; −1 = no prediction."""


@dataclass(frozen=True, slots=True)
class EvalOptions:
    """What is evaluated, and how scores are averaged.

    Attributes:
        convention: how a class without ground truth counts in a mean.
        bands_m: ascending edges of distance bands, metres. Distances are horizontal, from the
            sensor. The first band begins at 0 and the last one has no end; without edges there
            are no bands.
        ignored: names of the classes that the foreground mean IoU leaves out.
        novel: names of the classes that were not seen in training; their mean IoU and that of the
            other classes are averaged harmonically.
        panoptic: also compare instances.
        link_m: distance in metres below which predicted points of a thing class are in one
            instance.
        restrict_to: predictor that chooses the points to evaluate: those for which it makes a
            prediction. None evaluates all points with ground truth.

    Raises:
        ValueError: the edges do not ascend, or the first one is not above 0.
    """

    convention: Convention = "present"
    bands_m: tuple[float, ...] = ()
    ignored: tuple[str, ...] = ()
    novel: tuple[str, ...] = ()
    panoptic: bool = False
    link_m: float = 0.5
    restrict_to: Predictor | None = None

    def __post_init__(self) -> None:
        edges = (0.0, *self.bands_m, math.inf)
        if not all(near < far for near, far in itertools.pairwise(edges)):
            raise ValueError(f"bands_m {self.bands_m} do not ascend from above 0")


@dataclass(frozen=True, slots=True, eq=False)
class DistanceBand:
    """Confusion matrix of the points within a range of horizontal distances from the sensor.

    Attributes:
        from_m: lower end of the range, metres; it is in the range.
        to_m: upper end, metres; it is not in the range. inf for the last band.
        confusion: confusion matrix of the evaluated points in the range.
    """

    from_m: float
    to_m: float
    confusion: ConfusionMatrix


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Result of an evaluation.

    Attributes:
        vocabulary: the K classes of the ground truth.
        confusion: confusion matrix of all evaluated points.
        bands: confusion matrices by distance; empty if none were requested.
        panoptic: counts of matched instances; None if they were not requested, or if there is no
            evaluated scene.
        scenes: number of evaluated scenes.
        scenes_without_ground_truth: number of scenes that have no ground truth.
        rules: rules of the data set's benchmark.
    """

    vocabulary: Vocabulary
    confusion: ConfusionMatrix
    bands: tuple[DistanceBand, ...]
    panoptic: PanopticCounts | None
    scenes: int
    scenes_without_ground_truth: int
    rules: BenchmarkRules = NO_BENCHMARK

    @property
    def points(self) -> int:
        """Number of evaluated points."""
        return int(self.confusion.counts.sum())

    def scores(self, convention: Convention = "present") -> Scores:
        """Return the scores of all evaluated points."""
        return scores_of(self.confusion, convention, self.rules)


def evaluate(
    dataset: Dataset,
    scenes: Sequence[PosedScene],
    predict: Predictor,
    options: EvalOptions | None = None,
    *,
    submission: Submission | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """Compare predictions with the ground truth of every point of every scene's key frame.

    Args:
        dataset: reads clouds and ground truth.
        scenes: scenes of the data set; those without ground truth are counted and left out.
        predict: makes the predictions for a scene.
        options: what is evaluated.
        submission: receives all predictions, also for scenes without ground truth. The caller
            finishes it.
        progress: reports each scene.

    Raises:
        UsageError: E_DATASET: the data set has no classes, or no instances although they are
            compared; E_UNKNOWN_NAME: an option names an unknown class.
        InputError: a file cannot be read.
    """
    options = options or EvalOptions()
    vocabulary = require_vocabulary(dataset)
    require_options(dataset, options)
    counts = _Counts.zero(len(vocabulary), options)
    evaluated = 0
    for scene in progress(scenes, "evaluating"):
        ground_truth = dataset.ground_truth(scene)
        if ground_truth is None and submission is None:
            continue
        cloud = read_key_frame(dataset, scene)
        prediction = predict(scene, cloud)
        if submission is not None:
            submission.add(scene, prediction)
        if ground_truth is None:
            continue
        if options.restrict_to is not None:
            chosen = options.restrict_to(scene, cloud) != UNLABELED_INDEX
            ground_truth = np.where(chosen, ground_truth, np.int32(UNLABELED_INDEX))
        counts.add(dataset, scene, _LabelledPoints(cloud.xyz, ground_truth, prediction))
        evaluated += 1
    return Evaluation(
        vocabulary=vocabulary,
        confusion=counts.confusion,
        bands=counts.bands,
        panoptic=counts.panoptic,
        scenes=evaluated,
        scenes_without_ground_truth=len(scenes) - evaluated,
        rules=dataset.rules,
    )


def network_predictor(encoder: VoxelEncoder, classes: ClassEmbeddings) -> Predictor:
    """Return a predictor that labels clouds exactly as ``clip3d label`` does."""
    return lambda _, cloud: label_cloud(cloud, encoder, classes).class_index


def read_key_frame(dataset: Dataset, scene: PosedScene) -> PointCloud:
    """Return all points of a scene's key frame in world coordinates, in the order of its file.

    Raises:
        InputError: the file cannot be read.
    """
    sweep = scene.sweeps[0]
    cloud = dataset.cloud(sweep)
    return replace(cloud, xyz=transform_points(sweep.world_from_sensor, cloud.xyz))


def require_vocabulary(dataset: Dataset) -> Vocabulary:
    """Return the classes of a data set's ground truth.

    Raises:
        UsageError: E_DATASET: it has none.
    """
    if dataset.vocabulary is None:
        raise UsageError(
            "E_DATASET",
            str(dataset.root),
            "has no vocabulary, which an evaluation needs",
            "Add vocabulary.toml.",
        )
    return dataset.vocabulary


def require_options(dataset: Dataset, options: EvalOptions) -> None:
    """Check options that depend on the data set, before anything is labelled.

    Raises:
        UsageError: E_UNKNOWN_NAME: an option names an unknown class; E_DATASET: instances shall be
            compared, but the data set has none.
    """
    vocabulary = require_vocabulary(dataset)
    class_indices(vocabulary, options.ignored, "--ignore")
    class_indices(vocabulary, options.novel, "--novel")
    if options.panoptic and not dataset.thing_classes:
        raise _without_instances(dataset, "--panoptic")


def class_indices(vocabulary: Vocabulary, names: Iterable[str], where: str) -> frozenset[int]:
    """Return the class indices of names.

    Args:
        vocabulary: the K classes.
        names: names of classes.
        where: option that gave the names, for the error message.

    Raises:
        UsageError: E_UNKNOWN_NAME: the vocabulary has no class of a name; the message lists the
            names that it has.
    """
    known = [entry.name for entry in vocabulary.classes]
    for name in names:
        if name not in known:
            raise unknown_name_error(where, name, known)
    return frozenset(known.index(name) for name in names)


@dataclass(frozen=True, slots=True, eq=False)
class _LabelledPoints:
    """The N points of a scene.

    Attributes:
        xyz: (N, 3) world coordinates, metres.
        ground_truth: (N,) class indices; −1 = not evaluated.
        prediction: (N,) class indices; −1 = no prediction.
    """

    xyz: npt.NDArray[np.float64]
    ground_truth: ClassIndex
    prediction: ClassIndex


@dataclass(slots=True)
class _Counts:
    """Sums over the scenes that were evaluated so far."""

    options: EvalOptions
    confusion: ConfusionMatrix
    bands: tuple[DistanceBand, ...]
    panoptic: PanopticCounts | None

    @classmethod
    def zero(cls, classes: int, options: EvalOptions) -> _Counts:
        empty = ConfusionMatrix(np.zeros((classes, classes + 1), dtype=np.int64))
        edges = (0.0, *options.bands_m, math.inf) if options.bands_m else ()
        bands = tuple(DistanceBand(near, far, empty) for near, far in itertools.pairwise(edges))
        return cls(options, empty, bands, None)

    def add(self, dataset: Dataset, scene: PosedScene, points: _LabelledPoints) -> None:
        classes = self.confusion.classes
        self.confusion += ConfusionMatrix.of(points.ground_truth, points.prediction, classes)
        if self.bands:
            sensor_xy = scene.sweeps[0].world_from_sensor[:2, 3]
            distance_m = np.linalg.norm(points.xyz[:, :2] - sensor_xy, axis=1)  # (N,)
            self.bands = tuple(_added(band, points, distance_m) for band in self.bands)
        if self.options.panoptic:
            counts = self._compare_instances(dataset, scene, points)
            self.panoptic = counts if self.panoptic is None else self.panoptic + counts

    def _compare_instances(
        self, dataset: Dataset, scene: PosedScene, points: _LabelledPoints
    ) -> PanopticCounts:
        true_instances = dataset.instances(scene)
        if true_instances is None:
            raise _without_instances(dataset, scene.name)
        predicted_instances = instances_of(
            points.xyz, points.prediction, dataset.thing_classes, link_m=self.options.link_m
        )
        return PanopticCounts.of(
            Segments(points.ground_truth, true_instances),
            Segments(points.prediction, predicted_instances),
            self.confusion.classes,
            thing_classes=dataset.thing_classes,
            min_points=dataset.rules.min_points,
        )


def _without_instances(dataset: Dataset, where: str) -> UsageError:
    return UsageError(
        "E_DATASET",
        where,
        f"the ground truth of {dataset.name} has no instances",
        "Leave out --panoptic.",
    )


def _added(
    band: DistanceBand, points: _LabelledPoints, distance_m: npt.NDArray[np.float64]
) -> DistanceBand:
    """Return the band with its part of the points added.

    A point without finite coordinates has the distance NaN, and is in no band.
    """
    rows = (distance_m >= band.from_m) & (distance_m < band.to_m)
    confusion = ConfusionMatrix.of(
        points.ground_truth[rows], points.prediction[rows], band.confusion.classes
    )
    return replace(band, confusion=band.confusion + confusion)
