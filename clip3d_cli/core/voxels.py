"""From points to voxels: a lattice anchored to the world, not to the cloud."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.clouds import VoxelGrid
from clip3d_cli.errors import InputError

# The lattice's low corner falls on a multiple of this many cells, so that a cell has the same
# parity at every level of a network, whatever part of the cloud is looked at.
ANCHOR_CELLS = 64
_LARGEST_CELL = 2**31 - 1
_LARGEST_WORLD_CELL = 2**52


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
    world = _world_cells(xyz, size_m)
    low = np.floor(world.min(axis=0) / ANCHOR_CELLS) * ANCHOR_CELLS
    if (world.max(axis=0) - low).max() > _LARGEST_CELL:
        span = (xyz.max(axis=0) - xyz.min(axis=0)).max()
        raise _out_of_range(f"spans {span:.3g} m", size_m)
    cells = (world - low).astype(np.int64)
    _, first, voxel_of_point = unique_rows(cells)
    return VoxelGrid(
        cells[first].astype(np.int32), voxel_of_point.astype(np.int64), low * size_m, size_m
    )


def count_voxels(xyz: npt.NDArray[np.float64], size_m: float) -> int:
    """How many cells of edge ``size_m`` (N, 3) float64 points fill, however far apart they are.

    Raises:
        InputError: a coordinate is too large for 64 bits to count its cells.
    """
    if not len(xyz):
        return 0
    cells = _world_cells(xyz, size_m).astype(np.int64)
    key = _row_keys(cells)
    if key is None:
        return len(unique_rows(cells)[0])
    # Sorting in place takes a twentieth of what numpy takes to group.
    key.sort()
    return 1 + int(np.count_nonzero(key[1:] != key[:-1]))


def unique_rows(
    rows: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Group equal rows, in lexicographic order of the groups.

    Args:
        rows: (N, C) int64, C ≥ 1, N ≥ 1.

    Returns:
        the unique rows (M, C), one row index of each group (M,), and the group of every
        row (N,).
    """
    key = _row_keys(rows)
    if key is not None:
        _, first, group = np.unique(key, return_index=True, return_inverse=True)
    else:
        _, first, group = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    group = group.reshape(-1)
    return rows[first], first, group


def _row_keys(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64] | None:
    """(N,) one number per row, in the rows' order; None where 62 bits do not hold their span."""
    low = rows.min(axis=0)
    span = rows.max(axis=0) - low + 1
    if np.prod(span.astype(np.float64)) >= 2**62:
        return None
    key = np.zeros(len(rows), dtype=np.int64)
    for axis in range(rows.shape[1]):
        key = key * span[axis] + (rows[:, axis] - low[axis])
    return key


def _world_cells(xyz: npt.NDArray[np.float64], size_m: float) -> npt.NDArray[np.float64]:
    world = np.floor(xyz / size_m)
    largest = np.abs(world).max()
    if largest > _LARGEST_WORLD_CELL:
        raise _out_of_range(f"has a coordinate of {largest * size_m:.3g} m", size_m)
    return world


def _out_of_range(fault: str, size_m: float) -> InputError:
    return InputError(
        "E_VOXEL_RANGE",
        "the cloud",
        f"{fault}, too much for voxels of {size_m} m",
        "Remove far outliers, or give a larger --voxel.",
    )
