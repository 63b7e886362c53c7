"""Which cells see which: the pairs behind every kernel map."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from clip3d_cli.sparse.backend import Level
from clip3d_cli.sparse.keys import child_slots
from clip3d_cli.sparse.lattice import AFTER_ALL, STEP_X, STEP_Y


class Pairs(NamedTuple):
    """The pairs of one kernel offset.

    Attributes:
        targets: (P,) int32, the rows that are filled, ascending.
        sources: (P,) int32, the row that each of them sees, ascending too: an offset moves all
            cells alike, and so keeps their order.
    """

    targets: Tensor
    sources: Tensor


def neighbour_pairs(keys: Tensor, size: int) -> list[Pairs]:
    """The pairs of cells that see each other, for every offset of a centred kernel.

    One search a column: in key order the cells of a column (equal x and y) lie side by side, so
    the neighbours along z follow the first. Half of the offsets are searched; the other half is
    their mirror image.

    Args:
        keys: (M,) int64, sorted, unique.
        size: the edge of the kernel, odd, in cells; at most 5, the margin of keys.

    Returns:
        size³ pairs, offsets with x slowest.
    """
    if size % 2 == 0 or size > 5:
        raise ValueError(f"a submanifold kernel has 1, 3 or 5 cells an edge, not {size}")
    reach = size // 2
    rows = torch.arange(len(keys), dtype=torch.int32, device=keys.device)
    middle = size**3 // 2
    pairs = [Pairs(rows, rows)] * size**3
    padded = torch.cat((keys, keys.new_tensor([AFTER_ALL])))
    for column in range(middle // size, size**2):
        dx, dy = column // size - reach, column % size - reach
        first = -reach if dx or dy else 1
        wanted = keys + (dx * STEP_X + dy * STEP_Y + first)
        place = torch.searchsorted(keys, wanted, out_int32=True)
        for dz in range(first, reach + 1):
            found = padded[place] == wanted
            here = found.nonzero()[:, 0]
            offset = column * size + dz + reach
            pairs[offset] = Pairs(here.int(), place[here])
            pairs[2 * middle - offset] = Pairs(*reversed(pairs[offset]))
            place = place + found
            wanted += 1
    return pairs


def child_pairs(fine: Level) -> list[Pairs]:
    """The pairs of parents (targets) and children (sources), for the eight slots, x slowest.

    Args:
        fine: a level that knows its parents' rows.
    """
    if fine.parent_rows is None:
        raise ValueError("the level does not know its parents: ask for the coarser level first")
    slots = child_slots(fine.keys)
    children = [(slots == slot).nonzero()[:, 0] for slot in range(8)]
    return [Pairs(fine.parent_rows[rows], rows.int()) for rows in children]
