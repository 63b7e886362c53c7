"""The JSON document of an evaluation: its schema, and how it is built, written and read.

``clip3d eval`` and the trainings write the document, and ``clip3d report`` reads it. What the
fields mean is defined in docs/guides/evaluate.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from msgspec import UNSET, Meta, Struct, UnsetType, to_builtins

from clip3d_cli import __version__
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.encoders.spec import HeadName
from clip3d_cli.errors import InputError
from clip3d_cli.formats.atomic import atomic_write
from clip3d_cli.metrics.confusion import ConfusionMatrix
from clip3d_cli.metrics.panoptic import Quality, panoptic_scores_of
from clip3d_cli.metrics.scores import (
    Convention,
    Scores,
    foreground_iou,
    harmonic_iou,
    metric_name,
    scores_of,
)
from clip3d_cli.pipelines.evaluate.run import DistanceBand, EvalOptions, Evaluation, class_indices
from clip3d_cli.schema import SchemaError, decode_json

SCHEMA = "clip3d.eval/1"

Share = Annotated[float, Meta(ge=0, le=1)] | None
"""Fraction from 0 to 1, or None where it is undefined, such as the IoU of an absent class."""
Metres = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0, lt=2**62)]
ColorChannel = Annotated[int, Meta(ge=0, le=255)]


class MetricRecord(Struct, frozen=True):
    """Definition of the mean IoU: short name of the convention, and a description in words."""

    convention: Convention
    name: str


class VocabularyRecord(Struct, frozen=True):
    """Name of the vocabulary of the ground truth, and the names of its K classes in order."""

    name: str
    classes: tuple[str, ...]


class WeightsRecord(Struct, frozen=True):
    """Path of the weights, and the SHA-256 of the file in hexadecimal digits."""

    path: str
    sha256: str


class SummaryRecord(Struct, frozen=True):
    """Scores of all classes together; None where no point has ground truth."""

    miou: Share
    macc: Share
    fwiou: Share
    accuracy: Share


class ClassRecord(Struct, frozen=True):
    """Scores of one class.

    Attributes:
        name: name of the class.
        id: number of the class in the files of the data set.
        color: red, green and blue, 0…255.
        iou: intersection over union; None if the metric leaves the class out of the mean.
        accuracy: fraction of the class's points that were predicted correctly; None if the class
            is absent.
        points: number of evaluated points whose ground truth is this class.
    """

    name: str
    id: int
    color: tuple[ColorChannel, ColorChannel, ColorChannel]
    iou: Share
    accuracy: Share
    points: Count


class BandRecord(Struct, frozen=True):
    """Scores of the points at horizontal distances from ``from_m`` to below ``to_m``.

    ``to_m`` is None for the last band, which has no end.
    """

    from_m: Metres
    to_m: Metres | None
    points: Count
    miou: Share
    macc: Share
    fwiou: Share
    accuracy: Share


class ForegroundRecord(Struct, frozen=True):
    """Mean IoU without the ``ignored`` classes."""

    ignored: tuple[str, ...]
    miou: Share


class HarmonicRecord(Struct, frozen=True):
    """Mean IoU of the base classes and of the ``novel`` classes, and their harmonic mean."""

    novel: tuple[str, ...]
    base: Share
    novel_miou: Share
    hiou: Share


class QualityRecord(Struct, frozen=True):
    """Panoptic, segmentation and recognition quality."""

    pq: Share
    sq: Share
    rq: Share


class ClassQualityRecord(Struct, frozen=True):
    """Panoptic, segmentation and recognition quality of one class."""

    name: str
    pq: Share
    sq: Share
    rq: Share


class PanopticRecord(Struct, frozen=True):
    """Panoptic scores of all classes, of things, of stuff, and of each class.

    ``link_m`` is the distance in metres below which predicted points belong to one instance.
    """

    pq: Share
    sq: Share
    rq: Share
    pq_dagger: Share
    things: QualityRecord
    stuff: QualityRecord
    link_m: Metres
    classes: tuple[ClassQualityRecord, ...]


class EvaluationDocument(Struct, frozen=True, kw_only=True, tag_field="schema", tag=SCHEMA):
    """One evaluation: what was evaluated, with which models, and all scores.

    Attributes:
        clip3d: version of clip3d.
        dataset: name of the data set in the registry.
        root: folder of the data set.
        split: name of the split.
        scenes: number of evaluated scenes.
        scenes_without_truth: number of scenes of the split that have no ground truth.
        points: number of evaluated points.
        metric: definition of the mean IoU.
        vocabulary: classes of the ground truth.
        words: words of every class by its name; empty for a closed head.
        templates: sentences around the words; empty for a closed head.
        text_encoder: name of the text encoder; None for a closed head.
        head: head of the network that made the predictions.
        weights: weights of the network.
        device: device on which the network ran.
        backend: name of the backend of the sparse convolutions.
        precision: precision of the matrix products.
        scores: scores of all classes together.
        classes: scores of each of the K classes.
        absent: names of the classes that no evaluated point has.
        confusion: K rows of K + 1 counts. A row is a ground truth class and a column is a
            predicted class; the last column counts points without a prediction.
        bands: scores by distance; empty if they were not requested.
        foreground: scores without ignored classes; None if they were not requested.
        harmonic: scores of base and novel classes; None if they were not requested.
        panoptic: scores of instances; None if they were not requested.
        seconds: duration of each step, seconds.
        submission: file or folder to send to a benchmark; absent if none was requested.
    """

    clip3d: str
    dataset: str
    root: str
    split: str
    scenes: Count
    scenes_without_truth: Count
    points: Count
    metric: MetricRecord
    vocabulary: VocabularyRecord
    words: dict[str, tuple[str, ...]]
    templates: tuple[str, ...]
    text_encoder: str | None
    head: HeadName
    weights: WeightsRecord
    device: str
    backend: str
    precision: str
    scores: SummaryRecord
    classes: tuple[ClassRecord, ...]
    absent: tuple[str, ...]
    confusion: tuple[tuple[Count, ...], ...]
    bands: tuple[BandRecord, ...]
    foreground: ForegroundRecord | None
    harmonic: HarmonicRecord | None
    panoptic: PanopticRecord | None
    seconds: dict[str, float]
    submission: str | UnsetType = UNSET

    def __post_init__(self) -> None:
        classes = len(self.classes)
        if [len(row) for row in self.confusion] != [classes + 1] * classes:
            raise ValueError(f"has a confusion matrix that is not {classes} rows of {classes + 1}")

    @property
    def confusion_matrix(self) -> ConfusionMatrix:
        """The confusion matrix of the K classes as an array."""
        shape = (len(self.classes), len(self.classes) + 1)
        return ConfusionMatrix(np.array(self.confusion, dtype=np.int64).reshape(shape))

    def as_json(self) -> dict[str, Any]:
        """Return the document as a dictionary for `json.dumps`, without NaN or infinity."""
        fields: dict[str, Any] = to_builtins(self)
        return fields


@dataclass(frozen=True, slots=True)
class EvaluationSetup:
    """What was evaluated, and with which models.

    Attributes:
        dataset: name of the data set in the registry.
        root: folder of the data set.
        split: name of the evaluated split.
        words: classes of the ground truth with the words that were used for them.
        templates: sentences around the words.
        text_encoder: name of the text encoder; None for a closed head.
        head: head of the network that made the predictions; a closed head uses no words.
        weights: path of the network's weights.
        sha256: SHA-256 of that file in hexadecimal digits.
        device: device on which the network ran.
        backend: name of the backend of the sparse convolutions.
        precision: precision of the matrix products.
        seconds: duration of each step, seconds.
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
    evaluation: Evaluation,
    options: EvalOptions,
    setup: EvaluationSetup,
    *,
    submission: Path | None = None,
) -> EvaluationDocument:
    """Return the document of an evaluation.

    Args:
        evaluation: counts of the evaluation.
        options: options that the evaluation was run with.
        setup: what was evaluated, and with which models.
        submission: file or folder to send to a benchmark, if one was written.
    """
    scores = evaluation.scores(options.convention)
    vocabulary = evaluation.vocabulary
    names = tuple(entry.name for entry in vocabulary.classes)
    worded = setup.words.classes if setup.head == "text" else ()
    return EvaluationDocument(
        clip3d=__version__,
        dataset=setup.dataset,
        root=str(setup.root),
        split=setup.split,
        scenes=evaluation.scenes,
        scenes_without_truth=evaluation.scenes_without_ground_truth,
        points=scores.points,
        metric=MetricRecord(options.convention, metric_name(options.convention, evaluation.rules)),
        vocabulary=VocabularyRecord(vocabulary.name, names),
        words={entry.name: tuple(entry.words) for entry in worded},
        templates=tuple(setup.templates) if worded else (),
        text_encoder=setup.text_encoder,
        head=setup.head,
        weights=WeightsRecord(str(setup.weights), setup.sha256),
        device=setup.device,
        backend=setup.backend,
        precision=setup.precision,
        scores=SummaryRecord(*_summary(scores)),
        classes=_class_records(vocabulary, evaluation.confusion, scores),
        absent=tuple(names[index] for index in scores.absent),
        confusion=tuple(map(tuple, evaluation.confusion.counts.tolist())),
        bands=tuple(
            _band_record(band, scores_of(band.confusion, options.convention, evaluation.rules))
            for band in evaluation.bands
        ),
        foreground=_foreground_record(evaluation, options),
        harmonic=_harmonic_record(evaluation, options),
        panoptic=_panoptic_record(evaluation, options),
        seconds={step: round(value, 3) for step, value in setup.seconds.items()},
        submission=UNSET if submission is None else str(submission),
    )


