"""Labels as the columns that files store: class numbers, scores, and the runners-up."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.labels import Labels
from clip3d_cli.errors import InputError

_MOST_BYTE_CLASSES = 254


@dataclass(frozen=True, slots=True)
class LabelColumn:
    """One column to add to a file."""

    name: str
    values: npt.NDArray[np.generic]


def label_columns(labels: Labels, prefix: str = "") -> list[LabelColumn]:
    """The columns of labels: the winner's class number and score, then those of the ranking.

    Their names are ``prefix`` and ``label``, ``score``, ``label_2``, ``score_2``, …
    Class numbers are the vocabulary's; 0 = unlabeled. Scores are float32.
    """
    dtype = label_dtype(labels)
    columns = [
        LabelColumn(f"{prefix}label", labels.class_id.astype(dtype)),
        LabelColumn(f"{prefix}score", labels.score),
    ]
    ids, scores = ranked_ids(labels), labels.ranking_score
    if ids is None or scores is None:
        return columns
    for place in range(1, ids.shape[1]):
        columns.append(LabelColumn(f"{prefix}label_{place + 1}", ids[:, place]))
        columns.append(
            LabelColumn(f"{prefix}score_{place + 1}", np.ascontiguousarray(scores[:, place]))
        )
    return columns


def ranked_ids(labels: Labels) -> npt.NDArray[np.generic] | None:
    """(N, R) class numbers of the nearest classes, best first, or None without a ranking."""
    if labels.ranking is None:
        return None
    number_of_index = np.append(labels.vocabulary.class_ids, 0)
    ids: npt.NDArray[np.generic] = number_of_index[labels.ranking].astype(label_dtype(labels))
    return ids


def label_dtype(labels: Labels) -> np.dtype[np.unsignedinteger]:
    """uint8 where all class numbers of the vocabulary fit, else uint16, else uint32."""
    highest = int(labels.vocabulary.class_ids.max(initial=0))
    if highest <= 255 and len(labels.vocabulary) <= _MOST_BYTE_CLASSES:
        return np.dtype(np.uint8)
    return np.dtype(np.uint16 if highest <= 65535 else np.uint32)


def require_length(source: Path, points: int, labels: Labels) -> None:
    """Refuse labels of another number of points than the file has.

    Raises:
        InputError: the file is not the one that was labelled.
    """
    if points != len(labels):
        raise InputError(
            "E_CHANGED",
            source,
            f"has {points:,} points, {len(labels):,} were labelled",
            "Label the file again.",
        )


def is_label_field(name: str, prefix: str) -> bool:
    """Whether a file's field is one of ours: the prefix, then ``label`` or ``score``, then _N."""
    return re.fullmatch(re.escape(prefix) + r"(label|score)(_[0-9]+)?", name) is not None


def class_lines(labels: Labels) -> list[str]:
    """``3 plastic bag``: number and name of every class, one line of ASCII for a text header."""
    return [
        " ".join(f"{entry.class_id} {entry.name}".split())
        .encode("ascii", "backslashreplace")
        .decode("ascii")
        for entry in labels.vocabulary.classes
    ]
