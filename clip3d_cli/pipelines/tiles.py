"""A cloud cut into parts that fit, each with a halo, each point owned once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.clouds import Tile
from clip3d_cli.core.voxels import count_voxels

Box = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class TileLimits:
    """How large a tile may be.

    Attributes:
        halo_m: how far around its own points a tile sees, metres.
        voxel_m: the edge of a voxel, metres.
        max_voxels: a tile of more, its halo included, is halved along its longer side, unless
            that is hardly wider than the halo.
        max_m: a tile that is wider along any axis is halved along it, metres.
    """

    halo_m: float
    voxel_m: float
    max_voxels: int
    max_m: float


def cut_tiles(xyz: npt.NDArray[np.float64], limits: TileLimits) -> Iterator[Tile]:
    """Cut a cloud into boxes, each with its halo.

    Boxes are full columns, unless a far outlier makes a column higher than ``max_m``.

    Args:
        xyz: (N, 3) float64, metres, all finite.
        limits: when to cut on.

    Yields:
        tiles, in a fixed order; every point is owned by one of them.
    """
    if len(xyz):
        # Open above: the highest point must lie inside.
        box = xyz.min(axis=0), np.nextafter(xyz.max(axis=0), np.inf)
        yield from _cut(xyz, np.arange(len(xyz), dtype=np.int64), box, limits)


def _cut(
    xyz: npt.NDArray[np.float64], rows: npt.NDArray[np.int64], box: Box, limits: TileLimits
) -> Iterator[Tile]:
    """The tiles of one box, from the points in it and in its halo."""
    low, high = box
    nearby = xyz[rows]
    own: npt.NDArray[np.bool_] = np.all((nearby >= low) & (nearby < high), axis=1)
    if not own.any():
        return
    size = high - low
    wide = size > limits.max_m
    if size[:2].max() > 2 * limits.halo_m and _is_crowded(nearby, limits):
        wide |= size >= size[:2].max()
        wide[2] = size[2] > limits.max_m
    if not wide.any():
        yield Tile(rows, own)
        return
    middle = (low + high) / 2
    for upper in product(*((False, True) if cut else (None,) for cut in wide)):
        start = np.where([half is True for half in upper], middle, low)
        stop = np.where([half is False for half in upper], middle, high)
        inside = (nearby >= start - limits.halo_m) & (nearby < stop + limits.halo_m)
        yield from _cut(xyz, rows[np.all(inside, axis=1)], (start, stop), limits)


def _is_crowded(xyz: npt.NDArray[np.float64], limits: TileLimits) -> bool:
    # Voxels are at most as many as points: mostly there is nothing to count.
    return len(xyz) > limits.max_voxels and count_voxels(xyz, limits.voxel_m) > limits.max_voxels
