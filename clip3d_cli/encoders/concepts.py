"""The concepts that a point encoder was trained on, with their words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_KEYS = {"name", "words", "seen", "iou"}


@dataclass(frozen=True, slots=True)
class Concept:
    """A kind of thing that words of the training stood for.

    Attributes:
        name: its usual word.
        words: the words that stood for it, ``name`` first.
        seen: whether any training scan had points of it. Words without points were learned only as
            what points are not.
        iou: intersection over union that the weights reach for it, 0…1, by kind of validation
            scans, such as "real" and "simulated"; empty if nobody has measured it.

    Raises:
        ValueError: ``words`` does not begin with ``name``, or an IoU is not in 0…1.
    """

    name: str
    words: tuple[str, ...]
    seen: bool = True
    iou: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.words[:1] != (self.name,):
            raise ValueError(f"the words of concept {self.name!r} must begin with it")
        if not all(0 <= value <= 1 for value in self.iou.values()):
            raise ValueError(f"the IoU of concept {self.name!r} must be in 0…1")

    @classmethod
    def from_json(cls, value: Any) -> Concept:
        """Return the concept of a JSON object with the attributes as fields.

        Raises:
            ValueError: a field is unknown, missing or invalid.
        """
        if not isinstance(value, dict) or not {"name", "words"} <= set(value) <= _KEYS:
            raise ValueError(f"a concept must be an object with {', '.join(sorted(_KEYS))}")
        words, iou = value["words"], value.get("iou", {})
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise ValueError("the words of a concept must be a list of strings")
        if not isinstance(iou, dict) or not all(isinstance(each, float) for each in iou.values()):
            raise ValueError("the iou of a concept must be an object with numbers")
        return cls(str(value["name"]), tuple(words), bool(value.get("seen", True)), iou)


def concept_of_word(concepts: Sequence[Concept]) -> dict[str, Concept]:
    """Return the concept of each word; of several concepts with the word, the first one."""
    found: dict[str, Concept] = {}
    for concept in concepts:
        for word in concept.words:
            found.setdefault(word, concept)
    return found
