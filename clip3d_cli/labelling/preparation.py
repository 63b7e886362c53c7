"""What labelling computes with: the points of a cloud that are measurements, storeys apart."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.storeys import Storeys
from clip3d_cli.core.upright import ROTATION_OF_UP, better_up, find_tilt
from clip3d_cli.core.voxels import ANCHOR_CELLS

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]


Up = Literal["z", "-z", "y", "-y", "x", "-x", "auto"]


@dataclass(frozen=True, slots=True)
class NoReturns:
    """Rows of a cloud that are no measurements; they stay unlabeled.

    Attributes:
        not_finite: number of points with a coordinate that is not finite.
        empty: number of points at exactly (0, 0, 0), which sensors write for pulses without a
            return. A single one is taken as a point.
    """

    not_finite: int
    empty: int


def measured(xyz: Floats) -> Mask | None:
    """Return which points are measurements, (N,) bool; None if all are.

    Args:
        xyz: (N, 3) float64, metres.
    """
    # One pass for the common case: a sum is finite only if all its terms are, but for overflows.
    is_finite = np.isfinite(xyz).all(axis=1) if not np.isfinite(xyz.sum()) else None
    if (is_finite is None or is_finite.all()) and not (xyz[:, 0] == 0).any():
        return None
    is_empty = (xyz == 0).all(axis=1)
    if np.count_nonzero(is_empty) < 2:
        is_empty[:] = False
    mask: Mask = ~is_empty if is_finite is None else is_finite & ~is_empty
    return None if mask.all() else mask


def count_no_returns(xyz: Floats) -> NoReturns:
    """Count the points that are no measurements.

    Args:
        xyz: (N, 3) float64, metres.
    """
    is_measured = measured(xyz)
    if is_measured is None:
        return NoReturns(0, 0)
    not_finite = len(xyz) - int(np.isfinite(xyz).all(axis=1).sum())
    return NoReturns(not_finite, int((~is_measured).sum()) - not_finite)


def measured_points(cloud: PointCloud) -> tuple[PointCloud, Rows]:
    """Return the points that are measurements, and their rows in the cloud."""
    is_measured = measured(cloud.xyz)
    if is_measured is None:
        return cloud, np.arange(len(cloud))
    rows = np.flatnonzero(is_measured)
    return cloud.select(rows), rows


def prepare_cloud(cloud: PointCloud, up: Up = "z") -> tuple[PointCloud, Rows]:
    """Return the points that labelling computes with, upright, and their rows in the cloud.

    Args:
        cloud: N points.
        up: axis of the cloud that points up; ``auto`` estimates it. A tilt of the ground of 12° to
            24° is taken out in any case.
    """
    used, rows = measured_points(cloud)
    if not len(used):
        return used, rows
    if up == "auto":
        up = better_up(used.xyz) or "z"  # type: ignore[assignment]
    if up != "z":
        used = replace(used, xyz=np.ascontiguousarray(used.xyz @ ROTATION_OF_UP[up].T))
    tilt = find_tilt(used.xyz)
    if tilt is not None:
        # About the middle, so that coordinates stay about as large as they are.
        middle = np.median(used.xyz, axis=0)
        used = replace(used, xyz=np.ascontiguousarray((used.xyz - middle) @ tilt[1].T + middle))
    return used, rows


def move_storeys_apart(xyz: Floats, storeys: Storeys, voxel_m: float, reach: int) -> Floats:
    """Return the points with the storeys so far apart that the network sees each by itself.

    It was trained on scans of one storey. Stray points below everything else are moved away too.

    Args:
        xyz: (N, 3) float64, metres, all finite.
        storeys: storeys of these points.
        voxel_m: voxel edge in metres.
        reach: radius of the network's receptive field in voxels.
    """
    storey = storeys.of_points(xyz)
    storey[storeys.below] = -1
    if not storey.any():
        return xyz
    # Whole blocks of voxels, so that a voxel has the same place in all levels of the network; and
    # room for the height of a storey, as the lower one may reach up beside the upper one.
    height_m = float(xyz[:, 2].max() - xyz[:, 2].min())
    blocks = math.ceil((reach + height_m / voxel_m) / ANCHOR_CELLS)
    moved: Floats = xyz.copy()
    moved[:, 2] += storey * (blocks * ANCHOR_CELLS * voxel_m)
    return moved
