"""``clip3d vocabularies``: the sets of classes that clip3d brings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from clip3d_cli.core.vocabulary import Vocabulary


def vocabularies(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME|FILE]", help="Show this one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """List the sets of classes, or show one.

    These are what --vocabulary knows. A set of your own is a TOML file of the same form, given as
    --classes my.toml: a [[class]] table per class with name, words (the texts that find it), id
    (its number in label files) and color; all but the name may be left out. Give the
    file here to see how it is read.

    \b
    Examples:
      clip3d vocabularies
      clip3d vocabularies semantickitti19
    """  # noqa: D301
    from clip3d_cli.commands.terminal import give_json
    from clip3d_cli.core.vocabulary import Vocabulary
    from clip3d_cli.core.vocabulary_files import named_vocabulary, vocabulary_names

    if name is not None and name.endswith(".toml"):
        chosen = [Vocabulary.read(Path(name))]
    else:
        chosen = [named_vocabulary(each) for each in ([name] if name else vocabulary_names())]
    if as_json:
        give_json({"schema": "clip3d.vocabularies/1", "vocabularies": list(map(_row, chosen))})
    elif name:
        _show(chosen[0])
    else:
        _list(chosen)


def _row(vocabulary: Vocabulary) -> dict[str, object]:
    return {
        "name": vocabulary.name,
        "title": vocabulary.title,
        "source": vocabulary.source,
        "classes": [
            {
                "name": entry.name,
                "id": entry.class_id,
                "color": list(entry.color),
                "words": list(entry.words),
            }
            for entry in vocabulary.classes
        ],
    }


def _list(chosen: list[Vocabulary]) -> None:
    from clip3d_cli.commands.terminal import print_table, stdout_console

    rows = [(each.name, each.title, str(len(each))) for each in chosen]
    print_table(stdout_console(), ("vocabulary", "what it is", "classes"), rows, numbers=1)


def _show(vocabulary: Vocabulary) -> None:
    from clip3d_cli.commands.terminal import give, print_table, stdout_console

    give(vocabulary.title)
    give(vocabulary.source)
    rows = [
        (entry.name, ", ".join(entry.words), str(entry.class_id)) for entry in vocabulary.classes
    ]
    print_table(stdout_console(), ("class", "words", "id"), rows, numbers=1)
