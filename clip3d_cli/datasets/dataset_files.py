"""What is known of a data set besides its files: which scenes a split has, which label is what."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clip3d_cli import registry
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_NOT_JUDGED = -1
_UNHEARD_OF = -2


@dataclass(frozen=True, slots=True)
class FileLabel:
    """A number in a data set's label files.

    Attributes:
        number: as files hold it.
        name: the data set's name for it.
        class_name: the class of our vocabulary that counts it, or None where none does.
    """

    number: int
    name: str
    class_name: str | None


def split_numbers(dataset: str) -> dict[str, tuple[int, ...]]:
    """The numbers of the scenes of every official split, from its ``splits.toml``."""
    table: dict[str, str] = _facts("splits", dataset)["split"]
    return {name: tuple(_numbers(text)) for name, text in table.items()}


def file_labels(dataset: str) -> tuple[FileLabel, ...]:
    """The labels that a data set's files hold, from its ``labels.toml``."""
    rows = _facts("labels", dataset)["label"]
    return tuple(FileLabel(row["number"], row["name"], row.get("class")) for row in rows)


def thing_classes(dataset: str, vocabulary: Vocabulary) -> frozenset[int]:
    """The class indices of what comes in single objects, from its ``labels.toml``."""
    index_of_name = _index_of_name(vocabulary)
    return frozenset(index_of_name[name] for name in _facts("labels", dataset)["things"])


class LabelTable:
    """Class indices for the numbers in label files.

    Args:
        labels: each number once.
        vocabulary: holds every class that ``labels`` name.
    """

    def __init__(self, labels: tuple[FileLabel, ...], vocabulary: Vocabulary) -> None:
        index_of_name = _index_of_name(vocabulary)
        highest = max(label.number for label in labels)
        self._class_of_number = np.full(highest + 2, _UNHEARD_OF, dtype=np.int32)
        self._kind_of_number = np.zeros(highest + 2, dtype=np.int32)
        kinds: dict[str | None, int] = {}
        for label in labels:
            self._class_of_number[label.number] = (
                _NOT_JUDGED if label.class_name is None else index_of_name[label.class_name]
            )
            self._kind_of_number[label.number] = kinds.get(label.class_name, 0)
            kinds[label.class_name] = kinds.get(label.class_name, 0) + 1
        self._most_kinds = max(kinds.values())

    def class_index(self, path: Path, numbers: npt.NDArray[np.uint32]) -> npt.NDArray[np.int32]:
        """(N,) int32 class indices of (N,) numbers, −1 = not judged.

        Args:
            path: where they come from.
            numbers: as the file holds them.

        Raises:
            InputError: E_DATASET: a number that no label has.
        """
        last = len(self._class_of_number) - 1
        index: npt.NDArray[np.int32] = self._class_of_number[
            np.minimum(numbers, last).astype(np.intp)
        ]
        strange = numbers[index == _UNHEARD_OF]
        if len(strange):
            raise InputError(
                "E_DATASET",
                path,
                f"holds label {strange[0]}, which the data set does not define",
                "It belongs to another data set or release, or is damaged; fetch it again.",
            )
        return index

    def objects(
        self, numbers: npt.NDArray[np.uint32], objects: npt.NDArray[np.uint32]
    ) -> npt.NDArray[np.int32]:
        """(N,) int32: one number for every object of every label, 0 for object 0 of the first.

        A class may count several labels, such as cars and moving cars. Official code takes what
        is labelled differently for different objects, and so do these numbers.

        Args:
            numbers: (N,) labels, all of them known.
            objects: (N,) which object of its label a point belongs to, below 65,536.
        """
        kind = self._kind_of_number[numbers.astype(np.intp)]
        one: npt.NDArray[np.int32] = objects.astype(np.int32) * np.int32(self._most_kinds) + kind
        return one


def _index_of_name(vocabulary: Vocabulary) -> dict[str, int]:
    return {entry.name: index for index, entry in enumerate(vocabulary.classes)}


def _facts(kind: str, dataset: str) -> dict[str, Any]:
    path = registry.part_folder("datasets", dataset) / f"{kind}.toml"
    text = path.read_text(encoding="utf-8")
    table: dict[str, Any] = tomllib.loads(text)
    return table


def _numbers(text: str) -> list[int]:
    numbers: list[int] = []
    for part in text.split():
        first, _, last = part.partition("-")
        numbers.extend(range(int(first), int(last or first) + 1))
    return numbers
