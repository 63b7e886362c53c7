"""Interfaces of a data set and of a submission to its benchmark.

A data set is one folder with one entry in the registry (in another package: one entry point in
the group ``clip3d.datasets``) that names its class. Beside the module of that class lie::

    vocabularies/*.toml   vocabularies that ``clip3d vocabularies`` lists
    splits.toml           numbers of the scenes of the official splits: `splits.split_numbers`
    labels.toml           numbers in label files and their classes: `label_maps`
    pretrain.toml         preset of ``clip3d pretrain``
    finetune.toml         preset of ``clip3d finetune``

All of these files are optional.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from clip3d_cli import registry
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.scenes import PosedScene, Sweep
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.metrics.rules import BenchmarkRules

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class Dataset(Protocol):
    """Scenes of a data set on disk.

    Its constructor takes the root folder of the data set as its only argument, and raises an
    InputError (E_NOT_FOUND or E_DATASET, naming the first missing thing) if the folder does not
    have the layout of the data set. An instance can be pickled, so that worker processes can read
    scenes too.

    Attributes:
        name: name in the registry.
        root: root folder.
        vocabulary: classes of the ground truth, or None if the data set has no ground truth.
        thing_classes: class indices of the countable classes ("things"); empty if the labels do
            not tell single objects apart.
        ego_half_size_m: points of a sweep with |x| and |y| below this in the sensor's frame are
            returns from the vehicle that carries the sensor, metres; 0 if there is no vehicle.
        rules: rules of the benchmark's own evaluation code; ``NO_BENCHMARK`` if there is none.
    """

    name: str
    root: Path
    vocabulary: Vocabulary | None
    thing_classes: frozenset[int]
    ego_half_size_m: float
    rules: BenchmarkRules

    @property
    def submission(self) -> Callable[[Dataset, Path, str], Submission] | None:
        """Class of submissions to the benchmark, or None if no benchmark takes submissions.

        It is called with the data set, the folder to write to, and the name of a split.
        """

    def splits(self) -> tuple[str, ...]:
        """Return the names that `scenes` accepts, such as ``train`` and ``val``."""

    def scenes(self, split: str) -> Sequence[PosedScene]:
        """Return the scenes of a split, always in the same order.

        Args:
            split: one of `splits`.

        Raises:
            UsageError: E_UNKNOWN_NAME: there is no such split.
            InputError: a table or file that the layout promises is missing or broken.
        """

    def cloud(self, sweep: Sweep) -> PointCloud:
        """Read all N points of a sweep, in the order of its file, in the *sensor's* frame, metres.

        Args:
            sweep: a sweep of one of the scenes.

        Raises:
            InputError: the file is missing, truncated, or of another format.
        """

    def ground_truth(self, scene: PosedScene) -> npt.NDArray[np.int32] | None:
        """Read the classes of the points of the key frame, which is the first sweep.

        Args:
            scene: one of the scenes.

        Returns:
            (N,) int32 class indices, −1 = ignored in evaluations and trainings. None if the scene
            has no ground truth.

        Raises:
            InputError: E_COUNT_MISMATCH: the number of labels is not the number of points.
        """

    def instances(self, scene: PosedScene) -> npt.NDArray[np.int32] | None:
        """Read which points of the key frame belong to the same object.

        Args:
            scene: one of the scenes.

        Returns:
            (N,) int32 object numbers: points of one class and one number are one object.
            0 = no object, −1 = ignored in panoptic evaluations. None if objects are not labelled.

        Raises:
            InputError: a file is missing or broken; E_COUNT_MISMATCH: the number of labels is not
                the number of points.
        """


class Submission(Protocol):
    """Writer of predictions for all scenes of a split, in the format of a benchmark's server.

    The folder that it writes to is created, and may exist already if it is empty. If the writer is
    left as a context manager before `finish`, everything that it wrote is deleted.
    """

    def add(self, scene: PosedScene, class_index: npt.NDArray[np.int32]) -> None:
        """Write the predictions for one scene. Each scene is added once.

        Args:
            scene: a scene of the split, with or without ground truth.
            class_index: (N,) int32 predicted classes of the data set's vocabulary, for every
                point of the key frame in the order of its file. What −1 (no prediction) is
                written as depends on the benchmark.

        Raises:
            OutputError: E_NO_SPACE or E_NOT_WRITABLE.
            ValueError: there is not one prediction per point, a class index is out of range, or
                the scene was added before.
        """

    def finish(self) -> Path:
        """Complete the submission and move it to its place.

        Returns:
            The file or folder to upload.

        Raises:
            OutputError: E_COUNT_MISMATCH: a scene of the split was not added; E_NO_SPACE,
                E_NOT_WRITABLE.
        """

    def __enter__(self) -> Submission: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def read_toml(dataset: str, file: str) -> dict[str, Any]:
    """Read a TOML file that lies beside the class of a data set.

    Args:
        dataset: name in the registry.
        file: name of the file, such as ``splits.toml``.
    """
    path = registry.package_folder("datasets", dataset) / file
    table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    return table
