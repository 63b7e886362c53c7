"""NPY and NPZ: numpy's arrays, read without ever unpickling, all of them kept in the copy."""

from __future__ import annotations

import copy
import shutil
import zipfile
from collections.abc import Mapping
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
    Choice,
    array_headers,
    choose,
    open_npz,
    read_array,
    require_body,
)
from clip3d_cli.formats.npy.header import MAGIC, NpyHeader, read_npy_body, read_npy_header

_ZIP_MAGIC = b"PK\x03\x04"
_ALONE = "points"
_POINT_BYTES = 64
_LABEL_NAMES = ("label", "score", "topk_label", "topk_score")


class NumpyFormat:
    """One array of points, or an archive of named arrays."""

    name = "npy"
    suffixes = (".npy", ".npz")
    writes = (".npz",)

    def sniff(self, path: Path, head: bytes) -> bool:
        """Whether the file starts as an array, or is an archive of arrays."""
        if head.startswith(MAGIC):
            return True
        return head.startswith(_ZIP_MAGIC) and (SUFFIX.encode() in head[:200] or _is_npz(path))

    def inspect(self, path: Path, options: ReadOptions) -> CloudFacts:
        """The facts of the arrays' headers, checked against the file's size; inflates nothing."""
        headers = _headers(path)
        choice = choose(path, headers)
        table = headers[choice.xyz[0]]
        columns = _columns(path, table, options) if len(choice.xyz) == 1 else ()
        bytes_used = sum(headers[name].body_bytes for name in choice.names)
        notes = (f"columns {','.join(columns)}",) if columns else ()
        return CloudFacts(
            format="NPZ" if _is_archive(path) else "NPY",
            points=choice.points,
            fields=tuple(f"{n} {h.dtype} {h.shape}" for n, h in headers.items()),
            notes=notes,
            label_fields=tuple(name for name in headers if name in _LABEL_NAMES),
            memory=2 * bytes_used + choice.points * _POINT_BYTES,
        )

    def read(self, path: Path, options: ReadOptions) -> tuple[PointCloud, CloudFacts]:
        """The points, with the arrays named as colors and intensity, or such columns."""
        facts = self.inspect(path, options)
        headers = _headers(path)
        choice = choose(path, headers)
        arrays = _arrays(path, headers, choice)
        columns = _named_columns(path, arrays, headers, choice, options)
        rgb, intensity = arrays.get(choice.rgb or ""), arrays.get(choice.intensity or "")
        colors = next((c for c in COLOR_COLUMNS if set(c) <= set(columns)), ())
        if rgb is None and colors:
            rgb = np.stack([columns[name] for name in colors], axis=1)
        if intensity is None:
            found = [columns[name] for name in INTENSITY_COLUMNS if name in columns]
            intensity = found[0] if found else None
        cloud = PointCloud(
            stack_xyz(columns),
            byte_colors(rgb) if rgb is not None else None,
            unit_intensity(intensity.reshape(-1)) if intensity is not None else None,
        )
        return cloud, facts

    def write(
        self, labels: Labels, source: Path, part: Path, options: ReadOptions, suffix: str
    ) -> None:
        """Copy all arrays, and add ``label``, ``score`` and, if ranked, ``topk_…``.

        An NPY's array is called ``points`` in the copy.
        """
        require_length(source, self.inspect(source, options).points, labels)
        added = label_arrays(labels)
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as target:
            if _is_archive(source):
                _copy_members(source, target)
            else:
                with source.open("rb") as file, _member(target, _ALONE + SUFFIX) as copied:
                    shutil.copyfileobj(file, copied)
            for name, values in added.items():
                with _member(target, name + SUFFIX) as file:
                    np.lib.format.write_array(file, values, allow_pickle=False)


def _is_archive(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == _ZIP_MAGIC


def _is_npz(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(SUFFIX) for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError):  # damaged: its name must do
        return path.suffix.lower() == ".npz"


def _headers(path: Path) -> dict[str, NpyHeader]:
    if _is_archive(path):
        with open_npz(path) as archive:
            return array_headers(path, archive)
    with path.open("rb") as file:
        header = read_npy_header(path, file, "the array")
    require_body(path, "the array", header, path.stat().st_size)
    return {_ALONE: header}


def _arrays(
    path: Path, headers: Mapping[str, NpyHeader], choice: Choice
) -> dict[str, npt.NDArray[np.generic]]:
    """The chosen arrays by name."""
    if _is_archive(path):
        with open_npz(path) as archive:
            return {name: read_array(path, archive, name, headers[name]) for name in choice.names}
    with path.open("rb") as file:
        file.seek(headers[_ALONE].size)
        return {_ALONE: read_npy_body(path, file, headers[_ALONE])}


def _columns(path: Path, table: NpyHeader, options: ReadOptions) -> tuple[str, ...]:
    """The names of a table's columns: its own, those asked for, or the first three or four.

    Of four columns the last is the intensity, as in KITTI; of more, only x, y, z are known.

    Raises:
        UsageError: E_COLUMNS, another number of names than columns.
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


def _named_columns(
    path: Path,
    arrays: Mapping[str, npt.NDArray[np.generic]],
    headers: Mapping[str, NpyHeader],
    choice: Choice,
    options: ReadOptions,
) -> dict[str, npt.NDArray[np.generic]]:
    if len(choice.xyz) == 3:
        return dict(zip("xyz", (arrays[name] for name in choice.xyz), strict=True))
    table: npt.NDArray[Any] = arrays[choice.xyz[0]]
    names = _columns(path, headers[choice.xyz[0]], options)
    if table.dtype.names is not None:
        return {name: table[name] for name in names}
    return {name: table[:, place] for place, name in enumerate(names)}


def _copy_members(source: Path, target: zipfile.ZipFile) -> None:
    """Copy what the archive holds, piece by piece, but for labels that are to be replaced."""
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


def _member(target: zipfile.ZipFile, name: str) -> IO[bytes]:
    return target.open(name, "w", force_zip64=True)
