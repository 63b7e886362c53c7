"""An evaluation as tables for people."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from clip3d_cli.commands.terminal import Voice, counted, print_table, stderr_console, swatched
from clip3d_cli.metrics.panoptic import PanopticScores, Quality, panoptic_scores_of
from clip3d_cli.metrics.scores import (
    Scores,
    foreground_iou,
    harmonic_iou,
    metric_name,
    scores_of,
)
from clip3d_cli.pipelines.evaluate.run import Band, EvalOptions, Evaluation, class_indices

if TYPE_CHECKING:
    from rich.text import Text

_UNLABELED = "unlabeled"
_LEAST_SHOWN = 0.0005
_SUMMARY = ("mIoU", "mAcc", "fwIoU", "accuracy")


def show_judged(evaluation: Evaluation, options: EvalOptions, split: str, voice: Voice) -> None:
    """Say on stderr what was judged, and how good the answers are."""
    if voice.quiet:
        return
    if not evaluation.points:
        voice.note(f"split {split}: no point has truth, so there are no scores")
        return
    if evaluation.passed_over:
        voice.note(f"without truth, so not judged: {counted(evaluation.passed_over, 'scene')}")
    voice.note(
        f"split {split}: {counted(evaluation.points, 'point')} of "
        f"{counted(evaluation.scenes, 'scene')} judged"
    )
    _show_tables(evaluation, options, voice)


def _show_tables(evaluation: Evaluation, options: EvalOptions, voice: Voice) -> None:
    """How well every class is found, and all of them together."""
    scores = evaluation.scores(options.convention)
    panoptic = None
    if evaluation.panoptic is not None:
        panoptic = panoptic_scores_of(evaluation.panoptic, options.convention)
    _show_classes(evaluation, scores, panoptic)
    voice.note("")
    _show_summary(evaluation, options, scores)
    if panoptic is not None:
        voice.note("")
        _show_panoptic(panoptic)
    voice.note("")
    for line in _remarks(evaluation, options, scores):
        voice.note(line)


def _show_classes(evaluation: Evaluation, scores: Scores, panoptic: PanopticScores | None) -> None:
    """A row for every class that the mean counts, in the order of the vocabulary."""
    counts = evaluation.confusion.counts
    rows: list[tuple[Text | str, ...]] = []
    for place, entry in enumerate(evaluation.vocabulary.classes):
        if np.isnan(scores.iou[place]):
            continue
        quality = () if panoptic is None else (percent(panoptic.pq[place]),)
        rows.append(
            (
                swatched(entry.name, entry.color),
                f"{counts[place].sum():,}",
                percent(scores.iou[place]),
                percent(scores.recall[place]),
                *quality,
                _mistaken_for(evaluation, place),
            )
        )
    columns = ("class", "points", "IoU", "accuracy", *(("PQ",) if panoptic else ()))
    numbers = len(columns) - 1
    console = stderr_console()
    print_table(console, (*columns, "mistaken for"), rows, numbers=numbers, remarks=1)


def _mistaken_for(evaluation: Evaluation, place: int) -> str:
    """The wrong answer that a class's points were given most often, and their share."""
    answers = evaluation.confusion.counts[place].copy()
    points = answers.sum()
    answers[place] = 0
    most = int(np.argmax(answers))
    if not answers[most]:
        return ""
    names = [*(entry.name for entry in evaluation.vocabulary.classes), _UNLABELED]
    return f"{names[most]} {percent(answers[most] / points)}"


def _show_summary(evaluation: Evaluation, options: EvalOptions, scores: Scores) -> None:
    """A row for all points, and one for each band of distances."""
    rows = [("all", *_summary(scores))]
    for band in evaluation.bands:
        found = scores_of(band.confusion, options.convention, evaluation.rules)
        rows.append((_reach(band), *_summary(found)))
    title = "distance" if evaluation.bands else ""
    print_table(stderr_console(), (title, "points", *_SUMMARY), rows, numbers=5)


def _summary(scores: Scores) -> tuple[str, ...]:
    shares = (
        scores.mean_iou,
        scores.mean_accuracy,
        scores.frequency_weighted_iou,
        scores.accuracy,
    )
    return f"{scores.points:,}", *(percent(share) for share in shares)


def _show_panoptic(scores: PanopticScores) -> None:
    rows = [
        ("all", *_qualities(scores.all), percent(scores.pq_dagger)),
        ("things", *_qualities(scores.things), ""),
        ("stuff", *_qualities(scores.stuff), ""),
    ]
    print_table(stderr_console(), ("objects", "PQ", "SQ", "RQ", "PQ†"), rows, numbers=4)


def _qualities(quality: Quality) -> tuple[str, ...]:
    return tuple(percent(share) for share in (quality.pq, quality.sq, quality.rq))


def _remarks(evaluation: Evaluation, options: EvalOptions, scores: Scores) -> Iterable[str]:
    """What the tables do not say."""
    vocabulary = evaluation.vocabulary
    if options.ignored:
        ignored = class_indices(vocabulary, options.ignored, "--ignore")
        found = percent(foreground_iou(evaluation.confusion, ignored))
        yield f"foreground mIoU {found}, without {', '.join(options.ignored)}"
    if options.novel:
        novel = class_indices(vocabulary, options.novel, "--novel")
        base, new, both = map(percent, harmonic_iou(evaluation.confusion, novel))
        yield f"hIoU {both} of base {base} and novel {new} ({', '.join(options.novel)})"
    yield metric_name(options.convention, evaluation.rules)
    if scores.absent:
        names = [vocabulary.classes[place].name for place in scores.absent]
        yield f"absent: {', '.join(names)}"


def _reach(band: Band) -> str:
    if math.isinf(band.to_m):
        return f"{band.from_m:g} m and beyond"
    return f"{band.from_m:g} to {band.to_m:g} m"


def percent(share: float | np.floating) -> str:
    """A share as people read it; what is not nothing never reads as nothing."""
    if math.isnan(share):
        return "-"
    if 0 < share < _LEAST_SHOWN:
        return "<0.1%"
    return f"{share:.1%}"
