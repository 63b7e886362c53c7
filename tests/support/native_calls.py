"""Calls of the native library with numpy arrays, in which tests can set every argument."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from clip3d_cli.native import library as native
from clip3d_cli.sparse.key_layout import BIAS, STEP_X, STEP_Y

Array = npt.NDArray[Any]
EXACT, HIGH, FAST = 0, 1, 2
EDGE = 14


def keys_of_cloud(rows: int, seed: int = 0) -> Array:
    """(rows,) int64 sorted keys of random cells in a small cube."""
    draw = np.random.default_rng(seed)
    chosen = np.sort(draw.permutation(EDGE**3)[:rows])
    x, y, z = (cell + BIAS - EDGE // 2 for cell in np.unravel_index(chosen, (EDGE,) * 3))
    return np.asarray(x * STEP_X + y * STEP_Y + z, dtype=np.int64)


def numbers(shape: tuple[int, ...], seed: int = 0) -> Array:
    """Normally distributed float32 numbers."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def bits_of(floats: Array) -> Array:
    """The nearest bfloat16 numbers, ties to even, as uint16."""
    bits = floats.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def floats_of(bits: Array) -> Array:
    """bfloat16 numbers, stored as uint16, as float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def near(floats: Array) -> Array:
    """Floats rounded to bfloat16."""
    return floats_of(bits_of(floats))


def rows_of(array: Array) -> native.RowMatrix:
    """A 2-D array as the library reads it."""
    kind = native.F32 if array.dtype == np.float32 else native.BF16
    pitch = array.strides[0] // array.itemsize if len(array) else array.shape[1]
    return native.RowMatrix(array.ctypes.data, len(array), pitch, array.shape[1], kind)


def pack(library: Any, weight: Array, precision: int, *, transpose: bool = False) -> Array:
    """A packed weight, as bytes."""
    offsets, cin, cout = weight.shape
    packed = np.zeros(library.c3d_packed_bytes(offsets, cin, cout, precision), dtype=np.uint8)
    weight = np.ascontiguousarray(weight)
    code = library.c3d_pack(
        weight.ctypes.data, offsets, cin, cout, cin * cout, cout, transpose, precision,
        packed.ctypes.data, 1,
    )  # fmt: skip
    assert code == native.OK
    return packed


def convolve(
    library: Any,
    feats: Array,
    weight: Array,
    handle: int | None,
    precision: int,
    **options: Any,
) -> Array:
    """Convolved rows; options are target, reverse, epilogue and threads."""
    target = options.get("target")
    if target is None:
        target = np.full((len(feats), weight.shape[2]), np.nan, dtype=np.float32)
    packed = pack(library, weight, precision)
    code = library.c3d_convolve(
        handle, options.get("reverse", 0), rows_of(feats), packed.ctypes.data, rows_of(target),
        options.get("epilogue"), precision, options.get("threads", 1),
    )  # fmt: skip
    assert code == native.OK
    return target


def gradient(
    library: Any, feats: Array, grads: Array, handle: int, precision: int, threads: int = 1
) -> Array:
    """(27, Cin, Cout) gradient of a weight of 3³ cells."""
    weight_grad = np.full((27, feats.shape[1], grads.shape[1]), np.nan, dtype=np.float32)
    code = library.c3d_weight_gradient(
        handle, 0, rows_of(feats), rows_of(grads), weight_grad.ctypes.data,
        weight_grad[0].size, grads.shape[1], precision, threads,
    )  # fmt: skip
    assert code == native.OK
    return weight_grad
