"""Labels in files of another kind than their source, and the sidecar that names the classes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.labels import Labels
from clip3d_cli.formats.label_fields import label_dtype, ranked_ids

SIDECAR = ".classes.json"


def write_label_file(labels: Labels, part: Path) -> None:
    """SemanticKITTI's file: a little-endian uint32 per point, the class number."""
    # numpy's own tofile does not say that the disk is full.
    part.write_bytes(labels.class_id.astype("<u4").tobytes())


def label_arrays(labels: Labels) -> dict[str, npt.NDArray[np.generic]]:
    """The arrays of an NPZ: ``label``, ``score``, and ``topk_label``, ``topk_score`` if ranked."""
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "label": labels.class_id.astype(np.promote_types(np.uint16, label_dtype(labels))),
        "score": labels.score,
    }
    ids = ranked_ids(labels)
    if ids is not None and labels.ranking_score is not None:
        arrays["topk_label"] = ids.astype(arrays["label"].dtype)
        arrays["topk_score"] = labels.ranking_score
    return arrays


def write_npz_file(labels: Labels, part: Path) -> None:
    """An NPZ with the labels alone."""
    with part.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **label_arrays(labels))


def classes_json(labels: Labels) -> str:
    """The JSON text that says what the numbers in a label file mean."""
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
