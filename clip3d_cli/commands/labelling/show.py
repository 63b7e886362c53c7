"""A labelling run as tables for people and as one document for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clip3d_cli import __version__
from clip3d_cli.commands.door import error_entry
from clip3d_cli.commands.labelling.plan import Failed
from clip3d_cli.commands.terminal import Voice, print_table, stderr_console, swatched
from clip3d_cli.labelling.class_counts import ClassShare, merged_shares

if TYPE_CHECKING:
    from clip3d_cli.commands.engine import Engine

SCHEMA = "clip3d.label/1"
UNLABELED_COLOR = (128, 128, 128)
_LEAST_SHOWN = 0.001


@dataclass(frozen=True, slots=True)
class Labelled:
    """What became of one file.

    Attributes:
        source: what was read.
        points: of the file.
        shares: its points by class.
        voxel_m: the edge of a voxel, metres; None for an empty cloud.
        written: the files made, the labelled copy first.
        seconds: by step.
        warnings: what the user should look at.
    """

    source: Path
    points: int
    shares: tuple[ClassShare, ...]
    voxel_m: float | None
    written: tuple[Path, ...]
    seconds: dict[str, float]
    warnings: tuple[str, ...]

    @property
    def unlabeled(self) -> int:
        """How many points took no class."""
        return self.points - sum(share.points for share in self.shares)


Outcome = Labelled | Failed


def show_line(done: Labelled, voice: Voice) -> None:
    """Say on stderr that a file is done."""
    seconds = sum(done.seconds.values())
    voice.note(f"{done.source}: {done.points:,} points in {seconds:.1f} s -> {done.written[0]}")


def show_table(outcomes: Sequence[Outcome], voice: Voice) -> None:
    """Say on stderr how many points each class took over all files, most first."""
    done = [each for each in outcomes if isinstance(each, Labelled)]
    if voice.quiet or not done:
        return
    if len(outcomes) > 1:
        voice.note(f"{len(done)} of {len(outcomes)} files labelled")
    points = sum(each.points for each in done)
    shares = merged_shares([each.shares for each in done], points)
    found = sorted((share for share in shares if share.points), key=lambda share: -share.points)
    rows = [
        (
            swatched(share.entry.name, share.entry.color),
            f"{share.points:,}",
            _percent(share.share),
            f"{share.mean_score:.2f}",
        )
        for share in found
    ]
    unlabeled = sum(each.unlabeled for each in done)
    if unlabeled:
        name = swatched("unlabeled", UNLABELED_COLOR)
        rows.append((name, f"{unlabeled:,}", _percent(unlabeled / points), ""))
    print_table(stderr_console(), ("class", "points", "share", "mean score"), rows, numbers=3)
    absent = len(shares) - len(found)
    if absent:
        voice.note(f"{absent} more {'classes' if absent > 1 else 'class'} took no point")


def run_document(outcomes: Sequence[Outcome], engine: Engine | None) -> object:
    """The JSON document of a run: what was used once, then one entry per input."""
    return {
        "schema": SCHEMA,
        "clip3d": __version__,
        **(_engine_entries(engine) if engine is not None else {}),
        "results": [
            {"input": str(each.source), "error": error_entry(each.refusal)}
            if isinstance(each, Failed)
            else _done_entry(each)
            for each in outcomes
        ],
    }


def _engine_entries(engine: Engine) -> dict[str, object]:
    vocabulary = engine.classes.vocabulary
    return {
        "vocabulary": vocabulary.name,
        "weights": {"file": engine.weights.name, "sha256": engine.sha256},
        "head": engine.encoder.spec.head,
        "text_encoder": engine.text_encoder,
        "space": {"name": engine.classes.space.name, "dim": engine.classes.space.dim},
        "device": engine.device,
        "backend": engine.backend,
        "precision": engine.precision,
        "seconds": _rounded(engine.seconds),
        "warnings": list(engine.warnings),
    }


def _done_entry(done: Labelled) -> dict[str, object]:
    return {
        "input": str(done.source),
        "output": str(done.written[0]),
        "files": [str(path) for path in done.written],
        "points": done.points,
        "unlabeled": done.unlabeled,
        "voxel_m": done.voxel_m,
        "classes": [
            {
                "name": share.entry.name,
                "id": share.entry.class_id,
                "points": share.points,
                "share": round(share.share, 6),
                "mean_score": None if share.mean_score is None else round(share.mean_score, 6),
            }
            for share in done.shares
        ],
        "seconds": _rounded(done.seconds),
        "warnings": list(done.warnings),
    }


def _percent(share: float) -> str:
    """A share that is not nothing never reads as nothing."""
    return f"{share:.1%}" if share >= _LEAST_SHOWN else "<0.1%"


def _rounded(seconds: Mapping[str, float]) -> dict[str, float]:
    return {step: round(value, 3) for step, value in seconds.items()}
