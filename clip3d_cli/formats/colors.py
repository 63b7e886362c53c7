"""Conversion of the colors and intensities that files store to those of a ``PointCloud``."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# Column names of tables; the first that a table has are used.
COLOR_COLUMNS = (("red", "green", "blue"), ("r", "g", "b"))
INTENSITY_COLUMNS = ("intensity", "i", "reflectance", "remission")

_FULL_SCALES = (1.0, 255.0, 4095.0, 65535.0)


def unit_intensity(values: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    """Return intensities over the smallest common full scale that holds them.

    Args:
        values: (N,) numbers. Negative and missing values become 0.

    Returns:
        (N,) float32 in 0…1. Full scales are 1 (floats only), 255, 4095 and 65535; beyond that,
        the largest value.
    """
    known = _known(values)
    if not known.size:
        return known
    highest = float(known.max())
    scales = _FULL_SCALES if values.dtype.kind == "f" else _FULL_SCALES[1:]
    scale = next((scale for scale in scales if highest <= scale), highest)
    scaled: npt.NDArray[np.float32] = np.clip(known / np.float32(scale), 0, 1)
    return scaled


def byte_colors(values: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8] | None:
    """Return colors as bytes, or None if all of them are black.

    Args:
        values: (N, 3) red, green, blue: bytes, 16-bit integers, or floats in 0…1 or 0…255.

    Returns:
        (N, 3) uint8. Many 16-bit fields hold 8-bit values: integers are divided by 256 only if
        one exceeds 255.
    """
    if not values.size or not values.any():
        return None
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values)
    if values.dtype.kind == "f":
        known = _known(values)
        return np.clip(known * (255 if known.max() <= 1 else 1), 0, 255).astype(np.uint8)
    if values.max() > 255:
        return (values.astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8)
    return values.clip(0, 255).astype(np.uint8)


def split_packed(packed: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """Return (N, 3) uint8 red, green, blue of N packed colors of PCD, 0xAARRGGBB in 4 bytes."""
    little = np.ascontiguousarray(packed.astype(packed.dtype.newbyteorder("<")))
    bgra = little.view(np.uint8).reshape(-1, 4)
    return np.ascontiguousarray(bgra[:, 2::-1])


def _known(values: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    """Return float32 with 0 for missing and infinite values, which would spoil a maximum."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
