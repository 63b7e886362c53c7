"""Tables of float32 without a header: the ``.bin`` files of KITTI and nuScenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.labels import Labels
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.errors import InputError, UsageError
from clip3d_cli.formats.binary_rows import read_columns, row_chunks, stack_xyz
from clip3d_cli.formats.colors import (
    COLOR_COLUMNS,
    INTENSITY_COLUMNS,
    byte_colors,
    unit_intensity,
)
from clip3d_cli.formats.exports import write_label_file
from clip3d_cli.formats.format import CloudFacts, ReadOptions
from clip3d_cli.formats.label_fields import require_length

KITTI = ("x", "y", "z", "intensity")
NUSCENES = ("x", "y", "z", "intensity", "ring")

_FLOAT_BYTES = 4
_LAYOUTS = (KITTI, NUSCENES)
_POINT_BYTES = 64  # of a point in memory while a file is read
# What the values of a layout can be, checked on the first values of a file.
_SAMPLE_VALUES = 1_000_000
_MAX_DISTANCE_M = 1e5
_MAX_RINGS = 256
_MAX_INTENSITY = 65535


class BinFormat:
    """Rows of float32 without a header."""

    name = "bin"
    suffixes = (".bin",)
    writes = (".label",)

    def sniff(self, path: Path, head: bytes) -> bool:
        """Return whether the name ends with ``.bin``: there are no first bytes to recognise."""
        return path.suffix.lower() == ".bin"

    def open(self, path: Path, options: ReadOptions) -> BinFile:
        """Find out the columns of the table, and the number of points from the file's size."""
        return BinFile(path, options)


class BinFile:
    """A table of float32 that was opened.

    Args:
        path: the file.
        options: how to read it.

    Attributes:
        facts: facts from the size and the columns.

    Raises:
        InputError: E_BAD_SIZE: the size is no multiple of a row.
        UsageError: E_COLUMNS: the columns cannot be inferred, or their names lack x, y or z.
    """

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._path = path
        file_bytes = path.stat().st_size
        names = _column_names(path, file_bytes, options)
        self._dtype = np.dtype([(name, "<f4") for name in names])
        self._points = file_bytes // self._dtype.itemsize
        origin = "as given" if options.columns else "inferred"
        self.facts = CloudFacts(
            format=f"float32 table of {len(names)} columns",
            points=self._points,
            fields=tuple(f"{name} float32" for name in names),
            notes=(f"columns {','.join(names)} ({origin})",),
            memory=self._points * _POINT_BYTES,
        )

    def read(self) -> tuple[PointCloud, tuple[str, ...]]:
        """Return the points, with colors and intensity where columns are called so."""
        names = self._dtype.names or ()
        colors = next((c for c in COLOR_COLUMNS if set(c) <= set(names)), ())
        intensity = [name for name in INTENSITY_COLUMNS if name in names][:1]
        chunks = row_chunks(self._path, 0, self._dtype, self._points)
        wanted = ["x", "y", "z", *colors, *intensity]
        columns = read_columns(chunks, wanted, self._dtype, self._points)
        cloud = PointCloud(
            stack_xyz(columns),
            byte_colors(np.stack([columns[c] for c in colors], axis=1)) if colors else None,
            unit_intensity(columns[intensity[0]]) if intensity else None,
        )
        return cloud, ()

    def write_copy(self, labels: Labels, target: Path, suffix: str) -> None:
        """Write a SemanticKITTI label file: a table without column names has no place for one."""
        require_length(self._path, self._points, labels)
        write_label_file(labels, target)


def _column_names(path: Path, file_bytes: int, options: ReadOptions) -> tuple[str, ...]:
    """Return the option's column names, or those of the one layout that the values fit.

    KITTI stores x, y, z, intensity; nuScenes (``.pcd.bin``) also stores a ring. A size is often a
    multiple of both rows. But read with the wrong width the columns mix: intensities are negative,
    and rings are not whole numbers.

    Args:
        path: the file.
        file_bytes: its size.
        options: how to read it.
    """
    if options.columns is not None:
        _check_names(path, options.columns)
        _check_size(path, file_bytes, len(options.columns), options)
        return options.columns
    possible = [names for names in _LAYOUTS if file_bytes % (_FLOAT_BYTES * len(names)) == 0]
    if not possible:
        raise InputError(
            "E_BAD_SIZE",
            path,
            f"{file_bytes:,} bytes are no whole number of points of 4 or 5 float32 columns",
            "The file is incomplete, or its columns must be named: --columns x,y,z,intensity,ring.",
        )
    if path.name.lower().endswith(".pcd.bin") and NUSCENES in possible:
        return NUSCENES
    values = np.fromfile(path, "<f4", count=_SAMPLE_VALUES)
    fitting = [names for names in possible if _fits(values, names)]
    if len(fitting) != 1:
        raise UsageError(
            "E_COLUMNS",
            path,
            "its columns cannot be inferred from its values",
            "Name them: --columns x,y,z,intensity or --columns x,y,z,intensity,ring.",
        )
    return fitting[0]


def _fits(values: npt.NDArray[np.float32], names: tuple[str, ...]) -> bool:
    """Return whether the values can be what the names of a layout say.

    Args:
        values: the first numbers of the file.
        names: column names of the layout.
    """
    rows = values[: len(values) // len(names) * len(names)].reshape(-1, len(names))
    xyz, intensity = rows[:, :3], rows[:, 3]
    ring = rows[:, 4] if "ring" in names else np.zeros(1, np.float32)
    with np.errstate(invalid="ignore"):  # comparisons with NaN are False, as they should be
        is_near = np.abs(xyz[np.isfinite(xyz)]) < _MAX_DISTANCE_M
        is_intensity = (intensity >= 0) & (intensity <= _MAX_INTENSITY)
        is_ring = (ring >= 0) & (ring < _MAX_RINGS) & (ring == np.floor(ring))
    return bool(is_near.all() and is_intensity.all() and is_ring.all())


def _check_names(path: Path, names: tuple[str, ...]) -> None:
    if not {"x", "y", "z"} <= set(names) or len(set(names)) < len(names):
        raise UsageError(
            "E_COLUMNS",
            path,
            f"the columns {','.join(names)} must hold x, y and z, each name once",
            "Name all columns in order: --columns x,y,z,intensity.",
        )


def _check_size(path: Path, file_bytes: int, width: int, options: ReadOptions) -> None:
    if file_bytes % (_FLOAT_BYTES * width) and not options.allow_truncated:
        fault = f"{file_bytes:,} bytes are no whole number of points of {width} float32 columns"
        raise InputError(
            "E_BAD_SIZE", path, fault, "Name other --columns, or allow it with --allow-truncated."
        )
