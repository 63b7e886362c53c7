"""Access to the lists of a native kernel map: ``struct c3d_map`` of internal.h for ctypes."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_int32, c_int64, c_void_p

import torch
from torch import Tensor

GRANULE = 128
_MOST_OFFSETS = 125


class _Map(ctypes.Structure):
    _fields_ = (
        ("offsets", c_int32),
        ("centre", c_int32),
        ("length", c_int64 * 2),
        ("granules", c_int64 * 2),
        ("rows", (POINTER(c_int32) * _MOST_OFFSETS) * 2),
        ("count", c_int64 * _MOST_OFFSETS),
        ("starts", POINTER(c_int32) * 2),
        ("memory", c_void_p * 4),
        ("bytes", c_int64),
    )


class MapView:
    """Copies of the lists of a map."""

    def __init__(self, handle: int) -> None:
        found = _Map.from_address(handle)
        self.offsets, self.centre = found.offsets, found.centre
        self.length = tuple(found.length)
        self.lists = [
            tuple(_copy(found.rows[side][k], found.count[k]) for side in (0, 1))
            for k in range(found.offsets)
        ]
        self.starts = [
            _copy(found.starts[d], (found.granules[d] + 1) * found.offsets).view(-1, found.offsets)
            for d in (0, 1)
        ]


def _copy(place: ctypes._Pointer[c_int32], count: int) -> Tensor:
    return torch.tensor(place[:count] if count else [], dtype=torch.int32)
