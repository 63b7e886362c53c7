"""Tiles: parts of a cloud that fit into memory, each with a halo of context."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.validation import validate_array
from clip3d_cli.core.voxels import ANCHOR_CELLS, count_voxels

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
# Tiles of at most so many points are joined, up to so many points.
_FEW_POINTS = 1000
_PACKED_POINTS = 20_000
# Low and high corner, (3,) metres each; the high corner is exclusive.
Box = tuple[Floats, Floats]


@dataclass(frozen=True, slots=True)
class Tile:
    """The points in a box and in the halo around it.

    Attributes:
        points: (P,) int64, rows of the cloud, those of the halo included.
        own: (P,) bool, True for the points in the box. Each point of a cloud is in the box of
            exactly one tile.
        shift_m: (P, 3) metres, by which the points are moved for labelling; None for not at all.

    Raises:
        TypeError: an array has another dtype.
        ValueError: an array has another shape.
    """

    points: npt.NDArray[np.int64]
    own: Mask
    shift_m: Floats | None = None

    def __post_init__(self) -> None:
        validate_array("points", self.points, np.int64, (None,))
        validate_array("own", self.own, np.bool_, (len(self.points),))


@dataclass(frozen=True, slots=True)
class TileLimits:
    """Limits of the size of a tile.

    Attributes:
        halo_m: width of the halo on each side of a box, in metres.
        voxel_m: edge of a voxel in metres.
        max_voxels: a tile with more voxels, its halo included, is halved along its longer
            horizontal side, unless that side is at most twice the halo.
        max_m: largest extent of a box along x, y or z in metres; a larger box is halved.
    """

    halo_m: float
    voxel_m: float
    max_voxels: int
    max_m: float


def cut_tiles(xyz: Floats, limits: TileLimits) -> Iterator[Tile]:
    """Cut a cloud into tiles, by halving boxes until they keep the limits.

    Boxes are as high as the cloud, unless it is higher than ``max_m``.

    Args:
        xyz: (N, 3) float64, metres, all finite.
        limits: when to halve a box.

    Yields:
        tiles in a fixed order; each point is in the box of exactly one of them.
    """
    if not len(xyz):
        return
    # Column by column: numpy takes twenty times as long to reduce rows of three numbers.
    low, high = (np.array([extreme(column) for column in xyz.T]) for extreme in (np.min, np.max))
    rows = np.arange(len(xyz), dtype=np.int64)
    # The high corner of a box is exclusive, and the highest point must be inside.
    whole = low, np.nextafter(high, np.inf)
    if not _axes_to_cut(xyz, whole[1] - low, limits).any():
        yield Tile(rows, np.ones(len(xyz), dtype=np.bool_))
        return
    # A stack of boxes, each with the rows of its points and of those in its halo.
    waiting = [(rows, whole)]
    while waiting:
        rows, (low, high) = waiting.pop()
        nearby = xyz[rows]
        own: Mask = np.all((nearby >= low) & (nearby < high), axis=1)
        if not own.any():
            continue
        cut = _axes_to_cut(nearby, high - low, limits)
        if not cut.any():
            yield Tile(rows, own)
            continue
        parts = [
            (rows[_is_in_halo(nearby, box, limits.halo_m)], box) for box in _halves(low, high, cut)
        ]
        waiting += reversed(parts)


def pack_tiles(tiles: Iterable[Tile], xyz: Floats, limits: TileLimits) -> Iterator[Tile]:
    """Join small tiles that are far apart, moved beside each other: each tile costs some time.

    Points are moved by whole blocks of voxels along x and y, and end up farther apart than the
    network sees, so that it computes what it would compute for each tile by itself.

    Args:
        tiles: tiles of the cloud.
        xyz: (N, 3) float64, metres, the cloud.
        limits: limits of the tiles.

    Yields:
        tiles; those of more than a few points are as they were.
    """
    block_m = ANCHOR_CELLS * limits.voxel_m
    rows: list[npt.NDArray[np.int64]] = []
    own: list[Mask] = []
    shifts: list[Floats] = []
    begin_m, count, heights = 0.0, 0, (np.inf, -np.inf)

    def joined() -> Tile:
        return Tile(np.concatenate(rows), np.concatenate(own), np.concatenate(shifts))

    for tile in tiles:
        if len(tile.points) > _FEW_POINTS:
            yield tile
            continue
        part = xyz[tile.points]
        low, high = part.min(axis=0), part.max(axis=0)
        together = min(heights[0], low[2]), max(heights[1], high[2])
        is_full = count + len(part) > _PACKED_POINTS
        is_full |= begin_m + (high[0] - low[0]) > limits.max_m
        if rows and (is_full or together[1] - together[0] > limits.max_m):
            yield joined()
            rows, own, shifts, begin_m, count = [], [], [], 0.0, 0
            together = low[2], high[2]
        shift = np.zeros(3)
        shift[:2] = -np.floor(low[:2] / block_m) * block_m
        shift[0] += begin_m
        rows.append(tile.points)
        own.append(tile.own)
        shifts.append(np.broadcast_to(shift, part.shape))
        heights, count = together, count + len(part)
        begin_m += np.ceil((high[0] - low[0] + limits.halo_m) / block_m + 1) * block_m
    if rows:
        yield joined()


def _axes_to_cut(nearby: Floats, size: Floats, limits: TileLimits) -> Mask:
    """Return the axes along which a box must be halved, (3,) bool.

    Args:
        nearby: (P, 3) points in the box and its halo, metres.
        size: (3,) extent of the box, metres.
        limits: limits of tiles.
    """
    cut: Mask = size > limits.max_m
    # There are at most as many voxels as points, so mostly nothing must be counted.
    if (
        size[:2].max() > 2 * limits.halo_m
        and len(nearby) > limits.max_voxels
        and count_voxels(nearby, limits.voxel_m) > limits.max_voxels
    ):
        cut[:2] |= size[:2] >= size[:2].max()
    return cut


def _halves(low: Floats, high: Floats, cut: Mask) -> Iterator[Box]:
    """Yield the two, four or eight boxes after halving along some axes, lower ones first."""
    middle = (low + high) / 2
    # For each axis: False for the lower half, True for the upper half, None for no cut.
    for upper in product(*((False, True) if is_cut else (None,) for is_cut in cut)):
        yield (
            np.where([half is True for half in upper], middle, low),
            np.where([half is False for half in upper], middle, high),
        )


def _is_in_halo(xyz: Floats, box: Box, halo_m: float) -> Mask:
    """Return True for points in a box or at most ``halo_m`` away along each axis, (P,) bool."""
    low, high = box
    is_inside: Mask = np.all((xyz >= low - halo_m) & (xyz < high + halo_m), axis=1)
    return is_inside
