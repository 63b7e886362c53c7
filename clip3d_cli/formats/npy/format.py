"""NPY and NPZ files: numpy's arrays, read without unpickling; copies keep all of them."""

from __future__ import annotations

import copy
import os
import shutil
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.labels import Labels
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.errors import UsageError
from clip3d_cli.formats.binary_rows import stack_xyz
from clip3d_cli.formats.colors import (
    COLOR_COLUMNS,
    INTENSITY_COLUMNS,
    byte_colors,
    unit_intensity,
)
from clip3d_cli.formats.exports import label_arrays
from clip3d_cli.formats.format import CloudFacts, ReadOptions
from clip3d_cli.formats.label_fields import require_length
from clip3d_cli.formats.npy.arrays import (
    SUFFIX,
    array_headers,
    choose_arrays,
    open_npz,
    read_array,
    require_body,
)
from clip3d_cli.formats.npy.header import MAGIC, NpyHeader, read_npy_body, read_npy_header

_ZIP_MAGIC = b"PK\x03\x04"
_NPY_ARRAY = "points"  # name of an NPY file's array, in messages and in the copy
_POINT_BYTES = 64  # of a point in memory while a file is read
_LABEL_NAMES = ("label", "score", "topk_label", "topk_score")


class NumpyFormat:
    """One array of points (NPY), or an archive of named arrays (NPZ)."""

    name = "npy"
    suffixes = (".npy", ".npz")
    writes = (".npz",)

    def sniff(self, path: Path, head: bytes) -> bool:
        """Return whether the file starts as an array, or is an archive of arrays."""
        if head.startswith(MAGIC):
            return True
        if not head.startswith(_ZIP_MAGIC):
            return False
        return SUFFIX.encode() in head[:200] or _lists_arrays(path)

    def open(self, path: Path, options: ReadOptions) -> NumpyFile:
        """Parse the headers of all arrays, and check their sizes; decompresses no array."""
        return NumpyFile(path, options)


