"""Ground heights under a cloud, estimated from the points alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.grouping import Integers, row_keys, run_starts, sort_keys
from clip3d_cli.core.storeys import SQUARE_M, Storeys

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_LOW_QUANTILE = 0.1
# A cell is compared with storeys of other cells that are at most this much higher, in metres.
_MAX_RISE_M = 1.0
# Cells are looked up in a table of at most so many entries, or else by searching, which is slower.
_LARGEST_TABLE = 1 << 22
# Points of the lowest storey are taken to be at least this far below the next floor, in metres.
_MIN_STOREY_M = 1.75


@dataclass(frozen=True, slots=True)
class Ground:
    """Ground heights on a horizontal grid, for the G grid cells and storeys that contain points.

    The heights are a grey-scale morphological opening of the low points: first the minimum within
    a radius (erosion), so that roofs and crowns narrower than twice the radius sink to the ground
    beside them; then the maximum of these within the radius (dilation), so that slopes keep their
    heights. This is one step of Zhang et al., "A progressive morphological filter for removing
    nonground measurements from airborne LIDAR data" (2003).

    Where storeys are above each other, each has its ground: a cell of a storey is compared with
    the highest storey of the other cells that is not above it. Stray points below everything else
    have no influence.

    Attributes:
        cells: (G, 2) int64, x and y of the grid cells, sorted by x, then y, then storey.
        storey: (G,) int64, storey within the cell, from 0.
        height_m: (G,) float64, z of the ground in each cell, metres.
        cell_m: edge of a grid cell in metres.
        storeys: storeys of the cloud.
    """

    cells: Integers
    storey: Integers
    height_m: Floats
    cell_m: float
    storeys: Storeys

    @classmethod
    def estimate(
        cls,
        xyz: Floats,
        *,
        cell_m: float,
        radius_m: float,
        storeys: Storeys | None = None,
        by_height: Integers | None = None,
    ) -> Ground:
        """Estimate the ground under a cloud.

        Args:
            xyz: (N, 3) float64, metres, all finite, N ≥ 1.
            cell_m: edge of a grid cell in metres; `SQUARE_M` is a multiple of it.
            radius_m: radius of the opening in metres, rounded to whole cells, at least one cell.
            storeys: storeys of this cloud; None finds them.
            by_height: (N,) rows of ``xyz`` sorted by z; None sorts them.
        """
        storeys = Storeys.find(xyz) if storeys is None else storeys
        storey = storeys.of_points(xyz)
        columns = (*_grid_columns(xyz, cell_m), storey)
        z = xyz[:, 2]
        # Rows sorted by z. Sorting them by cell keeps that order within each cell.
        by_height = np.argsort(z) if by_height is None else by_height
        order, keys = sort_keys(row_keys(columns)[by_height])
        order = by_height[order]
        starts = run_starts(keys)
        counts = np.diff(starts, append=len(keys))
        # Stray points below everything else are the lowest of their cell.
        below, above = (_count_of(rows, order, starts) for rows in (storeys.below, storeys.above))
        rank = below + ((counts - below) * _LOW_QUANTILE).astype(np.int64)
        # (G,) the low quantile of z in each cell. Not the minimum: echoes from below the ground
        # are common, and a single one would dig a pit as wide as the opening.
        low_m = z[order[starts + np.minimum(rank, counts - 1)]]
        # A cell of stray points alone has no ground but that of the cells around it.
        # Where all is stray, points count as both below and above.
        is_stray = below + above >= counts
        height_m = np.where(is_stray, np.inf, low_m)
        cells, storey = (
            np.stack([column[order[starts]] for column in columns[:2]], axis=1),
            storey[order[starts]],
        )
        radius_cells = max(1, round(radius_m / cell_m))
        pairs = _neighbours(cells, cell_m, storey, height_m, radius_cells, storeys)
        # A square window is two passes along the axes. Cells without points do not count.
        for extreme in (np.minimum, np.maximum):
            for row, other in pairs:
                height_m = _extreme_of_pairs(extreme, height_m, row, other)
            # Far from all other cells, stray points must not become the ground of any.
            height_m = np.where(np.isinf(height_m), -np.inf, height_m)
        height_m = np.where(np.isinf(height_m), low_m, height_m)
        return cls(cells, storey, height_m, cell_m, storeys)

    def z_at(self, xyz: Floats) -> Floats:
        """Return the z of the ground in the grid cell and storey of each point, (P,) metres.

        Args:
            xyz: (P, 3) float64, metres; points of the cloud.

        Raises:
            KeyError: a point lies in a grid cell without points of the cloud.
        """
        x, y = _grid_columns(xyz, self.cell_m)
        low, high = self.cells.min(axis=0), self.cells.max(axis=0)
        is_inside = (x >= low[0]) & (x <= high[0]) & (y >= low[1]) & (y <= high[1])
        if not is_inside.all():
            raise KeyError("no ground at a point")
        # Storeys are numbered 0 to F: y (F + 1) + storey sorts by y, then storey.
        storeys = self.storeys.floor_m.shape[1] + 1
        known = self.cells[:, 0] - low[0], (self.cells[:, 1] - low[1]) * storeys + self.storey
        wanted = x - low[0], (y - low[1]) * storeys
        if storeys > 1:
            wanted = wanted[0], wanted[1] + self.storeys.of_points(xyz)
        row = _rows_of(known, wanted)
        if (row < 0).any():
            raise KeyError("no ground at a point")
        return self.height_m[row]


def _count_of(rows: Integers, order: Integers, starts: Integers) -> Integers:
    """Return how many of some points are in each run of the points in an order, (G,)."""
    if not len(rows):
        return np.zeros(len(starts), np.int64)
    is_wanted = np.zeros(len(order), np.int64)
    is_wanted[rows] = 1
    return np.add.reduceat(is_wanted[order], starts)


def _grid_columns(xyz: Floats, cell_m: float) -> tuple[Integers, Integers]:
    """Return x and y of the grid cell of each point, (N,) int64 each."""
    x, y = (np.floor(xyz[:, axis] / cell_m).astype(np.int64) for axis in (0, 1))
    return x, y


def _neighbours(
    cells: Integers,
    cell_m: float,
    storey: Integers,
    low_m: Floats,
    radius: int,
    storeys: Storeys,
) -> list[tuple[Integers, Integers]]:
    """Return what each cell is compared with, first along x, then along y.

    Args:
        cells: (G, 2) int64, sorted by x, then y, then storey.
        cell_m: edge of a cell in metres.
        storey: (G,) int64.
        low_m: (G,) z of the low points of each cell and storey; inf for stray points alone.
        radius: in cells, at least 1.
        storeys: storeys of the cloud.

    Returns:
        for each axis (P,) int64 and (P,) int64: rows of cells, and for each the row of one within
        the radius.
    """
    if not storeys.floor_m.shape[1]:
        return [_both_ways(*_pairs_within(cells, axis, radius)) for axis in (0, 1)]
    starts = np.flatnonzero(np.append(True, (np.diff(cells, axis=0) != 0).any(axis=1)))
    counts = np.diff(starts, append=len(cells))
    floor_m, level_m, has_floors = _levels_of_storeys(cells, cell_m, storey, low_m, storeys)
    result = []
    for axis in (0, 1):
        # Of cells without regard to storeys, then of each storey of the first cell.
        place, other = _both_ways(*_pairs_within(cells[starts], axis, radius))
        row = np.repeat(starts[place], counts[place]) + _count_up(counts[place])
        other = np.repeat(other, counts[place])
        seen = np.where(has_floors[row] | has_floors[starts[other]], -1, starts[other])
        for step in range(int(counts.max())):
            storey_above = starts[other] + np.minimum(step, counts[other] - 1)
            is_seen = level_m[storey_above] <= level_m[row] + _MAX_RISE_M
            is_seen &= level_m[storey_above] >= floor_m[row] - _MAX_RISE_M
            seen = np.where(is_seen, storey_above, seen)
        result.append((row[seen >= 0], seen[seen >= 0]))
    return result


def _levels_of_storeys(
    cells: Integers, cell_m: float, storey: Integers, low_m: Floats, storeys: Storeys
) -> tuple[Floats, Floats, Mask]:
    """Return the heights by which storeys of different cells are compared.

    The low points of a cell may be on a wall or under a ceiling; the floors of the storeys bound
    its height.

    Returns:
        (G,) metres, the floor of each storey, −inf for the lowest ones; (G,) metres, its low
        points within these bounds; and (G,) bool, whether there are several storeys at the cell.
    """
    squares = np.floor((cells + 0.5) * (cell_m / SQUARE_M)).astype(np.int64)
    floors_m = storeys.floors_at(squares)
    own_m = floors_m[np.arange(len(cells)), np.maximum(storey - 1, 0)]
    floor_m = np.where(storey > 0, own_m, -np.inf)
    highest_m = np.where(storey > 0, own_m + _MAX_RISE_M, floors_m[:, 0] - _MIN_STOREY_M)
    return floor_m, np.clip(low_m, floor_m, highest_m), np.isfinite(floors_m[:, 0])


def _count_up(counts: Integers) -> Integers:
    """Return 0, 1, … count − 1 for each count, one after the other."""
    ends = np.cumsum(counts)
    return np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - counts, counts)


def _both_ways(first: Integers, second: Integers) -> tuple[Integers, Integers]:
    return np.concatenate((first, second)), np.concatenate((second, first))


def _pairs_within(cells: Integers, axis: int, radius: int) -> tuple[Integers, Integers]:
    """Return all pairs of cells in one line along an axis, at most ``radius`` cells apart.

    Args:
        cells: (G, 2) int64.
        axis: 0 for x, 1 for y.
        radius: in cells, at least 1.

    Returns:
        (P,) int64 and (P,) int64, rows of the first and the second cell of each pair.
    """
    # Line by line, and sorted along the axis within each line.
    order = np.lexsort((cells[:, axis], cells[:, 1 - axis]))
    position, line = cells[order, axis], cells[order, 1 - axis]
    first, second = [], []
    # Cells are unique, so at most `radius` followers of a cell are within the radius.
    for step in range(1, min(radius, len(cells) - 1) + 1):
        is_near = (line[step:] == line[:-step]) & (position[step:] - position[:-step] <= radius)
        place = np.flatnonzero(is_near)
        first.append(order[place])
        second.append(order[place + step])
    nothing = np.zeros(0, dtype=np.int64)
    return np.concatenate((nothing, *first)), np.concatenate((nothing, *second))


def _extreme_of_pairs(
    extreme: np.ufunc, height_m: Floats, row: Integers, other: Integers
) -> Floats:
    """Return the minimum or maximum over each cell and all cells it is compared with, (G,)."""
    result: Floats = height_m.copy()
    extreme.at(result, row, height_m[other])
    return result


def _rows_of(known: tuple[Integers, Integers], wanted: tuple[Integers, Integers]) -> Integers:
    """Return where pairs of numbers are in a sorted list of pairs, −1 where they are not, (P,).

    Args:
        known: (G,) and (G,), all ≥ 0, sorted by the first, then the second, unique.
        wanted: (P,) and (P,), none of the first larger than the largest of ``known``, and ≥ 0.
    """
    width = int(max(known[1].max(), wanted[1].max())) + 1
    size = (int(known[0].max()) + 1) * width
    if size <= _LARGEST_TABLE:
        table = np.full(size, -1, np.int64)
        table[known[0] * width + known[1]] = np.arange(len(known[0]))
        row: Integers = table[wanted[0] * width + wanted[1]]
        return row
    # Complex numbers sort by real part, then imaginary part, and hold any cell exactly. One
    # integer for both would overflow for a point far away.
    keys, wanted_keys = known[0] + 1j * known[1], wanted[0] + 1j * wanted[1]
    # A key that is absent finds the next larger one, if there is any.
    row = np.minimum(np.searchsorted(keys, wanted_keys), len(keys) - 1)
    return np.where(keys[row] == wanted_keys, row, -1)