def write_document(document: EvaluationDocument, path: Path) -> None:
    """Write a document to a file, which appears complete or not at all.

    Raises:
        OutputError: E_NO_SPACE or E_NOT_WRITABLE.
    """
    text = json.dumps(document.as_json(), indent=2, allow_nan=False)
    with atomic_write(path) as part:
        part.write_text(f"{text}\n", encoding="utf-8")


def read_document(path: Path) -> EvaluationDocument:
    """Read a document that `write_document` wrote.

    Raises:
        InputError: E_NOT_FOUND: the file does not exist. E_UNSUPPORTED: it has another schema.
            E_CORRUPT: it is not JSON, or does not fit the schema.
        OSError: the file cannot be read.
    """
    if not path.is_file():
        raise InputError("E_NOT_FOUND", path, "does not exist", "Check the path.")
    try:
        text = path.read_bytes()
        fields: object = decode_json(text, object)
        schema = fields.get("schema") if isinstance(fields, dict) else None
        if schema != SCHEMA:
            raise InputError(
                "E_UNSUPPORTED",
                path,
                f"has the schema {schema!r}, not {SCHEMA!r}",
                "Give the folder of a run, or a file that clip3d eval -o wrote.",
            )
        return decode_json(text, EvaluationDocument)
    except SchemaError as error:
        raise InputError(
            "E_CORRUPT", path, str(error), error.remedy or "Evaluate again with clip3d eval -o."
        ) from error


