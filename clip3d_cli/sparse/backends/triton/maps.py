"""Kernel maps as the Triton kernels read them: blocks of rows that see the same offsets."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from clip3d_cli.sparse.backend import Level
from clip3d_cli.sparse.backends.triton import kernels as triton_kernels
from clip3d_cli.sparse.keys import child_slots
from clip3d_cli.sparse.lattice import STEP_X, STEP_Y

LARGEST_SIZE = 5
HIGH_FROM_ROWS = 1 << 16
_SEARCH_ROWS = 256


@dataclass(frozen=True, eq=False)
class Blocks:
    """One direction of a kernel map: B blocks of H rows, each with its own list of offsets.

    Attributes:
        sources, rows: how many source rows and target rows there are.
        targets: (B, H) int32, target rows in an order that brings like rows together; −1 after
            the last.
        neighbours: (B, K, H) int32, what the rows see at every offset of the block's list, −1
            for nothing; undefined after the list's end.
        offsets: (B, K) int32, the list: the offsets that occur in the block, ascending.
        counts: (B,) int32, how many they are.
    """

    sources: int
    rows: int
    targets: Tensor
    neighbours: Tensor
    offsets: Tensor
    counts: Tensor

    @cached_property
    def by_offset(self) -> tuple[Tensor, Tensor]:
        """In which blocks every offset occurs, for gradients of weights.

        Returns:
            (K, B) int32: entries ``block · K + place in its list``, ascending; undefined after
            the last; and (K,) int32: how many each offset has.
        """
        blocks, length = self.offsets.shape
        device = self.offsets.device
        place = torch.arange(length, device=device)
        used = place < self.counts.unsqueeze(1)
        # What is no entry lands in a last column, which is cut off.
        offset = torch.where(used, self.offsets, length).long()
        entry = torch.full((blocks, length + 1), -1, dtype=torch.int32, device=device)
        numbers = torch.arange(blocks * length, dtype=torch.int32, device=device)
        entry.scatter_(1, offset, numbers.view(blocks, length))
        entry = entry[:, :length].T
        occurs = entry >= 0
        first = torch.sort(occurs.to(torch.uint8), dim=1, descending=True, stable=True).indices
        return entry.gather(1, first).contiguous(), occurs.sum(1, dtype=torch.int32)


@dataclass(frozen=True, slots=True, eq=False)
class TritonKernelMap:
    """A map in both directions; a submanifold map is its own mirror image."""

    forward: Blocks
    backward: Blocks
    mirrored: bool

    def turned(self) -> TritonKernelMap:
        """The same pairs with source and target exchanged."""
        return TritonKernelMap(self.backward, self.forward, self.mirrored)


def beside(rows: Tensor) -> AbstractContextManager[Any]:
    """Within it, kernels are launched on the device of ``rows``."""
    return torch.cuda.device(rows.device) if rows.is_cuda else nullcontext()


def submanifold_map(level: Level, size: int) -> TritonKernelMap:
    """The map of a level onto itself.

    Args:
        level: at least one cell.
        size: the edge of the kernel, odd, in cells; at most 5, the margin of keys.
    """
    if size % 2 == 0 or size > LARGEST_SIZE:
        raise ValueError(f"a submanifold kernel has 1, 3 or 5 cells an edge, not {size}")
    rows, device = len(level), level.keys.device
    if size == 1 or not rows:
        order = torch.arange(rows, dtype=torch.int32, device=device)
        table = order.expand(size**3, rows)
    else:
        table = torch.empty((size**3, rows), dtype=torch.int32, device=device)
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
    """The map of a level onto the next coarser: eight slots, x slowest.

    Args:
        fine: a level that knows its parents' rows.
        coarse: the level of the parents.
    """
    if fine.parent_rows is None:
        raise ValueError("the level does not know its parents: ask for the coarser level first")
    device = fine.keys.device
    slots = child_slots(fine.keys)
    rows = torch.arange(len(fine), dtype=torch.int32, device=device)
    down = torch.full((8, len(coarse)), -1, dtype=torch.int32, device=device)
    down.view(-1).scatter_(0, slots * len(coarse) + fine.parent_rows, rows)
    each = torch.arange(8, device=device).unsqueeze(1)
    up = torch.where(slots == each, fine.parent_rows.int(), -1)
    seen = ((down >= 0) << each).sum(0, dtype=torch.int32)
    for shift in (1, 2, 4):  # the place in Gray-code order, as in find_neighbours
        seen ^= seen >> shift
    return TritonKernelMap(
        _arrange(down, torch.sort(seen, stable=True).indices, len(fine)),
        _arrange(up, torch.sort(slots, stable=True).indices, len(coarse)),
        mirrored=False,
    )


def _arrange(table: Tensor, order: Tensor, sources: int) -> Blocks:
    """Blocks of the rows of ``table`` (K, rows), contiguous, in the order ``order`` (rows,)."""
    offsets, rows = table.shape
    # Low blocks where there are few rows, to occupy the whole GPU; high ones read weights less.
    height = 128 if rows >= HIGH_FROM_ROWS else 64
    count = -(-rows // height)
    shapes = (count, height), (count, offsets, height), (count, offsets), (count,)
    arrays = [torch.empty(shape, dtype=torch.int32, device=table.device) for shape in shapes]
    if rows:
        triton_kernels.arrange_blocks[(count,)](
            table, order, rows, *arrays, offsets, height, enable_fp_fusion=True
        )
    return Blocks(sources, rows, *arrays)
