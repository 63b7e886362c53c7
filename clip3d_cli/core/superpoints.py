"""Patches of a cloud whose points belong together: pieces of wall and ground, poles, clumps.

Touching voxels are joined into regions for as long as that lowers the energy of a piecewise
constant picture (Koepfler, Lopez and Morel, SIAM J. Numer. Anal. 1994): the squared deviation of
the voxels' traits from their region's mean, plus ``coarseness`` for every pair of touching voxels
in two regions. The traits are the covariance of the points around, scaled to trace 1: flat for a
wall, long for a pole, round for a bush, and turned as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.grouping import run_starts, sort_keys
from clip3d_cli.core.voxel_graph import Borders, bridged, mean_colors, shapes, touching
from clip3d_cli.core.voxels import voxelize

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_STEPS_OF_COST = 1 << 12
_ODD = 0x9E3779B1
_LARGEST_KEY = 1 << 62
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

    The answer does not depend on the order of the points. Rooms do well with voxels of 0.05 m and
    superpoints of up to 1 m, streets with 0.2 m and 2 m.

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
    borders = bridged(cells, touching(cells))
    traits = shapes(grid, xyz, borders)
    if rgb is not None:
        traits = np.concatenate([traits, mean_colors(grid, rgb) * color_weight], axis=1)
    region = _merged(
        _Regions.of_voxels(cells, traits), borders, coarseness, int(largest_m / cell_m + _HAIR)
    )
    numbers: Integers = np.unique(region, return_inverse=True)[1].reshape(-1)
    return numbers[grid.voxel_of_point]


@dataclass(frozen=True, slots=True, eq=False)
class _Regions:
    """What is known of every region, at the place of one of its voxels.

    Attributes:
        size: (M,) voxels.
        traits: (M, C) sums.
        least, most: (M, 3) int64 corners, cells.
    """

    size: Floats
    traits: Floats
    least: Integers
    most: Integers

    @staticmethod
    def of_voxels(cells: Integers, traits: Floats) -> _Regions:
        return _Regions(np.ones(len(cells)), traits.copy(), cells.copy(), cells.copy())

    def cost(self, borders: Borders) -> Floats:
        """(E,) rise of the squared deviation per length of border when two regions are joined."""
        low, high = self.size[borders.low], self.size[borders.high]
        means = self.traits / self.size[:, None]
        apart = np.square(means[borders.low] - means[borders.high]).sum(axis=1)
        rise: Floats = low * high / (low + high) * apart / borders.length
        return rise

    def span(self, borders: Borders) -> Integers:
        """(E,) the longest side of two regions together, cells."""
        most = np.maximum(self.most[borders.low], self.most[borders.high])
        least = np.minimum(self.least[borders.low], self.least[borders.high])
        span: Integers = (most - least).max(axis=1)
        return span

    def grown(self, into: Integers, gone: Integers) -> tuple[Integers, _Regions]:
        """The regions (H,) that others go into, and what each becomes by that."""
        order, keys = sort_keys(into)
        starts = run_starts(keys)
        head, gone = keys[starts], gone[order]
        return head, _Regions(
            self.size[head] + np.add.reduceat(self.size[gone], starts),
            self.traits[head] + np.add.reduceat(self.traits[gone], starts),
            np.minimum(self.least[head], np.minimum.reduceat(self.least[gone], starts)),
            np.maximum(self.most[head], np.maximum.reduceat(self.most[gone], starts)),
        )

    def become(self, head: Integers, grown: _Regions) -> None:
        """Put regions in the place of others."""
        self.size[head] = grown.size
        self.traits[head] = grown.traits
        self.least[head] = grown.least
        self.most[head] = grown.most


def _merged(regions: _Regions, borders: Borders, coarseness: float, most_cells: int) -> Integers:
    """(M,) the region of every voxel, named by one of its voxels.

    In every round, regions that are each other's cheapest neighbour become one, and take up the
    regions whose cheapest neighbour is one of the two, where the whole is not too long.
    """
    count = len(regions.size)
    region = np.arange(count)
    while True:
        borders = borders.only(regions.span(borders) < max(most_cells, 1))
        cost = regions.cost(borders)
        cheap = np.flatnonzero(cost <= coarseness)
        if not len(cheap):
            return region
        relative = cost[cheap] / max(coarseness, 1e-300)
        into, gone, pairs = _joins(borders.low[cheap], borders.high[cheap], relative, count)
        head, grown = regions.grown(into, gone)
        alone = np.zeros(count, dtype=np.bool_)
        alone[head] = (grown.most - grown.least).max(axis=1) >= max(most_cells, 1)
        if alone.any():
            keep = ~alone[into]
            keep[:pairs] = True
            into, gone = into[keep], gone[keep]
            head, grown = regions.grown(into, gone)
        regions.become(head, grown)
        now = np.arange(count)
        now[gone] = into
        region = now[region]
        borders = borders.between(now)


def _joins(
    low: Integers, high: Integers, cost: Floats, count: int
) -> tuple[Integers, Integers, int]:
    """Regions (J,) that others go into, those others (J,), and how many first ones are pairs.

    A pair is each other's cheapest neighbour; the others follow one of a pair. Among about equal
    costs (in 0…1) it is as if lots were drawn: were ties broken by place, a plane would grow
    from one end, by a voxel a round.
    """
    bits = len(low).bit_length()
    lot = (np.arange(len(low)) * _ODD) & ((1 << bits) - 1)
    key = ((cost * _STEPS_OF_COST).astype(np.int64) << bits) | lot
    cheapest = np.full(count, _LARGEST_KEY)
    np.minimum.at(cheapest, low, key)
    np.minimum.at(cheapest, high, key)
    of_low, of_high = cheapest[low] == key, cheapest[high] == key
    into, gone = low[of_low & of_high], high[of_low & of_high]
    head = np.full(count, -1)
    head[into] = head[gone] = into
    follower = np.concatenate([low[of_low & ~of_high], high[of_high & ~of_low]])
    leader = np.concatenate([high[of_low & ~of_high], low[of_high & ~of_low]])
    led = head[leader] >= 0
    return (
        np.concatenate([into, head[leader[led]]]),
        np.concatenate([gone, follower[led]]),
        len(into),
    )