class NumpyFile:
    """An NPY or NPZ file that was opened.

    Args:
        path: the file.
        options: how to read it.

    Attributes:
        facts: facts from the headers of the arrays.

    Raises:
        InputError: E_NO_XYZ, E_PICKLE, E_COUNT_MISMATCH, E_BAD_HEADER, E_TRUNCATED, E_CORRUPT,
            E_UNSUPPORTED.
        UsageError: E_COLUMNS: the option ``columns`` does not fit the table.
    """

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._path = path
        self._is_archive, self._headers = _read_headers(path)
        self._arrays = choose_arrays(path, self._headers)
        self._columns: tuple[str, ...] = ("x", "y", "z")
        notes: tuple[str, ...] = ()
        if len(self._arrays.xyz) == 1:
            self._columns = _column_names(path, self._headers[self._arrays.xyz[0]], options)
            notes = (f"columns {','.join(self._columns)}",)
        array_bytes = sum(self._headers[name].body_bytes for name in self._arrays.names)
        self.facts = CloudFacts(
            format="NPZ" if self._is_archive else "NPY",
            points=self._arrays.points,
            fields=tuple(f"{n} {h.dtype} {h.shape}" for n, h in self._headers.items()),
            notes=notes,
            label_fields=tuple(name for name in self._headers if name in _LABEL_NAMES),
            memory=2 * array_bytes + self._arrays.points * _POINT_BYTES,
        )

    def read(self) -> tuple[PointCloud, tuple[str, ...]]:
        """Return the points; colors and intensity are arrays, or columns of the table."""
        arrays = self._read_arrays()
        columns = self._table_columns(arrays)
        rgb = arrays.get(self._arrays.rgb or "")
        intensity = arrays.get(self._arrays.intensity or "")
        colors = next((c for c in COLOR_COLUMNS if set(c) <= set(columns)), ())
        if rgb is None and colors:
            rgb = np.stack([columns[name] for name in colors], axis=1)
        if intensity is None:
            name = next((name for name in INTENSITY_COLUMNS if name in columns), None)
            intensity = None if name is None else columns[name]
        cloud = PointCloud(
            stack_xyz(columns),
            byte_colors(rgb) if rgb is not None else None,
            unit_intensity(intensity.reshape(-1)) if intensity is not None else None,
        )
        return cloud, ()

    def write_copy(self, labels: Labels, target: Path, suffix: str) -> None:
        """Copy all arrays, and add ``label``, ``score``, and with a ranking ``topk_…``.

        The array of an NPY file is called ``points`` in the copy.
        """
        require_length(self._path, self._arrays.points, labels)
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
            if self._is_archive:
                _copy_members(self._path, archive)
            else:
                with self._path.open("rb") as file, _member(archive, _NPY_ARRAY) as member:
                    shutil.copyfileobj(file, member)
            for name, values in label_arrays(labels).items():
                with _member(archive, name) as member:
                    np.lib.format.write_array(member, values, allow_pickle=False)

    def _read_arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return the arrays of the cloud by name."""
        path, headers = self._path, self._headers
        if self._is_archive:
            with open_npz(path) as archive:
                names = self._arrays.names
                return {name: read_array(path, archive, name, headers[name]) for name in names}
        with path.open("rb") as file:
            file.seek(headers[_NPY_ARRAY].size)
            return {_NPY_ARRAY: read_npy_body(path, file, headers[_NPY_ARRAY])}

    def _table_columns(
        self, arrays: dict[str, npt.NDArray[np.generic]]
    ) -> dict[str, npt.NDArray[np.generic]]:
        """Return x, y, z and the other named columns of the coordinates, (N,) each."""
        if len(self._arrays.xyz) == 3:
            return dict(zip("xyz", (arrays[name] for name in self._arrays.xyz), strict=True))
        table: npt.NDArray[Any] = arrays[self._arrays.xyz[0]]
        if table.dtype.names is not None:
            return {name: table[name] for name in self._columns}
        return {name: table[:, column] for column, name in enumerate(self._columns)}


def _lists_arrays(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(SUFFIX) for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError):  # damaged: only its name is left
        return path.suffix.lower() == ".npz"


def _read_headers(path: Path) -> tuple[bool, dict[str, NpyHeader]]:
    """Return whether a file is an archive, and the headers of its arrays by name."""
    with path.open("rb") as file:
        is_archive = file.read(4) == _ZIP_MAGIC
        if not is_archive:
            file.seek(0)
            header = read_npy_header(path, file, "the array")
            require_body(path, "the array", header, os.fstat(file.fileno()).st_size)
            return False, {_NPY_ARRAY: header}
    with open_npz(path) as archive:
        return True, array_headers(path, archive)


def _column_names(path: Path, table: NpyHeader, options: ReadOptions) -> tuple[str, ...]:
    """Return the column names of a table: its fields, the option's, or x, y, z and intensity.

    The last of four columns is the intensity, as in KITTI; of more columns, only x, y and z are
    known.

    Raises:
        UsageError: E_COLUMNS: the option names another number of columns than the table has.
    """
    if table.dtype.names is not None:
        return table.dtype.names
    width = table.shape[1]
    if options.columns is None:
        return ("x", "y", "z", "intensity") if width == 4 else ("x", "y", "z")
    if len(options.columns) != width or not {"x", "y", "z"} <= set(options.columns):
        raise UsageError(
            "E_COLUMNS",
            path,
            f"has {width} columns, named are {','.join(options.columns)}",
            "Name every column once, x, y and z among them.",
        )
    return options.columns


def _copy_members(source: Path, target: zipfile.ZipFile) -> None:
    """Copy the members of an archive in pieces, without the labels that are to be replaced."""
    replaced = {name + SUFFIX for name in _LABEL_NAMES}
    with open_npz(source) as archive:
        for member in archive.infolist():
            if member.filename in replaced:
                continue
            with (
                archive.open(member) as file,
                target.open(
                    copy.copy(member), "w", force_zip64=member.file_size >= 1 << 31
                ) as copied,
            ):
                shutil.copyfileobj(file, copied)


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """Open a new array of an archive for writing."""
    return archive.open(name + SUFFIX, "w", force_zip64=True)
