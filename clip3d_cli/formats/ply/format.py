"""PLY: ascii and both byte orders, with every element, property and comment kept."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.labels import Labels
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.formats.binary_rows import stack_xyz
from clip3d_cli.formats.colors import byte_colors, unit_intensity
from clip3d_cli.formats.file_checks import usable_points
from clip3d_cli.formats.format import CloudFacts, ReadOptions
from clip3d_cli.formats.label_fields import (
    class_lines,
    is_label_field,
    label_columns,
    require_length,
)
from clip3d_cli.formats.ply.body import open_body, room_for_points
from clip3d_cli.formats.ply.header import (
    PlyHeader,
    PlyProperty,
    labelled_header,
    read_ply_header,
)

_SPLAT_COLORS = ("f_dc_0", "f_dc_1", "f_dc_2")
_COLOR_NAMES: tuple[tuple[str, ...], ...] = (
    ("red", "green", "blue"),
    ("diffuse_red", "diffuse_green", "diffuse_blue"),
    ("r", "g", "b"),
    _SPLAT_COLORS,
)
_INTENSITY_NAMES = ("intensity", "scalar_intensity", "reflectance", "scalar_reflectance")
# The zeroth real spherical harmonic, 1 / (2 sqrt(pi)): splats store colors relative to it.
_SH_ZERO = 0.28209479177387814
_LAYOUTS = {"": "ascii", "<": "binary little-endian", ">": "binary big-endian"}
_POINT_BYTES = 64
_TEXT_COPIES = 8
_LIST_COPIES = 12
PREFIX = "scalar_"


class PlyFormat:
    """Polygon files: vertices are the points."""

    name = "ply"
    suffixes = (".ply",)
    writes = (".ply",)

    def sniff(self, path: Path, head: bytes) -> bool:
        """Whether the file starts with ``ply`` and a line end."""
        return head[:3] == b"ply" and head[3:4] in (b"\n", b"\r", b" ")

    def inspect(self, path: Path, options: ReadOptions) -> CloudFacts:
        """The facts of the header, checked against the file's size."""
        header = read_ply_header(path)
        room = room_for_points(path, header)
        points = usable_points(path, header.vertex.count, room, options.allow_truncated)
        names = [column.name for column in header.vertex.properties]
        notes = [
            f"element {element.name}: {element.count:,}"
            for element in header.elements
            if element.name != "vertex"
        ]
        if set(_SPLAT_COLORS) <= set(names):
            notes.append("looks like a 3D Gaussian splat file; f_dc is its color")
        return CloudFacts(
            format=f"PLY {_LAYOUTS[header.byte_order]}",
            points=points,
            fields=tuple(_field_text(column) for column in header.vertex.properties),
            notes=tuple(notes),
            label_fields=tuple(name for name in names if is_label_field(name, PREFIX)),
            memory=points * _POINT_BYTES + path.stat().st_size * _body_copies(header),
        )

    def read(self, path: Path, options: ReadOptions) -> tuple[PointCloud, CloudFacts]:
        """The vertices, with colors and intensity where they have them."""
        facts = self.inspect(path, options)
        header = read_ply_header(path)
        names = {c.name for c in header.vertex.properties if not c.length_dtype}
        colors = next((c for c in _COLOR_NAMES if set(c) <= names), ())
        intensity = [n for n in sorted(names) if n.lower() in _INTENSITY_NAMES][:1]
        body = open_body(path, header, options.allow_truncated)
        columns = body.columns(["x", "y", "z", *colors, *intensity])
        cloud = PointCloud(
            stack_xyz(columns),
            _rgb_of([columns[name] for name in colors], is_splat=colors == _SPLAT_COLORS),
            unit_intensity(columns[intensity[0]]) if intensity else None,
        )
        return cloud, dataclasses.replace(facts, points=len(cloud))

    def write(
        self, labels: Labels, source: Path, part: Path, options: ReadOptions, suffix: str
    ) -> None:
        """Copy the source with ``scalar_label`` and ``scalar_score`` behind its properties."""
        header = read_ply_header(source)
        body = open_body(source, header, options.allow_truncated)
        require_length(source, body.points, labels)
        added = label_columns(labels, PREFIX)
        kept = [c.name for c in header.vertex.properties if not is_label_field(c.name, PREFIX)]
        counts = [element.count for element in header.elements]
        if not body.whole:
            counts[header.vertex_index] = body.points
            counts[header.vertex_index + 1 :] = [0] * (len(counts) - header.vertex_index - 1)
        types = [(column.name, column.values.dtype) for column in added]
        with part.open("wb") as file:
            file.write(labelled_header(header, counts, kept, types, class_lines(labels)))
            body.copy_with(file, kept, added)


def _field_text(column: PlyProperty) -> str:
    return f"{column.name} {'list of ' if column.length_dtype else ''}{np.dtype(column.dtype)}"


def _body_copies(header: PlyHeader) -> int:
    """How many times the file's bytes lie in memory while it is read."""
    if not header.byte_order:
        return _TEXT_COPIES
    before = header.elements[: header.vertex_index + 1]
    return _LIST_COPIES if any(element.has_lists for element in before) else 0


def _rgb_of(columns: list[npt.NDArray[np.generic]], is_splat: bool) -> npt.NDArray[np.uint8] | None:
    if not columns:
        return None
    colors = np.stack(columns, axis=1)
    if is_splat:
        colors = np.clip(0.5 + _SH_ZERO * colors.astype(np.float32), 0, 1)
    return byte_colors(colors)
