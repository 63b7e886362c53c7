"""Labels as the columns that files store: class numbers, scores, and the next best classes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.labels import Labels
from clip3d_cli.errors import InputError

_MAX_CLASSES_IN_A_BYTE = 254


@dataclass(frozen=True, slots=True)
class LabelColumn:
    """A column to add to a file.

    Attributes:
        name: name of the field in the file.
        values: (N,) numbers, one per point in file order.
    """

    name: str
    values: npt.NDArray[np.generic]


def label_columns(labels: Labels, prefix: str = "") -> list[LabelColumn]:
    """Return the columns that a file stores for labels.

    Args:
        labels: labels of N points, with or without a ranking.
        prefix: start of every column name.

    Returns:
        ``label`` and ``score``; with a ranking of R classes also ``label_2``, ``score_2``, … up to
        R. Labels are the class numbers of the vocabulary, unsigned, 0 = unlabeled; scores are
        float32.
    """
    dtype = label_dtype(labels)
    columns = [
        LabelColumn(f"{prefix}label", labels.class_id.astype(dtype)),
        LabelColumn(f"{prefix}score", labels.score),
    ]
    ids, scores = ranked_ids(labels), labels.ranking_score
    if ids is None or scores is None:
        return columns
    for rank in range(1, ids.shape[1]):  # rank 0 is the label itself
        columns.append(LabelColumn(f"{prefix}label_{rank + 1}", ids[:, rank]))
        columns.append(
            LabelColumn(f"{prefix}score_{rank + 1}", np.ascontiguousarray(scores[:, rank]))
        )
    return columns


def ranked_ids(labels: Labels) -> npt.NDArray[np.generic] | None:
    """Return the (N, R) class numbers of the best classes, best first; None without a ranking."""
    if labels.ranking is None:
        return None
    # K + 1 numbers: the class index -1 (unlabeled) selects the last one, 0.
    id_of_index = np.append(labels.vocabulary.class_ids, 0)
    ids: npt.NDArray[np.generic] = id_of_index[labels.ranking].astype(label_dtype(labels))
    return ids


def label_dtype(labels: Labels) -> np.dtype[np.unsignedinteger]:
    """Return uint8 if it holds all class numbers of the vocabulary, else uint16, else uint32."""
    highest = int(labels.vocabulary.class_ids.max(initial=0))
    if highest <= 255 and len(labels.vocabulary) <= _MAX_CLASSES_IN_A_BYTE:
        return np.dtype(np.uint8)
    return np.dtype(np.uint16 if highest <= 65535 else np.uint32)


def require_length(source: Path, points: int, labels: Labels) -> None:
    """Raise if a file has another number of points than there are labels.

    Raises:
        InputError: E_CHANGED: the file is not the one that was labelled.
    """
    if points != len(labels):
        raise InputError(
            "E_CHANGED",
            source,
            f"has {points:,} points, {len(labels):,} were labelled",
            "Label the file again.",
        )


def is_label_field(name: str, prefix: str) -> bool:
    """Return whether a field is of labels: the prefix, ``label`` or ``score``, perhaps ``_2``."""
    return re.fullmatch(re.escape(prefix) + r"(label|score)(_[0-9]+)?", name) is not None


def class_lines(labels: Labels) -> list[str]:
    """Return a line of ASCII per class for a text header, such as ``3 plastic bag``."""
    return [
        " ".join(f"{entry.class_id} {entry.name}".split())
        .encode("ascii", "backslashreplace")
        .decode("ascii")
        for entry in labels.vocabulary.classes
    ]
