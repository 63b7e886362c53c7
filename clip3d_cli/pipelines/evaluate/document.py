"""An evaluation as one document for programs: docs/evaluation.md explains every field."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clip3d_cli import __version__
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.encoders.spec import HeadName
from clip3d_cli.formats.atomic import atomic_write
from clip3d_cli.metrics.confusion import ConfusionMatrix
from clip3d_cli.metrics.panoptic import Quality, panoptic_scores_of
from clip3d_cli.metrics.scores import (
    Scores,
    foreground_iou,
    harmonic_iou,
    metric_name,
    scores_of,
)
from clip3d_cli.pipelines.evaluate.run import Band, EvalOptions, Evaluation, class_indices

SCHEMA = "clip3d.eval/1"


@dataclass(frozen=True, slots=True)
class About:
    """Which scenes were judged, and who answered.

    Attributes:
        dataset: the registry's name.
        root: its folder.
        split: its part.
        words: the classes of the truth with the words that were asked for.
        templates: the sentences around words.
        text_encoder: the name of what embedded the words; None through a closed head.
        head: which one answered; a closed one listens to no words.
        weights: the file of the network.
        sha256: of that file.
        device: where it ran.
        backend: the name of what computed its convolutions.
        precision: of its matrix products.
        seconds: by step.
    """

    dataset: str
    root: Path
    split: str
    words: Vocabulary
    templates: tuple[str, ...]
    text_encoder: str | None
    head: HeadName
    weights: Path
    sha256: str
    device: str
    backend: str
    precision: str
    seconds: Mapping[str, float]


def evaluation_document(
    evaluation: Evaluation, options: EvalOptions, about: About
) -> dict[str, Any]:
    """What was judged, by what, how, and what came out; fit for JSON, NaN is None."""
    scores = evaluation.scores(options.convention)
    name = metric_name(options.convention, evaluation.rules)
    vocabulary = evaluation.vocabulary
    names = [entry.name for entry in vocabulary.classes]
    asked = about.words.classes if about.head == "text" else ()
    return {
        "schema": SCHEMA,
        "clip3d": __version__,
        "dataset": about.dataset,
        "root": str(about.root),
        "split": about.split,
        "scenes": evaluation.scenes,
        "scenes_without_truth": evaluation.passed_over,
        "points": scores.points,
        "metric": {"convention": options.convention, "name": name},
        "vocabulary": {"name": vocabulary.name, "classes": names},
        "words": {entry.name: list(entry.words) for entry in asked},
        "templates": list(about.templates) if asked else [],
        "text_encoder": about.text_encoder,
        "head": about.head,
        "weights": {"path": str(about.weights), "sha256": about.sha256},
        "device": about.device,
        "backend": about.backend,
        "precision": about.precision,
        "scores": _score_entry(scores),
        "classes": _class_entries(vocabulary, evaluation.confusion, scores),
        "absent": [names[place] for place in scores.absent],
        "confusion": evaluation.confusion.counts.tolist(),
        "bands": [
            _band_entry(band, scores_of(band.confusion, options.convention, evaluation.rules))
            for band in evaluation.bands
        ],
        "foreground": _foreground_entry(evaluation, options),
        "harmonic": _harmonic_entry(evaluation, options),
        "panoptic": _panoptic_entry(evaluation, options),
        "seconds": {step: round(value, 3) for step, value in about.seconds.items()},
    }


def write_document(document: Mapping[str, Any], path: Path) -> None:
    """Write a document as a file, which appears whole or not at all.

    Raises:
        OutputError: E_NO_SPACE or E_NOT_WRITABLE.
    """
    text = json.dumps(document, indent=2, allow_nan=False)
    with atomic_write(path) as part:
        part.write_text(f"{text}\n", encoding="utf-8")


def _score_entry(scores: Scores) -> dict[str, float | None]:
    return {
        "miou": _number(scores.mean_iou),
        "macc": _number(scores.mean_accuracy),
        "fwiou": _number(scores.frequency_weighted_iou),
        "accuracy": _number(scores.accuracy),
    }


def _class_entries(
    vocabulary: Vocabulary, confusion: ConfusionMatrix, scores: Scores
) -> list[dict[str, Any]]:
    points = confusion.true_points
    return [
        {
            "name": entry.name,
            "id": entry.class_id,
            "color": list(entry.color),
            "iou": _number(scores.iou[place]),
            "accuracy": _number(scores.recall[place]),
            "points": int(points[place]),
        }
        for place, entry in enumerate(vocabulary.classes)
    ]


def _band_entry(band: Band, scores: Scores) -> dict[str, Any]:
    return {
        "from_m": band.from_m,
        "to_m": _number(band.to_m),
        "points": scores.points,
        **_score_entry(scores),
    }


def _foreground_entry(evaluation: Evaluation, options: EvalOptions) -> dict[str, Any] | None:
    if not options.ignored:
        return None
    ignored = class_indices(evaluation.vocabulary, options.ignored, "--ignore")
    miou = foreground_iou(evaluation.confusion, ignored)
    return {"ignored": list(options.ignored), "miou": _number(miou)}


def _harmonic_entry(evaluation: Evaluation, options: EvalOptions) -> dict[str, Any] | None:
    if not options.novel:
        return None
    novel = class_indices(evaluation.vocabulary, options.novel, "--novel")
    base, new, harmonic = harmonic_iou(evaluation.confusion, novel)
    return {
        "novel": list(options.novel),
        "base": _number(base),
        "novel_miou": _number(new),
        "hiou": _number(harmonic),
    }


def _panoptic_entry(evaluation: Evaluation, options: EvalOptions) -> dict[str, Any] | None:
    if evaluation.panoptic is None:
        return None
    scores = panoptic_scores_of(evaluation.panoptic, options.convention)
    rows = zip(evaluation.vocabulary.classes, scores.pq, scores.sq, scores.rq, strict=True)
    return {
        **_quality_entry(scores.all),
        "pq_dagger": _number(scores.pq_dagger),
        "things": _quality_entry(scores.things),
        "stuff": _quality_entry(scores.stuff),
        "link_m": options.link_m,
        "classes": [
            {"name": entry.name, **_quality_entry(Quality(float(pq), float(sq), float(rq)))}
            for entry, pq, sq, rq in rows
        ],
    }


def _quality_entry(quality: Quality) -> dict[str, float | None]:
    return {
        "pq": _number(quality.pq),
        "sq": _number(quality.sq),
        "rq": _number(quality.rq),
    }


def _number(value: float | np.floating[Any]) -> float | None:
    """JSON has no word for what is not a finite number."""
    return float(value) if math.isfinite(value) else None
