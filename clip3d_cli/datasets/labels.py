"""Class indices for the numbers in label files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.datasets.dataset import read_toml
from clip3d_cli.errors import InputError

_IGNORED = -1
_UNDEFINED = -2


@dataclass(frozen=True, slots=True)
class FileLabel:
    """Number that stands for a label in the label files of a data set.

    Attributes:
        number: the number in the files.
        name: the data set's own name of the label.
        class_name: class of the vocabulary that the label counts as, or None if points of the
            label are ignored.
    """

    number: int
    name: str
    class_name: str | None


def file_labels(dataset: str) -> tuple[FileLabel, ...]:
    """Return the labels of a data set, from its ``labels.toml``.

    Args:
        dataset: name in the registry.
    """
    rows = read_toml(dataset, "labels.toml")["label"]
    return tuple(FileLabel(row["number"], row["name"], row.get("class")) for row in rows)


def read_thing_classes(dataset: str, vocabulary: Vocabulary) -> frozenset[int]:
    """Return the class indices of the countable classes ("things"), from ``labels.toml``.

    Args:
        dataset: name in the registry.
        vocabulary: the vocabulary of the data set.
    """
    index_of_name = _index_of_name(vocabulary)
    return frozenset(index_of_name[name] for name in read_toml(dataset, "labels.toml")["things"])


class LabelTable:
    """Table that maps the numbers in label files to class indices.

    Args:
        labels: all labels of the data set, each number once.
        vocabulary: contains every class that the labels name.
    """

    def __init__(self, labels: tuple[FileLabel, ...], vocabulary: Vocabulary) -> None:
        index_of_name = _index_of_name(vocabulary)
        highest = max(label.number for label in labels)
        # One more entry than the highest number: `class_index` maps all larger numbers to it.
        self._class_of_number = np.full(highest + 2, _UNDEFINED, dtype=np.int32)
        # Position of a label among the labels that count as the same class.
        self._position_of_number = np.zeros(highest + 2, dtype=np.int32)
        labels_of_class: dict[str | None, int] = {}
        for label in labels:
            self._class_of_number[label.number] = (
                _IGNORED if label.class_name is None else index_of_name[label.class_name]
            )
            position = labels_of_class.get(label.class_name, 0)
            self._position_of_number[label.number] = position
            labels_of_class[label.class_name] = position + 1
        self._most_labels_of_a_class = max(labels_of_class.values())

    def class_index(self, path: Path, numbers: npt.NDArray[np.uint32]) -> npt.NDArray[np.int32]:
        """Return the class indices of label numbers.

        Args:
            path: file of the numbers, for messages.
            numbers: (N,) numbers as the file stores them.

        Returns:
            (N,) int32, −1 = ignored.

        Raises:
            InputError: E_DATASET: no label has one of the numbers.
        """
        last = len(self._class_of_number) - 1
        index: npt.NDArray[np.int32] = self._class_of_number[
            np.minimum(numbers, last).astype(np.intp)
        ]
        undefined = numbers[index == _UNDEFINED]
        if len(undefined):
            raise InputError(
                "E_DATASET",
                path,
                f"contains label {undefined[0]}, which the data set does not define",
                "The file belongs to another data set or release, or is damaged.",
            )
        return index

    def object_numbers(
        self, numbers: npt.NDArray[np.uint32], objects: npt.NDArray[np.uint32]
    ) -> npt.NDArray[np.int32]:
        """Return one number per object that is unique within a class.

        Several labels may count as one class, such as cars and moving cars. The official
        evaluations take objects of different labels for different objects even if their numbers
        are equal, and so do these numbers. Object 0 of the first label of a class is 0.

        Args:
            numbers: (N,) label numbers, all of them defined.
            objects: (N,) number of the object within its label, below 65,536.

        Returns:
            (N,) int32.
        """
        position = self._position_of_number[numbers.astype(np.intp)]
        most = np.int32(self._most_labels_of_a_class)
        unique: npt.NDArray[np.int32] = objects.astype(np.int32) * most + position
        return unique


def class_index_of_ids(
    path: Path,
    class_ids: npt.NDArray[np.generic],
    vocabulary: Vocabulary,
    ignored: tuple[int, ...] | None,
) -> npt.NDArray[np.int32]:
    """Return the class indices of class ids.

    Args:
        path: file of the ids, for messages.
        class_ids: (N,) whole numbers.
        vocabulary: its classes define the ids.
        ignored: ids that stand for "ignored"; None = all ids that the vocabulary does not define.

    Returns:
        (N,) int32, −1 = ignored.

    Raises:
        InputError: E_DATASET: an id is neither defined nor ignored.
    """
    ids = vocabulary.class_ids
    order = np.argsort(ids)
    # (N,) position in the sorted ids at which each id is, if the vocabulary defines it.
    position = np.minimum(np.searchsorted(ids, class_ids, sorter=order), len(ids) - 1)
    index = order[position].astype(np.int32)
    index[ids[index] != class_ids] = _IGNORED
    if ignored is not None:
        undefined = class_ids[(index < 0) & ~np.isin(class_ids, ignored)]
        if len(undefined):
            raise InputError(
                "E_DATASET",
                path,
                f"contains label {undefined[0]}, which {vocabulary.name} does not define",
                "Add a class of that id to the vocabulary, or label such points 0.",
            )
    return index


def _index_of_name(vocabulary: Vocabulary) -> dict[str, int]:
    return {entry.name: index for index, entry in enumerate(vocabulary.classes)}
