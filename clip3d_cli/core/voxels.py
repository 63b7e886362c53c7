"""From points to voxels: a lattice anchored to the world, not to the cloud."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.grouping import group_rows, row_keys, run_starts
from clip3d_cli.core.point_cloud import VoxelGrid
from clip3d_cli.errors import InputError

# The lattice's low corner falls on a multiple of this many cells, so that a cell has the same
# parity at every level of a network, whatever part of the cloud is looked at.
ANCHOR_CELLS = 64
_LARGEST_CELL = 2**31 - 1
_LARGEST_WORLD_CELL = 2**52
_POINTS_PER_VOXEL = 1.5
_SAMPLE_POINTS = 2_000_000


def voxelize(xyz: npt.NDArray[np.float64], size_m: float) -> VoxelGrid:
    """The occupied cells of a lattice of edge ``size_m``, and the cell of every point.

    Where a point falls depends on its coordinates alone, not on its neighbours or its place in
    the array.

    Args:
        xyz: (N, 3) float64, metres, all finite.
        size_m: the edge of a cell, metres.

    Returns:
        M ≤ N cells, sorted by x, then y, then z.

    Raises:
        InputError: the cloud spans more cells than 32 bits count.
    """
    if not len(xyz):
        empty = np.zeros((0, 3), dtype=np.int32)
        return VoxelGrid(empty, np.zeros(0, dtype=np.int64), np.zeros(3), size_m)
    world = _world_columns(xyz, size_m)
    low = np.array([np.floor(column.min() / ANCHOR_CELLS) * ANCHOR_CELLS for column in world])
    if max(column.max() - least for column, least in zip(world, low, strict=True)) > _LARGEST_CELL:
        span = max(column.max() - column.min() for column in xyz.T)
        raise _out_of_range(f"spans {span:.3g} m", size_m)
    columns = [(column - least).astype(np.int64) for column, least in zip(world, low, strict=True)]
    first, voxel_of_point = group_rows(columns)
    cells = np.stack([column[first] for column in columns], axis=1)
    return VoxelGrid(cells.astype(np.int32), voxel_of_point, low * size_m, size_m)


def count_voxels(xyz: npt.NDArray[np.float64], size_m: float) -> int:
    """How many cells of edge ``size_m`` (N, 3) float64 points fill, however far apart they are.

    Raises:
        InputError: a coordinate is too large for 64 bits to count its cells.
    """
    if not len(xyz):
        return 0
    columns = [column.astype(np.int64) for column in _world_columns(xyz, size_m)]
    keys = row_keys(columns)
    keys.sort()
    return len(run_starts(keys))


def choose_voxel(xyz: npt.NDArray[np.float64], sizes_m: Sequence[float]) -> float:
    """The smallest size at which a voxel holds one and a half points on average, metres.

    The largest size where none does.

    Finer voxels stand alone, and a network of 3³ convolutions then sees no neighbours.

    Args:
        xyz: (N, 3) float64, metres, all finite.
        sizes_m: what the encoder was trained at.
    """
    if len(xyz) > _SAMPLE_POINTS:
        # Thinning would make the cloud look coarser: look at all of a slice in its middle.
        first = (len(xyz) - _SAMPLE_POINTS) // 2
        x = xyz[:, 0]
        low, high = np.partition(x, (first, first + _SAMPLE_POINTS))[
            [first, first + _SAMPLE_POINTS]
        ]
        xyz = xyz[(x >= low) & (x <= high)]
    for size_m in sorted(sizes_m):
        if len(xyz) >= _POINTS_PER_VOXEL * count_voxels(xyz, size_m):
            return size_m
    return max(sizes_m)


def _world_columns(
    xyz: npt.NDArray[np.float64], size_m: float
) -> tuple[npt.NDArray[np.float64], ...]:
    """The cells of a lattice whose origin is the world's: three columns of whole numbers."""
    columns = tuple(column / size_m for column in xyz.T)
    for column in columns:
        np.floor(column, out=column)
    largest = max(max(-column.min(), column.max()) for column in columns)
    if largest > _LARGEST_WORLD_CELL:
        raise _out_of_range(f"has a coordinate of {largest * size_m:.3g} m", size_m)
    return columns


def _out_of_range(fault: str, size_m: float) -> InputError:
    return InputError(
        "E_VOXEL_RANGE",
        "the cloud",
        f"{fault}, too much for voxels of {size_m} m",
        "Remove far outliers, or give a larger --voxel.",
    )
