"""The classes a user asks for: any words, or some that the weights were trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from clip3d_cli.commands.engine_choice import EngineChoice
from clip3d_cli.commands.terminal import Voice, plain
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.core.vocabulary_files import named_vocabulary, vocabulary_names
from clip3d_cli.encoders.closed_head import closed_vocabulary
from clip3d_cli.encoders.weights_file import read_spec, require_closed
from clip3d_cli.errors import UsageError

# Far above any list of classes: a larger file is something else, such as a scan.
_LIST_BYTES = 4 << 20


def asked_vocabulary(
    choice: EngineChoice, classes: str | None, vocabulary: str | None, voice: Voice
) -> Vocabulary:
    """The classes that --classes or --vocabulary ask for; all of a closed head's if none is given.

    Of the weights it reads what they say of themselves, not the network.

    Args:
        choice: the weights and their head.
        classes: see `chosen_vocabulary`; None if not given.
        vocabulary: the name of a vocabulary that clip3d brings; None if not given.
        voice: hears which names were given twice.

    Raises:
        UsageError: both are given, or none to the text head, or a class that the closed head was
            not trained on.
        SetupError: E_WEIGHTS: the file has no closed head, and it was asked for.
    """
    if choice.head == "text":
        return chosen_vocabulary(classes, vocabulary, voice)
    given = classes is not None or vocabulary is not None
    wanted = chosen_vocabulary(classes, vocabulary, voice) if given else None
    closed = require_closed(read_spec(choice.weights), choice.weights)
    return closed_vocabulary(closed, wanted)


def chosen_vocabulary(classes: str | None, vocabulary: str | None, voice: Voice) -> Vocabulary:
    """The classes that --classes or --vocabulary ask for.

    Args:
        classes: names separated by commas, ``@file.txt`` with names by line or comma, or a
            ``.toml`` file; None if not given.
        vocabulary: the name of a vocabulary that clip3d brings; None if not given.
        voice: hears which names were given twice.

    Raises:
        UsageError: both or none are given, or they name no class.
        InputError: a TOML file is not as it should be.
    """
    if vocabulary is not None and classes is None:
        return named_vocabulary(vocabulary)
    if classes is None or vocabulary is not None:
        given = "both --classes and --vocabulary" if classes else "no classes"
        raise _refused(
            "--classes",
            f"{given} given",
            f'Give one: --classes "car,tire,plastic bag", or --vocabulary NAME, one of '
            f"{', '.join(vocabulary_names())}.",
        )
    path = Path(classes.removeprefix("@"))
    if path.suffix.lower() == ".toml":
        _require_list(path, classes)
        return Vocabulary.read(path)
    if classes.startswith("@"):
        return _of_texts(_lines_of(path, classes), path.stem, voice)
    if path.suffix and path.is_file():
        raise _refused("--classes", f"{classes} is a file", f"To read it, write @{classes}.")
    return _of_texts([classes], "classes", voice)


def _of_texts(texts: Sequence[str], name: str, voice: Voice) -> Vocabulary:
    kept: dict[str, str] = {}
    for entry in (part.strip() for text in texts for part in text.split(",")):
        label = entry.partition("=")[0].strip()
        if not entry.isprintable():
            raise _refused(
                "--classes",
                f"{plain(entry)} has a control character",
                "Class names are written into files: use letters, digits and spaces.",
            )
        if label in kept and entry:
            voice.warn("--classes", f"{label!r} is given twice; the first one counts")
        elif entry:
            kept[label] = entry
    return Vocabulary.of_words(list(kept.values()), name)


def _lines_of(path: Path, option: str) -> list[str]:
    _require_list(path, option)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise _refused(str(path), "is not text in UTF-8", "Save it as UTF-8.") from error
    return [line for line in lines if not line.lstrip().startswith("#")]


def _require_list(path: Path, option: str) -> None:
    if not path.is_file():
        raise _refused("--classes", f"there is no file {path}", f"Check the path in {option}.")
    if path.stat().st_size > _LIST_BYTES:
        raise _refused(str(path), "is too large for a list of classes", "Name another file.")


def _refused(where: str, fault: str, remedy: str) -> UsageError:
    return UsageError("E_CLASSES", where, fault, remedy)
