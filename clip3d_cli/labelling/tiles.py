"""A cloud cut into parts that fit, each with a halo, each point owned once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.point_cloud import Tile
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
    if not len(xyz):
        return
    # Column by column: numpy takes twenty times as long to reduce rows of three.
    low, high = (np.array([pick(column) for column in xyz.T]) for pick in (np.min, np.max))
    rows = np.arange(len(xyz), dtype=np.int64)
    # Open above: the highest point must lie inside.
    whole = low, np.nextafter(high, np.inf)
    if not _axes_to_cut(xyz, whole[1] - low, limits).any():
        yield Tile(rows, np.ones(len(xyz), dtype=np.bool_))
        return
    waiting = [(rows, whole)]
    while waiting:
        rows, (low, high) = waiting.pop()
        nearby = xyz[rows]
        own: npt.NDArray[np.bool_] = np.all((nearby >= low) & (nearby < high), axis=1)
        if not own.any():
            continue
        cut = _axes_to_cut(nearby, high - low, limits)
        if not cut.any():
            yield Tile(rows, own)
            continue
        parts = [
            (rows[_is_near(nearby, box, limits.halo_m)], box) for box in _halves(low, high, cut)
        ]
        waiting += reversed(parts)


def _axes_to_cut(
    nearby: npt.NDArray[np.float64], size: npt.NDArray[np.float64], limits: TileLimits
) -> npt.NDArray[np.bool_]:
    """(3,) the axes along which a box of that size, with those points around, must be halved."""
    cut: npt.NDArray[np.bool_] = size > limits.max_m
    # Voxels are at most as many as points: mostly there is nothing to count.
    if (
        size[:2].max() > 2 * limits.halo_m
        and len(nearby) > limits.max_voxels
        and count_voxels(nearby, limits.voxel_m) > limits.max_voxels
    ):
        cut[:2] |= size[:2] >= size[:2].max()
    return cut


def _halves(
    low: npt.NDArray[np.float64], high: npt.NDArray[np.float64], cut: npt.NDArray[np.bool_]
) -> Iterator[Box]:
    """The two, four or eight boxes that a box falls into, the lower ones first."""
    middle = (low + high) / 2
    for upper in product(*((False, True) if halved else (None,) for halved in cut)):
        yield (
            np.where([half is True for half in upper], middle, low),
            np.where([half is False for half in upper], middle, high),
        )


def _is_near(xyz: npt.NDArray[np.float64], box: Box, halo_m: float) -> npt.NDArray[np.bool_]:
    low, high = box
    near: npt.NDArray[np.bool_] = np.all((xyz >= low - halo_m) & (xyz < high + halo_m), axis=1)
    return near
