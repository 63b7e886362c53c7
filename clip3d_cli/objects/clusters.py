"""Single objects among points of one class: those that are linked by short steps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, product

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.grouping import run_starts, sort_keys

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Offset = tuple[int, ...]

# A cell's diagonal is a hair below the step: all points in a cell are linked. Points in cells
# that lie up to two apart may be, too.
_CELL = (1 - 1e-9) / np.sqrt(3)
_REACH = 2
_FEW = 8
_MOST_DISTANCES = 1 << 20


def instances_of(
    xyz: npt.NDArray[np.float64],
    class_index: npt.NDArray[np.int32],
    things: Iterable[int],
    *,
    link_m: float,
) -> npt.NDArray[np.int32]:
    """(N,) int32: the object of every point, counted from 1; 0 = none.

    Two points of one class are one object if steps of at most ``link_m`` over points of that
    class lead from one to the other. Which points are together does not depend on their order,
    nor on how the cloud is turned.

    Args:
        xyz: (N, 3) float64, metres; points that are not finite belong to no object.
        class_index: (N,) int32.
        things: the classes that come in single objects.
        link_m: the longest step, metres, above 0.
    """
    instance = np.zeros(len(xyz), dtype=np.int32)
    finite = np.isfinite(xyz).all(axis=1)
    last = 0
    for thing in sorted(things):
        rows = np.flatnonzero(finite & (class_index == thing))
        if len(rows):
            instance[rows] = linked(xyz[rows], link_m) + last + 1
            last = int(instance[rows].max())
    return instance


def linked(xyz: npt.NDArray[np.float64], link_m: float) -> npt.NDArray[np.int64]:
    """(N,) int64: the cluster of every point, counted from 0 by the first of its points.

    Args:
        xyz: (N, 3) float64, metres, N ≥ 1, all finite.
        link_m: the longest step between points of a cluster, metres, above 0.
    """
    crowd = _Crowd.of(xyz, link_m)
    cluster = np.arange(len(crowd.size))
    for ring in _rings():
        low, high = crowd.pairs(ring)
        apart = np.flatnonzero(cluster[low] != cluster[high])
        low, high = low[apart], high[apart]
        near = crowd.near(low, high)
        cluster = _joined(cluster, low[near], high[near])
    _, first, number = np.unique(
        cluster[crowd.cell_of_point], return_index=True, return_inverse=True
    )
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[number.reshape(-1)]


@dataclass(frozen=True, slots=True, eq=False)
class _Crowd:
    """Points by the cells of a lattice in which they are.

    Attributes:
        xyz: (N, 3) float64 metres, by cell.
        keys: (M,) int64, sorted, of the occupied cells.
        strides: what a step along x, y and z adds to a key.
        start: (M,) where a cell's points begin.
        size: (M,) how many there are.
        cell_of_point: (N,) in the order in which points came.
        link_m: the longest step, metres.
    """

    xyz: Floats
    keys: Integers
    strides: tuple[int, int, int]
    start: Integers
    size: Integers
    cell_of_point: Integers
    link_m: float

    @classmethod
    def of(cls, xyz: Floats, link_m: float) -> _Crowd:
        x, y, z = (_squeezed(np.floor(c)) for c in ((xyz - xyz.min(axis=0)) / (link_m * _CELL)).T)
        # Beyond the last cell of a row lie as many empty ones as a neighbour may be away.
        depth, width = int(z.max()) + 1 + _REACH, int(y.max()) + 1 + _REACH
        order, keys = sort_keys((x * width + y) * depth + z)
        start = run_starts(keys)
        size = np.diff(start, append=len(keys))
        cell_of_point = np.empty(len(keys), dtype=np.int64)
        cell_of_point[order] = np.repeat(np.arange(len(start)), size)
        strides = (width * depth, depth, 1)
        return cls(xyz[order], keys[start], strides, start, size, cell_of_point, link_m)

    def pairs(self, offsets: Iterable[Offset]) -> tuple[Integers, Integers]:
        """Occupied cells (E,), and those (E,) that lie at one of the offsets from them."""
        lows, highs = [], []
        for offset in offsets:
            sought = self.keys + int(np.dot(offset, self.strides))
            place = np.minimum(np.searchsorted(self.keys, sought), len(self.keys) - 1)
            found = np.flatnonzero(self.keys[place] == sought)
            lows.append(found)
            highs.append(place[found])
        return np.concatenate(lows), np.concatenate(highs)

    def near(self, low: Integers, high: Integers) -> npt.NDArray[np.bool_]:
        """(E,) True for pairs of cells where a step leads from one to the other."""
        near = self._near(self._first(low), self._first(high))
        unsure = np.flatnonzero(~near)
        low, high = low[unsure], high[unsure]
        near[unsure] = self._near(self._facing(low, high), self._facing(high, low))
        return near

    def _first(self, cells: Integers) -> _Lists:
        """A few points of each of (E,) cells: most neighbours show themselves by these."""
        return _Lists.of(self.start[cells], np.minimum(self.size[cells], _FEW))

    def _facing(self, cells: Integers, others: Integers) -> _Lists:
        """The points of each of (E,) cells that are no longer a step from another's box."""
        every = _Lists.of(self.start[cells], self.size[cells])
        pair = np.repeat(np.arange(len(cells)), every.count)
        xyz, other = self.xyz[every.items], others[pair]
        low = np.minimum.reduceat(self.xyz, self.start)[other]
        high = np.maximum.reduceat(self.xyz, self.start)[other]
        outside = xyz - np.clip(xyz, low, high)
        keep = np.square(outside).sum(axis=1) <= self.link_m**2
        return _Lists(every.items[keep], np.bincount(pair[keep], minlength=len(cells)))

    def _near(self, ones: _Lists, others: _Lists) -> npt.NDArray[np.bool_]:
        """(E,) True where a point of one list is a step from a point of the other."""
        near = np.zeros(len(ones.count), dtype=np.bool_)
        distances = ones.count * others.count
        pairs = np.flatnonzero(distances)
        batch = np.cumsum(distances[pairs]) // _MOST_DISTANCES
        for part in np.split(pairs, np.flatnonzero(np.diff(batch)) + 1):
            counts = distances[part]
            every = _Lists.of(np.zeros_like(counts), counts)
            row, column = np.divmod(every.items, np.repeat(others.count[part], counts))
            one = ones.items[np.repeat(ones.start[part], counts) + row]
            other = others.items[np.repeat(others.start[part], counts) + column]
            away = np.square(self.xyz[one] - self.xyz[other]).sum(axis=1)
            near[part] = np.logical_or.reduceat(away <= self.link_m**2, every.start)
        return near


