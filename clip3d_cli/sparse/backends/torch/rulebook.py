"""Kernel maps of the PyTorch backend: pairs of rows, cut into tiles and sorted by offset.

"Rulebook" is the name of Graham et al. (2018) for the lists of input and output rows per offset.
"""

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
    """The pairs of consecutive target rows, sorted by offset.

    P counts the gathered pairs, those of the centre offset excluded; R = stop − start rows. A
    tile's products lie in one buffer: first R products of the centre (if there is one), then P of
    the other offsets in the order of ``source_rows``.

    Attributes:
        start: first target row.
        stop: end of the target rows.
        source_rows: (P,) int32, row that each pair reads.
        target_rows: (P,) int32, row that each pair adds to, counted from ``start``.
        runs: (offset, first pair, end of pairs) of every offset with pairs; pairs of one offset
            are consecutive.
        product_order: (R + P,) or, without a centre, (P,) int32: positions in the product buffer,
            sorted by target row and, within a row, by offset with the centre first.
        first_product: (R + 1,) int32: where each row's positions begin in ``product_order``.
    """

    start: int
    stop: int
    source_rows: Tensor
    target_rows: Tensor
    runs: tuple[tuple[int, int, int], ...]
    product_order: Tensor
    first_product: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Rulebook:
    """All tiles of a kernel map in one direction.

    Attributes:
        rows: number of target rows.
        offsets: number of kernel offsets.
        centre: offset at which every row sees itself, or None. Its rows are not gathered: they
            are the target rows themselves.
        tiles: tiles in row order.
    """

    rows: int
    offsets: int
    centre: int | None
    tiles: tuple[Tile, ...]

    @property
    def max_pairs(self) -> int:
        """Largest number of gathered pairs of a tile."""
        return max((len(tile.source_rows) for tile in self.tiles), default=0)

    @property
    def max_rows(self) -> int:
        """Largest number of rows of a tile."""
        return max((tile.stop - tile.start for tile in self.tiles), default=0)


@dataclass(frozen=True, slots=True, eq=False)
class TorchKernelMap:
    """A kernel map in both directions.

    Attributes:
        forward: rulebook that fills the target rows.
        backward: rulebook that fills the source rows.
        mirrored: whether both are the same rulebook with offsets reversed, as in a submanifold
            map: if i sees j at offset k, then j sees i at offset K³ − 1 − k.
    """

    forward: Rulebook
    backward: Rulebook
    mirrored: bool

    def reversed(self) -> TorchKernelMap:
        """Return the same pairs with source and target exchanged."""
        return TorchKernelMap(self.backward, self.forward, self.mirrored)


def build_rulebook(pairs: Sequence[Pairs], rows: int, *, centre: int | None = None) -> Rulebook:
    """Return the tiles of a kernel map in one direction.

    Args:
        pairs: pairs of every offset, targets ascending.
        rows: number of target rows.
        centre: offset at which every row sees itself, or None.
    """
    device = pairs[0].targets.device
    tile_rows = CPU_TILE_ROWS if device.type == "cpu" else GPU_TILE_ROWS
    starts = range(0, rows, tile_rows)
    edges = torch.tensor([*starts, rows], dtype=torch.int32, device=device)
    # (offsets, tiles + 1): where each tile's pairs begin in the pairs of each offset.
    cuts = torch.stack([torch.searchsorted(each.targets, edges) for each in pairs]).tolist()
    tiles = []
    for number, start in enumerate(starts):
        slices = [slice(cut[number], cut[number + 1]) for cut in cuts]
        tile_pairs = [
            Pairs(each.targets[part], each.sources[part])
            for each, part in zip(pairs, slices, strict=True)
        ]
        tiles.append(_build_tile(tile_pairs, start, min(start + tile_rows, rows), centre))
    return Rulebook(rows, len(pairs), centre, tuple(tiles))


def _build_tile(pairs: list[Pairs], start: int, stop: int, centre: int | None) -> Tile:
    gathered = [offset for offset in range(len(pairs)) if offset != centre]
    # Where the pairs of each gathered offset end in the concatenated lists.
    ends = list(itertools.accumulate(len(pairs[offset].targets) for offset in gathered))
    target_rows = torch.cat([pairs[offset].targets for offset in gathered]) - start
    # (R + P,): the target row of every product, in the order of the product buffer.
    row_of_product = target_rows
    if centre is not None:
        own_rows = torch.arange(stop - start, dtype=torch.int32, device=target_rows.device)
        row_of_product = torch.cat((own_rows, target_rows))
    counts = torch.bincount(row_of_product, minlength=stop - start)
    return Tile(
        start=start,
        stop=stop,
        source_rows=torch.cat([pairs[offset].sources for offset in gathered]),
        target_rows=target_rows,
        runs=tuple(
            run for run in zip(gathered, [0, *ends[:-1]], ends, strict=True) if run[2] > run[1]
        ),
        # A stable sort keeps the order of offsets within a row: the order of summation is fixed.
        product_order=torch.sort(row_of_product, stable=True).indices.int(),
        first_product=F.pad(counts.cumsum(0), (1, 0)).int(),
    )
