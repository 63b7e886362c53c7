"""How high things stand above the ground, without knowing the sensor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.grouping import Integers, row_keys, run_starts, sort_keys

_LOW_QUANTILE = 0.1


@dataclass(frozen=True, slots=True)
class Ground:
    """The height of the ground under a cloud, on a horizontal grid.

    A grey-scale opening of the lowest points: the least height within ``radius_m`` (so roofs
    and crowns narrower than twice that sink to the ground beside them), then the greatest of
    those (so slopes keep their height). After Zhang et al., "A progressive morphological
    filter for removing nonground measurements from airborne LIDAR data" (2003), one step.

    Attributes:
        cells: (G, 2) int64, grid cells with points, lexicographically sorted.
        height_m: (G,) float64, the ground's z in each, metres.
        cell_m: the edge of a grid cell, metres.
    """

    cells: Integers
    height_m: npt.NDArray[np.float64]
    cell_m: float

    @classmethod
    def under(cls, xyz: npt.NDArray[np.float64], *, cell_m: float, radius_m: float) -> Ground:
        """The ground under a cloud of (N, 3) float64 metres, all finite, N ≥ 1."""
        columns = _columns(xyz, cell_m)
        z = xyz[:, 2]
        # Sorted by height first: within a cell the order of rows is kept.
        by_height = np.argsort(z)
        order, keys = sort_keys(row_keys(columns)[by_height])
        order = by_height[order]
        starts = run_starts(keys)
        counts = np.diff(starts, append=len(keys))
        # Not the very lowest: echoes below the ground are common, and one would dig a pit.
        height = z[order[starts + (counts * _LOW_QUANTILE).astype(np.int64)]]
        cells = np.stack([column[order[starts]] for column in columns], axis=1)
        reach = max(1, round(radius_m / cell_m))
        pairs = [_pairs_within(cells, axis, reach) for axis in (0, 1)]
        for pick in (np.minimum, np.maximum):
            for here, there in pairs:
                height = _running(pick, height, here, there)
        return cls(cells, height, cell_m)

    def z_under(self, xyz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The ground's z in the grid cell of each of (P, 3) float64 points, metres.

        Raises:
            KeyError: a point stands where the cloud had none.
        """
        x, y = _columns(xyz, self.cell_m)
        low, high = self.cells.min(axis=0), self.cells.max(axis=0)
        is_inside = (x >= low[0]) & (x <= high[0]) & (y >= low[1]) & (y <= high[1])
        if not is_inside.all():
            raise KeyError("no ground under a point")
        number, wanted = _numbers(self.cells[:, 0], self.cells[:, 1]), _numbers(x, y)
        row = np.searchsorted(number, wanted)
        if (number[row] != wanted).any():
            raise KeyError("no ground under a point")
        return self.height_m[row]


def _columns(xyz: npt.NDArray[np.float64], cell_m: float) -> tuple[Integers, Integers]:
    x, y = (np.floor(xyz[:, axis] / cell_m).astype(np.int64) for axis in (0, 1))
    return x, y


def _pairs_within(cells: Integers, axis: int, reach: int) -> tuple[Integers, Integers]:
    """The rows of all cells that lie up to ``reach`` apart along an axis, in one line along it."""
    order = np.lexsort((cells[:, axis], cells[:, 1 - axis]))
    place, line = cells[order, axis], cells[order, 1 - axis]
    here, there = [], []
    # Sorted along the axis: no more than that many cells follow within reach.
    for step in range(1, min(reach, len(cells) - 1) + 1):
        near = (line[step:] == line[:-step]) & (place[step:] - place[:-step] <= reach)
        first = np.flatnonzero(near)
        here.append(order[first])
        there.append(order[first + step])
    nothing = np.zeros(0, dtype=np.int64)
    return np.concatenate((nothing, *here)), np.concatenate((nothing, *there))


def _running(
    pick: np.ufunc, height: npt.NDArray[np.float64], here: Integers, there: Integers
) -> npt.NDArray[np.float64]:
    """The least or greatest height of each cell and of those that it is paired with."""
    picked: npt.NDArray[np.float64] = height.copy()
    pick.at(picked, here, height[there])
    pick.at(picked, there, height[here])
    return picked


def _numbers(x: Integers, y: Integers) -> npt.NDArray[np.complex128]:
    # Complex numbers sort as these pairs do, and hold any cell exactly: an integer made of both
    # would overflow where a point lies far away.
    return x + 1j * y
