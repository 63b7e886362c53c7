"""PCD files: ascii, binary and binary_compressed; organised clouds stay organised."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.labels import Labels
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.formats.binary_rows import stack_xyz
from clip3d_cli.formats.colors import byte_colors, split_packed, unit_intensity
from clip3d_cli.formats.file_checks import checked_point_count
from clip3d_cli.formats.format import CloudFacts, ReadOptions
from clip3d_cli.formats.label_fields import (
    LabelColumn,
    is_label_field,
    label_columns,
    require_length,
)
from clip3d_cli.formats.pcd.body import max_points, open_body
from clip3d_cli.formats.pcd.header import PcdHeader, labelled_header, read_pcd_header

_MAGIC = re.compile(rb"(#[^\n]*\n|\s)*(#\s*\.PCD|VERSION\s|FIELDS\s)")
_POINT_BYTES = 64  # of a point in memory while a file is read
_TEXT_COPIES = 8  # how many times the bytes of a text lie in memory while it is read
_PADDING = "_"
_PACKED_COLORS = ("rgb", "rgba")
_INTENSITIES = ("intensity", "i", "reflectance", "reflectivity")
# Text files hold packed colors as integers, which are in this range, or as the float of the same
# four bytes, which is far smaller or larger.
_INTEGER_COLORS = (1.0, 2.0**32)


class PcdFormat:
    """The format of the Point Cloud Library."""

    name = "pcd"
    suffixes = (".pcd",)
    writes = (".pcd",)

    def sniff(self, path: Path, head: bytes) -> bool:
        """Return whether the file starts with PCD's comment or its first keywords."""
        return _MAGIC.match(head) is not None

    def open(self, path: Path, options: ReadOptions) -> PcdFile:
        """Parse the header, and check the number of points against the file's size."""
        return PcdFile(path, options)


class PcdFile:
    """A PCD file that was opened.

    Args:
        path: the file.
        options: how to read it.

    Attributes:
        facts: facts from the header.

    Raises:
        InputError: E_BAD_HEADER, E_NO_XYZ, E_UNSUPPORTED, E_TRUNCATED, E_COUNT_MISMATCH.
    """

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._path = path
        self._options = options
        self._header = header = read_pcd_header(path)
        available = max_points(path, header)
        points = checked_point_count(path, header.points, available, options.allow_truncated)
        named = [field for field in header.fields if field.name != _PADDING]
        notes = []
        if header.height > 1 and points == header.points:
            notes.append(f"organised {header.width:,} x {header.height:,}")
        point_bytes, copies = _POINT_BYTES, 0
        if header.layout == "ascii":
            copies = _TEXT_COPIES
        elif header.layout == "binary_compressed":
            point_bytes, copies = _POINT_BYTES + 2 * header.point_bytes, 1
        self.facts = CloudFacts(
            format=f"PCD {header.layout}",
            points=points,
            fields=tuple(
                f"{f.name} {np.dtype(f.dtype)}{f' x {f.count}' if f.count > 1 else ''}"
                for f in named
            ),
            notes=tuple(notes),
            label_fields=tuple(f.name for f in named if is_label_field(f.name, "")),
            memory=points * point_bytes + copies * header.file_bytes,
        )

    def read(self) -> tuple[PointCloud, tuple[str, ...]]:
        """Return the points, also those without coordinates (NaN)."""
        header = self._header
        body = open_body(self._path, header, self._options.allow_truncated)
        axes = _indices(header, "xyz")
        colors, intensity = _color_indices(header), _indices(header, _INTENSITIES)[:1]
        columns = body.columns([*axes, *colors, *intensity])
        cloud = PointCloud(
            stack_xyz(dict(zip("xyz", (columns[index] for index in axes), strict=True))),
            _rgb_of([columns[index] for index in colors]),
            unit_intensity(columns[intensity[0]]) if intensity else None,
        )
        return cloud, ()

    def write_copy(self, labels: Labels, target: Path, suffix: str) -> None:
        """Copy the file with the fields ``label`` (uint32) and ``score`` behind the others."""
        header = self._header
        body = open_body(self._path, header, self._options.allow_truncated)
        require_length(self._path, body.points, labels)
        kept = [i for i, f in enumerate(header.fields) if not is_label_field(f.name, "")]
        added = [
            LabelColumn(c.name, c.values.astype("<f4" if c.values.dtype.kind == "f" else "<u4"))
            for c in label_columns(labels)
        ]
        with target.open("wb") as file:
            file.write(labelled_header(header, kept, added, body.points))
            body.copy_with(file, kept, added)


def _indices(header: PcdHeader, names: Sequence[str]) -> list[int]:
    """Return the indices of the fields of those names that the header has."""
    indices = (header.index_of(name) for name in names)
    return [index for index in indices if index is not None]


def _color_indices(header: PcdHeader) -> list[int]:
    """Return the index of the packed colors, or those of r, g and b, or nothing."""
    packed = [i for i in _indices(header, _PACKED_COLORS) if header.fields[i].size == 4][:1]
    split = _indices(header, ("r", "g", "b"))
    return packed or (split if len(split) == 3 else [])


def _rgb_of(columns: Sequence[npt.NDArray[np.generic]]) -> npt.NDArray[np.uint8] | None:
    """Return (N, 3) uint8 of one column of packed colors, or of red, green and blue."""
    if len(columns) != 1:
        return byte_colors(np.stack(columns, axis=1)) if columns else None
    packed = columns[0]
    if packed.dtype.itemsize == 8:  # float64 from text
        values = np.nan_to_num(packed.astype(np.float64), nan=0.0)
        low, high = _INTEGER_COLORS
        is_integer = len(values) and low <= np.abs(values).max() < high
        packed = values.astype(np.int64).astype("<u4") if is_integer else values.astype("<f4")
    return byte_colors(split_packed(packed))
