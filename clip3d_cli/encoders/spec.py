"""Encoder specification: all that must be known about a point network besides its weights.

In a weights file it is JSON, in the metadata. The JSON is checked by hand here, because labelling
on a CPU must not import a schema library.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from clip3d_cli.core.embeddings import FeatureSpace
from clip3d_cli.encoders.closed_head import ClosedHead
from clip3d_cli.encoders.concepts import Concept

HeadName = Literal["text", "closed"]


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """Specification of a point encoder.

    Attributes:
        architecture: name of the network, of kind ``point_encoders`` in the registry.
        config: keyword arguments of the network, except ``in_channels`` and ``out_channels``.
        inputs: C names of input channels, in order: see `clip3d_cli.encoders.input_channels`.
        voxel_sizes_m: edges of the voxels it was trained with, metres.
        space: space of its results: that of the words, or `ClosedHead.space` if it was opened with
            its closed head.
        text_encoder: name, of kind ``text_encoders``, of a text encoder of the words' space.
        logit_scale: factor of the cosine similarities (of the logits, with a closed head) before
            the softmax over classes.
        provenance: training data, licences and procedure, as texts by title.
        closed: classes of its closed head, or None.
        concepts: what it was trained on; empty if that is not known.

    Raises:
        ValueError: no input channel, no voxel size, or a size or scale that is not above 0.
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
    concepts: tuple[Concept, ...] = ()

    def __post_init__(self) -> None:
        if not self.inputs:
            raise ValueError("inputs must name at least one channel")
        if not self.voxel_sizes_m:
            raise ValueError("voxel_sizes_m must have at least one size")
        for number in (*self.voxel_sizes_m, self.logit_scale):
            if not 0 < number < math.inf:
                raise ValueError(f"voxel sizes and logit_scale must be above 0, not {number}")

    @property
    def head(self) -> HeadName:
        """Head in use: ``text`` gives unit vectors, ``closed`` one logit per trained class."""
        return "closed" if self.closed is not None and self.space == self.closed.space else "text"

    def through_closed_head(self) -> EncoderSpec:
        """Return the specification of the same network with its closed head in use.

        Raises:
            ValueError: it has none.
        """
        if self.closed is None:
            raise ValueError("the network has no closed head")
        # A closed head always has a bias, whether the text head has one or not.
        config = {key: value for key, value in self.config.items() if key != "head_bias"}
        return replace(
            self,
            config=config,
            space=self.closed.space,
            logit_scale=self.closed.logit_scale,
        )

    def require_text_head(self) -> None:
        """Check that the encoder gives vectors in the text space.

        Raises:
            ValueError: it was opened with its closed head.
        """
        if self.head == "closed":
            raise ValueError(
                "the encoder was opened with its closed head, which gives logits and "
                'no vectors in the text space: open the weights with head="text"'
            )

    def to_json(self) -> str:
        """Return the specification as JSON."""
        fields = asdict(self)
        if self.closed is None:
            # Readers older than the closed head do not know the field.
            del fields["closed"]
        if not self.concepts:
            # The same goes for the concepts.
            del fields["concepts"]
        return json.dumps(fields, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> EncoderSpec:
        """Return the specification that `to_json` wrote.

        Raises:
            ValueError: not JSON, an unknown, missing or invalid field; the message names it.
            TypeError: a name of the closed head is not a string.
        """
        fields = _checked_fields(json.loads(text), _SPEC_FIELDS)
        space = _checked_fields(fields["space"], _SPACE_FIELDS, "space: ")
        return cls(
            **{
                **fields,
                "inputs": tuple(fields["inputs"]),
                "voxel_sizes_m": tuple(map(float, fields["voxel_sizes_m"])),
                "space": FeatureSpace(**space),
                "closed": _closed_head(fields.get("closed")),
                "concepts": tuple(map(Concept.from_json, fields.get("concepts", []))),
            }
        )


@dataclass(frozen=True, slots=True)
class _Field:
    """What a JSON field must be, in code and in words."""

    is_valid: Callable[[Any], bool]
    expected: str
    required: bool = True


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_list_of(is_valid: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(is_valid(each) for each in value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


_SPEC_FIELDS = {
    "architecture": _Field(_is_text, "a string"),
    "config": _Field(_is_object, "an object"),
    "inputs": _Field(_is_list_of(_is_text), "a list of strings"),
    "voxel_sizes_m": _Field(_is_list_of(_is_number), "a list of numbers"),
    "space": _Field(_is_object, "an object"),
    "text_encoder": _Field(_is_text, "a string"),
    "logit_scale": _Field(_is_number, "a number"),
    "provenance": _Field(_is_object, "an object", required=False),
    "closed": _Field(lambda value: value is None or _is_object(value), "an object", required=False),
    "concepts": _Field(_is_list, "a list", required=False),
}
_SPACE_FIELDS = {
    "name": _Field(_is_text, "a string"),
    "dim": _Field(lambda value: type(value) is int, "a whole number"),
}
# What is inside the lists is checked by ClosedHead.
_CLOSED_FIELDS = {
    "vocabulary": _Field(_is_text, "a string"),
    "names": _Field(_is_list, "a list"),
    "class_ids": _Field(_is_list, "a list"),
    "colors": _Field(_is_list_of(_is_list), "a list of lists"),
    "logit_scale": _Field(_is_number, "a number", required=False),
}


def _checked_fields(fields: Any, allowed: Mapping[str, _Field], prefix: str = "") -> dict[str, Any]:
    """Return the fields of a JSON object after checking their names and kinds.

    Raises:
        ValueError: not an object, or an unknown, missing or invalid field.
    """
    if not isinstance(fields, dict):
        raise ValueError(f"{prefix}it must be an object")
    unknown = sorted(set(fields) - set(allowed))
    if unknown:
        raise ValueError(f"{prefix}unknown field {unknown[0]!r}")
    for name, rule in allowed.items():
        if name not in fields:
            if rule.required:
                raise ValueError(f"{prefix}{name} is missing")
        elif not rule.is_valid(fields[name]):
            raise ValueError(f"{prefix}{name} must be {rule.expected}")
    return fields


def _closed_head(fields: Any) -> ClosedHead | None:
    if fields is None:
        return None
    checked = _checked_fields(fields, _CLOSED_FIELDS, "the closed head: ")
    return ClosedHead(
        **{
            **checked,
            "names": tuple(checked["names"]),
            "class_ids": tuple(checked["class_ids"]),
            "colors": tuple(tuple(color) for color in checked["colors"]),
        }
    )
