"""Class names, the space their vectors live in, and the vectors."""

from __future__ import annotations

import colorsys
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.checks import check_array
from clip3d_cli.errors import InputError, SetupError, UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_CLASS_KEYS = frozenset({"name", "words", "id", "color"})
_FILE_KEYS = frozenset({"title", "source", "class"})


@dataclass(frozen=True, slots=True)
class ClassName:
    """One class: what it is called, the words that find it, its number and color in files.

    Attributes:
        name: shown in tables and written to files.
        words: the prompts and synonyms that are embedded; at least one.
        class_id: the number of the class in label files; 0 means unlabeled there.
        color: red, green, blue, 0…255.
    """

    name: str
    words: tuple[str, ...]
    class_id: int
    color: tuple[int, int, int]

    def __post_init__(self) -> None:
        if not self.words:
            raise ValueError(f"class {self.name!r} has no words")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The classes of one question, in order: a class's position is its class index.

    Attributes:
        name: what the vocabulary is called.
        classes: K classes.
        title: what it is, in a line; may be empty.
        source: where names and numbers come from; may be empty.
    """

    name: str
    classes: tuple[ClassName, ...]
    title: str = ""
    source: str = ""

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """The K class names, in class-index order."""
        return tuple(entry.name for entry in self.classes)

    @property
    def class_ids(self) -> npt.NDArray[np.int64]:
        """(K,) int64: the number of each class in files."""
        return np.array([entry.class_id for entry in self.classes], dtype=np.int64)

    @classmethod
    def of_words(cls, names: Sequence[str], name: str = "classes") -> Vocabulary:
        """The vocabulary of plain names, numbered from 1 in the order given.

        A name may carry synonyms: ``car=sedan|van`` is the class *car*, found by any of the
        three words.

        Raises:
            UsageError: no name, an empty name, or a name given twice.
        """
        entries: list[ClassName] = []
        for position, text in enumerate(names):
            label, _, synonyms = text.partition("=")
            words = [word.strip() for word in (label, *synonyms.split("|")) if word.strip()]
            if not label.strip():
                raise UsageError(
                    "E_CLASSES", "--classes", f"class {position + 1} has no name", "Name it."
                )
            entries.append(
                ClassName(label.strip(), tuple(words), position + 1, palette_color(position))
            )
        _check_names(name, entries)
        return cls(name, tuple(entries))

    @classmethod
    def read(cls, path: Path) -> Vocabulary:
        """The vocabulary of a TOML file: ``[[class]]`` tables with name, words, id, color.

        Raises:
            InputError: not TOML, an unknown key, or a value of the wrong kind; it names the class.
        """
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InputError(
                "E_VOCABULARY", path, f"is not TOML: {error}", "See clip3d vocabularies --help."
            ) from error
        _refuse_unknown(path, "the file", table, _FILE_KEYS)
        rows = table.get("class", [])
        if not isinstance(rows, list) or not rows or not all(isinstance(r, dict) for r in rows):
            raise InputError("E_VOCABULARY", path, "has no [[class]] tables", "Add one per class.")
        entries = [_class_of_row(path, position, row) for position, row in enumerate(rows)]
        _check_names(str(path), entries)
        title, source = (str(table.get(key, "")) for key in ("title", "source"))
        return cls(path.stem, tuple(entries), title, source)


@dataclass(frozen=True, slots=True)
class FeatureSpace:
    """Where vectors can be compared: vectors of two spaces never can, even of equal width."""

    name: str
    dim: int

    def require(self, other: FeatureSpace, what: str) -> None:
        """Refuse to compare with vectors of another space.

        Raises:
            SetupError: the spaces differ; it names both.
        """
        if self != other:
            raise SetupError(
                "E_SPACE_MISMATCH",
                what,
                f"lives in {other.name} ({other.dim}), the points in {self.name} ({self.dim})",
                f"Choose a text encoder of {self.name}, or other weights.",
            )


@dataclass(frozen=True, slots=True)
class ClassEmbeddings:
    """Unit vectors of every word of a vocabulary.

    Attributes:
        vectors: (W, D) float32, unit length, one row per word.
        class_of_vector: (W,) int32, the class index of each row: a class is as near as the
            nearest of its words.
        vocabulary: K classes.
        space: where the vectors live.
    """

    vectors: npt.NDArray[np.float32]
    class_of_vector: npt.NDArray[np.int32]
    vocabulary: Vocabulary
    space: FeatureSpace

    def __post_init__(self) -> None:
        check_array("vectors", self.vectors, np.float32, (None, self.space.dim))
        check_array("class_of_vector", self.class_of_vector, np.int32, (len(self.vectors),))
        if not np.allclose(np.linalg.norm(self.vectors, axis=1), 1, atol=1e-4):
            raise ValueError("vectors must have unit length")
        if set(self.class_of_vector.tolist()) != set(range(len(self.vocabulary))):
            raise ValueError("every class needs a vector, and every vector a class")


def palette_color(position: int) -> tuple[int, int, int]:
    """A stable color for the class at a position: Okabe and Ito's eight, then golden-angle hues."""
    okabe_ito = (
        (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66),
        (0, 114, 178), (213, 94, 0), (204, 121, 167), (120, 94, 240),
    )  # fmt: skip
    if position < len(okabe_ito):
        return okabe_ito[position]
    value = 0.9 if position % 2 else 0.65
    red, green, blue = colorsys.hsv_to_rgb(position * 0.618034 % 1, 0.65, value)
    return int(red * 255), int(green * 255), int(blue * 255)


def _check_names(where: str, entries: Sequence[ClassName]) -> None:
    if not entries:
        raise UsageError("E_CLASSES", where, "names no class", 'Give some: "car,tree,road".')
    seen: set[str] = set()
    for entry in entries:
        if entry.name in seen:
            raise UsageError(
                "E_CLASSES", where, f"names {entry.name!r} twice", "Name every class once."
            )
        seen.add(entry.name)


def _refuse_unknown(path: Path, what: str, row: Mapping[str, Any], known: frozenset[str]) -> None:
    unknown = sorted(set(row) - known)
    if unknown:
        raise InputError(
            "E_VOCABULARY",
            path,
            f"{what} has an unknown key {unknown[0]!r}",
            f"Known keys: {', '.join(sorted(known))}.",
        )


def _class_of_row(path: Path, position: int, row: Mapping[str, Any]) -> ClassName:
    name = row.get("name")
    what = f"class {position + 1}" + (f" ({name})" if "name" in row else "")
    _refuse_unknown(path, what, row, _CLASS_KEYS)
    words = row.get("words", [name])
    class_id = row.get("id", position + 1)
    color = row.get("color", palette_color(position))
    checks = (
        # Names stand in headers of files, where a line break would begin another entry.
        (
            isinstance(name, str) and bool(name.strip()) and name.isprintable(),
            "name must be text without control characters",
        ),
        (
            isinstance(words, list) and all(isinstance(w, str) and w.strip() for w in words),
            "words must be a list of texts",
        ),
        (type(class_id) is int and 0 < class_id < 65536, "id must be a whole number 1…65535"),
        (
            len(color) == 3 and all(type(part) is int and 0 <= part < 256 for part in color)
            if isinstance(color, (list, tuple))
            else False,
            "color must be three numbers 0…255",
        ),
    )
    for holds, fault in checks:
        if not holds:
            raise InputError("E_VOCABULARY", path, f"{what}: {fault}", "Mend the entry.")
    return ClassName(str(name), tuple(words) or (str(name),), class_id, tuple(color))
