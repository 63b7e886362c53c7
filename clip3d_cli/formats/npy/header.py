"""The header of an NPY array, parsed within bounds; nothing is ever unpickled.

Layout: NEP 1, versions 1.0 to 3.0.
"""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from clip3d_cli.errors import InputError
from clip3d_cli.formats.file_checks import bad_header, truncated

MAGIC = b"\x93NUMPY"
_MAX_HEADER_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class NpyHeader:
    """A parsed header.

    Attributes:
        dtype: dtype of the array, without objects.
        shape: shape of the array.
        is_fortran: whether the first index runs fastest.
        size: bytes of the header; the first number starts there.
    """

    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    is_fortran: bool
    size: int

    @property
    def body_bytes(self) -> int:
        """Bytes of all numbers of the array."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_npy_header(path: Path, file: IO[bytes], name: str) -> NpyHeader:
    """Parse the header of an array.

    Args:
        path: the file, for messages.
        file: stream at the first byte of the array.
        name: name of the array, for messages.

    Raises:
        InputError: E_TRUNCATED; E_BAD_HEADER; E_PICKLE: the array holds objects.
    """
    start = file.read(8)  # magic, major version, minor version
    if start[:6] != MAGIC or len(start) < 8 or start[6] not in (1, 2, 3):
        raise bad_header(path, f"{name} is no NPY array of version 1 to 3")
    width = 2 if start[6] == 1 else 4
    length = int.from_bytes(file.read(width), "little")
    if length > _MAX_HEADER_BYTES:
        raise bad_header(path, f"{name} claims a header of {length:,} bytes")
    text = file.read(length)
    if len(text) < length:
        raise truncated(path, f"the header of {name} ends early")
    try:
        entries = ast.literal_eval(text.decode("utf-8" if start[6] == 3 else "latin-1"))
        shape, is_fortran = entries["shape"], entries["fortran_order"]
        dtype: np.dtype[np.generic] = np.lib.format.descr_to_dtype(entries["descr"])
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError) as error:
        raise bad_header(path, f"the header of {name} does not parse") from error
    is_shape = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
    if not is_shape or not isinstance(is_fortran, bool):
        raise bad_header(path, f"{name} has the shape {str(shape)[:60]}")
    if dtype.hasobject:
        raise InputError(
            "E_PICKLE",
            path,
            f"{name} holds Python objects, and reading those can run code",
            "Save plain numbers: np.savez(..., xyz=xyz.astype(np.float64)).",
        )
    return NpyHeader(dtype, shape, is_fortran, 8 + width + length)


def read_npy_body(path: Path, file: IO[bytes], header: NpyHeader) -> npt.NDArray[np.generic]:
    """Read the array behind a header.

    Args:
        path: the file, for messages.
        file: stream at the first number of the array.
        header: header of the array.

    Raises:
        InputError: E_TRUNCATED: the stream ends early.
    """
    raw = file.read(header.body_bytes)
    if len(raw) < header.body_bytes:
        raise truncated(path, f"an array of {header.shape} ends after {len(raw):,} bytes")
    flat = np.frombuffer(raw, header.dtype)
    array: npt.NDArray[np.generic] = flat.reshape(
        header.shape[::-1] if header.is_fortran else header.shape
    )
    return array.T if header.is_fortran else array
