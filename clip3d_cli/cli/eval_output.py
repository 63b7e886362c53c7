"""Tables of an evaluation, for people."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from clip3d_cli.cli.terminal import Reporter, count_of, print_table, stderr_console, with_color
from clip3d_cli.metrics.panoptic import PanopticScores, Quality, panoptic_scores_of
from clip3d_cli.metrics.scores import (
    Scores,
    foreground_iou,
    harmonic_iou,
    metric_name,
    scores_of,
)
from clip3d_cli.pipelines.evaluate.run import DistanceBand, EvalOptions, Evaluation, class_indices

if TYPE_CHECKING:
    from rich.text import Text

_UNLABELED = "unlabeled"
_MIN_SHOWN_SHARE = 0.0005
_SUMMARY = ("mIoU", "mAcc", "fwIoU", "accuracy")


def print_evaluation(
    evaluation: Evaluation, options: EvalOptions, split: str, reporter: Reporter
) -> None:
    """Print what was evaluated, and the scores."""
    if reporter.quiet:
        return
    if not evaluation.points:
        reporter.info(f"split {split}: no point has ground truth, so there are no scores")
        return
    if evaluation.scenes_without_ground_truth:
        skipped = count_of(evaluation.scenes_without_ground_truth, "scene")
        reporter.info(f"skipped, because without ground truth: {skipped}")
    reporter.info(
        f"split {split}: {count_of(evaluation.points, 'point')} in "
        f"{count_of(evaluation.scenes, 'scene')} evaluated"
    )
    scores = evaluation.scores(options.convention)
    panoptic = None
    if evaluation.panoptic is not None:
        panoptic = panoptic_scores_of(evaluation.panoptic, options.convention)
    _print_classes(evaluation, scores, panoptic)
    reporter.info("")
    _print_summary(evaluation, options, scores)
    if panoptic is not None:
        reporter.info("")
        _print_panoptic(panoptic)
    reporter.info("")
    for line in _remarks(evaluation, options, scores):
        reporter.info(line)


def _print_classes(evaluation: Evaluation, scores: Scores, panoptic: PanopticScores | None) -> None:
    """Print a row for every class that counts in the mean, in the order of the vocabulary."""
    counts = evaluation.confusion.counts
    rows: list[tuple[Text | str, ...]] = []
    for index, entry in enumerate(evaluation.vocabulary.classes):
        if np.isnan(scores.iou[index]):
            continue
        quality = () if panoptic is None else (percent(panoptic.pq[index]),)
        rows.append(
            (
                with_color(entry.name, entry.color),
                f"{counts[index].sum():,}",
                percent(scores.iou[index]),
                percent(scores.recall[index]),
                *quality,
                _mistaken_for(evaluation, index),
            )
        )
    columns = ("class", "points", "IoU", "accuracy", *(("PQ",) if panoptic else ()))
    numbers = len(columns) - 1
    console = stderr_console()
    print_table(console, (*columns, "mistaken for"), rows, numbers=numbers, remarks=1)


def _mistaken_for(evaluation: Evaluation, index: int) -> str:
    """Return the most frequent wrong prediction for a class, and its share of the points."""
    predictions = evaluation.confusion.counts[index].copy()
    points = predictions.sum()
    predictions[index] = 0
    most = int(np.argmax(predictions))
    if not predictions[most]:
        return ""
    names = [*(entry.name for entry in evaluation.vocabulary.classes), _UNLABELED]
    return f"{names[most]} {percent(predictions[most] / points)}"


def _print_summary(evaluation: Evaluation, options: EvalOptions, scores: Scores) -> None:
    """Print a row for all points, and one for each distance band."""
    rows = [("all", *_summary(scores))]
    for band in evaluation.bands:
        band_scores = scores_of(band.confusion, options.convention, evaluation.rules)
        rows.append((_band_title(band), *_summary(band_scores)))
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


def _print_panoptic(scores: PanopticScores) -> None:
    rows = [
        ("all", *_qualities(scores.all), percent(scores.pq_dagger)),
        ("things", *_qualities(scores.things), ""),
        ("stuff", *_qualities(scores.stuff), ""),
    ]
    print_table(stderr_console(), ("objects", "PQ", "SQ", "RQ", "PQ†"), rows, numbers=4)


def _qualities(quality: Quality) -> tuple[str, ...]:
    return tuple(percent(share) for share in (quality.pq, quality.sq, quality.rq))


def _remarks(evaluation: Evaluation, options: EvalOptions, scores: Scores) -> Iterable[str]:
    """Yield the results and definitions that the tables leave out."""
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
        names = [vocabulary.classes[index].name for index in scores.absent]
        yield f"absent: {', '.join(names)}"


def _band_title(band: DistanceBand) -> str:
    if math.isinf(band.to_m):
        return f"{band.from_m:g} m and beyond"
    return f"{band.from_m:g} to {band.to_m:g} m"


def percent(share: float | np.floating) -> str:
    """Return a share in percent; a nonzero share is never shown as 0.0%."""
    if math.isnan(share):
        return "-"
    if 0 < share < _MIN_SHOWN_SHARE:
        return "<0.1%"
    return f"{share:.1%}"
