"""Ground heights under a cloud, estimated from the points alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.grouping import Integers, row_keys, run_starts, sort_keys

Floats = npt.NDArray[np.float64]

_LOW_QUANTILE = 0.1


@dataclass(frozen=True, slots=True)
class Ground:
    """Ground heights on a horizontal grid, for the G grid cells that contain points.

    The heights are a grey-scale morphological opening of the low points: first the minimum within
    a radius (erosion), so that roofs and crowns narrower than twice the radius sink to the ground
    beside them; then the maximum of these within the radius (dilation), so that slopes keep their
    heights. This is one step of Zhang et al., "A progressive morphological filter for removing
    nonground measurements from airborne LIDAR data" (2003).

    Attributes:
        cells: (G, 2) int64, x and y of the grid cells, sorted by x, then y.
        height_m: (G,) float64, z of the ground in each cell, metres.
        cell_m: edge of a grid cell in metres.
    """

    cells: Integers
    height_m: Floats
    cell_m: float

    @classmethod
    def estimate(cls, xyz: Floats, *, cell_m: float, radius_m: float) -> Ground:
        """Estimate the ground under a cloud.

        Args:
            xyz: (N, 3) float64, metres, all finite, N ≥ 1.
            cell_m: edge of a grid cell in metres.
            radius_m: radius of the opening in metres, rounded to whole cells, at least one cell.
        """
        columns = _grid_columns(xyz, cell_m)
        z = xyz[:, 2]
        # Rows sorted by z. Sorting them by cell keeps that order within each cell.
        by_height = np.argsort(z)
        order, keys = sort_keys(row_keys(columns)[by_height])
        order = by_height[order]
        starts = run_starts(keys)
        counts = np.diff(starts, append=len(keys))
        # (G,) the low quantile of z in each cell. Not the minimum: echoes from below the ground
        # are common, and a single one would dig a pit as wide as the opening.
        height_m = z[order[starts + (counts * _LOW_QUANTILE).astype(np.int64)]]
        cells = np.stack([column[order[starts]] for column in columns], axis=1)
        radius_cells = max(1, round(radius_m / cell_m))
        pairs = [_pairs_within(cells, axis, radius_cells) for axis in (0, 1)]
        # A square window is two passes along the axes. Cells without points do not count.
        for extreme in (np.minimum, np.maximum):
            for first, second in pairs:
                height_m = _extreme_of_pairs(extreme, height_m, first, second)
        return cls(cells, height_m, cell_m)

    def z_at(self, xyz: Floats) -> Floats:
        """Return the z of the ground in the grid cell of each point, (P,) float64, metres.

        Args:
            xyz: (P, 3) float64, metres; z is not used.

        Raises:
            KeyError: a point lies in a grid cell without points of the cloud.
        """
        x, y = _grid_columns(xyz, self.cell_m)
        low, high = self.cells.min(axis=0), self.cells.max(axis=0)
        is_inside = (x >= low[0]) & (x <= high[0]) & (y >= low[1]) & (y <= high[1])
        if not is_inside.all():
            raise KeyError("no ground at a point")
        keys, wanted = _complex_keys(self.cells[:, 0], self.cells[:, 1]), _complex_keys(x, y)
        # (P,) rows of cells; a key that is absent finds the next larger one, if there is any.
        row = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        if (keys[row] != wanted).any():
            raise KeyError("no ground at a point")
        return self.height_m[row]


def _grid_columns(xyz: Floats, cell_m: float) -> tuple[Integers, Integers]:
    """Return x and y of the grid cell of each point, (N,) int64 each."""
    x, y = (np.floor(xyz[:, axis] / cell_m).astype(np.int64) for axis in (0, 1))
    return x, y


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
    extreme: np.ufunc, height_m: Floats, first: Integers, second: Integers
) -> Floats:
    """Return the minimum or maximum over each cell and all cells it is paired with, (G,)."""
    result: Floats = height_m.copy()
    extreme.at(result, first, height_m[second])
    extreme.at(result, second, height_m[first])
    return result


def _complex_keys(x: Integers, y: Integers) -> npt.NDArray[np.complex128]:
    # Complex numbers sort by real part, then imaginary part, and hold any cell exactly. One
    # integer for both would overflow for a point far away.
    return x + 1j * y
