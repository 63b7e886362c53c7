"""Sparse convolution in plain PyTorch: gather, multiply, sum, one tile of rows after another.

The rows a kernel map fills are cut into tiles small enough for the cache. For a tile, all pairs
(offset, source row) are gathered into one buffer sorted by offset, each offset is one matrix
product, and every row sums its own products, always in the same order. So nothing is
scattered, buffers are reused, and a row's result does not depend on other rows' results.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from clip3d_cli.sparse.backend import Level, check_fit
from clip3d_cli.sparse.neighbours import Pairs, child_pairs, neighbour_pairs

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


class TorchBackend:
    """The readable backend: runs wherever PyTorch runs, forward and backward."""

    name = "torch"

    def available(self) -> str | None:
        """None: it always runs."""
        return None

    def kernel_map(self, source: Level, target: Level, size: int) -> TorchKernelMap:
        """Both rulebooks between two levels: see `Backend.kernel_map`."""
        if source.stride == target.stride:
            pairs = neighbour_pairs(source.keys, size)
            book = build_rulebook(pairs, len(target), centre=len(pairs) // 2)
            return TorchKernelMap(book, book, mirrored=True)
        downward = child_pairs(source)
        upward = [Pairs(children, parents) for parents, children in downward]
        return TorchKernelMap(
            build_rulebook(downward, len(target)),
            build_rulebook(upward, len(source)),
            mirrored=False,
        )

    def convolve(
        self, feats: Tensor, weight: Tensor, kernel_map: Any, *, transposed: bool = False
    ) -> Tensor:
        """The convolved features: see `Backend.convolve`.

        Raises:
            ValueError: the weight does not fit the features or the map.
        """
        turned = kernel_map.turned() if transposed else kernel_map
        check_fit(feats, weight, turned.forward.offsets, turned.backward.rows)
        device = feats.device.type
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
            feats, weight = feats.to(dtype), weight.to(dtype)
        result: Tensor = _Convolution.apply(feats, weight, turned)
        return result


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


class _Convolution(torch.autograd.Function):
    """Gather, multiply, sum; and the same over the turned map for the gradients."""

    @staticmethod
    def forward(ctx: Any, feats: Tensor, weight: Tensor, kernel_map: TorchKernelMap) -> Tensor:
        ctx.save_for_backward(feats, weight)
        ctx.kernel_map = kernel_map
        return _gather_multiply_sum(feats.contiguous(), weight.contiguous(), kernel_map.forward)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        feats, weight = ctx.saved_tensors
        wants_feats, wants_weight, _ = ctx.needs_input_grad
        mirrored = ctx.kernel_map.mirrored
        turned = weight.flip(0) if mirrored else weight
        grad_feats, grad_weight = _gradients(
            feats.contiguous(),
            turned.transpose(1, 2).contiguous() if wants_feats else None,
            grads[0].contiguous(),
            ctx.kernel_map.backward,
            wants_weight,
        )
        if grad_weight is not None and mirrored:
            grad_weight = grad_weight.flip(0)
        if grad_weight is not None:
            grad_weight = grad_weight.to(weight.dtype)
        return grad_feats, grad_weight, None


def _gather_multiply_sum(feats: Tensor, weight: Tensor, book: Rulebook) -> Tensor:
    channels = weight.shape[2]
    result = feats.new_empty(book.rows, channels)
    gathered = feats.new_empty(book.longest, feats.shape[1])
    own_rows = 0 if book.centre is None else book.tallest
    products = feats.new_empty(book.longest + own_rows, channels)
    for tile in book.tiles:
        pairs = gathered[: len(tile.source_rows)]
        torch.index_select(feats, 0, tile.source_rows, out=pairs)
        _multiply(feats, pairs, weight, book.centre, tile, products)
        _sum_rows(products, tile, result)
    return result


def _multiply(
    feats: Tensor,
    pairs: Tensor,
    weight: Tensor,
    centre: int | None,
    tile: Tile,
    products: Tensor,
) -> None:
    own_rows = 0
    if centre is not None:
        own_rows = tile.stop - tile.start
        torch.mm(feats[tile.start : tile.stop], weight[centre], out=products[:own_rows])
    for offset, begin, end in tile.runs:
        torch.mm(pairs[begin:end], weight[offset], out=products[own_rows + begin : own_rows + end])


def _sum_rows(products: Tensor, tile: Tile, result: Tensor) -> None:
    result[tile.start : tile.stop] = F.embedding_bag(
        tile.bag, products, tile.bag_starts, mode="sum", include_last_offset=True
    )


def _gradients(
    feats: Tensor,
    turned_weight: Tensor | None,
    grad: Tensor,
    book: Rulebook,
    wants_weight: bool,
) -> tuple[Tensor | None, Tensor | None]:
    """Both gradients from one gather of ``grad`` a tile; offsets are those of the turned map."""
    grad_feats = torch.empty_like(feats) if turned_weight is not None else None
    grad_weight = None
    if wants_weight:
        wide = torch.promote_types(feats.dtype, torch.float32)
        grad_weight = feats.new_zeros(book.offsets, feats.shape[1], grad.shape[1], dtype=wide)
    gathered = feats.new_empty(book.longest, grad.shape[1])
    scratch = feats.new_empty(book.longest + book.tallest, feats.shape[1])
    for tile in book.tiles:
        pairs = gathered[: len(tile.source_rows)]
        torch.index_select(grad, 0, tile.source_rows, out=pairs)
        if grad_weight is not None:
            _add_weight_gradient(feats, grad, pairs, (book.centre, tile), scratch, grad_weight)
        if grad_feats is not None and turned_weight is not None:
            _multiply(grad, pairs, turned_weight, book.centre, tile, scratch)
            _sum_rows(scratch, tile, grad_feats)
    return grad_feats, grad_weight


def _add_weight_gradient(
    feats: Tensor,
    grad: Tensor,
    pairs: Tensor,
    place: tuple[int | None, Tile],
    scratch: Tensor,
    grad_weight: Tensor,
) -> None:
    centre, tile = place
    here = feats[tile.start : tile.stop]
    if centre is not None:
        _add_product(grad_weight[centre], here, grad[tile.start : tile.stop])
    own = scratch[: len(tile.target_rows)]
    torch.index_select(here, 0, tile.target_rows, out=own)
    for offset, begin, end in tile.runs:
        _add_product(grad_weight[offset], own[begin:end], pairs[begin:end])


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Add leftᵀ right; half-precision products are summed over tiles in float32."""
    if total.dtype == left.dtype:
        total.addmm_(left.T, right)
    else:
        total += left.T @ right
