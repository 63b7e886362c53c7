"""Pairs of cells that see each other through a kernel: what every kernel map is built from."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from clip3d_cli.sparse.backend import Level
from clip3d_cli.sparse.key_layout import KEY_SENTINEL, STEP_X, STEP_Y
from clip3d_cli.sparse.keys import child_slots


class Pairs(NamedTuple):
    """Pairs of one kernel offset: target row i receives from source row i.

    Both lists ascend: an offset moves all cells by the same vector and so keeps their order.

    Attributes:
        targets: (P,) int32, rows of the output.
        sources: (P,) int32, the row of the input that each target sees at this offset.
    """

    targets: Tensor
    sources: Tensor


def neighbour_pairs(keys: Tensor, size: int) -> list[Pairs]:
    """Return the pairs of a submanifold convolution, for every offset of a centred kernel.

    Args:
        keys: (M,) int64, sorted and unique.
        size: edge of the kernel in cells: 1, 3 or 5, as the margin of the keys allows.

    Returns:
        size³ pairs, offsets with x slowest and z fastest.

    Raises:
        ValueError: ``size`` is even or above 5.
    """
    if size % 2 == 0 or size > 5:
        raise ValueError(f"a submanifold kernel has an edge of 1, 3 or 5 cells, not {size}")
    radius = size // 2
    rows = torch.arange(len(keys), dtype=torch.int32, device=keys.device)
    centre = size**3 // 2
    # The centre keeps this entry: every cell sees itself.
    pairs = [Pairs(rows, rows)] * size**3
    # A search beyond the last key returns M; the sentinel there equals no wanted key.
    padded = torch.cat((keys, keys.new_tensor([KEY_SENTINEL])))
    # One search per column (dx, dy) of the kernel, not per offset: in key order the cells of a
    # column lie side by side, so its other dz follow the first one found. Only the columns from
    # the centre on are searched: if i sees j at offset d, then j sees i at −d.
    for column in range(centre // size, size**2):
        dx, dy = column // size - radius, column % size - radius
        first_dz = -radius if dx or dy else 1
        # (M,) int64: the key each cell would see at (dx, dy, dz).
        wanted = keys + (dx * STEP_X + dy * STEP_Y + first_dz)
        # (M,) int32: the first row whose key is not below it.
        candidate = torch.searchsorted(keys, wanted, out_int32=True)
        for dz in range(first_dz, radius + 1):
            is_neighbour = padded[candidate] == wanted
            targets = is_neighbour.nonzero()[:, 0]
            offset = column * size + dz + radius
            pairs[offset] = Pairs(targets.int(), candidate[targets])
            pairs[2 * centre - offset] = Pairs(*reversed(pairs[offset]))
            # Where this dz was occupied the next one can only be the next row.
            candidate = candidate + is_neighbour
            wanted += 1
    return pairs


def child_pairs(fine: Level) -> list[Pairs]:
    """Return the pairs of a strided convolution of 2³ cells: parents see their children.

    Args:
        fine: level of the children, with ``parent_rows``.

    Returns:
        Eight pairs, one per child slot with x slowest: targets are rows of the parents, sources
        rows of the children.

    Raises:
        ValueError: the level has no ``parent_rows``.
    """
    if fine.parent_rows is None:
        raise ValueError("the level has no parent_rows: build the next coarser level first")
    slots = child_slots(fine.keys)
    children = [(slots == slot).nonzero()[:, 0] for slot in range(8)]
    return [Pairs(fine.parent_rows[rows], rows.int()) for rows in children]
