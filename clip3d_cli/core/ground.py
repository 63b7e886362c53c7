"""How high things stand above the ground, without knowing the sensor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_LOW_QUANTILE = 0.1


@dataclass(frozen=True, slots=True)
class Ground:
    """The height of the ground under a cloud, on a horizontal grid.

    A grey-scale opening of the lowest points: the least height within ``radius_m`` (so roofs
    and crowns narrower than twice that sink to the ground beside them), then the greatest of
    those (so slopes keep their height). After Zhang et al., "A progressive morphological
    filter for removing nonground measurements from airborne LIDAR data" (2003), one step.

    Attributes:
        keys: (G, 2) int64, grid cells with points, lexicographically sorted.
        height_m: (G,) float64, the ground's z in each, metres.
        cell_m: the edge of a grid cell, metres.
    """

    keys: npt.NDArray[np.int64]
    height_m: npt.NDArray[np.float64]
    cell_m: float

    @classmethod
    def under(cls, xyz: npt.NDArray[np.float64], *, cell_m: float, radius_m: float) -> Ground:
        """The ground under a cloud of (N, 3) float64 metres, all finite, N ≥ 1."""
        cells = np.floor(xyz[:, :2] / cell_m).astype(np.int64)
        order = np.lexsort((xyz[:, 2], cells[:, 1], cells[:, 0]))
        cells = cells[order]
        changes = (cells[1:] != cells[:-1]).any(axis=1)
        starts = np.concatenate(([0], np.flatnonzero(changes) + 1))
        counts = np.diff(starts, append=len(cells))
        keys = cells[starts]
        # Not the very lowest: echoes below the ground are common, and one would dig a pit.
        lowest = xyz[order[starts + (counts * _LOW_QUANTILE).astype(np.int64)], 2]
        reach = max(1, round(radius_m / cell_m))
        height = lowest
        for pick in (np.minimum, np.maximum):
            for axis in (0, 1):
                height = _running(pick, keys, height, axis, reach)
        return cls(keys, height, cell_m)

    def z_under(self, xyz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The ground's z in the grid cell of each of (P, 3) float64 points, metres.

        Raises:
            KeyError: a point stands where the cloud had none.
        """
        wanted = np.floor(xyz[:, :2] / self.cell_m).astype(np.int64)
        row = _find(self.keys, wanted)
        if len(row) and row.min() < 0:
            raise KeyError("no ground under a point")
        return self.height_m[row]


def _running(
    pick: np.ufunc,
    keys: npt.NDArray[np.int64],
    height: npt.NDArray[np.float64],
    axis: int,
    reach: int,
) -> npt.NDArray[np.float64]:
    """The least or greatest height within ``reach`` cells along an axis, over cells that are."""
    picked: npt.NDArray[np.float64] = height.copy()
    for shift in range(1, reach + 1):
        moved = keys.copy()
        moved[:, axis] += shift
        row = _find(keys, moved)
        here = np.flatnonzero(row >= 0)
        there = row[here]
        picked[here] = pick(picked[here], height[there])
        picked[there] = pick(picked[there], height[here])
    return picked


def _find(keys: npt.NDArray[np.int64], wanted: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The row of each wanted key among the sorted keys, −1 where there is none."""
    # Complex numbers sort as these pairs do, and hold any cell exactly: an integer made of both
    # would overflow where a point lies far away.
    row = np.searchsorted(_as_complex(keys), _as_complex(wanted))
    row[row == len(keys)] = 0
    return np.where((keys[row] == wanted).all(axis=1), row, -1)


def _as_complex(keys: npt.NDArray[np.int64]) -> npt.NDArray[np.complex128]:
    return keys.astype(np.float64).view(np.complex128)[:, 0]
