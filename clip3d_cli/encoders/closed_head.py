"""Closed head: a linear layer for fixed classes, trained beside the text head of a network."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass

import numpy as np

from clip3d_cli.core.embeddings import ClassEmbeddings, FeatureSpace
from clip3d_cli.core.vocabulary import SemanticClass, Vocabulary
from clip3d_cli.errors import UsageError


@dataclass(frozen=True, slots=True)
class ClosedHead:
    """The K classes of a closed head, in the order of its rows.

    Attributes:
        vocabulary: name of the classes as a whole, such as ``nuscenes16``.
        names: K different class names.
        class_ids: number of each class in label files, 1…65535.
        colors: red, green, blue of each class, 0…255.
        logit_scale: factor of the logits before the softmax over all K classes; 1 leaves them as
            they were trained.

    Raises:
        TypeError: a name is not a string.
        ValueError: no class, unequal lengths, an empty or repeated name, or a number out of range.
    """

    vocabulary: str
    names: tuple[str, ...]
    class_ids: tuple[int, ...]
    colors: tuple[tuple[int, int, int], ...]
    logit_scale: float = 1.0

    def __post_init__(self) -> None:
        for name in (self.vocabulary, *self.names):
            if not isinstance(name, str):
                raise TypeError(f"the closed head: the name {name!r} is not a string")
            if not name.strip() or not name.isprintable():
                raise ValueError(f"the closed head: the name {name!r} is empty or not printable")
        repeated = sorted({name for name in self.names if self.names.count(name) > 1})
        checks = (
            (bool(self.names), "it has no classes"),
            (
                len(self.names) == len(self.class_ids) == len(self.colors),
                "names, class_ids and colors have different lengths",
            ),
            (not repeated, f"repeated names: {', '.join(map(repr, repeated))}"),
            (
                all(type(each) is int and 0 < each < 65536 for each in self.class_ids),
                "class_ids must be whole numbers 1…65535",
            ),
            (
                all(_is_color(color) for color in self.colors),
                "a color must be three whole numbers 0…255",
            ),
            (
                0 < self.logit_scale < math.inf,
                f"logit_scale must be above 0, not {self.logit_scale}",
            ),
        )
        for is_valid, fault in checks:
            if not is_valid:
                raise ValueError(f"the closed head: {fault}")

    @classmethod
    def of(cls, vocabulary: Vocabulary, logit_scale: float = 1.0) -> ClosedHead:
        """Return the closed head of a vocabulary's classes, in their order."""
        classes = vocabulary.classes
        return cls(
            vocabulary.name,
            tuple(entry.name for entry in classes),
            tuple(entry.class_id for entry in classes),
            tuple(entry.color for entry in classes),
            logit_scale,
        )

    @property
    def classes(self) -> Vocabulary:
        """The K classes as a vocabulary, in the order of the layer's rows."""
        rows = zip(self.names, self.class_ids, self.colors, strict=True)
        return Vocabulary(self.vocabulary, tuple(SemanticClass(n, (n,), i, c) for n, i, c in rows))

    @property
    def space(self) -> FeatureSpace:
        """Space of the layer's logits: K dimensions, one for every class."""
        return FeatureSpace(f"classes/{self.vocabulary}", len(self.names))


def closed_vocabulary(head: ClosedHead, requested: Vocabulary | None = None) -> Vocabulary:
    """Return the classes to predict: those requested, or all classes of the head.

    Args:
        head: the trained classes.
        requested: some of them by name, in any order; their words are not used.

    Raises:
        UsageError: E_CLASSES, a requested class was not trained.
    """
    if requested is None:
        return head.classes
    for entry in requested.classes:
        if entry.name not in head.names:
            similar = difflib.get_close_matches(entry.name, head.names, n=1)
            hint = f"Did you mean {similar[0]}? " if similar else ""
            raise UsageError(
                "E_CLASSES",
                requested.name,
                f"the closed head was not trained on {entry.name!r}",
                f"{hint}It knows: {', '.join(head.names)}. --head text takes any words.",
            )
    return requested


def closed_classes(head: ClosedHead | None, requested: Vocabulary | None = None) -> ClassEmbeddings:
    """Return the classes of a closed head as one-hot vectors, for an encoder opened with it.

    Args:
        head: the K trained classes: ``EncoderSpec.closed``.
        requested: see `closed_vocabulary`.

    Returns:
        One vector of length K per requested class, 1 at the class's row of the head, in
        `ClosedHead.space`.

    Raises:
        ValueError: the network has no closed head.
        UsageError: E_CLASSES, a requested class was not trained.
    """
    if head is None:
        raise ValueError("the network has no closed head")
    vocabulary = closed_vocabulary(head, requested)
    rows = [head.names.index(entry.name) for entry in vocabulary.classes]
    return ClassEmbeddings(
        vectors=np.eye(len(head.names), dtype=np.float32)[rows],
        class_of_vector=np.arange(len(rows), dtype=np.int32),
        vocabulary=vocabulary,
        space=head.space,
    )


def _is_color(color: tuple[int, int, int]) -> bool:
    return len(color) == 3 and all(type(part) is int and 0 <= part < 256 for part in color)
