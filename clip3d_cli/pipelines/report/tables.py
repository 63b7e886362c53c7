"""The tables of a report: what was found, by what, and how the runs differ."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from clip3d_cli.pipelines.report.charts import smoothed
from clip3d_cli.pipelines.report.confusion_chart import UNLABELED_NAME, worst_confusions
from clip3d_cli.pipelines.report.evaluation_records import EvalRecord
from clip3d_cli.pipelines.report.page import Cell, Table
from clip3d_cli.pipelines.report.run_records import RunRecord

NOTHING = "–"
_TITLES = {
    "miou": "mIoU",
    "macc": "mAcc",
    "fwiou": "fwIoU",
    "accuracy": "accuracy",
    "foreground miou": "foreground mIoU",
    "harmonic base": "base mIoU",
    "harmonic novel_miou": "novel mIoU",
    "harmonic hiou": "hIoU",
    "pq": "PQ",
    "sq": "SQ",
    "rq": "RQ",
}
_MOST_CONFUSIONS = 10
_MINUTE_S = 60
_VERSIONS = ("began", "clip3d", "git_commit", "python", "torch", "device")
_HASH = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{28}\b")


def percent(share: float) -> str:
    """A share as a number of percent, with one digit behind the point."""
    return NOTHING if math.isnan(share) else f"{100 * share:.1f}"


def score_table(evaluations: Sequence[EvalRecord]) -> Table:
    """What was found, all classes together, in percent; the best of comparable ones is marked."""
    names = [name for name in _TITLES if any(name in each.scores for each in evaluations)]
    rows = [
        (
            Cell(each.name),
            Cell(f"{each.dataset} · {each.split}"),
            *(_score_cell(each, name, evaluations) for name in names),
            Cell(f"{each.scenes:,}"),
            Cell(f"{each.points:,}"),
        )
        for each in evaluations
    ]
    titles = ("evaluation", "data", *(f"{_TITLES[name]} %" for name in names), "scenes", "points")
    return Table(titles, tuple(rows), numbers=len(names) + 2)


def origin_table(evaluations: Sequence[EvalRecord]) -> Table:
    """By which measure, with which words and weights each evaluation was made."""
    rows = [
        (
            Cell(each.name),
            Cell(each.metric),
            Cell(each.vocabulary),
            Cell(each.head),
            Cell(each.text_encoder or NOTHING),
            Cell(each.sha256 or NOTHING, code=True),
        )
        for each in evaluations
    ]
    titles = ("evaluation", "metric", "vocabulary", "head", "text encoder", "sha256 of the weights")
    return Table(titles, tuple(rows))


def class_table(evaluations: Sequence[EvalRecord]) -> Table:
    """The IoU of every class in evaluations of the same classes; of one alone also accuracy."""
    one = evaluations[0]
    iou = np.array([each.iou for each in evaluations])
    best = np.nanmax(np.nan_to_num(iou, nan=-1.0), axis=0)
    rows = []
    for place, entry in enumerate(one.classes):
        cells = [Cell(entry.name, color=entry.color)]
        for each in evaluations:
            value = each.classes[place].iou
            strong = len(evaluations) > 1 and value == best[place] > 0
            cells.append(Cell(percent(value), value, entry.color, strong))
        if len(evaluations) == 1:
            cells.append(Cell(percent(entry.accuracy), entry.accuracy, entry.color))
        rows.append((*cells, Cell(f"{entry.points:,}")))
    more = () if len(evaluations) > 1 else ("accuracy %",)
    means = [Cell(percent(each.scores["miou"])) for each in evaluations]
    means += [Cell(percent(one.scores["macc"]))] if more else []
    rows.append((Cell("mean, all points"), *means, Cell(f"{one.points:,}")))
    names = ("IoU %",) if more else tuple(f"{each.name}, IoU %" for each in evaluations)
    titles = ("class", *names, *more, "points")
    return Table(titles, tuple(rows), numbers=len(titles) - 1, footer=1)


def band_table(evaluations: Sequence[EvalRecord]) -> Table:
    """The mean IoU by distance from the sensor."""
    rows = tuple(
        (
            Cell(each.name),
            Cell(_band_name(band.from_m, band.to_m)),
            Cell(percent(band.miou), band.miou),
            Cell(f"{band.points:,}"),
        )
        for each in evaluations
        for band in each.bands
    )
    return Table(("evaluation", "distance", "mIoU %", "points"), rows, numbers=2)


def mistake_table(evaluation: EvalRecord) -> Table:
    """The commonest mistakes of an evaluation."""
    names = [*(each.name for each in evaluation.classes), UNLABELED_NAME]
    colors = [each.color for each in evaluation.classes]
    rows = tuple(
        (
            Cell(names[true], color=colors[true]),
            Cell(names[answer], color=colors[answer] if answer < len(colors) else None),
            Cell(percent(share), share),
            Cell(f"{points:,}"),
        )
        for true, answer, points, share in worst_confusions(evaluation.confusion, _MOST_CONFUSIONS)
    )
    return Table(("truth", "answered as", "of the class %", "points"), rows, numbers=2)


def run_table(runs: Sequence[RunRecord]) -> Table:
    """How far each training is, how long it took, and where its loss ended."""
    rows = tuple(
        (
            Cell(run.name),
            Cell("finished" if run.sha256 else "not finished"),
            Cell(f"{run.steps:,}" + (f" of {run.asked:,}" if run.asked > run.steps else "")),
            Cell(_duration(run.seconds)),
            Cell(f"{run.steps / run.seconds:.2f}" if run.seconds else NOTHING),
            Cell(_last_loss(run)),
        )
        for run in runs
    )
    titles = ("run", "state", "steps", "time", "steps a second", "loss at the end")
    return Table(titles, rows, numbers=4)


def weights_table(runs: Sequence[RunRecord]) -> Table:
    """What each training left."""
    rows = tuple(
        (
            Cell(run.name),
            Cell(run.text_encoder or NOTHING),
            Cell(run.sha256 or NOTHING, code=bool(run.sha256)),
            Cell(str(run.path), code=True),
        )
        for run in runs
    )
    return Table(("run", "text encoder", "sha256 of the weights", "folder"), rows)


def config_table(runs: Sequence[RunRecord]) -> Table:
    """The keys of which not all runs have the same value; all keys of a single run."""
    keys = sorted({key for run in runs for key in run.config})
    differing = [key for key in keys if len({_said(run.config.get(key)) for run in runs}) > 1]
    rows = tuple(
        (Cell(key, code=True), *(Cell(_said(run.config.get(key)), code=True) for run in runs))
        for key in (differing if len(runs) > 1 else keys)
    )
    folded = "" if len(runs) > 1 else f"all {len(keys)} keys"
    return Table(("key", *(run.name for run in runs)), rows, folded=folded)


def version_table(runs: Sequence[RunRecord]) -> Table:
    """When, with what and where each training was started, or taken up."""
    rows = tuple(
        (
            Cell(run.name),
            Cell(_said(start.get("after_step"))),
            *(Cell(_HASH.sub(r"\1", _said(start.get(key)))) for key in _VERSIONS),
        )
        for run in runs
        for start in run.starts
    )
    titles = (key.replace("_", " ") for key in _VERSIONS)
    return Table(("run", "after step", *titles), rows)


def comparable(evaluations: Iterable[EvalRecord]) -> bool:
    """Whether figures of these evaluations may be held against each other."""
    return len({each.judged for each in evaluations}) <= 1


def _score_cell(each: EvalRecord, name: str, among: Sequence[EvalRecord]) -> Cell:
    value = each.scores.get(name, math.nan)
    others = [other.scores.get(name, math.nan) for other in among if other.judged == each.judged]
    best = max((other for other in others if not math.isnan(other)), default=math.nan)
    return Cell(percent(value), strong=len(others) > 1 and value == best > 0)


def _last_loss(run: RunRecord) -> str:
    loss = run.series.get("loss")
    return NOTHING if loss is None else f"{smoothed(loss.values)[-1]:.4g}"


def _band_name(from_m: float, to_m: float) -> str:
    return f"from {from_m:g} m on" if math.isnan(to_m) else f"{from_m:g} to {to_m:g} m"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), _MINUTE_S)
    hours, minutes = divmod(minutes, _MINUTE_S)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.0f} s"


def _said(value: Any) -> str:
    """A value of a configuration as a table shows it."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(_said, value)) or "none"
    return str(value) if value != "" else '""'
