"""Sparse convolution in plain PyTorch: gather, multiply and sum, one tile of rows at a time.

The target rows of a kernel map are cut into tiles that fit into the cache. For a tile, the source
rows of all pairs are gathered into one buffer sorted by offset, each offset is one matrix product,
and every target row sums its own products in a fixed order. So nothing is scattered, the buffers
are reused, and a row's result does not depend on how its tile or batch is composed.
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
    check_no_gradients,
    check_shapes,
)
from clip3d_cli.sparse.backends.fallback import TorchBatchNorm, apply_epilogue, concatenate
from clip3d_cli.sparse.backends.torch.rulebook import Rulebook, Tile, TorchKernelMap, build_rulebook
from clip3d_cli.sparse.neighbours import Pairs, child_pairs, neighbour_pairs


class TorchBackend(TorchBatchNorm):
    """Reference backend: runs wherever PyTorch runs, forward and backward.

    Args:
        precision: ``fast`` sets ``dtype`` to bfloat16 on a CUDA device and leaves float32
            elsewhere: CPUs without bfloat16 instructions are slower in it. ``high`` computes as
            ``exact``.
    """

    name = "torch"
    device_types: tuple[str, ...] = ("cpu", "cuda", "mps")

    def __init__(self, *, precision: Precision = "exact") -> None:
        self.precision: Precision = precision
        self.dtype = torch.float32
        if precision == "fast" and torch.cuda.is_available():
            self.dtype = torch.bfloat16

    def unavailable_reason(self) -> str | None:
        """Return None: it always runs."""
        return None

    def build_kernel_map(self, source: Level, target: Level, size: int) -> TorchKernelMap:
        """Return the rulebooks between two levels: see `Backend.build_kernel_map`.

        Raises:
            ValueError: an even ``size`` within one level, or a level without parent rows.
        """
        if size == 1:
            # convolve multiplies rows directly; only the numbers of rows are read.
            no_tiles = Rulebook(len(source), 1, 0, ())
            return TorchKernelMap(no_tiles, no_tiles, mirrored=True)
        if source.stride == target.stride:
            pairs = neighbour_pairs(source.keys, size)
            book = build_rulebook(pairs, len(target), centre=len(pairs) // 2)
            return TorchKernelMap(book, book, mirrored=True)
        downward = child_pairs(source)
        # Reversed, targets are the children: nonzero() found them ascending, as tiles require.
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
        """Return the convolved features: see `Backend.convolve`.

        Raises:
            ValueError: the weight does not match the features or the map, or an epilogue with
                gradients enabled.
        """
        direction = kernel_map.reversed() if transposed else kernel_map
        feats = concatenate(feats)
        check_shapes(feats, weight, direction.forward.offsets, direction.backward.rows)
        check_no_gradients(epilogue, weight, feats)
        weight = weight.to(feats.dtype)
        if len(weight) == 1:
            return apply_epilogue(feats @ weight[0], epilogue)
        result: Tensor = _Convolution.apply(feats, weight, direction, epilogue)
        return result


class _Convolution(torch.autograd.Function):
    """Convolution and its gradients; those run over the map in the other direction."""

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
        needs_feats_grad, needs_weight_grad, *_ = ctx.needs_input_grad
        mirrored = ctx.kernel_map.mirrored
        # (K³, Cin, Cout). d(loss)/d(feats) is a convolution of the output's gradient over the
        # reversed map with Wᵀ. The one rulebook of a submanifold map is reversed by reversing the
        # order of offsets.
        backward_weight = weight.flip(0) if mirrored else weight
        grad_feats, grad_weight = _gradients(
            feats.contiguous(),
            backward_weight.transpose(1, 2).contiguous() if needs_feats_grad else None,
            grads[0].contiguous(),
            ctx.kernel_map.backward,
            needs_weight_grad,
        )
        if grad_weight is not None and mirrored:
            grad_weight = grad_weight.flip(0)
        if grad_weight is not None:
            grad_weight = grad_weight.to(weight.dtype)
        return grad_feats, grad_weight, None, None


def _gather_multiply_sum(
    feats: Tensor, weight: Tensor, book: Rulebook, epilogue: Epilogue | None
) -> Tensor:
    """Return (target rows, Cout) of feats (source rows, Cin) and weight (offsets, Cin, Cout)."""
    result = feats.new_empty(book.rows, weight.shape[2])

    def fill(tiles: Sequence[Tile]) -> None:
        # Buffers of this thread, large enough for its largest tile: gathered source rows (P, Cin)
        # and products (R + P, Cout).
        gathered = feats.new_empty(book.max_pairs, feats.shape[1])
        centre_rows = 0 if book.centre is None else book.max_rows
        products = feats.new_empty(book.max_pairs + centre_rows, weight.shape[2])
        for tile in tiles:
            pairs = gathered[: len(tile.source_rows)]
            torch.index_select(feats, 0, tile.source_rows, out=pairs)
            _multiply(feats, pairs, weight, book.centre, tile, products)
            _sum_rows(products, tile, result)
            if epilogue is not None:
                # Here, while the tile is in the cache, not in a second pass over all rows.
                rows = slice(tile.start, tile.stop)
                residual = None if epilogue.residual is None else epilogue.residual[rows]
                apply_epilogue(result[rows], replace(epilogue, residual=residual))

    _run_in_threads(fill, book.tiles, feats.device)
    return result


def _run_in_threads(
    work: Callable[[Sequence[Tile]], None], tiles: Sequence[Tile], device: torch.device
) -> None:
    """Give every thread tiles of its own: single products are too small for several threads."""
    threads = min(torch.get_num_threads(), len(tiles))
    if device.type != "cpu" or threads < 2:
        work(tiles)
        return
    inference, threads_before = torch.is_inference_mode_enabled(), torch.get_num_threads()

    def run_part(part: Sequence[Tile]) -> None:
        # Threads do not inherit either mode.
        with torch.inference_mode(inference), torch.no_grad():
            work(part)

    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(run_part, (tiles[first::threads] for first in range(threads))))
    finally:
        torch.set_num_threads(threads_before)


def _multiply(
    feats: Tensor,
    pairs: Tensor,
    weight: Tensor,
    centre: int | None,
    tile: Tile,
    products: Tensor,
) -> None:
    """Fill ``products``: R rows of the centre offset, then the rows of ``pairs`` by offset."""
    centre_rows = 0
    if centre is not None:
        centre_rows = tile.stop - tile.start
        torch.mm(feats[tile.start : tile.stop], weight[centre], out=products[:centre_rows])
    for offset, begin, end in tile.runs:
        rows = slice(centre_rows + begin, centre_rows + end)
        torch.mm(pairs[begin:end], weight[offset], out=products[rows])


def _sum_rows(products: Tensor, tile: Tile, result: Tensor) -> None:
    """Write every target row's sum of its products; rows without products become 0."""
    result[tile.start : tile.stop] = F.embedding_bag(
        tile.product_order, products, tile.first_product, mode="sum", include_last_offset=True
    )


