"""Parse the classes of ``--classes`` and ``--vocabulary``."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from clip3d_cli.cli.terminal import escaped
from clip3d_cli.core.vocabulary import Vocabulary, load_vocabulary, vocabulary_names
from clip3d_cli.errors import UsageError
from clip3d_cli.labelling.warnings import LabelWarning

if TYPE_CHECKING:
    from clip3d_cli.labelling.labeller import BackgroundChoice

# No list of classes is larger: such a file is something else, for example a scan.
_MAX_LIST_BYTES = 4 << 20
_LIST_SUFFIXES = (".csv", ".txt", ".tsv", ".toml", ".json", ".yaml", ".yml", ".xls", ".xlsx")
# Signs that other programs separate names by. The bar is one only outside of synonyms.
_SEPARATORS = re.compile(r"[;\t，、；]")
_TITLES = frozenset({"class", "classes", "name", "names", "label", "labels", "word", "words"})


@dataclass(frozen=True, slots=True)
class RequestedClasses:
    """The classes of a command line.

    Attributes:
        vocabulary: the classes.
        by_hand: whether the user chose the words; those of ``--vocabulary`` are published.
        warnings: what is odd about the list as it was written.
    """

    vocabulary: Vocabulary
    by_hand: bool
    warnings: tuple[LabelWarning, ...] = ()


def parse_classes(classes: str | None, vocabulary: str | None) -> RequestedClasses | None:
    """Return the requested classes; None if neither option is given.

    Args:
        classes: names separated by commas, in quotes where they contain one; ``@file.txt`` or
            ``file.csv`` with names separated by lines or commas; or a ``.toml`` file.
        vocabulary: name of a vocabulary shipped with clip3d.

    Raises:
        UsageError: E_CLASSES: both options are given, they name no class, or names are not
            separated by commas.
        InputError: E_VOCABULARY: a TOML file is invalid.
    """
    if classes is None:
        if vocabulary is None:
            return None
        return RequestedClasses(load_vocabulary(vocabulary), by_hand=False)
    if vocabulary is not None:
        raise no_classes("both --classes and --vocabulary given")
    path = Path(classes.removeprefix("@"))
    suffix = path.suffix.lower()
    if suffix == ".toml":
        _require_list_file(path, classes)
        return RequestedClasses(Vocabulary.read(path), by_hand=True)
    if classes.startswith("@") or suffix == ".csv":
        return _classes_of(_read_list(path, classes), path.stem)
    if suffix and path.is_file():
        raise _error("--classes", f"{classes} is a file", f"To read it, use @{classes}.")
    if suffix in _LIST_SUFFIXES:
        _require_list_file(path, classes)
    return _classes_of(_cells([classes], "--classes"), "classes")


def parse_background(
    background: str | None, *, by_name: bool, head: Literal["text", "closed"]
) -> BackgroundChoice:
    """Return what competes with the classes: ``auto``, ``none``, or words.

    Args:
        background: value of ``--background``, None if it is not given.
        by_name: whether ``--classes`` is given, not a vocabulary.
        head: head of the network; a closed head reads no words.

    Raises:
        UsageError: E_USAGE: words for a closed head, or no word between the commas.
    """
    if background is None:
        return "auto" if by_name and head == "text" else "none"
    if background == "none":
        return "none"
    if head == "closed":
        refuse_text_options({"--background": background})
    if background == "auto":
        return "auto"
    words = [word.strip() for word in background.split(",") if word.strip()]
    if not words:
        raise UsageError(
            "E_USAGE", "--background", "names no word", 'Use auto, none, or words: "tree,wall".'
        )
    return words


def refuse_text_options(given: Mapping[str, object]) -> None:
    """Raise an error if an option about words is given for a closed head.

    Args:
        given: value of each option, None where it was not given.

    Raises:
        UsageError: E_USAGE.
    """
    for option, value in given.items():
        if value is not None:
            raise UsageError(
                "E_USAGE",
                option,
                "has no effect with --head closed, which reads no words",
                "Leave it out, or use --head text.",
            )


def no_classes(fault: str = "no classes given") -> UsageError:
    """Return the error for a command line without classes, or with too many."""
    return _error(
        "--classes",
        fault,
        f'Use either --classes "car,tire,plastic bag" or --vocabulary NAME, where NAME is one of '
        f"{', '.join(vocabulary_names())}.",
    )


def _classes_of(entries: Iterable[str], name: str) -> RequestedClasses:
    entry_of_name: dict[str, str] = {}
    warnings: list[LabelWarning] = []
    for entry in map(str.strip, entries):
        label = entry.partition("=")[0].strip()
        _check_entry(entry)
        if label in entry_of_name and entry:
            warnings.append(
                LabelWarning(
                    "W_SAME_CLASS",
                    "--classes",
                    f"{label!r} is given twice; the first one is used",
                    "Name every class once.",
                )
            )
        elif entry:
            entry_of_name[label] = entry
    vocabulary = Vocabulary.from_names(list(entry_of_name.values()), name)
    return RequestedClasses(vocabulary, by_hand=True, warnings=tuple(warnings))


def _check_entry(entry: str) -> None:
    """Raise an error if a class cannot be written into files, or is several classes."""
    label, equals, _ = entry.partition("=")
    if _SEPARATORS.search(entry) or "|" in label:
        parts = [part.strip() for part in re.split(r"[;\t，、；|]", label if equals else entry)]
        raise _error(
            "--classes",
            f"{escaped(entry)!r} looks like several classes without commas between them",
            f'Separate classes by commas: --classes "{",".join(filter(None, parts))}". '
            "Synonyms are written car=sedan|van.",
        )
    if not entry.isprintable():
        raise _error(
            "--classes",
            f"{escaped(entry)} contains a control character",
            "Class names are written into files: use letters, digits and spaces.",
        )


def _cells(lines: Sequence[str], where: str, delimiter: str = ",") -> list[str]:
    """Split lines at commas, except within double quotes.

    Raises:
        UsageError: E_CLASSES: a quote is not closed.
    """
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        return [cell for row in reader for cell in row]
    except csv.Error as error:
        raise _error(
            where, f"has a wrong quote: {error}", 'Write names with commas as "bag, plastic".'
        ) from error


def _read_list(path: Path, option: str) -> list[str]:
    """Return the names in a file, by line and within lines by comma."""
    lines = _read_lines(path, option)
    if path.suffix.lower() != ".csv":
        return [cell for line in lines for cell in _cells([line], str(path))]
    # Spreadsheets write semicolons where the comma is the decimal sign.
    delimiter = "," if any("," in line for line in lines) else ";"
    rows = [_cells([line], str(path), delimiter) for line in lines if line.strip()]
    if rows and rows[0] and rows[0][0].strip().lower() in _TITLES:
        rows = rows[1:]
    cells = [cell.strip() for row in rows for cell in row]
    number = next((cell for cell in cells if re.fullmatch(r"[\d.]+", cell)), None)
    if number is not None:
        raise _error(
            str(path),
            f"has numbers, such as {number}, and not only names of classes",
            "Keep the column of names only, or write a TOML file: see clip3d vocabularies --help.",
        )
    return cells


def _read_lines(path: Path, option: str) -> list[str]:
    _require_list_file(path, option)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise _error(str(path), "is not UTF-8 text", "Save it as UTF-8.") from error
    return [line for line in lines if not line.lstrip().startswith("#")]


def _require_list_file(path: Path, option: str) -> None:
    if not path.is_file():
        raise _error("--classes", f"there is no file {path}", f"Check the path in {option}.")
    if path.stat().st_size > _MAX_LIST_BYTES:
        raise _error(str(path), "is too large for a list of classes", "Name another file.")


def _error(where: str, fault: str, remedy: str) -> UsageError:
    return UsageError("E_CLASSES", where, fault, remedy)
