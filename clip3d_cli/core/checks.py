"""Construction checks: arrays are refused, never cast."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def check_array(
    name: str, array: npt.NDArray[np.generic], dtype: npt.DTypeLike, shape: tuple[int | None, ...]
) -> None:
    """Refuse an array whose dtype or shape is not the promised one.

    Args:
        name: what the array is called in the message.
        array: any shape.
        dtype: the exact dtype.
        shape: one entry per axis, ``None`` for any length.

    Raises:
        TypeError: the dtype differs.
        ValueError: the shape differs.
    """
    if array.dtype != np.dtype(dtype):
        raise TypeError(f"{name} must be {np.dtype(dtype)}, not {array.dtype}")
    fits = array.ndim == len(shape) and all(
        want is None or want == have for want, have in zip(shape, array.shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{name} must have shape {shape}, not {array.shape}")
