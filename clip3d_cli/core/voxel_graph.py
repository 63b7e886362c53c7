"""Voxels as a graph: which of them touch, and the shape and color of what is around each."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.grouping import group_rows, run_starts, sort_keys
from clip3d_cli.core.point_cloud import VoxelGrid
from clip3d_cli.errors import InputError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

# Half of the 26 neighbours: the others are the same pairs, told from their other end.
_OFFSETS = tuple(offset for offset in product((-1, 0, 1), repeat=3) if offset > (0, 0, 0))
_PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
# Off the diagonal each entry stands for two.
_SHARES: Floats = np.sqrt([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])
_STEPS_OF_CELL = 1 << 16
_LARGEST_KEY = 1 << 62
# Scans thin out with distance: voxels with few neighbours look for more at 2 and 4 times the size.
_BRIDGES = 2
_FEW_NEIGHBOURS = 4
_REACH = 2


@dataclass(frozen=True, slots=True, eq=False)
class Borders:
    """Pairs of regions that touch, each once.

    Attributes:
        low, high: (E,) int64 regions, low < high.
        length: (E,) float64, pairs of voxels that touch there.
    """

    low: Integers
    high: Integers
    length: Floats

    def __len__(self) -> int:
        return len(self.low)

    def only(self, keep: Mask) -> Borders:
        """The borders where an (E,) mask is True."""
        return Borders(self.low[keep], self.high[keep], self.length[keep])

    def between(self, region: Integers) -> Borders:
        """The borders that are left once every region is part of another or of itself."""
        one, other = region[self.low], region[self.high]
        apart = one != other
        if not apart.any():
            return self.only(apart)
        one, other = one[apart], other[apart]
        low, high = np.minimum(one, other), np.maximum(one, other)
        order, keys = sort_keys(low * len(region) + high)
        starts = run_starts(keys)
        length = np.add.reduceat(self.length[apart][order], starts)
        return Borders(low[order[starts]], high[order[starts]], length)


def touching(cells: Integers) -> Borders:
    """The pairs of voxels that touch, if only at a corner; ``cells`` (M, 3) are sorted."""
    columns = [column - column.min() + 1 for column in cells.T]
    spans = [int(column.max()) + 2 for column in columns]
    if spans[0] * spans[1] * spans[2] > _LARGEST_KEY:
        raise InputError(
            "E_VOXEL_RANGE",
            "the cloud",
            "spans too many voxels for superpoints",
            "Remove far outliers, or take larger voxels.",
        )
    keys = (columns[0] * spans[1] + columns[1]) * spans[2] + columns[2]
    lows, highs = [], []
    for x, y, z in _OFFSETS:
        sought = keys + ((x * spans[1] + y) * spans[2] + z)
        place = np.searchsorted(keys, sought)
        place[place == len(keys)] = 0
        found = np.flatnonzero(keys[place] == sought)
        lows.append(found)
        highs.append(place[found])
    low, high = np.concatenate(lows), np.concatenate(highs)
    return Borders(low, high, np.ones(len(low)))


def bridged(cells: Integers, borders: Borders) -> Borders:
    """Borders, and more for voxels that touch few others: to the nearest at coarser scales."""
    everyone = np.arange(len(cells))
    for level in range(1, _BRIDGES + 1):
        degree = np.bincount(np.concatenate([borders.low, borders.high]), minlength=len(cells))
        lonely = degree < _FEW_NEIGHBOURS
        coarse = cells >> level
        first, group = group_rows(list(coarse.T))
        across = touching(coarse[first])
        one = np.concatenate([first[across.low], everyone])
        other = np.concatenate([first[across.high], first[group]])
        needed = lonely[one] | lonely[other]
        needed[len(across) :] = lonely
        borders = Borders(
            np.concatenate([borders.low, one[needed]]),
            np.concatenate([borders.high, other[needed]]),
            np.ones(len(borders) + int(needed.sum())),
        ).between(everyone)
        borders.length[:] = 1
    return borders


def shapes(grid: VoxelGrid, xyz: Floats, borders: Borders) -> Floats:
    """(M, 6) shape around every voxel, over its neighbours and theirs."""
    voxel = grid.voxel_of_point
    inside = xyz - (grid.origin + grid.cells[voxel] * grid.size_m)
    # Whole numbers: their sums do not depend on the order of the points.
    steps = np.floor(inside * (_STEPS_OF_CELL / grid.size_m))
    points = np.bincount(voxel)[:, None]
    middle = np.stack([np.bincount(voxel, column) for column in steps.T], axis=1)
    middle = grid.cells - grid.cells.mean(axis=0) + middle / points / _STEPS_OF_CELL
    seconds = [middle[:, i] * middle[:, j] for i, j in _PAIRS]
    moments = np.column_stack([np.ones(len(grid)), middle, *seconds])
    for _ in range(_REACH):
        moments = _with_neighbours(moments, borders)
    moments /= moments[:, :1]
    means = moments[:, 1:4]
    spread = moments[:, 4:] - np.stack([means[:, i] * means[:, j] for i, j in _PAIRS], axis=1)
    trace = spread[:, :3].sum(axis=1, keepdims=True)
    shape: Floats = np.divide(spread, trace, out=np.zeros_like(spread), where=trace > 1e-6)
    shape *= _SHARES
    return shape


def _with_neighbours(moments: Floats, borders: Borders) -> Floats:
    """(M, C) sums over every voxel and those that it touches."""
    total: Floats = moments.copy()
    for column, sums in zip(moments.T, total.T, strict=True):
        sums += np.bincount(borders.low, column[borders.high], len(column))
        sums += np.bincount(borders.high, column[borders.low], len(column))
    return total


def mean_colors(grid: VoxelGrid, rgb: npt.NDArray[np.uint8]) -> Floats:
    """(M, 3) mean color of every voxel; black and white are 1 apart."""
    points = np.bincount(grid.voxel_of_point)[:, None]
    sums = np.stack([np.bincount(grid.voxel_of_point, column) for column in rgb.T], axis=1)
    colors: Floats = sums / points / (255 * np.sqrt(3))
    return colors