def _summary(scores: Scores) -> tuple[Share, Share, Share, Share]:
    return (
        _share(scores.mean_iou),
        _share(scores.mean_accuracy),
        _share(scores.frequency_weighted_iou),
        _share(scores.accuracy),
    )


def _class_records(
    vocabulary: Vocabulary, confusion: ConfusionMatrix, scores: Scores
) -> tuple[ClassRecord, ...]:
    points = confusion.true_points
    return tuple(
        ClassRecord(
            name=entry.name,
            id=entry.class_id,
            color=entry.color,
            iou=_share(scores.iou[index]),
            accuracy=_share(scores.recall[index]),
            points=int(points[index]),
        )
        for index, entry in enumerate(vocabulary.classes)
    )


def _band_record(band: DistanceBand, scores: Scores) -> BandRecord:
    to_m = None if math.isinf(band.to_m) else band.to_m
    return BandRecord(band.from_m, to_m, scores.points, *_summary(scores))


def _foreground_record(evaluation: Evaluation, options: EvalOptions) -> ForegroundRecord | None:
    if not options.ignored:
        return None
    ignored = class_indices(evaluation.vocabulary, options.ignored, "--ignore")
    return ForegroundRecord(options.ignored, _share(foreground_iou(evaluation.confusion, ignored)))


def _harmonic_record(evaluation: Evaluation, options: EvalOptions) -> HarmonicRecord | None:
    if not options.novel:
        return None
    novel = class_indices(evaluation.vocabulary, options.novel, "--novel")
    return HarmonicRecord(options.novel, *map(_share, harmonic_iou(evaluation.confusion, novel)))


def _panoptic_record(evaluation: Evaluation, options: EvalOptions) -> PanopticRecord | None:
    if evaluation.panoptic is None:
        return None
    scores = panoptic_scores_of(evaluation.panoptic, options.convention)
    rows = zip(evaluation.vocabulary.classes, scores.pq, scores.sq, scores.rq, strict=True)
    return PanopticRecord(
        *_quality(scores.all),
        pq_dagger=_share(scores.pq_dagger),
        things=QualityRecord(*_quality(scores.things)),
        stuff=QualityRecord(*_quality(scores.stuff)),
        link_m=options.link_m,
        classes=tuple(
            ClassQualityRecord(entry.name, *map(_share, qualities)) for entry, *qualities in rows
        ),
    )


def _quality(quality: Quality) -> tuple[Share, Share, Share]:
    return _share(quality.pq), _share(quality.sq), _share(quality.rq)


def _share(value: float | np.floating[Any]) -> Share:
    """Return None for NaN, which JSON does not have."""
    return float(value) if math.isfinite(value) else None
