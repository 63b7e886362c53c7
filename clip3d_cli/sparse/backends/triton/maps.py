"""Kernel maps of the Triton backend: blocks of rows that see nearly the same offsets."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from clip3d_cli.sparse.backend import Level
from clip3d_cli.sparse.backends.triton import kernels as triton_kernels
from clip3d_cli.sparse.key_layout import STEP_X, STEP_Y
from clip3d_cli.sparse.keys import child_slots

LARGEST_SIZE = 5
HIGH_FROM_ROWS = 1 << 16
_SEARCH_ROWS = 256


@dataclass(frozen=True, eq=False)
class Blocks:
    """One direction of a kernel map: B blocks of H target rows, each with its list of offsets.

    K is the number of kernel offsets.

    Attributes:
        sources: number of source rows.
        rows: number of target rows.
        targets: (B, H) int32, target rows in an order that brings rows with similar neighbours
            together; −1 after the last.
        neighbours: (B, K, H) int32, source row that each row of the block sees at each offset of
            the block's list, −1 for none; undefined after the end of the list.
        offsets: (B, K) int32, the list: the offsets at which any row of the block sees something,
            ascending; undefined after its end.
        counts: (B,) int32, length of each block's list.
    """

    sources: int
    rows: int
    targets: Tensor
    neighbours: Tensor
    offsets: Tensor
    counts: Tensor

    @cached_property
    def by_offset(self) -> tuple[Tensor, Tensor]:
        """The blocks in which every offset occurs, for the gradient of the weight.

        Returns:
            (K, B) int32: entries ``block · K + position in the block's list``, ascending,
            undefined after the last; and (K,) int32: number of entries of each offset.
        """
        blocks, length = self.offsets.shape
        device = self.offsets.device
        # (B, K) bool: whether the list of each block reaches this position.
        used = torch.arange(length, device=device) < self.counts.unsqueeze(1)
        # (B, K): the column of each entry; unused positions go to column K, which is cut off.
        column = torch.where(used, self.offsets, length).long()
        entries = torch.full((blocks, length + 1), -1, dtype=torch.int32, device=device)
        numbers = torch.arange(blocks * length, dtype=torch.int32, device=device)
        entries.scatter_(1, column, numbers.view(blocks, length))
        entries = entries[:, :length].T
        occurs = entries >= 0
        # A stable sort moves the entries of every offset to the front, in the order of blocks.
        order = torch.sort(occurs.to(torch.uint8), dim=1, descending=True, stable=True).indices
        return entries.gather(1, order).contiguous(), occurs.sum(1, dtype=torch.int32)


@dataclass(frozen=True, slots=True, eq=False)
class TritonKernelMap:
    """A kernel map in both directions.

    Attributes:
        forward: blocks that fill the target rows.
        backward: blocks that fill the source rows.
        mirrored: whether both are the same blocks with offsets reversed, as in a submanifold map.
    """

    forward: Blocks
    backward: Blocks
    mirrored: bool

    def reversed(self) -> TritonKernelMap:
        """Return the same pairs with source and target exchanged."""
        return TritonKernelMap(self.backward, self.forward, self.mirrored)


def on_device_of(rows: Tensor) -> AbstractContextManager[Any]:
    """Return a context in which kernels are launched on the device of ``rows``."""
    return torch.cuda.device(rows.device) if rows.is_cuda else nullcontext()


def submanifold_map(level: Level, size: int) -> TritonKernelMap:
    """Return the map of a level onto itself.

    Args:
        level: M cells.
        size: edge of the kernel in cells: 1, 3 or 5, as the margin of the keys allows.

    Raises:
        ValueError: ``size`` is even or above 5.
    """
    if size % 2 == 0 or size > LARGEST_SIZE:
        raise ValueError(f"a submanifold kernel has an edge of 1, 3 or 5 cells, not {size}")
    rows, device = len(level), level.keys.device
    if size == 1 or not rows:
        order = torch.arange(rows, dtype=torch.int32, device=device)
        table = order.expand(size**3, rows)
    else:
        # (K, M): the row of every cell's neighbour at every offset, −1 for none.
        table = torch.empty((size**3, rows), dtype=torch.int32, device=device)
        # (M,): sort key that brings rows with similar neighbours together.
        ranks = torch.empty(rows, dtype=torch.int32, device=device)
        first_step = 1 << (rows.bit_length() - 1)
        triton_kernels.find_neighbours[(-(-rows // _SEARCH_ROWS),)](
            level.keys, table, ranks, rows, first_step, STEP_X, STEP_Y, size, _SEARCH_ROWS,
            enable_fp_fusion=True,
        )  # fmt: skip
        order = torch.sort(ranks, stable=True).indices
    blocks = _arrange(table, order, rows)
    return TritonKernelMap(blocks, blocks, mirrored=True)


def strided_map(fine: Level, coarse: Level) -> TritonKernelMap:
    """Return the map of a level onto the next coarser one: eight child slots, x slowest.

    Args:
        fine: M cells, with ``parent_rows``.
        coarse: M' cells, the parents.

    Raises:
        ValueError: ``fine`` has no ``parent_rows``.
    """
    if fine.parent_rows is None:
        raise ValueError("the level has no parent_rows: build the next coarser level first")
    device = fine.keys.device
    slots = child_slots(fine.keys)
    rows = torch.arange(len(fine), dtype=torch.int32, device=device)
    # (8, M'): the child of every parent in every slot, −1 for none.
    down = torch.full((8, len(coarse)), -1, dtype=torch.int32, device=device)
    down.view(-1).scatter_(0, slots * len(coarse) + fine.parent_rows, rows)
    each_slot = torch.arange(8, device=device).unsqueeze(1)
    # (8, M): the parent of every child, in the child's own slot only.
    up = torch.where(slots == each_slot, fine.parent_rows.int(), -1)
    # (M',): bit s is set if slot s is occupied; then its position in the Gray code, so that
    # consecutive parents differ in few slots (see find_neighbours).
    ranks = ((down >= 0) << each_slot).sum(0, dtype=torch.int32)
    for shift in (1, 2, 4):
        ranks ^= ranks >> shift
    return TritonKernelMap(
        _arrange(down, torch.sort(ranks, stable=True).indices, len(fine)),
        _arrange(up, torch.sort(slots, stable=True).indices, len(coarse)),
        mirrored=False,
    )


def _arrange(table: Tensor, order: Tensor, sources: int) -> Blocks:
    """Cut the rows of a table into blocks.

    Args:
        table: (K, M) int32, contiguous: source row at every offset, −1 for none.
        order: (M,) int32 or int64, the order of the rows.
        sources: number of source rows.
    """
    offsets, rows = table.shape
    # Many low blocks occupy the whole GPU where there are few rows; high blocks read the weights
    # less often.
    height = 128 if rows >= HIGH_FROM_ROWS else 64
    count = -(-rows // height)
    shapes = (count, height), (count, offsets, height), (count, offsets), (count,)
    arrays = [torch.empty(shape, dtype=torch.int32, device=table.device) for shape in shapes]
    if rows:
        triton_kernels.arrange_blocks[(count,)](
            table, order, rows, *arrays, offsets, height, enable_fp_fusion=True
        )
    return Blocks(sources, rows, *arrays)
