"""PCD: ascii, binary and binary_compressed, organised clouds and missing points kept."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.labels import Labels
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.formats.binary_rows import stack_xyz
from clip3d_cli.formats.colors import byte_colors, split_packed, unit_intensity
from clip3d_cli.formats.file_checks import usable_points
from clip3d_cli.formats.format import CloudFacts, ReadOptions
from clip3d_cli.formats.label_fields import (
    LabelColumn,
    is_label_field,
    label_columns,
    require_length,
)
from clip3d_cli.formats.pcd.body import open_body, room_for_points
from clip3d_cli.formats.pcd.header import PcdHeader, labelled_header, read_pcd_header

_MAGIC = re.compile(rb"(#[^\n]*\n|\s)*(#\s*\.PCD|VERSION\s|FIELDS\s)")
_POINT_BYTES = 64
_TEXT_COPIES = 8
_PACKED_COLORS = ("rgb", "rgba")
_INTENSITIES = ("intensity", "i", "reflectance", "reflectivity")
# Text writers print packed colors as whole numbers; as floats they are tiny or huge.
_WHOLE_COLORS = (1.0, 2.0**32)


class PcdFormat:
    """The Point Cloud Library's format."""

    name = "pcd"
    suffixes = (".pcd",)
    writes = (".pcd",)

    def sniff(self, path: Path, head: bytes) -> bool:
        """Whether the file starts with PCD's comment or its first keywords."""
        return _MAGIC.match(head) is not None

    def inspect(self, path: Path, options: ReadOptions) -> CloudFacts:
        """The facts of the header, checked against the file's size."""
        header = read_pcd_header(path)
        room = room_for_points(path, header)
        points = usable_points(path, header.points, room, options.allow_truncated)
        named = [field for field in header.fields if field.name != "_"]
        notes = []
        if header.height > 1 and points == header.points:
            notes.append(f"organised {header.width:,} x {header.height:,}")
        copies = {"ascii": _TEXT_COPIES, "binary": 0, "binary_compressed": 1}[header.layout]
        row_bytes = sum(field.size for field in header.fields) if copies == 1 else 0
        return CloudFacts(
            format=f"PCD {header.layout}",
            points=points,
            fields=tuple(
                f"{f.name} {np.dtype(f.dtype)}{f' x {f.count}' if f.count > 1 else ''}"
                for f in named
            ),
            notes=tuple(notes),
            label_fields=tuple(f.name for f in named if is_label_field(f.name, "")),
            memory=points * (_POINT_BYTES + 2 * row_bytes) + copies * path.stat().st_size,
        )

    def read(self, path: Path, options: ReadOptions) -> tuple[PointCloud, CloudFacts]:
        """The points, those without coordinates included."""
        facts = self.inspect(path, options)
        header = read_pcd_header(path)
        body = open_body(path, header, options.allow_truncated)
        colors, intensity = _color_places(header), _places(header, _INTENSITIES)[:1]
        axes = _places(header, "xyz")
        columns = body.columns([*axes, *colors, *intensity])
        cloud = PointCloud(
            stack_xyz(dict(zip("xyz", (columns[place] for place in axes), strict=True))),
            _rgb_of([columns[place] for place in colors]),
            unit_intensity(columns[intensity[0]]) if intensity else None,
        )
        return cloud, dataclasses.replace(facts, points=body.points)

    def write(
        self, labels: Labels, source: Path, part: Path, options: ReadOptions, suffix: str
    ) -> None:
        """Copy the source with the fields ``label`` (uint32) and ``score`` behind the others."""
        header = read_pcd_header(source)
        body = open_body(source, header, options.allow_truncated)
        require_length(source, body.points, labels)
        kept = [p for p, f in enumerate(header.fields) if not is_label_field(f.name, "")]
        added = [
            LabelColumn(c.name, c.values.astype("<f4" if c.values.dtype.kind == "f" else "<u4"))
            for c in label_columns(labels)
        ]
        with part.open("wb") as file:
            file.write(labelled_header(header, kept, added, body.points))
            body.copy_with(file, kept, added)


def _places(header: PcdHeader, names: Sequence[str]) -> list[int]:
    found = (header.place_of(name) for name in names)
    return [place for place in found if place is not None]


def _color_places(header: PcdHeader) -> list[int]:
    """The field of packed colors, or those of red, green and blue."""
    packed = [p for p in _places(header, _PACKED_COLORS) if header.fields[p].size == 4][:1]
    split = _places(header, ("r", "g", "b"))
    return packed or (split if len(split) == 3 else [])


def _rgb_of(columns: Sequence[npt.NDArray[np.generic]]) -> npt.NDArray[np.uint8] | None:
    if len(columns) != 1:
        return byte_colors(np.stack(columns, axis=1)) if columns else None
    packed = columns[0]
    if packed.dtype.itemsize == 8:  # numbers from text
        values = np.nan_to_num(packed.astype(np.float64), nan=0.0)
        low, high = _WHOLE_COLORS
        is_whole = len(values) and low <= np.abs(values).max() < high
        packed = values.astype(np.int64).astype("<u4") if is_whole else values.astype("<f4")
    return byte_colors(split_packed(packed))
