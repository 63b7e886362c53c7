"""Sparse convolution in plain PyTorch: gather, multiply, sum, one tile of rows after another.

The rows a kernel map fills are cut into tiles small enough for the cache. For a tile, all pairs
(offset, source row) are gathered into one buffer sorted by offset, each offset is one matrix
product, and every row sums its own products, always in the same order. So nothing is
scattered, buffers are reused, and a row's result does not depend on other rows' results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from clip3d_cli.sparse.backend import (
    Epilogue,
    Features,
    Level,
    Precision,
    check_fit,
    refuse_gradients,
)
from clip3d_cli.sparse.backends.fallback import TorchNorm, finish, joined
from clip3d_cli.sparse.backends.torch.rulebook import Rulebook, Tile, TorchKernelMap, build_rulebook
from clip3d_cli.sparse.neighbours import Pairs, child_pairs, neighbour_pairs


class TorchBackend(TorchNorm):
    """The readable backend: runs wherever PyTorch runs, forward and backward.

    Args:
        precision: ``fast`` asks for bf16 features on a CUDA device, and float32 elsewhere: on a
            CPU without bf16 instructions they are slower. ``high`` computes as ``exact``.
    """

    name = "torch"
    device_types: tuple[str, ...] = ("cpu", "cuda", "mps")

    def __init__(self, *, precision: Precision = "exact") -> None:
        self.precision: Precision = precision
        self.dtype = torch.float32
        if precision == "fast" and torch.cuda.is_available():
            self.dtype = torch.bfloat16

    def available(self) -> str | None:
        """None: it always runs."""
        return None

    def kernel_map(self, source: Level, target: Level, size: int) -> TorchKernelMap:
        """Both rulebooks between two levels: see `Backend.kernel_map`."""
        if size == 1:
            alone = Rulebook(len(source), 1, 0, ())
            return TorchKernelMap(alone, alone, mirrored=True)
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
        self,
        feats: Features,
        weight: Tensor,
        kernel_map: Any,
        *,
        transposed: bool = False,
        epilogue: Epilogue | None = None,
    ) -> Tensor:
        """The convolved features: see `Backend.convolve`.

        Raises:
            ValueError: the weight does not fit the features or the map.
        """
        turned = kernel_map.turned() if transposed else kernel_map
        feats = joined(feats)
        check_fit(feats, weight, turned.forward.offsets, turned.backward.rows)
        refuse_gradients(epilogue, weight, feats)
        weight = weight.to(feats.dtype)
        if len(weight) == 1:
            return finish(feats @ weight[0], epilogue)
        result: Tensor = _Convolution.apply(feats, weight, turned, epilogue)
        return result


class _Convolution(torch.autograd.Function):
    """Gather, multiply, sum; and the same over the turned map for the gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        feats: Tensor,
        weight: Tensor,
        kernel_map: TorchKernelMap,
        epilogue: Epilogue | None,
    ) -> Tensor:
        ctx.save_for_backward(feats, weight)
        ctx.kernel_map = kernel_map
        book = kernel_map.forward
        return _gather_multiply_sum(feats.contiguous(), weight.contiguous(), book, epilogue)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        feats, weight = ctx.saved_tensors
        wants_feats, wants_weight, *_ = ctx.needs_input_grad
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
        return grad_feats, grad_weight, None, None


def _gather_multiply_sum(
    feats: Tensor, weight: Tensor, book: Rulebook, epilogue: Epilogue | None
) -> Tensor:
    result = feats.new_empty(book.rows, weight.shape[2])

    def fill(tiles: Sequence[Tile]) -> None:
        gathered = feats.new_empty(book.longest, feats.shape[1])
        own_rows = 0 if book.centre is None else book.tallest
        products = feats.new_empty(book.longest + own_rows, weight.shape[2])
        for tile in tiles:
            pairs = gathered[: len(tile.source_rows)]
            torch.index_select(feats, 0, tile.source_rows, out=pairs)
            _multiply(feats, pairs, weight, book.centre, tile, products)
            _sum_rows(products, tile, result)
            if epilogue is not None:
                rows = slice(tile.start, tile.stop)
                residual = None if epilogue.residual is None else epilogue.residual[rows]
                # While the tile is in the cache.
                finish(result[rows], replace(epilogue, residual=residual))

    _share_out(fill, book.tiles, feats.device)
    return result


def _share_out(
    work: Callable[[Sequence[Tile]], None], tiles: Sequence[Tile], device: torch.device
) -> None:
    """Give every thread tiles of its own: products this small gain little from several threads."""
    threads = min(torch.get_num_threads(), len(tiles))
    if device.type != "cpu" or threads < 2:
        work(tiles)
        return
    inference, outside = torch.is_inference_mode_enabled(), torch.get_num_threads()

    def alone(part: Sequence[Tile]) -> None:
        # Neither mode is inherited by a thread.
        with torch.inference_mode(inference), torch.no_grad():
            work(part)

    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(alone, (tiles[first::threads] for first in range(threads))))
    finally:
        torch.set_num_threads(outside)


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
