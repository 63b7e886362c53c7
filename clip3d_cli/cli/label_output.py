"""Results of ``clip3d label``: tables for people, JSON documents for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clip3d_cli import __version__
from clip3d_cli.cli.errors import error_entry
from clip3d_cli.cli.terminal import Reporter, print_table, stderr_console, with_color
from clip3d_cli.errors import Clip3DError
from clip3d_cli.labelling.class_counts import ClassCount, merge_counts

if TYPE_CHECKING:
    from clip3d_cli.cli.models import OpenModel
    from clip3d_cli.core.vocabulary import Vocabulary
    from clip3d_cli.labelling.labeller import ModelChoice
    from clip3d_cli.labelling.warnings import LabelWarning

SCHEMA = "clip3d.label/1"
PLAN_SCHEMA = "clip3d.plan/1"
UNLABELED_COLOR = (128, 128, 128)
_MIN_SHOWN_SHARE = 0.001


@dataclass(frozen=True, slots=True)
class Failed:
    """An input that could not be labelled.

    Attributes:
        source: the input.
        error: why it failed.
    """

    source: Path
    error: Clip3DError


@dataclass(frozen=True, slots=True)
class LabelledFile:
    """The result of labelling one file.

    Attributes:
        source: the file that was read.
        written: the files that were written, the labelled copy first.
        counts: points of each class.
        points: number of points in the file.
        voxel_m: voxel edge in metres; None for a cloud without finite points.
        seconds: duration of each step.
        warnings: what the user should look at.
    """

    source: Path
    written: tuple[Path, ...]
    counts: tuple[ClassCount, ...]
    points: int
    voxel_m: float | None
    seconds: Mapping[str, float]
    warnings: tuple[LabelWarning, ...]

    @property
    def unlabeled(self) -> int:
        """Number of points without a class."""
        return self.points - sum(count.points for count in self.counts)


def print_line(done: LabelledFile, reporter: Reporter) -> None:
    """Report that a file is done."""
    seconds = sum(done.seconds.values())
    reporter.info(f"{done.source}: {done.points:,} points in {seconds:.1f} s -> {done.written[0]}")


def print_summary(outcomes: Sequence[LabelledFile | Failed], reporter: Reporter) -> None:
    """Print a table of the points of each class in all files, most frequent first."""
    done = [each for each in outcomes if isinstance(each, LabelledFile)]
    if reporter.quiet or not done:
        return
    if len(outcomes) > 1:
        reporter.info(f"{len(done)} of {len(outcomes)} files labelled")
    points = sum(each.points for each in done)
    counts = merge_counts([each.counts for each in done], points)
    present = sorted((count for count in counts if count.points), key=lambda each: -each.points)
    rows = [
        (
            with_color(count.entry.name, count.entry.color),
            f"{count.points:,}",
            _percent(count.share),
            f"{count.mean_score:.2f}",
        )
        for count in present
    ]
    unlabeled = sum(each.unlabeled for each in done)
    if unlabeled:
        name = with_color("unlabeled", UNLABELED_COLOR)
        rows.append((name, f"{unlabeled:,}", _percent(unlabeled / points), ""))
    print_table(stderr_console(), ("class", "points", "share", "mean score"), rows, numbers=3)
    absent = len(counts) - len(present)
    if absent:
        reporter.info(f"{absent} more {'classes' if absent > 1 else 'class'} without points")


def run_document(outcomes: Sequence[LabelledFile | Failed], model: OpenModel | None) -> object:
    """Return the JSON document of a run: the models once, then one entry for each input."""
    return {
        "schema": SCHEMA,
        "clip3d": __version__,
        **({} if model is None else _model_entries(model)),
        "results": [
            {"input": str(each.source), "error": error_entry(each.error)}
            if isinstance(each, Failed)
            else _file_entry(each)
            for each in outcomes
        ],
    }


def plan_document(
    jobs: Sequence[Mapping[str, object]],
    failed: Sequence[Failed],
    choice: ModelChoice,
    vocabulary: Vocabulary,
) -> object:
    """Return the JSON document of a dry run."""
    return {
        "schema": PLAN_SCHEMA,
        "weights": str(choice.weights),
        "device": choice.device,
        "head": choice.head,
        "classes": list(vocabulary.names),
        "jobs": list(jobs),
        "failed": [
            {"input": str(each.source), "error": error_entry(each.error)} for each in failed
        ],
    }


def _model_entries(model: OpenModel) -> dict[str, object]:
    labeller, classes = model.labeller, model.classes
    return {
        "vocabulary": classes.vocabulary.name,
        "weights": {"file": labeller.weights.name, "sha256": labeller.sha256},
        "head": labeller.spec.head,
        "text_encoder": labeller.text_encoder,
        "space": {"name": classes.space.name, "dim": classes.space.dim},
        "device": labeller.device,
        "backend": labeller.backend,
        "precision": labeller.precision,
        "seconds": {"load": round(model.load_seconds, 3)},
        "warnings": [warning.as_json() for warning in model.warnings],
    }


def _file_entry(done: LabelledFile) -> dict[str, object]:
    return {
        "input": str(done.source),
        "output": str(done.written[0]),
        "files": [str(path) for path in done.written],
        "points": done.points,
        "unlabeled": done.unlabeled,
        "voxel_m": done.voxel_m,
        "classes": [
            {
                "name": count.entry.name,
                "id": count.entry.class_id,
                "points": count.points,
                "share": round(count.share, 6),
                "mean_score": None if count.mean_score is None else round(count.mean_score, 6),
            }
            for count in done.counts
        ],
        "seconds": {step: round(seconds, 3) for step, seconds in done.seconds.items()},
        "warnings": [warning.as_json() for warning in done.warnings],
    }


def _percent(share: float) -> str:
    """Return a share in percent; a nonzero share is never shown as 0.0%."""
    return f"{share:.1%}" if share >= _MIN_SHOWN_SHARE else "<0.1%"
