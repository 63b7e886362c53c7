"""The two scans of ScanNet's tree with the annotations for ScanNet200's ground truth."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import datasets_trees_scannet
from datasets_trees_scannet import EXPORTED, SAMPLED

from clip3d_cli.core.vocabulary import load_vocabulary

POINTS = 60
TABLE = "scannetv2-labels.combined.tsv"
# Six segments of ten vertices each, by numbers in no order.
SEGMENTS = (7, 3, 250_001, 0, 12, 5)
# Raw categories and their segments: the lamp takes one of the wall's, nothing takes the last.
OBJECTS: tuple[tuple[str, list[int]], ...] = (
    ("wall", [7, 3]),
    ("mattress", [250_001]),
    ("grab bar", [0]),
    ("lamp", [3]),
    ("never heard of", [12]),
)


def write_annotations(
    root: Path, name: str, objects: Sequence[tuple[str, list[int]]] = OBJECTS
) -> None:
    folder = root / "scans" / name
    segments = {"sceneId": name, "segIndices": [SEGMENTS[n // 10] for n in range(POINTS)]}
    groups = [
        {"id": n, "objectId": n, "segments": own, "label": label}
        for n, (label, own) in enumerate(objects)
    ]
    (folder / f"{name}_vh_clean_2.0.010000.segs.json").write_text(json.dumps(segments))
    text = json.dumps({"sceneId": f"scannet.{name}", "segGroups": groups})
    (folder / f"{name}.aggregation.json").write_text(text)


def table_rows() -> list[str]:
    """The table's lines: every class under its own name, and categories that no class counts."""
    classes = load_vocabulary("scannet200").classes
    rows = [f"{entry.class_id}\t{entry.name}\tx\t1\t40\tobjects" for entry in classes]
    return [
        "id\traw_category\tcategory\tcount\tnyu40id\tmpcat40",
        *rows,
        "43\tgrab bar\tx\t1\t40\tobjects",
        # A name that stands twice counts as it does first.
        "43\tmattress\tx\t1\t40\tobjects",
    ]


def write_tree(root: Path) -> None:
    datasets_trees_scannet.write_tree(root)
    for name in (EXPORTED, SAMPLED):
        write_annotations(root, name)
    (root / TABLE).write_text("\n".join(table_rows()) + "\n")
