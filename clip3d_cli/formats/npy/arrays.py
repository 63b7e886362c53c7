"""Which arrays of an NPY or NPZ file are coordinates, colors and intensity."""

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
_ENCRYPTED = 0x1
_WIDEST_POINT = 64
# Three rows of more numbers than these are coordinates in rows, not three points.
_WIDEST_OF_THREE = 8


@dataclass(frozen=True, slots=True)
class Choice:
    """The arrays to use.

    Attributes:
        xyz: the name of one (N, ≥ 3) or structured array, or three names of (N,) arrays.
        rgb: the name of an (N, 3) array, or None.
        intensity: the name of an (N,) array, or None.
        points: N.
    """

    xyz: tuple[str, ...]
    rgb: str | None
    intensity: str | None
    points: int

    @property
    def names(self) -> list[str]:
        """All arrays of the choice."""
        return [*self.xyz, *(name for name in (self.rgb, self.intensity) if name is not None)]


@contextmanager
def open_npz(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive of an NPZ file.

    Raises:
        InputError: E_TRUNCATED or E_CORRUPT, also for what the block finds in the archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, ValueError) as error:
        if not zipfile.is_zipfile(path):
            raise truncated(path, "the archive has no list of contents at its end") from error
        raise _corrupt(path, error) from error
    except OSError as error:
        # A damaged list of contents points before the file; other faults are not the archive's.
        if error.errno != errno.EINVAL:
            raise
        raise _corrupt(path, error) from error
    except (NotImplementedError, RuntimeError) as error:
        raise InputError(
            "E_UNSUPPORTED", path, f"the archive cannot be read: {error}", "Save it with np.savez."
        ) from error


def array_headers(path: Path, archive: zipfile.ZipFile) -> dict[str, NpyHeader]:
    """The headers of all arrays in an archive; what holds objects is left out.

    Raises:
        InputError: E_PICKLE where all arrays hold objects; E_UNSUPPORTED for encrypted ones;
            E_COUNT_MISMATCH where an array claims more than its member holds.
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


def require_body(path: Path, name: str, header: NpyHeader, held: int) -> None:
    """Refuse an array that claims more bytes than there are.

    Raises:
        InputError: E_COUNT_MISMATCH.
    """
    if header.size + header.body_bytes > held:
        raise InputError(
            "E_COUNT_MISMATCH",
            path,
            f"{name} of shape {header.shape} takes {header.body_bytes:,} bytes, "
            f"{max(0, held - header.size):,} are there",
            "The copy was cut off; fetch it again.",
        )


def read_array(
    path: Path, archive: zipfile.ZipFile, name: str, header: NpyHeader
) -> npt.NDArray[np.generic]:
    """One array of an archive."""
    with archive.open(name + SUFFIX) as file:
        file.read(header.size)
        return read_npy_body(path, file, header)


def choose(path: Path, headers: Mapping[str, NpyHeader]) -> Choice:
    """The arrays that hold the cloud, by their names and shapes.

    Raises:
        InputError: E_NO_XYZ, none can be coordinates; it lists what there is.
    """
    names = [name for name in _XYZ_NAMES if name in headers and is_points(headers[name])]
    axes = [name for name in headers if name.lower() in ("x", "y", "z")]
    tables = [name for name, header in headers.items() if is_points(header)]
    if names:
        xyz: tuple[str, ...] = (names[0],)
    elif len(axes) == 3 and all(is_numbers(headers[n], headers[axes[0]].shape[:1]) for n in axes):
        xyz = tuple(sorted(axes, key=str.lower))
    elif len(tables) == 1:
        xyz = (tables[0],)
    else:
        found = ", ".join(f"{name} {header.shape}" for name, header in headers.items()) or "nothing"
        raise InputError(
            "E_NO_XYZ",
            path,
            f"no array is xyz, points, or x, y and z; there is {found}",
            "Save the points as an array xyz of shape (N, 3).",
        )
    points = headers[xyz[0]].shape[0]
    rgb = [n for n in _COLOR_NAMES if n in headers and is_numbers(headers[n], (points, 3))]
    bright = [n for n in _INTENSITY_NAMES if n in headers and is_flat(headers[n], points)]
    return Choice(xyz, next(iter(rgb), None), next(iter(bright), None), points)


def is_points(header: NpyHeader) -> bool:
    """Whether an array can be one point per row: (N, ≥ 3) numbers, or fields x, y, z."""
    if header.dtype.names is not None:
        return len(header.shape) == 1 and {"x", "y", "z"} <= set(header.dtype.names)
    if len(header.shape) != 2 or header.dtype.kind not in "fiu":
        return False
    points, width = header.shape
    return 3 <= width <= (_WIDEST_OF_THREE if points == 3 else _WIDEST_POINT)


def is_numbers(header: NpyHeader, shape: tuple[int, ...]) -> bool:
    """Whether an array of plain numbers has that shape."""
    return header.shape == shape and header.dtype.kind in "fiu"


def is_flat(header: NpyHeader, points: int) -> bool:
    """Whether an array is one number per point."""
    return is_numbers(header, (points,)) or is_numbers(header, (points, 1))


def _corrupt(path: Path, error: Exception) -> InputError:
    fault = f"the archive is damaged: {error}"
    return InputError("E_CORRUPT", path, fault, "Fetch the file again.")
