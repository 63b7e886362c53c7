"""Checks of arrays on construction: a wrong dtype or shape is an error, and nothing is cast."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def validate_array(
    name: str, array: npt.NDArray[np.generic], dtype: npt.DTypeLike, shape: tuple[int | None, ...]
) -> None:
    """Check the dtype and the shape of an array.

    Args:
        name: name of the array, for the message.
        array: array to check.
        dtype: required dtype.
        shape: required length of each axis; None allows any length.

    Raises:
        TypeError: the dtype differs.
        ValueError: the shape differs.
    """
    if array.dtype != np.dtype(dtype):
        raise TypeError(f"{name} must be {np.dtype(dtype)}, not {array.dtype}")
    matches = array.ndim == len(shape) and all(
        required is None or required == length
        for required, length in zip(shape, array.shape, strict=True)
    )
    if not matches:
        raise ValueError(f"{name} must have shape {shape}, not {array.shape}")
