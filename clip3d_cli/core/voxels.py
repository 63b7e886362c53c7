"""Voxels: cells of a lattice that is anchored to the world, not to the cloud."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.grouping import group_equal_rows, row_keys, run_starts
from clip3d_cli.core.validation import validate_array
from clip3d_cli.errors import InputError

# The origin of a grid is a multiple of this many cells. A cell therefore has the same parity at
# every level of a U-Net, whatever part of the cloud is voxelized.
ANCHOR_CELLS = 64
_LARGEST_CELL = 2**31 - 1
_LARGEST_WORLD_CELL = 2**52
_VOXELS_PER_SMALLER_ONE = 0.75
_SAMPLE_POINTS = 2_000_000


@dataclass(frozen=True, slots=True)
class VoxelGrid:
    """The M occupied cells of a lattice, and the cell of each of N points.

    Attributes:
        cells: (M, 3) int32, unique, sorted by x, then y, then z.
        voxel_of_point: (N,) int64, row of ``cells`` for each point.
        origin: (3,) float64, metres: low corner of cell (0, 0, 0).
        size_m: edge of a cell in metres.

    Raises:
        TypeError: an array has another dtype.
        ValueError: an array has another shape.
    """

    cells: npt.NDArray[np.int32]
    voxel_of_point: npt.NDArray[np.int64]
    origin: npt.NDArray[np.float64]
    size_m: float

    def __post_init__(self) -> None:
        validate_array("cells", self.cells, np.int32, (None, 3))
        validate_array("voxel_of_point", self.voxel_of_point, np.int64, (None,))
        validate_array("origin", self.origin, np.float64, (3,))

    def __len__(self) -> int:
        return len(self.cells)

    @property
    def centers(self) -> npt.NDArray[np.float64]:
        """Center of each cell, (M, 3) float64, metres."""
        return self.origin + (self.cells + 0.5) * self.size_m


def voxelize(xyz: npt.NDArray[np.float64], size_m: float) -> VoxelGrid:
    """Return the occupied voxels of a cloud and the voxel of each point.

    The voxel of a point depends only on its coordinates, neither on the other points nor on their
    order. Two grids of one ``size_m`` differ by a shift of whole multiples of `ANCHOR_CELLS`.

    Args:
        xyz: (N, 3) float64, metres, all finite.
        size_m: edge of a voxel in metres.

    Raises:
        InputError: E_VOXEL_RANGE: the cloud spans more cells than 32 bits can count.
    """
    if not len(xyz):
        empty = np.zeros((0, 3), dtype=np.int32)
        return VoxelGrid(empty, np.zeros(0, dtype=np.int64), np.zeros(3), size_m)
    # x, y and z of the cell of each point, counted from the origin of the world: 3 × (N,) float64.
    world = _world_cells(xyz, size_m)
    # First cell of the grid: the least cell on each axis, rounded down to the anchor.
    low = np.array([np.floor(column.min() / ANCHOR_CELLS) * ANCHOR_CELLS for column in world])
    if max(column.max() - least for column, least in zip(world, low, strict=True)) > _LARGEST_CELL:
        span = max(column.max() - column.min() for column in xyz.T)
        raise _out_of_range(f"spans {span:.3g} m", size_m)
    # The same, counted from the first cell of the grid: 3 × (N,) int64, 0 to 2³¹ − 1.
    columns = [(column - least).astype(np.int64) for column, least in zip(world, low, strict=True)]
    first, voxel_of_point = group_equal_rows(columns)
    cells = np.stack([column[first] for column in columns], axis=1)
    return VoxelGrid(cells.astype(np.int32), voxel_of_point, low * size_m, size_m)


def count_voxels(xyz: npt.NDArray[np.float64], size_m: float) -> int:
    """Return the number of occupied voxels; the points may be any distance apart.

    Args:
        xyz: (N, 3) float64, metres, all finite.
        size_m: edge of a voxel in metres.

    Raises:
        InputError: E_VOXEL_RANGE: a coordinate is too large to count its cells in float64.
    """
    if not len(xyz):
        return 0
    columns = [column.astype(np.int64) for column in _world_cells(xyz, size_m)]
    keys = row_keys(columns)
    keys.sort()
    return len(run_starts(keys))


def choose_voxel_size(xyz: npt.NDArray[np.float64], sizes_m: Sequence[float]) -> float:
    """Return the smallest size at which a voxel holds points at several places, in metres.

    At that size, there are at most three quarters as many voxels as at half the size: isolated
    points are as many, lines half, and surfaces a quarter as many. In smaller voxels, most points
    would be alone, and convolutions over 3³ cells would see no neighbours. If no size is large
    enough, the largest is returned.

    Voxels are counted, and not points: the size does not change if points are given twice, and
    hardly if some object is scanned more densely than all others.

    Args:
        xyz: (N, 3) float64, metres, all finite.
        sizes_m: voxel sizes to choose from, metres, such as those the encoder was trained at.
    """
    if len(xyz) > _SAMPLE_POINTS:
        # A random sample would make the cloud look sparser than it is. Take all points between
        # two x coordinates instead, around the median.
        first = (len(xyz) - _SAMPLE_POINTS) // 2
        x = xyz[:, 0]
        low, high = np.partition(x, (first, first + _SAMPLE_POINTS))[
            [first, first + _SAMPLE_POINTS]
        ]
        xyz = xyz[(x >= low) & (x <= high)]
    counts: dict[float, int] = {}
    for size_m in sorted(sizes_m):
        for each in (size_m / 2, size_m):
            if each not in counts:
                counts[each] = count_voxels(xyz, each)
        if counts[size_m] <= _VOXELS_PER_SMALLER_ONE * counts[size_m / 2]:
            return size_m
    return max(sizes_m)


def _world_cells(
    xyz: npt.NDArray[np.float64], size_m: float
) -> tuple[npt.NDArray[np.float64], ...]:
    """Return x, y and z of the cell of each point in the lattice at the world's origin.

    Returns:
        three arrays (N,) float64 of whole numbers.
    """
    columns = tuple(column / size_m for column in xyz.T)
    for column in columns:
        np.floor(column, out=column)
    largest = max(max(-column.min(), column.max()) for column in columns)
    # Beyond 2⁵², float64 does not hold every whole number.
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
