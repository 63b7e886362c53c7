"""The HTML page of a report: page.html lays out what is collected here.

Importing this module imports Jinja and matplotlib.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, StrictUndefined

from clip3d_cli import __version__
from clip3d_cli.pipelines.evaluate.document import ClassRecord, Share
from clip3d_cli.pipelines.report.figures import DOTS_PER_INCH, UNLABELED, in_intervals, percent
from clip3d_cli.pipelines.report.records import EvaluationRecord, Records, RunRecord

# Columns of the table of results: the part of the document, and the score in it.
_SCORES = {
    "mIoU": ("scores", "miou"),
    "mAcc": ("scores", "macc"),
    "fwIoU": ("scores", "fwiou"),
    "accuracy": ("scores", "accuracy"),
    "foreground mIoU": ("foreground", "miou"),
    "base mIoU": ("harmonic", "base"),
    "novel mIoU": ("harmonic", "novel_miou"),
    "hIoU": ("harmonic", "hiou"),
    "PQ": ("panoptic", "pq"),
    "SQ": ("panoptic", "sq"),
    "RQ": ("panoptic", "rq"),
}
# A share, and whether it is the best of several comparable ones.
ShareCell = tuple[Share, bool]


class ClassTable(NamedTuple):
    """Scores by class of evaluations that have the same classes and points."""

    evaluations: Sequence[EvaluationRecord]
    titles: list[str]
    rows: list[tuple[ClassRecord, list[ShareCell]]]
    means: list[Share]


class Confusion(NamedTuple):
    """Points of one class that were predicted as another one, and their share of the class.

    ``prediction`` is None for points without a prediction.
    """

    truth: ClassRecord
    prediction: ClassRecord | None
    points: int
    share: float


def page_html(records: Records, *, curves: bytes | None, confusions: Sequence[bytes | None]) -> str:
    """Return the page with everything in it: it loads nothing from elsewhere.

    Args:
        records: content of the report.
        curves: PNG of the curves of all trainings, if there are any.
        confusions: PNG of the confusion matrix of each evaluation, where there is one.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        percent=percent, shown=_shown, duration=_duration, last_loss=_last_loss
    )
    template = Path(__file__).with_suffix(".html").read_text(encoding="utf-8")
    evaluations, runs = records.evaluations, records.runs
    subjects = [record.name for record in runs or evaluations]
    kind = "runs" if runs else "evaluations"
    pngs = zip(evaluations, confusions, strict=True)
    return environment.from_string(template).render(
        title=subjects[0] if len(subjects) == 1 else f"{len(subjects)} {kind} compared",
        failures=records.failures,
        evaluations=evaluations,
        are_comparable=len({evaluation.scope for evaluation in evaluations}) == 1,
        results=_results(evaluations),
        class_tables=_class_tables(evaluations),
        confusions=[(each, _image(png), frequent_errors(each, 10)) for each, png in pngs if png],
        unlabeled=UNLABELED,
        runs=runs,
        curves=_image(curves) if curves else None,
        config=_config_rows(runs),
        version=__version__,
        now=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    )


def frequent_errors(evaluation: EvaluationRecord, most: int) -> list[Confusion]:
    """Return the errors of an evaluation that most points have, the most frequent first."""
    document = evaluation.document
    counts = document.confusion_matrix.counts.copy()  # (K, K + 1)
    np.fill_diagonal(counts, 0)
    errors = []
    for cell in np.argsort(-counts, axis=None, kind="stable")[:most]:
        truth, prediction = divmod(int(cell), counts.shape[1])
        if points := int(counts[truth, prediction]):
            classes = (*document.classes, None)
            share = points / sum(document.confusion[truth])
            errors.append(Confusion(document.classes[truth], classes[prediction], points, share))
    return errors


def _results(
    evaluations: Sequence[EvaluationRecord],
) -> tuple[list[str], list[tuple[EvaluationRecord, list[ShareCell]]]]:
    """Return the titles of all scores that an evaluation has, and a row for each evaluation."""
    columns = {
        title: (part, score)
        for title, (part, score) in _SCORES.items()
        if any(getattr(each.document, part) is not None for each in evaluations)
    }
    rows = []
    for evaluation in evaluations:
        rivals = [other for other in evaluations if other.scope == evaluation.scope]
        cells = [
            _marked(_score(evaluation, *column), [_score(rival, *column) for rival in rivals])
            for column in columns.values()
        ]
        rows.append((evaluation, cells))
    return list(columns), rows


def _score(evaluation: EvaluationRecord, part: str, name: str) -> Share:
    scores = getattr(evaluation.document, part)
    score: Share = None if scores is None else getattr(scores, name)
    return score


def _marked(share: Share, rivals: Sequence[Share]) -> ShareCell:
    best = max((rival for rival in rivals if rival is not None), default=0.0)
    return share, len(rivals) > 1 and share == best > 0


def _class_tables(evaluations: Sequence[EvaluationRecord]) -> list[ClassTable]:
    groups: dict[object, list[EvaluationRecord]] = {}
    for evaluation in evaluations:
        points = tuple(entry.points for entry in evaluation.document.classes)
        groups.setdefault((evaluation.scope, points), []).append(evaluation)
    return [_class_table(group) for group in groups.values()]


def _class_table(group: Sequence[EvaluationRecord]) -> ClassTable:
    """Return the IoU of each evaluation of a group; of a single one, also the accuracy."""
    first = group[0].document
    rows = []
    for index, entry in enumerate(first.classes):
        ious = [evaluation.document.classes[index].iou for evaluation in group]
        rows.append((entry, [_marked(iou, ious) for iou in ious]))
    if len(group) > 1:
        titles = [f"{evaluation.name}, IoU %" for evaluation in group]
        return ClassTable(group, titles, rows, [each.document.scores.miou for each in group])
    rows = [(entry, [*cells, (entry.accuracy, False)]) for entry, cells in rows]
    return ClassTable(group, ["IoU %", "accuracy %"], rows, [first.scores.miou, first.scores.macc])


def _config_rows(runs: Sequence[RunRecord]) -> list[tuple[str, list[str]]]:
    """Return the keys whose values differ between several runs, or all keys of a single run."""
    keys = sorted({key for run in runs for key in run.config})
    rows = [(key, [_shown(run.config.get(key)) for run in runs]) for key in keys]
    return [(key, values) for key, values in rows if len(runs) == 1 or len(set(values)) > 1]


def _last_loss(run: RunRecord) -> str:
    """Return the mean loss of the last steps of a run."""
    loss = run.series.get("loss")
    return _shown(None) if loss is None else f"{in_intervals(loss).means[-1]:.4g}"


def _image(png: bytes) -> dict[str, Any]:
    """Return a PNG as a URL, and its size in pixels of a page."""
    # Width and height are big-endian numbers at the same offsets in every PNG.
    width, height = (int.from_bytes(png[start : start + 4], "big") for start in (16, 20))
    scale = 96 / DOTS_PER_INCH
    url = f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
    return {"url": url, "width": round(scale * width), "height": round(scale * height)}


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.0f} s"


def _shown(value: object) -> str:
    """Return a value of a configuration or of versions.json as text."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "none"
    # Twelve digits of a git commit are enough to find it.
    return re.sub(r"\b([0-9a-f]{12})[0-9a-f]{28}\b", r"\1", str(value)) or '""'
