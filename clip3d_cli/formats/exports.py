"""Labels in files of another format than their source, and the JSON file of class names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.labels import Labels
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.formats.label_fields import class_lines, label_columns, label_dtype, ranked_ids
from clip3d_cli.formats.ply.header import CLASS_COMMENT, LABEL_PREFIX

SIDECAR = ".classes.json"


def write_label_file(labels: Labels, target: Path) -> None:
    """Write a SemanticKITTI label file: one little-endian uint32 class number per point."""
    # ndarray.tofile does not raise when the disk is full.
    target.write_bytes(labels.class_id.astype("<u4").tobytes())


def label_arrays(labels: Labels) -> dict[str, npt.NDArray[np.generic]]:
    """Return the arrays that an NPZ stores for labels.

    Returns:
        ``label`` (N,) uint16 or uint32 class numbers, ``score`` (N,) float32; with a ranking of
        R classes also ``topk_label`` (N, R) and ``topk_score`` (N, R), best first.
    """
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "label": labels.class_id.astype(np.promote_types(np.uint16, label_dtype(labels))),
        "score": labels.score,
    }
    ids = ranked_ids(labels)
    if ids is not None and labels.ranking_score is not None:
        arrays["topk_label"] = ids.astype(arrays["label"].dtype)
        arrays["topk_score"] = labels.ranking_score
    return arrays


def write_npz_file(labels: Labels, target: Path) -> None:
    """Write an NPZ file with the labels alone; for its arrays see ``label_arrays``."""
    with target.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **label_arrays(labels))


def write_ply_file(labels: Labels, cloud: PointCloud, target: Path) -> None:
    """Write a binary PLY file with the points in metres, their colors and labels, for viewers.

    Args:
        labels: N labels.
        cloud: the N points; coordinates are written as doubles.
        target: file to write.
    """
    # plyfile is GPL-3: this function is the only code that imports it.
    from plyfile import PlyData, PlyElement

    columns: dict[str, npt.NDArray[np.generic]] = {
        name: cloud.xyz[:, axis] for axis, name in enumerate("xyz")
    }
    if cloud.rgb is not None:
        names = ("red", "green", "blue")
        columns |= {name: cloud.rgb[:, channel] for channel, name in enumerate(names)}
    columns |= {column.name: column.values for column in label_columns(labels, LABEL_PREFIX)}
    table = np.empty(len(cloud), [(name, values.dtype) for name, values in columns.items()])
    for name, values in columns.items():
        table[name] = values
    comments = [f"{CLASS_COMMENT}{line}".removeprefix("comment ") for line in class_lines(labels)]
    PlyData([PlyElement.describe(table, "vertex")], byte_order="<", comments=comments).write(
        str(target)
    )


def classes_json(labels: Labels) -> str:
    """Return the JSON text that maps the class numbers in a label file to names and colors."""
    classes = [
        {
            "id": entry.class_id,
            "name": entry.name,
            "words": list(entry.words),
            "color": list(entry.color),
        }
        for entry in labels.vocabulary.classes
    ]
    table = {"vocabulary": labels.vocabulary.name, "unlabeled": 0, "classes": classes}
    return json.dumps(table, indent=1, ensure_ascii=True) + "\n"
