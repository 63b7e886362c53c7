"""A report of trainings and evaluations: pictures, and one page that holds them all."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path

from clip3d_cli import __version__
from clip3d_cli.formats.atomic import atomic_write, require_folder, require_new
from clip3d_cli.pipelines.report import tables
from clip3d_cli.pipelines.report.charts import Curve, Panel, curves_png
from clip3d_cli.pipelines.report.confusion_chart import ConfusionChart, confusion_png
from clip3d_cli.pipelines.report.evaluation_records import EvalRecord
from clip3d_cli.pipelines.report.figures import DARK, LIGHT
from clip3d_cli.pipelines.report.page import Page, Picture, Section, page_html
from clip3d_cli.pipelines.report.run_records import Records, RunRecord

PAGE = "report.html"
CURVES = "curves.png"
_NOT_DRAWN = frozenset({"seconds"})
# Schedules do not jump: a mean would only blur them.
_SMOOTH = frozenset({"learning_rate"})
_LAST_PANELS = ("learning_rate", "gradient_norm")
_LONGEST_SLUG = 80
_HOW_DRAWN = (
    "Faint: single steps, in long runs means of a few. "
    "Strong: their mean over a bell-shaped window."
)


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """Where a report is written.

    Attributes:
        page: the HTML.
        curves: of all trainings; None where none made a step.
        confusions: of each evaluation; None where it judged no point.
    """

    page: Path
    curves: Path | None
    confusions: tuple[Path | None, ...]

    @property
    def all(self) -> tuple[Path, ...]:
        """The files that are written, the page first."""
        return tuple(path for path in (self.page, self.curves, *self.confusions) if path)


def plan_report(records: Records, folder: Path, *, overwrite: bool = False) -> ReportFiles:
    """Which files a report would be, before anything is drawn.

    Raises:
        UsageError: E_EXISTS: one of them is there, and may not be replaced.
        OutputError: E_NOT_WRITABLE: the folder is none, or cannot be made.
    """
    there = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    require_folder(there / PAGE)
    taken: set[str] = set()
    confusions = tuple(
        folder / f"confusion-{_slug(each.name, taken)}.png" if each.confusion.counts.any() else None
        for each in records.evaluations
    )
    curves = folder / CURVES if any(run.series for run in records.runs) else None
    files = ReportFiles(folder / PAGE, curves, confusions)
    for path in files.all:
        require_new(path, overwrite=overwrite)
    return files


def write_report(records: Records, files: ReportFiles) -> None:
    """Draw all pictures, then write them and, last, the page that holds them; makes the folder.

    Raises:
        SetupError: E_SYSTEM: matplotlib is not installed.
        OutputError: E_NO_SPACE or E_NOT_WRITABLE.
        OSError: the folder cannot be made.
    """
    curves = _draw_curves(records.runs) if files.curves else None
    confusions = [
        _draw_confusion(each) if path else None
        for each, path in zip(records.evaluations, files.confusions, strict=True)
    ]
    page = page_html(report_page(records, curves, confusions))
    files.page.parent.mkdir(parents=True, exist_ok=True)
    places = (files.curves, *files.confusions)
    for path, picture in zip(places, (curves, *confusions), strict=True):
        if path is not None and picture is not None:
            with atomic_write(path) as part:
                part.write_bytes(picture.light)
    with atomic_write(files.page) as part:
        part.write_text(page, encoding="utf-8")


def report_page(
    records: Records, curves: Picture | None, confusions: Sequence[Picture | None]
) -> Page:
    """The page of a report: figures first, then where they come from, then how it was trained."""
    sections = chain(
        _evaluation_sections(records.evaluations),
        _confusion_sections(records.evaluations, confusions),
        _training_sections(records.runs, curves),
    )
    counts = [
        f"{len(many)} {name}{'s' * (len(many) > 1)}"
        for many, name in ((records.runs, "training"), (records.evaluations, "evaluation"))
        if many
    ]
    names = [each.name for each in records.runs or records.evaluations]
    kind = "runs" if records.runs else "evaluations"
    title = names[0] if len(names) == 1 else f"{len(names)} {kind} compared"
    now = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    return Page(title, " and ".join(counts), tuple(sections), f"clip3d {__version__} report, {now}")


def _evaluation_sections(evaluations: Sequence[EvalRecord]) -> Iterator[Section]:
    if not evaluations:
        return
    aside = (
        ""
        if tables.comparable(evaluations)
        else (
            "Not all of these share data, split, metric, classes and points: only figures that do "
            "may be held against each other."
        )
    )
    scores, origins = tables.score_table(evaluations), tables.origin_table(evaluations)
    yield Section("Results", aside, (scores, origins))
    for group in _same_classes(evaluations):
        about = f"{group[0].dataset} · {group[0].split}"
        absent = [each.name for each in group[0].classes if not each.points]
        left_out = f". No judged point is of {', '.join(absent)}" if absent else ""
        yield Section("Class by class", f"{about}{left_out}", (tables.class_table(group),))
    banded = [each for each in evaluations if each.bands]
    if banded:
        aside = "From the sensor, seen from above."
        yield Section("By distance", aside, (tables.band_table(banded),))


def _confusion_sections(
    evaluations: Sequence[EvalRecord], confusions: Sequence[Picture | None]
) -> Iterator[Section]:
    for each, picture in zip(evaluations, confusions, strict=True):
        if picture is not None:
            title = f"What was taken for what: {each.name}"
            aside = "Below: the commonest mistakes."
            yield Section(title, aside, (picture, tables.mistake_table(each)))


def _training_sections(runs: Sequence[RunRecord], curves: Picture | None) -> Iterator[Section]:
    if not runs:
        return
    pictures = () if curves is None else (curves,)
    aside = "" if curves is None else _HOW_DRAWN
    blocks = (tables.run_table(runs), *pictures, tables.weights_table(runs))
    yield Section("Training" if len(runs) == 1 else "Trainings", aside, blocks)
    config = tables.config_table(runs)
    if len(runs) > 1 and not config.rows:
        yield Section("Configuration", "The same in all runs.", ())
    elif config.rows:
        aside = "Only what differs between the runs." if len(runs) > 1 else ""
        yield Section("Configuration", aside, (config,))
    versions = tables.version_table(runs)
    if versions.rows:
        yield Section("Versions", "At every start of a training.", (versions,))


def _same_classes(evaluations: Iterable[EvalRecord]) -> list[list[EvalRecord]]:
    """Evaluations of the same classes on the same points, in the order given."""
    groups: dict[object, list[EvalRecord]] = {}
    for each in evaluations:
        counts = tuple(entry.points for entry in each.classes)
        groups.setdefault((each.judged, counts), []).append(each)
    return list(groups.values())


def _draw_curves(runs: Sequence[RunRecord]) -> Picture:
    drawn = [run for run in runs if run.series]
    names = dict.fromkeys(name for run in drawn for name in run.series)
    ordered = sorted(names, key=lambda name: name in _LAST_PANELS)
    panels = [
        Panel(
            name.replace("_", " "),
            tuple(
                Curve(place, run.series[name].steps, run.series[name].values)
                for place, run in enumerate(drawn)
                if name in run.series
            ),
            noisy=name not in _SMOOTH,
        )
        for name in ordered
        if name not in _NOT_DRAWN
    ]
    labels = [run.name for run in drawn]
    light, dark = (curves_png(panels, labels, theme) for theme in (LIGHT, DARK))
    said = ", ".join(panel.title for panel in panels)
    return Picture(light, dark, f"Curves over steps of {said}: {', '.join(labels)}")


def _draw_confusion(each: EvalRecord) -> Picture:
    chart = ConfusionChart(
        title=each.name,
        aside=f"{each.dataset} · {each.split} · % of each true class · "
        f"mIoU {tables.percent(each.scores['miou'])} %",
        names=tuple(entry.name for entry in each.classes),
        confusion=each.confusion,
        iou=each.iou,
    )
    light, dark = (confusion_png(chart, theme) for theme in (LIGHT, DARK))
    return Picture(light, dark, f"Confusion matrix of {each.name}")


def _slug(name: str, taken: set[str]) -> str:
    """A part of a file's name that no other has, on any system; remembers it."""
    plain = re.sub(r"[^\w.-]+", "-", name).strip("-.")[:_LONGEST_SLUG] or "evaluation"
    slug, number = plain, 1
    while slug.lower() in taken:
        number += 1
        slug = f"{plain}-{number}"
    taken.add(slug.lower())
    return slug
