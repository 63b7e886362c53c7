"""Cells as keys, in PyTorch: see `clip3d_cli.sparse.lattice`."""

from __future__ import annotations

import torch
from torch import Tensor

from clip3d_cli.errors import InputError
from clip3d_cli.sparse.lattice import (
    AXIS_BITS,
    BIAS,
    MAX_CLOUDS,
    STEP_BATCH,
    STEP_X,
    STEP_Y,
    refuse_beyond,
)

_AXIS_MASK = (1 << AXIS_BITS) - 1
_HALF_MASK = _AXIS_MASK >> 1
_BATCH_FIELD = MAX_CLOUDS * STEP_BATCH
_HALF_FIELDS = _HALF_MASK * (STEP_X + STEP_Y + 1)


def pack(cells: Tensor) -> Tensor:
    """The key of every cell.

    Args:
        cells: (M, 4) int32: batch, x, y, z.

    Returns:
        (M,) int64, in the order of ``cells``.

    Raises:
        TypeError: not int32.
        ValueError: not four columns.
        InputError: E_VOXEL_RANGE, a cell or a batch number that no key can hold.
    """
    if cells.dtype != torch.int32:
        raise TypeError(f"cells must be torch.int32, not {cells.dtype}")
    if cells.ndim != 2 or cells.shape[1] != 4:
        raise ValueError(f"cells must have shape (M, 4), not {tuple(cells.shape)}")
    if len(cells):
        _refuse_out_of_range(cells)
    batch, x, y, z = cells.to(torch.int64).unbind(1)
    return batch * STEP_BATCH + (x + BIAS) * STEP_X + (y + BIAS) * STEP_Y + (z + BIAS)


def unpack(keys: Tensor, stride: int) -> Tensor:
    """The cells of keys at a stride: (M, 4) int32 batch, x, y, z, in units of that stride."""
    bias = BIAS // stride
    columns = (
        keys >> (3 * AXIS_BITS),
        ((keys >> (2 * AXIS_BITS)) & _AXIS_MASK) - bias,
        ((keys >> AXIS_BITS) & _AXIS_MASK) - bias,
        (keys & _AXIS_MASK) - bias,
    )
    return torch.stack(columns, dim=1).to(torch.int32)


def parents(keys: Tensor) -> Tensor:
    """The keys of the cells twice as wide that hold these cells: (M,) int64, not sorted."""
    return (keys & _BATCH_FIELD) | ((keys >> 1) & _HALF_FIELDS)


def child_slots(keys: Tensor) -> Tensor:
    """Which of the eight children of its parent each cell is: (M,) int64, x slowest."""
    x, y, z = (keys >> (2 * AXIS_BITS)) & 1, (keys >> AXIS_BITS) & 1, keys & 1
    return 4 * x + 2 * y + z


def _refuse_out_of_range(cells: Tensor) -> None:
    lowest, highest = cells.amin(dim=0).tolist(), cells.amax(dim=0).tolist()
    if lowest[0] < 0 or highest[0] >= MAX_CLOUDS:
        raise InputError(
            "E_VOXEL_RANGE",
            "batch",
            f"holds cloud numbers {lowest[0]}…{highest[0]}, a batch can hold 0…{MAX_CLOUDS - 1}",
            "Make the batch smaller.",
        )
    refuse_beyond(lowest[1:], highest[1:])
