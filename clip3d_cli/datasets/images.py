"""Photos and depth images, as numbers."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from clip3d_cli.errors import InputError
from clip3d_cli.formats.file_checks import require_file

_DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I")
_BROKEN = (SyntaxError, ValueError, EOFError, IndexError, KeyError, struct.error, zlib.error)


def image_size(path: Path) -> tuple[int, int]:
    """Width and height of a stored image in pixels, from its header alone.

    Raises:
        InputError: it is missing, no image, or too large to be one.
    """
    with _opened(path) as image:
        return image.size


def read_image(path: Path) -> npt.NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB: an image's pixels in the order in which they are stored.

    A camera's note that it was held upright (EXIF orientation) is not followed: intrinsics speak
    of the pixels as they are stored. Grey becomes RGB, transparency is dropped, and of 16 bits
    the upper eight remain.

    Raises:
        InputError: it is missing, cut off, damaged, no image, or too large to be one.
    """
    with _opened(path) as image:
        if image.mode == "F":
            raise InputError(
                "E_UNSUPPORTED", path, "holds fractions, not colors", "Store it in 8 or 16 bits."
            )
        if image.mode in _DEEP:
            grey = np.clip(np.asarray(image).astype(np.int64), 0, 0xFFFF) >> 8
            return np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)
        return np.array(image.convert("RGB"), dtype=np.uint8)


def read_depth(path: Path, unit_m: float) -> npt.NDArray[np.float32]:
    """(h, w) float32 metres of a depth image; 0 where the depth is unknown.

    Args:
        path: a PNG or TIFF of one channel, of 16 bits or of fractions.
        unit_m: metres that a step of the file stands for.

    Raises:
        InputError: it is missing, cut off, damaged, or not of one channel of 16 bits.
    """
    with _opened(path) as image:
        if image.mode not in (*_DEEP, "F"):
            raise InputError(
                "E_UNSUPPORTED",
                path,
                f"is no depth image: its pixels are {image.mode}, not one channel of 16 bits",
                "A colored picture of depth cannot be read back; name the original.",
            )
        depth: npt.NDArray[np.float32] = np.array(image, dtype=np.float32)
    depth *= np.float32(unit_m)
    depth[~(np.isfinite(depth) & (depth > 0))] = 0
    return depth


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """An image whose faults, while it is read too, are refusals that name it."""
    require_file(path)
    with warnings.catch_warnings():
        # Pillow warns of odd metadata and of large pictures, neither of which matters to pixels.
        warnings.simplefilter("ignore")
        try:
            with Image.open(path) as image:
                yield image
        except Image.DecompressionBombError as error:
            fault = "claims more pixels than any camera takes"
            raise InputError("E_TOO_LARGE", path, fault, "Export it again, smaller.") from error
        except UnidentifiedImageError as error:
            fault = "is not an image"
            raise InputError("E_UNSUPPORTED", path, fault, "JPEG and PNG are read.") from error
        except PermissionError as error:
            fault = "may not be read"
            raise InputError("E_PERMISSION", path, fault, "Change its permissions.") from error
        except OSError as error:
            raise _damaged(path, error) from error
        except _BROKEN as error:
            raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> InputError:
    if "truncated" in str(error).lower():
        fault, remedy = "ends in the middle of the image", "The copy was cut off; fetch it again."
        return InputError("E_TRUNCATED", path, fault, remedy)
    return InputError("E_CORRUPT", path, f"is damaged: {error}", "Fetch or export it again.")