@dataclass(frozen=True, slots=True, eq=False)
class _Lists:
    """E lists one behind the other.

    Attributes:
        items: of all lists.
        count: (E,) items of each.
    """

    items: Integers
    count: Integers

    @classmethod
    def of(cls, first: Integers, count: Integers) -> _Lists:
        """Lists of whole numbers that go on from their first."""
        before = np.cumsum(count) - count
        return cls(np.arange(int(count.sum())) + np.repeat(first - before, count), count)

    @property
    def start(self) -> Integers:
        """(E,) where each list begins."""
        return np.cumsum(self.count) - self.count


def _rings() -> Iterator[list[Offset]]:
    """Half of a cell's neighbours, the nearest first: the others are the same pairs."""
    half = [o for o in product(range(-_REACH, _REACH + 1), repeat=3) if o > (0, 0, 0)]
    for _, ring in groupby(sorted(half, key=_squared), _squared):
        yield list(ring)


def _squared(offset: Offset) -> int:
    return sum(step * step for step in offset)


def _squeezed(column: Floats) -> Integers:
    """(N,) int64 cells along one axis, with empty stretches cut to where nothing reaches across."""
    values, place = np.unique(column, return_inverse=True)
    steps = np.minimum(np.diff(values, prepend=values[:1]), _REACH + 1).astype(np.int64)
    return np.cumsum(steps)[place.reshape(-1)]


def _joined(cluster: Integers, low: Integers, high: Integers) -> Integers:
    """(M,) the cluster of every cell, named by its lowest cell, once some pairs are joined."""
    cluster = cluster.copy()
    while True:
        one, other = cluster[low], cluster[high]
        if np.array_equal(one, other):
            return cluster
        np.minimum.at(cluster, np.maximum(one, other), np.minimum(one, other))
        while not np.array_equal(cluster, cluster[cluster]):
            cluster = cluster[cluster]
