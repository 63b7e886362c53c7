"""Points and labels of any source as a new PLY: the adapter of plyfile, which is GPL-3."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.labels import Labels
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.formats.label_fields import class_lines, label_columns
from clip3d_cli.formats.ply.header import CLASS_COMMENT


def write_ply_file(labels: Labels, cloud: PointCloud, part: Path) -> None:
    """A binary PLY of the points in metres, their colors and labels, for viewers.

    Args:
        labels: N labels.
        cloud: the N points they belong to; coordinates are written as doubles.
        part: the file to write.
    """
    from plyfile import PlyData, PlyElement

    columns: dict[str, npt.NDArray[np.generic]] = {
        name: cloud.xyz[:, axis] for axis, name in enumerate("xyz")
    }
    if cloud.rgb is not None:
        names = ("red", "green", "blue")
        columns |= {name: cloud.rgb[:, place] for place, name in enumerate(names)}
    columns |= {column.name: column.values for column in label_columns(labels, "scalar_")}
    table = np.empty(len(cloud), [(name, values.dtype) for name, values in columns.items()])
    for name, values in columns.items():
        table[name] = values
    comments = [f"{CLASS_COMMENT}{line}".removeprefix("comment ") for line in class_lines(labels)]
    PlyData([PlyElement.describe(table, "vertex")], byte_order="<", comments=comments).write(
        str(part)
    )