def _gradients(
    feats: Tensor,
    backward_weight: Tensor | None,
    grad: Tensor,
    book: Rulebook,
    needs_weight_grad: bool,
) -> tuple[Tensor | None, Tensor | None]:
    """Return both gradients, from one gather of ``grad`` per tile.

    Args:
        feats: (source rows, Cin).
        backward_weight: (offsets, Cout, Cin), or None if the features need no gradient.
        grad: (target rows, Cout), gradient of the output.
        book: rulebook in reverse: its targets are rows of ``feats``, its sources rows of ``grad``.
        needs_weight_grad: whether the weight needs a gradient.

    Returns:
        (source rows, Cin) or None; (offsets, Cin, Cout) or None, at least float32, in the order
        of the offsets of ``book``.
    """
    grad_feats = torch.empty_like(feats) if backward_weight is not None else None
    grad_weight = None
    if needs_weight_grad:
        sum_dtype = torch.promote_types(feats.dtype, torch.float32)
        shape = book.offsets, feats.shape[1], grad.shape[1]
        grad_weight = feats.new_zeros(*shape, dtype=sum_dtype)
    gathered = feats.new_empty(book.max_pairs, grad.shape[1])
    scratch = feats.new_empty(book.max_pairs + book.max_rows, feats.shape[1])
    for tile in book.tiles:
        pairs = gathered[: len(tile.source_rows)]
        torch.index_select(grad, 0, tile.source_rows, out=pairs)
        if grad_weight is not None:
            _add_weight_gradient(feats, grad, pairs, (book.centre, tile), scratch, grad_weight)
        if grad_feats is not None and backward_weight is not None:
            _multiply(grad, pairs, backward_weight, book.centre, tile, scratch)
            _sum_rows(scratch, tile, grad_feats)
    return grad_feats, grad_weight


def _add_weight_gradient(
    feats: Tensor,
    grad: Tensor,
    pairs: Tensor,
    centre_and_tile: tuple[int | None, Tile],
    scratch: Tensor,
    grad_weight: Tensor,
) -> None:
    """Add one tile's featsᵀ @ grad of every offset; ``pairs`` are the gathered rows of grad."""
    centre, tile = centre_and_tile
    tile_feats = feats[tile.start : tile.stop]
    if centre is not None:
        _add_product(grad_weight[centre], tile_feats, grad[tile.start : tile.stop])
    # (P, Cin): the features of every pair's target row.
    pair_feats = scratch[: len(tile.target_rows)]
    torch.index_select(tile_feats, 0, tile.target_rows, out=pair_feats)
    for offset, begin, end in tile.runs:
        _add_product(grad_weight[offset], pair_feats[begin:end], pairs[begin:end])


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Add leftᵀ @ right to ``total``; half-precision products are summed in float32."""
    if total.dtype == left.dtype:
        total.addmm_(left.T, right)
    else:
        total += left.T @ right
