"""The arrays of NPY and NPZ files, and which of them are coordinates, colors and intensity."""

from __future__ import annotations

import errno
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.errors import InputError
from clip3d_cli.formats.file_checks import truncated
from clip3d_cli.formats.npy.header import NpyHeader, read_npy_body, read_npy_header

SUFFIX = ".npy"

_XYZ_NAMES = ("xyz", "points", "point", "coord", "coords", "positions", "pos", "pts")
_COLOR_NAMES = ("rgb", "colors", "color", "colours")
_INTENSITY_NAMES = ("intensity", "reflectance", "remission")
_ENCRYPTED = 0x1  # flag of an archive's member
_MAX_COLUMNS = 64
# A (3, N) array with more columns than this is transposed coordinates, not three points.
_MAX_COLUMNS_OF_THREE_POINTS = 8


@dataclass(frozen=True, slots=True)
class CloudArrays:
    """Names of the arrays that hold the cloud.

    Attributes:
        xyz: name of one (N, C >= 3) or structured array, or names of the (N,) arrays x, y, z.
        rgb: name of an (N, 3) array, or None.
        intensity: name of an (N,) array, or None.
        points: N.
    """

    xyz: tuple[str, ...]
    rgb: str | None
    intensity: str | None
    points: int

    @property
    def names(self) -> list[str]:
        """Names of all these arrays."""
        return [*self.xyz, *(name for name in (self.rgb, self.intensity) if name is not None)]


@contextmanager
def open_npz(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open the archive of an NPZ file; errors of the archive in the block are raised as ours.

    Raises:
        InputError: E_TRUNCATED: the list of contents at the end of the file is missing; E_CORRUPT;
            E_UNSUPPORTED: the compression is unknown.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, ValueError) as error:
        if not zipfile.is_zipfile(path):
            raise truncated(path, "the archive has no list of contents at its end") from error
        raise _corrupt(path, error) from error
    except OSError as error:
        # A damaged list of contents leads to a seek before the file; other errors are the disk's.
        if error.errno != errno.EINVAL:
            raise
        raise _corrupt(path, error) from error
    except (NotImplementedError, RuntimeError) as error:
        raise InputError(
            "E_UNSUPPORTED", path, f"the archive cannot be read: {error}", "Save it with np.savez."
        ) from error


def array_headers(path: Path, archive: zipfile.ZipFile) -> dict[str, NpyHeader]:
    """Return the headers of all arrays in an archive, without those that hold objects.

    Args:
        path: the file, for messages.
        archive: its archive.

    Raises:
        InputError: E_PICKLE: all arrays hold objects; E_UNSUPPORTED: an array is encrypted;
            E_COUNT_MISMATCH: an array claims more numbers than the archive holds.
    """
    headers: dict[str, NpyHeader] = {}
    objects: InputError | None = None
    for member in archive.infolist():
        if not member.filename.endswith(SUFFIX):
            continue
        name = member.filename.removesuffix(SUFFIX)
        if member.flag_bits & _ENCRYPTED:
            raise InputError("E_UNSUPPORTED", path, f"{name} is encrypted", "Decrypt it first.")
        try:
            with archive.open(member) as file:
                header = read_npy_header(path, file, name)
        except InputError as error:
            if error.code != "E_PICKLE":
                raise
            objects = error
            continue
        require_body(path, name, header, member.file_size)
        headers[name] = header
    if objects is not None and not headers:
        raise objects
    return headers


def require_body(path: Path, name: str, header: NpyHeader, available: int) -> None:
    """Raise if an array claims more bytes than there are.

    Args:
        path: the file, for messages.
        name: name of the array, for messages.
        header: header of the array.
        available: bytes of header and numbers together.

    Raises:
        InputError: E_COUNT_MISMATCH.
    """
    if header.size + header.body_bytes > available:
        raise InputError(
            "E_COUNT_MISMATCH",
            path,
            f"{name} of shape {header.shape} takes {header.body_bytes:,} bytes, "
            f"{max(0, available - header.size):,} are there",
            "The file is incomplete; copy or download it again.",
        )


def read_array(
    path: Path, archive: zipfile.ZipFile, name: str, header: NpyHeader
) -> npt.NDArray[np.generic]:
    """Read one array of an archive.

    Args:
        path: the file, for messages.
        archive: its archive.
        name: name of the array.
        header: header of the array.
    """
    with archive.open(name + SUFFIX) as file:
        file.read(header.size)
        return read_npy_body(path, file, header)


def choose_arrays(path: Path, headers: Mapping[str, NpyHeader]) -> CloudArrays:
    """Return which arrays hold the cloud, by their names and shapes.

    Args:
        path: the file, for messages.
        headers: headers of all arrays by name.

    Raises:
        InputError: E_NO_XYZ: no array can be the coordinates; the message lists the arrays.
    """
    names = [name for name in _XYZ_NAMES if name in headers and _is_points(headers[name])]
    axes = [name for name in headers if name.lower() in ("x", "y", "z")]
    tables = [name for name, header in headers.items() if _is_points(header)]
    if names:
        xyz: tuple[str, ...] = (names[0],)
    elif len(axes) == 3 and all(_is_numbers(headers[n], headers[axes[0]].shape[:1]) for n in axes):
        xyz = tuple(sorted(axes, key=str.lower))
    elif len(tables) == 1:
        xyz = (tables[0],)
    else:
        listed = ", ".join(f"{name} {header.shape}" for name, header in headers.items())
        raise InputError(
            "E_NO_XYZ",
            path,
            f"no array is xyz, points, or x, y and z; there is {listed or 'nothing'}",
            "Save the points as an array xyz of shape (N, 3).",
        )
    points = headers[xyz[0]].shape[0]
    rgb = [n for n in _COLOR_NAMES if n in headers and _is_numbers(headers[n], (points, 3))]
    intensity = [
        n for n in _INTENSITY_NAMES if n in headers and _is_one_per_point(headers[n], points)
    ]
    return CloudArrays(xyz, next(iter(rgb), None), next(iter(intensity), None), points)


def _is_points(header: NpyHeader) -> bool:
    """Return whether an array can be a point per row: (N, C >= 3) numbers, or fields x, y, z."""
    if header.dtype.names is not None:
        return len(header.shape) == 1 and {"x", "y", "z"} <= set(header.dtype.names)
    if len(header.shape) != 2 or header.dtype.kind not in "fiu":
        return False
    points, width = header.shape
    return 3 <= width <= (_MAX_COLUMNS_OF_THREE_POINTS if points == 3 else _MAX_COLUMNS)


def _is_numbers(header: NpyHeader, shape: tuple[int, ...]) -> bool:
    return header.shape == shape and header.dtype.kind in "fiu"


def _is_one_per_point(header: NpyHeader, points: int) -> bool:
    return _is_numbers(header, (points,)) or _is_numbers(header, (points, 1))


def _corrupt(path: Path, error: Exception) -> InputError:
    fault = f"the archive is damaged: {error}"
    return InputError("E_CORRUPT", path, fault, "Copy or download the file again.")
