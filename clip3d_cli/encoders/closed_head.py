"""Questions for an encoder that answers through its closed head."""

from __future__ import annotations

import difflib

import numpy as np

from clip3d_cli.core.embeddings import ClassEmbeddings
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.encoders.spec import ClosedHead, EncoderSpec
from clip3d_cli.errors import UsageError


def closed_vocabulary(closed: ClosedHead, wanted: Vocabulary | None = None) -> Vocabulary:
    """The classes to answer with: those wanted, as they are given, or all of the head's.

    Args:
        closed: the trained classes.
        wanted: some of them by name, in any order; their words play no part.

    Raises:
        UsageError: E_CLASSES: a name that the head was not trained on.
    """
    if wanted is None:
        return closed.classes
    for entry in wanted.classes:
        if entry.name not in closed.names:
            near = difflib.get_close_matches(entry.name, closed.names, n=1)
            hint = f"Did you mean {near[0]}? " if near else ""
            raise UsageError(
                "E_CLASSES",
                wanted.name,
                f"the closed head was not trained on {entry.name!r}",
                f"{hint}It knows: {', '.join(closed.names)}. --head text takes any words.",
            )
    return wanted


def closed_classes(spec: EncoderSpec, wanted: Vocabulary | None = None) -> ClassEmbeddings:
    """The question for an encoder opened with its closed head: a one-hot row for every class.

    Args:
        spec: of a network with a closed head of K rows.
        wanted: see `closed_vocabulary`.

    Returns:
        One row of length K per class wanted, in `ClosedHead.space`.

    Raises:
        ValueError: the network has no closed head.
        UsageError: E_CLASSES: a name that the head was not trained on.
    """
    if spec.closed is None:
        raise ValueError("the network has no closed head")
    vocabulary = closed_vocabulary(spec.closed, wanted)
    rows = [spec.closed.names.index(entry.name) for entry in vocabulary.classes]
    return ClassEmbeddings(
        vectors=np.eye(len(spec.closed.names), dtype=np.float32)[rows],
        class_of_vector=np.arange(len(rows), dtype=np.int32),
        vocabulary=vocabulary,
        space=spec.closed.space,
    )
