"""Headless float32 tables: KITTI's and nuScenes' ``.bin``, labels beside them in ``.label``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from clip3d_cli.core.labels import Labels
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.formats.bin.columns import columns_of
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

_POINT_BYTES = 64


class BinFormat:
    """Rows of float32 without a header."""

    name = "bin"
    suffixes = (".bin",)
    writes = (".label",)

    def sniff(self, path: Path, head: bytes) -> bool:
        """Whether the name ends with ``.bin``: there is nothing else to go by."""
        return path.suffix.lower() == ".bin"

    def inspect(self, path: Path, options: ReadOptions) -> CloudFacts:
        """The number of points that the size and the columns give."""
        names = columns_of(path, options)
        points = path.stat().st_size // _row_dtype(names).itemsize
        decided = "as asked" if options.columns else "by evidence"
        return CloudFacts(
            format=f"float32 table of {len(names)} columns",
            points=points,
            fields=tuple(f"{name} float32" for name in names),
            notes=(f"columns {','.join(names)} ({decided})",),
            memory=points * _POINT_BYTES,
        )

    def read(self, path: Path, options: ReadOptions) -> tuple[PointCloud, CloudFacts]:
        """The points, with colors and intensity where columns are called so."""
        facts = self.inspect(path, options)
        names = columns_of(path, options)
        colors = next((c for c in COLOR_COLUMNS if set(c) <= set(names)), ())
        intensity = [name for name in INTENSITY_COLUMNS if name in names][:1]
        dtype = _row_dtype(names)
        chunks = row_chunks(path, 0, dtype, facts.points)
        columns = read_columns(chunks, ["x", "y", "z", *colors, *intensity], dtype, facts.points)
        cloud = PointCloud(
            stack_xyz(columns),
            byte_colors(np.stack([columns[c] for c in colors], axis=1)) if colors else None,
            unit_intensity(columns[intensity[0]]) if intensity else None,
        )
        return cloud, facts

    def write(
        self, labels: Labels, source: Path, part: Path, options: ReadOptions, suffix: str
    ) -> None:
        """Write SemanticKITTI's labels: a table without names has no place for them."""
        require_length(source, self.inspect(source, options).points, labels)
        write_label_file(labels, part)


def _row_dtype(names: tuple[str, ...]) -> np.dtype[np.void]:
    return np.dtype([(name, "<f4") for name in names])
