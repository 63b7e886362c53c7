"""Colors and intensities as clip3d computes with them, from the many ways files store them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# What the columns of tables are called, the first match first.
COLOR_COLUMNS = (("red", "green", "blue"), ("r", "g", "b"))
INTENSITY_COLUMNS = ("intensity", "i", "reflectance", "remission")

_FULL_SCALES = (1.0, 255.0, 4095.0, 65535.0)


def unit_intensity(values: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    """(N,) float32 in 0…1: values over the smallest usual full scale that holds them.

    Full scales are 1 (floats only), 255, 4095 and 65535; beyond that, the largest value.
    Negative and missing values become 0.
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
    """(N, 3) uint8 from bytes, 16-bit numbers or floats in 0…1; None where all are zero.

    16-bit fields often hold 8-bit values: they are scaled down only if one exceeds 255.
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
    """(N, 3) uint8 red, green, blue of PCD's packed colors, whose four bytes are b, g, r, a."""
    four = np.ascontiguousarray(packed.astype(packed.dtype.newbyteorder("<"))).view(np.uint8)
    return np.ascontiguousarray(four.reshape(-1, 4)[:, 2::-1])


def _known(values: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    """float32 with 0 for what is missing or infinite: those would poison a maximum."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
