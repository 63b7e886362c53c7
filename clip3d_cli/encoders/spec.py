"""What must be known of a point network to use it, apart from its weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from clip3d_cli.core.embeddings import FeatureSpace
from clip3d_cli.core.vocabulary import SemanticClass, Vocabulary

HeadName = Literal["text", "closed"]


@dataclass(frozen=True, slots=True)
class ClosedHead:
    """The fixed classes that a second linear layer of K rows was trained on, in its rows' order.

    Attributes:
        vocabulary: what the K classes are called together, such as ``nuscenes16``.
        names: of each class, all different.
        class_ids: the number of each class in label files, 1…65535.
        colors: red, green, blue of each class, 0…255.
        logit_scale: what the layer's answers are multiplied by before the softmax over all K
            classes: 1 takes them as they were trained.

    Raises:
        TypeError: a name is no text.
        ValueError: no class, unequal lengths, a name that is empty or given twice, or a number
            out of its range.
    """

    vocabulary: str
    names: tuple[str, ...]
    class_ids: tuple[int, ...]
    colors: tuple[tuple[int, int, int], ...]
    logit_scale: float = 1.0

    def __post_init__(self) -> None:
        for name in (self.vocabulary, *self.names):
            if not isinstance(name, str):
                raise TypeError(f"the closed head's name {name!r} is no text")
            if not name.strip() or not name.isprintable():
                raise ValueError(f"the closed head's name {name!r} cannot be printed")
        twice = sorted({name for name in self.names if self.names.count(name) > 1})
        checks = (
            (bool(self.names), "it names no class"),
            (
                len(self.names) == len(self.class_ids) == len(self.colors),
                "its names, class_ids and colors differ in number",
            ),
            (not twice, f"it names {', '.join(map(repr, twice))} twice"),
            (
                all(type(each) is int and 0 < each < 65536 for each in self.class_ids),
                "a class_id is no whole number 1…65535",
            ),
            (
                all(_is_color(color) for color in self.colors),
                "a color is not three whole numbers 0…255",
            ),
            (0 < self.logit_scale < math.inf, f"its logit_scale is {self.logit_scale}"),
        )
        for holds, fault in checks:
            if not holds:
                raise ValueError(f"the closed head: {fault}")

    @classmethod
    def of(cls, vocabulary: Vocabulary, logit_scale: float = 1.0) -> ClosedHead:
        """The head of a vocabulary's classes, in their order."""
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
        """The K classes, in the order of the layer's rows."""
        rows = zip(self.names, self.class_ids, self.colors, strict=True)
        return Vocabulary(self.vocabulary, tuple(SemanticClass(n, (n,), i, c) for n, i, c in rows))

    @property
    def space(self) -> FeatureSpace:
        """Where the layer's answers live, (K,): one axis for every class."""
        return FeatureSpace(f"classes/{self.vocabulary}", len(self.names))


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """Everything about an encoder but its weights.

    Attributes:
        architecture: a name of kind ``point_encoders`` in the registry.
        config: keyword arguments of that network, ``in_channels`` and ``out_channels`` apart.
        inputs: the channels it expects, in order.
        voxel_sizes_m: the voxel edges it was trained at, metres.
        space: where its answers live: the words', or `ClosedHead.space` where it answers through
            its closed head.
        text_encoder: a name of kind ``text_encoders`` that embeds words in the words' space.
        logit_scale: what cosines (logits, through a closed head) are multiplied by before a
            softmax over classes.
        provenance: what it was trained on, under which licences, how.
        closed: the classes of its closed head, if it has one.

    Raises:
        ValueError: no channels, no voxel sizes, or a size or scale that is not above 0.
    """

    architecture: str
    config: Mapping[str, Any]
    inputs: tuple[str, ...]
    voxel_sizes_m: tuple[float, ...]
    space: FeatureSpace
    text_encoder: str
    logit_scale: float
    provenance: Mapping[str, str] = field(default_factory=dict)
    closed: ClosedHead | None = None

    def __post_init__(self) -> None:
        if not self.inputs:
            raise ValueError("inputs name no channel")
        if not self.voxel_sizes_m:
            raise ValueError("voxel_sizes_m holds no size")
        for number in (*self.voxel_sizes_m, self.logit_scale):
            if not 0 < number < math.inf:
                raise ValueError(f"a voxel size or logit_scale is {number}, not above 0")

    @property
    def head(self) -> HeadName:
        """Which head answers: ``closed`` gives a logit for every class, ``text`` unit vectors."""
        return "closed" if self.closed is not None and self.space == self.closed.space else "text"

    def through_closed_head(self) -> EncoderSpec:
        """The same trunk answering through its closed head.

        Raises:
            ValueError: it has none.
        """
        if self.closed is None:
            raise ValueError("the network has no closed head")
        # Its layer always has a bias, whatever the text head was told.
        config = {key: value for key, value in self.config.items() if key != "head_bias"}
        return replace(
            self,
            config=config,
            space=self.closed.space,
            logit_scale=self.closed.logit_scale,
        )


def _is_color(color: tuple[int, int, int]) -> bool:
    return len(color) == 3 and all(type(part) is int and 0 <= part < 256 for part in color)
