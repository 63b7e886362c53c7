"""PLY files: ascii and binary of both byte orders; copies keep every element and comment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.labels import Labels
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.formats.binary_rows import stack_xyz
from clip3d_cli.formats.colors import byte_colors, unit_intensity
from clip3d_cli.formats.file_checks import checked_point_count
from clip3d_cli.formats.format import CloudFacts, ReadOptions
from clip3d_cli.formats.label_fields import (
    class_lines,
    is_label_field,
    label_columns,
    require_length,
)
from clip3d_cli.formats.ply.body import max_points, open_body
from clip3d_cli.formats.ply.header import (
    LABEL_PREFIX,
    PlyHeader,
    PlyProperty,
    labelled_header,
    read_ply_header,
)

_SPLAT_COLORS = ("f_dc_0", "f_dc_1", "f_dc_2")
# Red, green and blue; the first names that a file has are used.
_COLOR_NAMES: tuple[tuple[str, ...], ...] = (
    ("red", "green", "blue"),
    ("diffuse_red", "diffuse_green", "diffuse_blue"),
    ("r", "g", "b"),
    _SPLAT_COLORS,
)
_INTENSITY_NAMES = ("intensity", "scalar_intensity", "reflectance", "scalar_reflectance")
# The real spherical harmonic of degree 0, 1 / (2 sqrt(pi)): splats store (color - 0.5) over it.
_SH_0 = 0.28209479177387814
_LAYOUTS = {"": "ascii", "<": "binary little-endian", ">": "binary big-endian"}
_POINT_BYTES = 64  # of a point in memory while a file is read
# How many times the bytes of the file lie in memory while it is read.
_TEXT_COPIES = 8
_LIST_COPIES = 12


class PlyFormat:
    """Polygon files, whose vertices are the points."""

    name = "ply"
    suffixes = (".ply",)
    writes = (".ply",)

    def sniff(self, path: Path, head: bytes) -> bool:
        """Return whether the file starts with ``ply`` and a line end."""
        return head[:3] == b"ply" and head[3:4] in (b"\n", b"\r", b" ")

    def open(self, path: Path, options: ReadOptions) -> PlyFile:
        """Parse the header, and check the number of vertices against the file's size."""
        return PlyFile(path, options)


class PlyFile:
    """A PLY file that was opened.

    Args:
        path: the file.
        options: how to read it.

    Attributes:
        facts: facts from the header.

    Raises:
        InputError: E_BAD_HEADER, E_NO_XYZ, E_TRUNCATED, E_COUNT_MISMATCH.
    """

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._path = path
        self._options = options
        self._header = header = read_ply_header(path)
        points = checked_point_count(
            path, header.vertex.count, max_points(header), options.allow_truncated
        )
        names = [column.name for column in header.vertex.properties]
        notes = [
            f"element {element.name}: {element.count:,}"
            for element in header.elements
            if element.name != "vertex"
        ]
        if set(_SPLAT_COLORS) <= set(names):
            notes.append("looks like a 3D Gaussian splat file; f_dc is its color")
        self.facts = CloudFacts(
            format=f"PLY {_LAYOUTS[header.byte_order]}",
            points=points,
            fields=tuple(_field_text(column) for column in header.vertex.properties),
            notes=tuple(notes),
            label_fields=tuple(name for name in names if is_label_field(name, LABEL_PREFIX)),
            memory=points * _POINT_BYTES + header.file_bytes * _body_copies(header),
        )

    def read(self) -> tuple[PointCloud, tuple[str, ...]]:
        """Return the vertices, with colors and intensity where they have them."""
        names = {c.name for c in self._header.vertex.properties if not c.length_dtype}
        colors = next((c for c in _COLOR_NAMES if set(c) <= names), ())
        intensity = [n for n in sorted(names) if n.lower() in _INTENSITY_NAMES][:1]
        body = open_body(self._path, self._header, self._options.allow_truncated)
        columns = body.columns(["x", "y", "z", *colors, *intensity])
        cloud = PointCloud(
            stack_xyz(columns),
            _rgb_of([columns[name] for name in colors], is_splat=colors == _SPLAT_COLORS),
            unit_intensity(columns[intensity[0]]) if intensity else None,
        )
        return cloud, ()

    def write_copy(self, labels: Labels, target: Path, suffix: str) -> None:
        """Copy the file with ``scalar_label`` and ``scalar_score`` behind its properties."""
        header = self._header
        body = open_body(self._path, header, self._options.allow_truncated)
        require_length(self._path, body.points, labels)
        added = label_columns(labels, LABEL_PREFIX)
        names = [column.name for column in header.vertex.properties]
        kept = [name for name in names if not is_label_field(name, LABEL_PREFIX)]
        counts = [element.count for element in header.elements]
        if not body.is_whole:  # what follows the vertices is left out
            counts[header.vertex_index] = body.points
            counts[header.vertex_index + 1 :] = [0] * (len(counts) - header.vertex_index - 1)
        types = [(column.name, column.values.dtype) for column in added]
        with target.open("wb") as file:
            file.write(labelled_header(header, counts, kept, types, class_lines(labels)))
            body.copy_with(file, kept, added)


def _field_text(column: PlyProperty) -> str:
    return f"{column.name} {'list of ' if column.length_dtype else ''}{np.dtype(column.dtype)}"


def _body_copies(header: PlyHeader) -> int:
    if not header.byte_order:
        return _TEXT_COPIES
    before = header.elements[: header.vertex_index + 1]
    return _LIST_COPIES if any(element.has_lists for element in before) else 0


def _rgb_of(columns: list[npt.NDArray[np.generic]], is_splat: bool) -> npt.NDArray[np.uint8] | None:
    """Return (N, 3) uint8 of the columns red, green and blue, or None without colors."""
    if not columns:
        return None
    colors = np.stack(columns, axis=1)
    if is_splat:
        colors = np.clip(0.5 + _SH_0 * colors.astype(np.float32), 0, 1)
    return byte_colors(colors)
