"""Bit layout of packed voxel keys and the range of cells they can hold, without PyTorch.

A key packs one voxel of one cloud of a batch into the 63 non-negative bits of an int64:

    bits    62…54     53…36      35…18      17…0
    field   batch     x + BIAS   y + BIAS   z + BIAS
    width   9         18         18         18

The numeric order of keys is therefore the order batch, x, y, z, and the key of a neighbour is the
key plus a constant (``dx * STEP_X + dy * STEP_Y + dz``).

* Bias: cell coordinates may be negative. Adding ``BIAS`` = 2¹⁷ makes every field non-negative;
  otherwise a negative z would borrow from the y field and the order would break.
* Margin: the outermost ``MARGIN`` cells of every axis are not used. The offsets of a 5³ kernel
  reach two cells far, so a neighbour's key never carries into the next field, and two different
  cells never have the same key.
* The last batch number is not used, so that no key and no neighbour's key reaches ``KEY_SENTINEL``.
* Coarser levels: at stride 2ⁿ a cell is floor(c / 2ⁿ), and its field u = c + BIAS becomes u >> n.
  Fields keep their positions; the bias at that stride is BIAS / 2ⁿ.
"""

from __future__ import annotations

from collections.abc import Sequence

from clip3d_cli.errors import InputError

AXIS_BITS = 18
BATCH_BITS = 9
MARGIN = 2
BIAS = 1 << (AXIS_BITS - 1)
LOWEST_CELL = MARGIN - BIAS
HIGHEST_CELL = BIAS - 1 - MARGIN
MAX_CLOUDS = (1 << BATCH_BITS) - 1

# Difference between the keys of neighbours along an axis; along z it is 1.
STEP_BATCH = 1 << (3 * AXIS_BITS)
STEP_X = 1 << (2 * AXIS_BITS)
STEP_Y = 1 << AXIS_BITS
# Greater than every key and every neighbour's key: ends sorted lists of keys.
KEY_SENTINEL = (1 << 63) - 1


def check_cell_range(lowest: Sequence[int], highest: Sequence[int]) -> None:
    """Reject cells that no key can hold.

    Args:
        lowest: least x, y and z of all cells.
        highest: greatest x, y and z of all cells.

    Raises:
        InputError: E_VOXEL_RANGE, a coordinate outside ``LOWEST_CELL`` … ``HIGHEST_CELL``.
    """
    for axis, low, high in zip("xyz", lowest, highest, strict=True):
        if low < LOWEST_CELL or high > HIGHEST_CELL:
            raise InputError(
                "E_VOXEL_RANGE",
                f"voxels along {axis}",
                f"range over {low}…{high}, the supported range is {LOWEST_CELL}…{HIGHEST_CELL}",
                "Use larger voxels or smaller tiles; stray points far away also cause this.",
            )
