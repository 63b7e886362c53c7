"""Packing voxels into sortable int64 keys, in PyTorch.

The bit layout, and why it is biased, is described in `clip3d_cli.sparse.key_layout`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clip3d_cli.errors import InputError
from clip3d_cli.sparse.key_layout import (
    AXIS_BITS,
    BIAS,
    MAX_CLOUDS,
    STEP_BATCH,
    STEP_X,
    STEP_Y,
    check_cell_range,
)

_AXIS_MASK = (1 << AXIS_BITS) - 1
_HALF_AXIS_MASK = _AXIS_MASK >> 1
# All bits of the batch field.
_BATCH_FIELD = MAX_CLOUDS * STEP_BATCH
# The lower 17 of the 18 bits of the fields x, y and z.
_HALF_AXIS_FIELDS = _HALF_AXIS_MASK * (STEP_X + STEP_Y + 1)


def pack_cells(cells: Tensor) -> Tensor:
    """Return the key of every cell.

    Args:
        cells: (M, 4) int32: batch, x, y, z.

    Returns:
        (M,) int64 keys, in the order of ``cells``.

    Raises:
        TypeError: ``cells`` is not int32.
        ValueError: ``cells`` does not have four columns.
        InputError: E_VOXEL_RANGE, a cell or a batch number that no key can hold.
    """
    if cells.dtype != torch.int32:
        raise TypeError(f"cells must be torch.int32, not {cells.dtype}")
    if cells.ndim != 2 or cells.shape[1] != 4:
        raise ValueError(f"cells must have shape (M, 4), not {tuple(cells.shape)}")
    if len(cells):
        _check_range(cells)
    batch, x, y, z = cells.to(torch.int64).unbind(1)
    return batch * STEP_BATCH + (x + BIAS) * STEP_X + (y + BIAS) * STEP_Y + (z + BIAS)


def unpack_keys(keys: Tensor, stride: int) -> Tensor:
    """Return the cells of keys of the level at ``stride``.

    Args:
        keys: (M,) int64.
        stride: 1, 2, 4, …: the edge of the level's cells, in finest cells.

    Returns:
        (M, 4) int32: batch, x, y, z, in units of ``stride``.
    """
    bias = BIAS // stride
    columns = (
        keys >> (3 * AXIS_BITS),
        ((keys >> (2 * AXIS_BITS)) & _AXIS_MASK) - bias,
        ((keys >> AXIS_BITS) & _AXIS_MASK) - bias,
        (keys & _AXIS_MASK) - bias,
    )
    return torch.stack(columns, dim=1).to(torch.int32)


def parent_keys(keys: Tensor) -> Tensor:
    """Return the key of each cell's parent: the cell of twice the stride that contains it.

    Args:
        keys: (M,) int64.

    Returns:
        (M,) int64, in the order of ``keys``: neither sorted nor unique.
    """
    # One shift halves all three axis fields. It also moves the lowest bit of each field into the
    # highest bit of the field below, which the mask removes.
    return (keys & _BATCH_FIELD) | ((keys >> 1) & _HALF_AXIS_FIELDS)


def child_slots(keys: Tensor) -> Tensor:
    """Return which of the eight children of its parent each cell is.

    Args:
        keys: (M,) int64.

    Returns:
        (M,) int64 in 0…7: 4 · (x mod 2) + 2 · (y mod 2) + (z mod 2), which is the index of the
        kernel offset in a 2³ kernel.
    """
    # BIAS is even, so a field's lowest bit is that of the coordinate.
    x, y, z = (keys >> (2 * AXIS_BITS)) & 1, (keys >> AXIS_BITS) & 1, keys & 1
    return 4 * x + 2 * y + z


def _check_range(cells: Tensor) -> None:
    lowest, highest = cells.amin(dim=0).tolist(), cells.amax(dim=0).tolist()
    if lowest[0] < 0 or highest[0] >= MAX_CLOUDS:
        raise InputError(
            "E_VOXEL_RANGE",
            "batch",
            f"has cloud numbers {lowest[0]}…{highest[0]}, the supported range is "
            f"0…{MAX_CLOUDS - 1}",
            "Make the batch smaller.",
        )
    check_cell_range(lowest[1:], highest[1:])
