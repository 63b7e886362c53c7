"""``clip3d words``: what the models know about words, without a scan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from clip3d_cli.cli.options import AsJson, Templates, TextEncoder, Weights

if TYPE_CHECKING:
    from clip3d_cli.labelling.words import WordReport

SCHEMA = "clip3d.words/1"


def words(
    classes: Annotated[
        str | None,
        typer.Argument(
            metavar="[WORDS]",
            help='As for clip3d label: "car,tyre,plastic bag", @classes.txt, classes.csv or '
            "classes.toml.",
        ),
    ] = None,
    vocabulary: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="A set of classes shipped with clip3d."),
    ] = None,
    weights: Weights = None,
    text_encoder: TextEncoder = None,
    templates: Templates = None,
    as_json: AsJson = False,
) -> None:
    """Show what the models know about words, and check them as clip3d label does.

    For each word: whether the text encoder knows it, itself or by its parts; the nearest concept
    that the weights were trained on, and how similar it is; the other class of the list that it
    will most likely be confused with; and the IoU that the weights reach for the concept on
    validation scans, if their file says so.

    \b
    Examples:
      clip3d words "car,tyre,voiture"
      clip3d words @classes.txt --json
    """  # noqa: D301
    from clip3d_cli.cli.classes import no_classes, parse_classes
    from clip3d_cli.cli.models import model_choice
    from clip3d_cli.cli.terminal import Reporter, print_json, print_table, stdout_console
    from clip3d_cli.labelling.labeller import open_word_checker

    requested = parse_classes(classes, vocabulary)
    if requested is None:
        raise no_classes()
    checker = open_word_checker(model_choice(weights, text_encoder, templates))
    warnings = [*requested.warnings, *checker.warnings(requested.vocabulary)]
    reports = checker.report(requested.vocabulary, by_hand=requested.by_hand)
    if as_json:
        print_json(
            {
                "schema": SCHEMA,
                "words": [_entry(report) for report in reports],
                "warnings": [warning.as_json() for warning in warnings],
            }
        )
        return
    for warning in warnings:
        Reporter().warn(warning)
    kinds = sorted({kind for concept in checker.concepts for kind in concept.iou})
    columns = ["word", "known", "nearest trained", "confused with", "similarity"]
    columns += [f"IoU, {kind}" for kind in kinds]
    rows = [
        (
            report.word,
            report.status,
            "" if report.nearest is None else report.nearest.name,
            report.confused_with or "",
            "" if report.similarity is None else f"{report.similarity:.2f}",
            *(_percent(report.iou.get(kind)) for kind in kinds),
        )
        for report in reports
    ]
    print_table(stdout_console(), columns, rows, numbers=1 + len(kinds))


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _entry(report: WordReport) -> Mapping[str, object]:
    similarity = report.similarity
    return {
        "class": report.class_name,
        "word": report.word,
        "known": report.status,
        "embedded": report.embedded,
        "nearest": None if report.nearest is None else report.nearest.name,
        "similarity": None if similarity is None else round(similarity, 3),
        "trained": report.concept is not None and report.concept.seen,
        "confused_with": report.confused_with,
        "iou": dict(report.iou),
    }
