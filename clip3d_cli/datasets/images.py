"""Photos and depth images as arrays."""

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

# Pillow's names for one channel of 16 or 32 bits.
_DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I")
# Errors that Pillow's decoders raise for damaged files.
_DECODER_ERRORS = (
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    struct.error,
    zlib.error,
)


def image_size(path: Path) -> tuple[int, int]:
    """Return width and height of an image, px, from the header of its file.

    Args:
        path: file of an image.

    Raises:
        InputError: the file is missing, not an image, or has more pixels than any photo.
    """
    with _opened(path) as image:
        return image.size


def read_image(path: Path) -> npt.NDArray[np.uint8]:
    """Read the pixels of an image in the order in which they are stored.

    A rotation noted in EXIF is not applied, because intrinsics refer to the pixels as stored. Grey
    becomes RGB, transparency is dropped, and of 16 bits the upper eight are kept.

    Args:
        path: file of an image.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        InputError: the file is missing, truncated, damaged, not an image, or has more pixels than
            any photo.
    """
    with _opened(path) as image:
        if image.mode == "F":
            raise InputError(
                "E_UNSUPPORTED",
                path,
                "has floating point pixels, not colors",
                "Store it in 8 or 16 bits.",
            )
        if image.mode in _DEEP:
            grey = np.clip(np.asarray(image).astype(np.int64), 0, 0xFFFF) >> 8
            return np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)
        return np.array(image.convert("RGB"), dtype=np.uint8)


def read_depth(path: Path, unit_m: float) -> npt.NDArray[np.float32]:
    """Read a depth image.

    Args:
        path: PNG or TIFF of one channel, of 16 bits or floating point.
        unit_m: metres of one step of the stored numbers.

    Returns:
        (h, w) float32 metres; 0 where the depth is unknown.

    Raises:
        InputError: the file is missing, truncated, damaged, or not of one channel of 16 bits.
    """
    with _opened(path) as image:
        if image.mode not in (*_DEEP, "F"):
            raise InputError(
                "E_UNSUPPORTED",
                path,
                f"is not a depth image: its pixels are {image.mode}, not one channel of 16 bits",
                "A colored picture of depth cannot be read; name the original depth image.",
            )
        depth: npt.NDArray[np.float32] = np.array(image, dtype=np.float32)
    depth *= np.float32(unit_m)
    depth[~(np.isfinite(depth) & (depth > 0))] = 0
    return depth


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open an image; errors of opening it and of reading its pixels become InputErrors."""
    require_file(path)
    with warnings.catch_warnings():
        # Pillow warns of odd metadata and of large images, which change no pixel.
        warnings.simplefilter("ignore")
        try:
            with Image.open(path) as image:
                yield image
        except Image.DecompressionBombError as error:
            fault = "has more pixels than any photo"
            raise InputError("E_TOO_LARGE", path, fault, "Export a smaller image.") from error
        except UnidentifiedImageError as error:
            fault = "is not an image"
            raise InputError("E_UNSUPPORTED", path, fault, "Use JPEG or PNG.") from error
        except PermissionError as error:
            fault = "may not be read"
            raise InputError("E_PERMISSION", path, fault, "Change its permissions.") from error
        except OSError as error:
            raise _damaged(path, error) from error
        except _DECODER_ERRORS as error:
            raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> InputError:
    if "truncated" in str(error).lower():
        fault, remedy = "ends in the middle of the image", "The copy is truncated; fetch it again."
        return InputError("E_TRUNCATED", path, fault, remedy)
    return InputError("E_CORRUPT", path, f"is damaged: {error}", "Fetch or export it again.")
