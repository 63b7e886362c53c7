"""Which cells see which: the tables behind every kernel map."""

from __future__ import annotations

import torch
from torch import Tensor

from clip3d_cli.sparse.backend import Level
from clip3d_cli.sparse.keys import AFTER_ALL, STEP_X, STEP_Y, child_slots


def neighbour_table(keys: Tensor, size: int) -> Tensor:
    """The row of every neighbour of every cell.

    One search a column: in key order the cells of a column (equal x and y) lie side by side, so
    the neighbours along z follow the first. Half of the offsets are searched; the other half is
    their mirror image.

    Args:
        keys: (M,) int64, sorted, unique.
        size: the edge of the kernel, odd, in cells; at most 5, the margin of keys.

    Returns:
        (size³, M) int32, −1 where the cell is empty; offsets with x slowest, centred.
    """
    if size % 2 == 0 or size > 5:
        raise ValueError(f"a submanifold kernel has 1, 3 or 5 cells an edge, not {size}")
    reach = size // 2
    offsets, cells = size**3, len(keys)
    rows = torch.arange(cells, dtype=torch.int32, device=keys.device)
    table = torch.full((offsets, cells), -1, dtype=torch.int32, device=keys.device)
    table[offsets // 2] = rows
    padded = torch.cat((keys, keys.new_tensor([AFTER_ALL])))
    for dx in range(reach + 1):
        for dy in range(-reach if dx else 0, reach + 1):
            first = -reach if dx or dy else 1
            wanted = keys + (dx * STEP_X + dy * STEP_Y + first)
            place = torch.searchsorted(keys, wanted, out_int32=True)
            for dz in range(first, reach + 1):
                found = padded[place] == wanted
                offset = ((dx + reach) * size + dy + reach) * size + dz + reach
                here, there = rows[found], place[found]
                table[offset, here] = there
                table[offsets - 1 - offset, there] = here
                place = place + found
                wanted += 1
    return table


def child_table(fine: Level, parents: int) -> tuple[Tensor, Tensor]:
    """The children of every parent, and the parent of every child.

    Args:
        fine: a level of M cells that knows its parents' rows.
        parents: how many parents there are.

    Returns:
        (8, parents) int32 rows of children and (8, M) int32 rows of parents, −1 for none; slots
        with x slowest.
    """
    if fine.parent_rows is None:
        raise ValueError("the level does not know its parents: ask for the coarser level first")
    slots = child_slots(fine.keys)
    rows = torch.arange(len(fine), dtype=torch.int32, device=slots.device)
    children = torch.full((8, parents), -1, dtype=torch.int32, device=slots.device)
    children[slots, fine.parent_rows] = rows
    parent_of_child = torch.full((8, len(fine)), -1, dtype=torch.int32, device=slots.device)
    parent_of_child[slots, rows.long()] = fine.parent_rows.int()
    return children, parent_of_child
