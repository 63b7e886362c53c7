"""Vocabularies: classes with their words, numbers and colors, from names or TOML files."""

from __future__ import annotations

import colorsys
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clip3d_cli import registry
from clip3d_cli.errors import InputError, UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_CLASS_KEYS = frozenset({"name", "words", "id", "color"})
_FILE_KEYS = frozenset({"title", "source", "class"})
_SHIPPED = Path(__file__).resolve().parents[1] / "vocabularies"
# Eight colors that people with color blindness can tell apart (Okabe and Ito 2008).
_OKABE_ITO = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66),
    (0, 114, 178), (213, 94, 0), (204, 121, 167), (120, 94, 240),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SemanticClass:
    """A class of points.

    Attributes:
        name: name in tables and in label files.
        words: words and phrases that are embedded for the class, at least one; often synonyms.
        class_id: number in label files, 1 to 65535; 0 means unlabeled there.
        color: red, green and blue, 0 to 255.

    Raises:
        ValueError: there is no word.
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
    """An ordered list of K classes; the position of a class is its class index.

    Attributes:
        name: name of the vocabulary.
        classes: the K classes.
        title: description in one line; may be empty.
        source: where the names and numbers come from; may be empty.
    """

    name: str
    classes: tuple[SemanticClass, ...]
    title: str = ""
    source: str = ""

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """The K class names, by class index."""
        return tuple(entry.name for entry in self.classes)

    @property
    def class_ids(self) -> npt.NDArray[np.int64]:
        """Number of each class in label files, (K,) int64, by class index."""
        return np.array([entry.class_id for entry in self.classes], dtype=np.int64)

    @classmethod
    def from_names(cls, names: Sequence[str], name: str = "classes") -> Vocabulary:
        """Return the vocabulary of class names, with the numbers 1 to K in their order.

        Args:
            names: a name may have synonyms: ``car=sedan|van`` is the class *car* with the three
                words *car*, *sedan* and *van*.
            name: name of the vocabulary.

        Raises:
            UsageError: E_CLASSES: there is no name, a name is empty, or a name occurs twice.
        """
        entries: list[SemanticClass] = []
        for index, text in enumerate(names):
            label, _, synonyms = text.partition("=")
            words = [word.strip() for word in (label, *synonyms.split("|")) if word.strip()]
            if not label.strip():
                raise UsageError(
                    "E_CLASSES",
                    "--classes",
                    f"class {index + 1} has no name",
                    'Give each class a name, such as "car" or "car=sedan|van".',
                )
            entries.append(
                SemanticClass(label.strip(), tuple(words), index + 1, palette_color(index))
            )
        _check_names(name, entries)
        return cls(name, tuple(entries))

    @classmethod
    def read(cls, path: Path) -> Vocabulary:
        """Read a vocabulary from a TOML file with one ``[[class]]`` table per class.

        Args:
            path: TOML file. A table has the keys ``name``, ``words``, ``id`` and ``color``, of
                which only the name is required.

        Raises:
            InputError: E_VOCABULARY: the file is not TOML, has an unknown key or a wrong value.
            UsageError: E_CLASSES: a name occurs twice.
        """
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InputError(
                "E_VOCABULARY", path, f"is not TOML: {error}", "See clip3d vocabularies --help."
            ) from error
        _reject_unknown_keys(path, "the file", table, _FILE_KEYS)
        rows = table.get("class", [])
        if not isinstance(rows, list) or not rows or not all(isinstance(r, dict) for r in rows):
            raise InputError(
                "E_VOCABULARY", path, "has no [[class]] tables", "Add one for each class."
            )
        entries = [_class_from_table(path, index, row) for index, row in enumerate(rows)]
        _check_names(str(path), entries)
        title, source = (str(table.get(key, "")) for key in ("title", "source"))
        return cls(path.stem, tuple(entries), title, source)


def vocabulary_names() -> list[str]:
    """Return the names of all vocabularies: those of clip3d and those of the data sets, sorted."""
    return sorted(_path_of_name())


def vocabulary_path(name: str) -> Path:
    """Return the TOML file of a vocabulary.

    Args:
        name: name of the vocabulary. The number of classes may be omitted where that is
            unambiguous: ``semantickitti`` means ``semantickitti19``.

    Raises:
        UsageError: E_UNKNOWN_NAME: no vocabulary, or more than one, has that name.
    """
    paths = _path_of_name()
    if name not in paths:
        matches = [full for full in paths if full.rstrip("0123456789") == name]
        if len(matches) != 1:
            raise registry.unknown_name_error("--vocabulary", name, sorted(paths))
        name = matches[0]
    return paths[name]


def load_vocabulary(name: str) -> Vocabulary:
    """Read the vocabulary of a name.

    Args:
        name: see `vocabulary_path`.

    Raises:
        UsageError: E_UNKNOWN_NAME: no vocabulary, or more than one, has that name.
    """
    return Vocabulary.read(vocabulary_path(name))


def palette_color(index: int) -> tuple[int, int, int]:
    """Return a default color for a class index, red, green and blue, 0 to 255.

    The first eight are Okabe and Ito's; the hues of all others are a golden angle apart.
    """
    if index < len(_OKABE_ITO):
        return _OKABE_ITO[index]
    value = 0.9 if index % 2 else 0.65
    red, green, blue = colorsys.hsv_to_rgb(index * 0.618034 % 1, 0.65, value)
    return int(red * 255), int(green * 255), int(blue * 255)


def _path_of_name() -> dict[str, Path]:
    """Return the file of each vocabulary: those of clip3d, then those of the data sets."""
    folders = [_SHIPPED]
    for dataset in registry.names("datasets"):
        folders.append(registry.package_folder("datasets", dataset) / "vocabularies")
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.toml"))}


def _check_names(where: str, entries: Sequence[SemanticClass]) -> None:
    if not entries:
        raise UsageError("E_CLASSES", where, "names no class", 'Give some: "car,tree,road".')
    seen: set[str] = set()
    for entry in entries:
        if entry.name in seen:
            raise UsageError(
                "E_CLASSES", where, f"names {entry.name!r} twice", "Name every class once."
            )
        seen.add(entry.name)


def _reject_unknown_keys(
    path: Path, what: str, table: Mapping[str, Any], known: frozenset[str]
) -> None:
    unknown = sorted(set(table) - known)
    if unknown:
        raise InputError(
            "E_VOCABULARY",
            path,
            f"{what} has an unknown key {unknown[0]!r}",
            f"Known keys: {', '.join(sorted(known))}.",
        )


def _class_from_table(path: Path, index: int, table: Mapping[str, Any]) -> SemanticClass:
    """Check one ``[[class]]`` table and return the class."""
    name = table.get("name")
    what = f"class {index + 1}" + (f" ({name})" if "name" in table else "")
    _reject_unknown_keys(path, what, table, _CLASS_KEYS)
    words = table.get("words", [name])
    class_id = table.get("id", index + 1)
    color = table.get("color", palette_color(index))
    checks = (
        # Names are written into file headers, where a line break would begin another entry.
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
    for is_valid, fault in checks:
        if not is_valid:
            raise InputError("E_VOCABULARY", path, f"{what}: {fault}", "Correct the entry.")
    return SemanticClass(str(name), tuple(words) or (str(name),), class_id, tuple(color))
