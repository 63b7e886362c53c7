"""What a data set is, and how its parts are put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.checks import check_array
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.scenes import PosedScene, Sweep, moved
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.metrics.rules import BenchmarkRules


class Dataset(Protocol):
    """Scenes of one official layout: a class of these, and a row in the registry.

    Its constructor takes the root folder, and refuses one that is not of its layout
    (InputError, E_NOT_FOUND or E_DATASET, naming the first thing that is missing).

    Attributes:
        name: the registry's name.
        root: the folder.
        vocabulary: the classes that truth counts, or None where it has none of its own.
        ego_m: returns of a sweep with |x| and |y| below this, in the sensor's frame, come from
            the vehicle that carries it; 0 where nothing carries it.
        things: class indices of what comes in single objects; empty where objects are not told
            apart.
        rules: of the benchmark's own scoring code; ``NO_BENCHMARK`` where there is none.
    """

    name: str
    root: Path
    vocabulary: Vocabulary | None
    ego_m: float
    things: frozenset[int]
    rules: BenchmarkRules

    def splits(self) -> tuple[str, ...]:
        """The names that `scenes` takes, such as ``train`` and ``val``."""

    def scenes(self, split: str) -> Sequence[PosedScene]:
        """The scenes of a split in a fixed order; what is listed but not on disk is refused.

        Raises:
            UsageError: there is no such split.
            InputError: a table or file that the layout promises is missing or broken.
        """

    def cloud(self, sweep: Sweep) -> PointCloud:
        """All N points of a sweep in the order of its file, in the *sensor's* frame, metres.

        Raises:
            InputError: the file is missing, cut off, or of another kind.
        """

    def truth(self, scene: PosedScene) -> npt.NDArray[np.int32] | None:
        """(N,) int32: a class index for every point of the first sweep, −1 = not judged.

        None where the scene has no truth.

        Raises:
            InputError: E_COUNT_MISMATCH: not as many labels as points.
        """

    def instances(self, scene: PosedScene) -> npt.NDArray[np.int32] | None:
        """(N,) int32: which points of one class are one object, for every point of `truth`.

        Points of one class and one number belong together; 0 = no object of its own, −1 = not
        judged where objects are. None where objects are not told apart.

        Raises:
            InputError: a file is missing or broken; E_COUNT_MISMATCH: not as many numbers as
                points.
        """


@dataclass(frozen=True, slots=True, eq=False)
class SweptCloud:
    """The points of several sweeps in the world's frame.

    Attributes:
        cloud: N points.
        sweep_of_point: (N,) int16, a position among the sweeps that were asked for.
    """

    cloud: PointCloud
    sweep_of_point: npt.NDArray[np.int16]

    def __post_init__(self) -> None:
        check_array("sweep_of_point", self.sweep_of_point, np.int16, (len(self.cloud),))


def swept_cloud(dataset: Dataset, sweeps: Sequence[Sweep]) -> SweptCloud:
    """The finite points of some sweeps in the world, without returns of the vehicle itself.

    Colors and intensity are kept where every sweep has them.

    Args:
        dataset: reads them.
        sweeps: at least one.

    Raises:
        InputError: a file cannot be read.
    """
    clouds = [world_cloud(dataset, sweep)[0] for sweep in sweeps]
    number = [np.full(len(cloud), place, dtype=np.int16) for place, cloud in enumerate(clouds)]
    return SweptCloud(_joined(clouds), np.concatenate(number))


def world_cloud(dataset: Dataset, sweep: Sweep) -> tuple[PointCloud, npt.NDArray[np.bool_]]:
    """The usable points of a sweep in the world, and a mask (N,) that says which these are.

    Raises:
        InputError: its file cannot be read.
    """
    cloud = dataset.cloud(sweep)
    keep = usable_points(dataset, cloud)
    kept = cloud.only(keep)
    return replace(kept, xyz=moved(sweep.world_from_sensor, kept.xyz)), keep


def usable_points(dataset: Dataset, cloud: PointCloud) -> npt.NDArray[np.bool_]:
    """(N,) True for the points of one sweep, in the sensor's frame, that `swept_cloud` takes."""
    keep: npt.NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(cloud.xyz), axis=1)
    if dataset.ego_m:
        keep &= (np.abs(cloud.xyz[:, :2]) >= dataset.ego_m).any(axis=1)
    return keep


def _joined(clouds: Sequence[PointCloud]) -> PointCloud:
    colors = [cloud.rgb for cloud in clouds if cloud.rgb is not None]
    intensities = [cloud.intensity for cloud in clouds if cloud.intensity is not None]
    return PointCloud(
        np.concatenate([cloud.xyz for cloud in clouds]),
        np.concatenate(colors) if len(colors) == len(clouds) else None,
        np.concatenate(intensities) if len(intensities) == len(clouds) else None,
    )
