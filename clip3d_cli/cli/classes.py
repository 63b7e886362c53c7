"""Parse the classes of ``--classes`` and ``--vocabulary``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from clip3d_cli.cli.terminal import Reporter, escaped
from clip3d_cli.core.vocabulary import Vocabulary, load_vocabulary, vocabulary_names
from clip3d_cli.errors import UsageError

if TYPE_CHECKING:
    from clip3d_cli.labelling.labeller import BackgroundChoice

# No list of classes is larger: such a file is something else, for example a scan.
_MAX_LIST_BYTES = 4 << 20


def parse_classes(
    classes: str | None, vocabulary: str | None, reporter: Reporter
) -> Vocabulary | None:
    """Return the requested classes; None if neither option is given.

    Args:
        classes: names separated by commas; ``@file.txt`` with names separated by lines or commas;
            or a ``.toml`` file.
        vocabulary: name of a vocabulary shipped with clip3d.
        reporter: reports names that are given twice.

    Raises:
        UsageError: E_CLASSES: both options are given, or they name no class.
        InputError: E_VOCABULARY: a TOML file is invalid.
    """
    if classes is None:
        return None if vocabulary is None else load_vocabulary(vocabulary)
    if vocabulary is not None:
        raise no_classes("both --classes and --vocabulary given")
    path = Path(classes.removeprefix("@"))
    if path.suffix.lower() == ".toml":
        _require_list_file(path, classes)
        return Vocabulary.read(path)
    if classes.startswith("@"):
        return _vocabulary_of(_read_lines(path, classes), path.stem, reporter)
    if path.suffix and path.is_file():
        raise _error("--classes", f"{classes} is a file", f"To read it, use @{classes}.")
    return _vocabulary_of([classes], "classes", reporter)


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
        raise UsageError(
            "E_USAGE",
            "--background",
            "has no effect with --head closed, which reads no words",
            "Leave it out, or use --head text.",
        )
    if background == "auto":
        return "auto"
    words = [word.strip() for word in background.split(",") if word.strip()]
    if not words:
        raise UsageError(
            "E_USAGE", "--background", "names no word", 'Use auto, none, or words: "tree,wall".'
        )
    return words


def no_classes(fault: str = "no classes given") -> UsageError:
    """Return the error for a command line without classes, or with too many."""
    return _error(
        "--classes",
        fault,
        f'Use either --classes "car,tire,plastic bag" or --vocabulary NAME, where NAME is one of '
        f"{', '.join(vocabulary_names())}.",
    )


def _vocabulary_of(texts: Sequence[str], name: str, reporter: Reporter) -> Vocabulary:
    entry_of_name: dict[str, str] = {}
    for entry in (part.strip() for text in texts for part in text.split(",")):
        label = entry.partition("=")[0].strip()
        if not entry.isprintable():
            raise _error(
                "--classes",
                f"{escaped(entry)} contains a control character",
                "Class names are written into files: use letters, digits and spaces.",
            )
        if label in entry_of_name and entry:
            reporter.warning("--classes", f"{label!r} is given twice; the first one is used")
        elif entry:
            entry_of_name[label] = entry
    return Vocabulary.from_names(list(entry_of_name.values()), name)


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
