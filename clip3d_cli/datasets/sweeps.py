"""Points of one or several sweeps in the world's frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.scenes import Sweep, transform_points
from clip3d_cli.core.validation import validate_array
from clip3d_cli.datasets.dataset import Dataset


@dataclass(frozen=True, slots=True, eq=False)
class MergedSweeps:
    """Points of several sweeps in the world's frame.

    Attributes:
        cloud: N points, sweep after sweep.
        sweep_of_point: (N,) int16 position of each point's sweep among the merged sweeps.
    """

    cloud: PointCloud
    sweep_of_point: npt.NDArray[np.int16]

    def __post_init__(self) -> None:
        validate_array("sweep_of_point", self.sweep_of_point, np.int16, (len(self.cloud),))


def merge_sweeps(dataset: Dataset, sweeps: Sequence[Sweep]) -> MergedSweeps:
    """Read the usable points of several sweeps, in the world's frame.

    Colors and intensity are kept only if every sweep has them.

    Args:
        dataset: the data set of the sweeps.
        sweeps: at least one sweep.

    Raises:
        InputError: a file cannot be read.
    """
    clouds = [read_in_world(dataset, sweep)[0] for sweep in sweeps]
    numbers = [np.full(len(cloud), number, np.int16) for number, cloud in enumerate(clouds)]
    return MergedSweeps(_concatenated(clouds), np.concatenate(numbers))


def read_in_world(dataset: Dataset, sweep: Sweep) -> tuple[PointCloud, npt.NDArray[np.bool_]]:
    """Read the usable points of a sweep, in the world's frame.

    Args:
        dataset: the data set of the sweep.
        sweep: the sweep.

    Returns:
        P usable points, and a mask (N,) that is True for these among all points of the file.

    Raises:
        InputError: the file cannot be read.
    """
    cloud = dataset.cloud(sweep)
    keep = usable_mask(dataset, cloud)
    kept = cloud.select(keep)
    return replace(kept, xyz=transform_points(sweep.world_from_sensor, kept.xyz)), keep


def usable_mask(dataset: Dataset, cloud: PointCloud) -> npt.NDArray[np.bool_]:
    """Return which points of a sweep are finite and not returns of the ego vehicle.

    Args:
        dataset: the data set of the sweep.
        cloud: N points in the sensor's frame.

    Returns:
        (N,) mask, True = usable.
    """
    keep: npt.NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(cloud.xyz), axis=1)
    if dataset.ego_half_size_m:
        # Outside the square of the vehicle: beyond its half side in x or in y.
        keep &= (np.abs(cloud.xyz[:, :2]) >= dataset.ego_half_size_m).any(axis=1)
    return keep


def _concatenated(clouds: Sequence[PointCloud]) -> PointCloud:
    colors = [cloud.rgb for cloud in clouds if cloud.rgb is not None]
    intensities = [cloud.intensity for cloud in clouds if cloud.intensity is not None]
    return PointCloud(
        np.concatenate([cloud.xyz for cloud in clouds]),
        np.concatenate(colors) if len(colors) == len(clouds) else None,
        np.concatenate(intensities) if len(intensities) == len(clouds) else None,
    )
