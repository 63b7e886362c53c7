"""How cells become sorted 64-bit numbers, and which cells there are; needs no PyTorch.

A key is ``batch (9 bits) | x (18) | y (18) | z (18)``, high to low, with ``BIAS`` added to x, y
and z, so keys are never negative and their order is batch, then x, then y, then z. Two cells at
either end of each axis stay free: a neighbour of a 5³ kernel never carries into the next field,
and no two cells ever meet in one key; the last batch number stays free, so no key or neighbour
is ever `AFTER_ALL`. At stride 2ⁿ a cell is floor(c / 2ⁿ) and its field u >> n.
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

STEP_BATCH = 1 << (3 * AXIS_BITS)
STEP_X = 1 << (2 * AXIS_BITS)
STEP_Y = 1 << AXIS_BITS
AFTER_ALL = (1 << 63) - 1


def refuse_beyond(lowest: Sequence[int], highest: Sequence[int]) -> None:
    """Refuse cells that no key can hold.

    Args:
        lowest: the least x, y and z of all cells.
        highest: the greatest.

    Raises:
        InputError: E_VOXEL_RANGE.
    """
    for axis, low, high in zip("xyz", lowest, highest, strict=True):
        if low < LOWEST_CELL or high > HIGHEST_CELL:
            raise InputError(
                "E_VOXEL_RANGE",
                f"voxels along {axis}",
                f"run over {low}…{high}, the lattice holds {LOWEST_CELL}…{HIGHEST_CELL}",
                "Use larger voxels or smaller tiles; stray points far away also cause this.",
            )
