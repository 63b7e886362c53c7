"""``clip3d vocabularies``: list or show the sets of classes shipped with clip3d."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clip3d_cli.cli.options import AsJson

if TYPE_CHECKING:
    from clip3d_cli.core.vocabulary import Vocabulary

SCHEMA = "clip3d.vocabularies/1"


def vocabularies(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME|FILE]", help="Vocabulary to show; without it, list all."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the vocabularies, or show one.

    --vocabulary takes their names. Your own vocabulary is a TOML file, given as --classes my.toml,
    with one [[class]] table per class: name, words (texts that describe it), id (its number in
    label files) and color. Only the name is required. Pass the file here to see how it is read.

    \b
    Examples:
      clip3d vocabularies
      clip3d vocabularies semantickitti19
    """  # noqa: D301
    from clip3d_cli.cli.terminal import print_json, print_result, print_table, stdout_console
    from clip3d_cli.core.vocabulary import Vocabulary, load_vocabulary, vocabulary_names

    if name is not None and name.endswith(".toml"):
        shown = [Vocabulary.read(Path(name))]
    else:
        shown = [load_vocabulary(each) for each in ([name] if name else vocabulary_names())]
    if as_json:
        print_json({"schema": SCHEMA, "vocabularies": [_entry(each) for each in shown]})
        return
    if name is None:
        rows = [(each.name, each.title, str(len(each))) for each in shown]
        print_table(stdout_console(), ("vocabulary", "description", "classes"), rows, numbers=1)
        return
    print_result(shown[0].title)
    print_result(shown[0].source)
    rows = [(each.name, ", ".join(each.words), str(each.class_id)) for each in shown[0].classes]
    print_table(stdout_console(), ("class", "words", "id"), rows, numbers=1)


def _entry(vocabulary: Vocabulary) -> dict[str, object]:
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
