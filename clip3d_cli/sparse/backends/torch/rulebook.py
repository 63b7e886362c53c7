"""Kernel maps as the plain backend reads them: pairs of rows, cut into tiles, sorted by offset."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from clip3d_cli.sparse.neighbours import Pairs

CPU_TILE_ROWS = 8192
GPU_TILE_ROWS = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """The pairs of some consecutive target rows, sorted by offset.

    Attributes:
        start, stop: the target rows, a half-open range.
        source_rows: (P,) int32, the row each pair reads.
        target_rows: (P,) int32, the row each pair adds to, counted from ``start``.
        runs: (offset, first pair, end of pairs) of every offset that occurs.
        bag: (P + centre rows,) int32, places in the product buffer, in target order.
        bag_starts: (R + 1,) int32, where each target row's places begin in ``bag``.
    """

    start: int
    stop: int
    source_rows: Tensor
    target_rows: Tensor
    runs: tuple[tuple[int, int, int], ...]
    bag: Tensor
    bag_starts: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Rulebook:
    """All tiles of one direction.

    Attributes:
        rows: how many target rows there are.
        offsets: how many offsets the kernel has.
        centre: the offset at which every row sees itself (it is not gathered), or None.
        tiles: in row order.
    """

    rows: int
    offsets: int
    centre: int | None
    tiles: tuple[Tile, ...]

    @property
    def longest(self) -> int:
        """The most pairs in a tile, those of the centre not counted."""
        return max((len(tile.source_rows) for tile in self.tiles), default=0)

    @property
    def tallest(self) -> int:
        """The most rows in a tile."""
        return max((tile.stop - tile.start for tile in self.tiles), default=0)


@dataclass(frozen=True, slots=True, eq=False)
class TorchKernelMap:
    """A map in both directions; a submanifold map is its own mirror image."""

    forward: Rulebook
    backward: Rulebook
    mirrored: bool

    def turned(self) -> TorchKernelMap:
        """The same pairs with source and target exchanged."""
        return TorchKernelMap(self.backward, self.forward, self.mirrored)


def build_rulebook(pairs: Sequence[Pairs], rows: int, *, centre: int | None = None) -> Rulebook:
    """The tiles of a kernel map.

    Args:
        pairs: of every offset.
        rows: how many target rows there are.
        centre: the offset at which every row sees itself, or None.
    """
    device = pairs[0].targets.device
    height = CPU_TILE_ROWS if device.type == "cpu" else GPU_TILE_ROWS
    starts = range(0, rows, height)
    edges = torch.tensor([*starts, rows], dtype=torch.int32, device=device)
    cuts = torch.stack([torch.searchsorted(each.targets, edges) for each in pairs]).tolist()
    tiles = []
    for number, start in enumerate(starts):
        cut = [slice(row[number], row[number + 1]) for row in cuts]
        runs = [
            Pairs(*(rows[part] for rows in each)) for each, part in zip(pairs, cut, strict=True)
        ]
        tiles.append(_build_tile(runs, start, min(start + height, rows), centre))
    return Rulebook(rows, len(pairs), centre, tuple(tiles))


def _build_tile(pairs: list[Pairs], start: int, stop: int, centre: int | None) -> Tile:
    gathered = [offset for offset in range(len(pairs)) if offset != centre]
    ends = list(itertools.accumulate(len(pairs[offset].targets) for offset in gathered))
    target_rows = torch.cat([pairs[offset].targets for offset in gathered]) - start
    summed = target_rows
    if centre is not None:
        own = torch.arange(stop - start, dtype=torch.int32, device=summed.device)
        summed = torch.cat((own, target_rows))
    counts = torch.bincount(summed, minlength=stop - start)
    return Tile(
        start=start,
        stop=stop,
        source_rows=torch.cat([pairs[offset].sources for offset in gathered]),
        target_rows=target_rows,
        runs=tuple(
            run for run in zip(gathered, [0, *ends[:-1]], ends, strict=True) if run[2] > run[1]
        ),
        bag=torch.sort(summed, stable=True).indices.int(),
        bag_starts=F.pad(counts.cumsum(0), (1, 0)).int(),
    )
