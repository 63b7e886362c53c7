"""Patches of a cloud whose points belong together: pieces of wall and ground, poles, clumps.

Touching voxels are joined into regions for as long as that lowers the energy of a piecewise
constant picture (Koepfler, Lopez and Morel, SIAM J. Numer. Anal. 1994): the squared deviation of
the voxels' traits from their region's mean, plus ``coarseness`` for every pair of touching voxels
in two regions. The traits are the covariance of the points around, scaled to trace 1: flat for a
wall, long for a pole, round for a bush, and turned as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.clouds import VoxelGrid
from clip3d_cli.core.grouping import group_rows, run_starts, sort_keys
from clip3d_cli.core.voxels import voxelize
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
_STEPS_OF_COST = 1 << 12
_ODD = 0x9E3779B1
_LARGEST_KEY = 1 << 62
# Scans thin out with distance: voxels with few neighbours look for more at 2 and 4 times the size.
_BRIDGES = 2
_FEW_NEIGHBOURS = 4
_REACH = 2
# 0.3 / 0.1 is a hair less than 3.
_HAIR = 1e-9


def superpoints(
    xyz: Floats,
    *,
    cell_m: float,
    largest_m: float = 2.0,
    coarseness: float = 0.05,
    rgb: npt.NDArray[np.uint8] | None = None,
    color_weight: float = 1.0,
) -> Integers:
    """(N,) int64: the superpoint of every point, counted from 0 without gaps.

    The answer does not depend on the order of the points.

    Args:
        xyz: (N, 3) float64, metres, all finite.
        cell_m: edge of the voxels that are joined, metres.
        largest_m: no superpoint of several voxels is longer than this along x, y or z, metres.
        coarseness: what a pair of touching voxels in two superpoints costs; more joins more.
        rgb: (N, 3) uint8, or None; where given, colors part what shape does not.
        color_weight: how unlike black and white are; a wall and the floor are 0.71 unlike.

    Raises:
        InputError: the cloud spans more cells than can be counted.
    """
    if not len(xyz):
        return np.zeros(0, dtype=np.int64)
    grid = voxelize(xyz, cell_m)
    cells = grid.cells.astype(np.int64)
    borders = _bridged(cells, _touching(cells))
    traits = _shapes(grid, xyz, borders)
    if rgb is not None:
        traits = np.concatenate([traits, _mean_colors(grid, rgb) * color_weight], axis=1)
    region = _merged(
        _Regions.of_voxels(cells, traits), borders, coarseness, int(largest_m / cell_m + _HAIR)
    )
    numbers: Integers = np.unique(region, return_inverse=True)[1].reshape(-1)
    return numbers[grid.voxel_of_point]


@dataclass(frozen=True, slots=True, eq=False)
class _Borders:
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

    def only(self, keep: Mask) -> _Borders:
        return _Borders(self.low[keep], self.high[keep], self.length[keep])

    def between(self, region: Integers) -> _Borders:
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
        return _Borders(low[order[starts]], high[order[starts]], length)


@dataclass(frozen=True, slots=True, eq=False)
class _Regions:
    """What is known of every region, at the place of one of its voxels.

    Attributes:
        size: (M,) voxels.
        mean: (M, C) traits.
        least, most: (M, 3) int64 corners, cells.
    """

    size: Floats
    mean: Floats
    least: Integers
    most: Integers

    @staticmethod
    def of_voxels(cells: Integers, traits: Floats) -> _Regions:
        return _Regions(np.ones(len(cells)), traits.copy(), cells.copy(), cells.copy())

    def cost(self, borders: _Borders) -> Floats:
        """(E,) rise of the squared deviation per length of border when two regions are joined."""
        low, high = self.size[borders.low], self.size[borders.high]
        apart = np.square(self.mean[borders.low] - self.mean[borders.high]).sum(axis=1)
        rise: Floats = low * high / (low + high) * apart / borders.length
        return rise

    def span(self, borders: _Borders) -> Integers:
        """(E,) the longest side of two regions together, cells."""
        most = np.maximum(self.most[borders.low], self.most[borders.high])
        least = np.minimum(self.least[borders.low], self.least[borders.high])
        span: Integers = (most - least).max(axis=1)
        return span

    def join(self, into: Integers, gone: Integers) -> None:
        """Take up regions into others; no region is named twice."""
        share = (self.size[gone] / (self.size[into] + self.size[gone]))[:, None]
        self.mean[into] += (self.mean[gone] - self.mean[into]) * share
        self.size[into] += self.size[gone]
        self.least[into] = np.minimum(self.least[into], self.least[gone])
        self.most[into] = np.maximum(self.most[into], self.most[gone])


def _merged(regions: _Regions, borders: _Borders, coarseness: float, most_cells: float) -> Integers:
    """(M,) the region of every voxel, named by one of its voxels.

    In every round, regions that are each other's cheapest neighbour become one.
    """
    count = len(regions.size)
    region = np.arange(count)
    while True:
        borders = borders.only(regions.span(borders) < max(most_cells, 1))
        cost = regions.cost(borders)
        cheap = np.flatnonzero(cost <= coarseness)
        if not len(cheap):
            return region
        into, gone = borders.low[cheap], borders.high[cheap]
        chosen = _mutual(into, gone, cost[cheap] / max(coarseness, 1e-300), count)
        into, gone = into[chosen], gone[chosen]
        regions.join(into, gone)
        now = np.arange(count)
        now[gone] = into
        region = now[region]
        borders = borders.between(now)


def _mutual(low: Integers, high: Integers, cost: Floats, count: int) -> Mask:
    """(E,) True where a border is the cheapest of both its regions; costs are in 0…1.

    Among about equal costs it is as if lots were drawn: were ties broken by place, a plane would
    grow from one end, by a voxel a round.
    """
    bits = len(low).bit_length()
    lot = (np.arange(len(low)) * _ODD) & ((1 << bits) - 1)
    key = ((cost * _STEPS_OF_COST).astype(np.int64) << bits) | lot
    cheapest = np.full(count, _LARGEST_KEY)
    np.minimum.at(cheapest, low, key)
    np.minimum.at(cheapest, high, key)
    mutual: Mask = (cheapest[low] == key) & (cheapest[high] == key)
    return mutual


def _touching(cells: Integers) -> _Borders:
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
    return _Borders(low, high, np.ones(len(low)))


def _bridged(cells: Integers, borders: _Borders) -> _Borders:
    """Borders, and more for voxels that touch few others: to the nearest at coarser scales."""
    everyone = np.arange(len(cells))
    for level in range(1, _BRIDGES + 1):
        degree = np.bincount(np.concatenate([borders.low, borders.high]), minlength=len(cells))
        lonely = degree < _FEW_NEIGHBOURS
        coarse = cells >> level
        first, group = group_rows(list(coarse.T))
        across = _touching(coarse[first])
        one = np.concatenate([first[across.low], everyone])
        other = np.concatenate([first[across.high], first[group]])
        needed = lonely[one] | lonely[other]
        needed[len(across) :] = lonely
        borders = _Borders(
            np.concatenate([borders.low, one[needed]]),
            np.concatenate([borders.high, other[needed]]),
            np.ones(len(borders) + int(needed.sum())),
        ).between(everyone)
        borders.length[:] = 1
    return borders


def _shapes(grid: VoxelGrid, xyz: Floats, borders: _Borders) -> Floats:
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


def _with_neighbours(moments: Floats, borders: _Borders) -> Floats:
    """(M, C) sums over every voxel and those that it touches."""
    total: Floats = moments.copy()
    for column, sums in zip(moments.T, total.T, strict=True):
        sums += np.bincount(borders.low, column[borders.high], len(column))
        sums += np.bincount(borders.high, column[borders.low], len(column))
    return total


def _mean_colors(grid: VoxelGrid, rgb: npt.NDArray[np.uint8]) -> Floats:
    """(M, 3) mean color of every voxel; black and white are 1 apart."""
    points = np.bincount(grid.voxel_of_point)[:, None]
    sums = np.stack([np.bincount(grid.voxel_of_point, column) for column in rgb.T], axis=1)
    colors: Floats = sums / points / (255 * np.sqrt(3))
    return colors
