"""What an evaluation found, read back from its document."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.errors import InputError
from clip3d_cli.metrics.confusion import ConfusionMatrix
from clip3d_cli.pipelines.report.json_fields import Fields, read_json

SCHEMA = "clip3d.eval/1"
_LARGEST = 2**62


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class of an evaluation.

    Attributes:
        name: of the class.
        color: red, green, blue, 0…255.
        points: that truly are of it.
        iou: intersection over union; NaN where the metric leaves the class out.
        accuracy: share of its points that were answered right; NaN for an absent class.
    """

    name: str
    color: tuple[int, int, int]
    points: int
    iou: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class BandScore:
    """The mean IoU of the points between two distances, metres; ``to_m`` may be inf."""

    from_m: float
    to_m: float
    points: int
    miou: float


@dataclass(frozen=True, slots=True, eq=False)
class EvalRecord:
    """One evaluation.

    Attributes:
        name: by which a report tells it from others.
        dataset, split, vocabulary, head, text_encoder: of what, in which words, by what.
        sha256: of the weights, in hex.
        convention, metric: short and exact name of the mean IoU.
        scenes, points: that were judged.
        scores: by name, 0…1: miou, macc, fwiou, accuracy, and others that were asked for.
        classes: K of them.
        confusion: of K classes.
        bands: by distance; may be empty.
    """

    name: str
    dataset: str
    split: str
    vocabulary: str
    head: str
    text_encoder: str
    sha256: str
    convention: str
    metric: str
    scenes: int
    points: int
    scores: dict[str, float]
    classes: tuple[ClassScore, ...]
    confusion: ConfusionMatrix
    bands: tuple[BandScore, ...]

    @property
    def iou(self) -> npt.NDArray[np.float64]:
        """(K,) of the classes."""
        return np.array([each.iou for each in self.classes], dtype=np.float64)

    @property
    def judged(self) -> tuple[object, ...]:
        """What two evaluations must share for their figures to be comparable."""
        names = tuple(each.name for each in self.classes)
        return self.dataset, self.split, self.metric, self.points, names


def read_evaluation(path: Path, name: str) -> EvalRecord:
    """The evaluation of a document that ``clip3d eval`` wrote.

    Raises:
        InputError: E_NOT_FOUND; E_CORRUPT: not JSON, or something is missing or of another kind;
            E_UNSUPPORTED: a document of another schema.
    """
    document = read_json(path)
    schema = document.get("schema") if isinstance(document, dict) else None
    if not isinstance(document, dict) or schema != SCHEMA:
        raise InputError(
            "E_UNSUPPORTED",
            path,
            f"is of schema {schema!r}, not {SCHEMA!r}",
            "Give a run's folder, or what clip3d eval --json wrote.",
        )
    fields = Fields(path, document)
    metric, weights = fields.inner("metric"), fields.inner("weights")
    return EvalRecord(
        name=name,
        dataset=fields.text("dataset"),
        split=fields.text("split"),
        vocabulary=fields.inner("vocabulary").text("name"),
        head=fields.text("head"),
        text_encoder=fields.text("text_encoder"),
        sha256=weights.text("sha256"),
        convention=metric.text("convention"),
        metric=metric.text("name"),
        scenes=fields.count("scenes"),
        points=fields.count("points"),
        scores=_scores(fields),
        classes=_classes(fields),
        confusion=_confusion(fields),
        bands=_bands(fields),
    )


def _scores(fields: Fields) -> dict[str, float]:
    wanted = (
        ("scores", ("miou", "macc", "fwiou", "accuracy")),
        ("foreground", ("miou",)),
        ("harmonic", ("base", "novel_miou", "hiou")),
        ("panoptic", ("pq", "sq", "rq")),
    )
    fields.inner("scores")
    return {
        key if part in ("scores", "panoptic") else f"{part} {key}": inner.number(key)
        for part, keys in wanted
        if (inner := fields.optional(part)) is not None
        for key in keys
    }


def _classes(fields: Fields) -> tuple[ClassScore, ...]:
    return tuple(
        ClassScore(
            name=row.text("name"),
            color=row.color("color"),
            points=row.count("points"),
            iou=row.number("iou"),
            accuracy=row.number("accuracy"),
        )
        for row in fields.rows("classes")
    )


def _confusion(fields: Fields) -> ConfusionMatrix:
    classes = len(fields.rows("classes"))
    rows = fields.value("confusion")
    whole = (
        isinstance(rows, list)
        and len(rows) == classes
        and all(isinstance(row, list) and len(row) == classes + 1 for row in rows)
        and all(type(count) is int and 0 <= count < _LARGEST for row in rows for count in row)
    )
    if not whole:
        fault = f"is not {classes} rows of {classes + 1} counts, the last of them unlabeled"
        raise fields.fault("confusion", fault)
    return ConfusionMatrix(np.array(rows, dtype=np.int64).reshape(classes, classes + 1))


def _bands(fields: Fields) -> tuple[BandScore, ...]:
    return tuple(
        BandScore(
            from_m=band.number("from_m"),
            # JSON has no word for a band without an end.
            to_m=band.number("to_m"),
            points=band.count("points"),
            miou=band.number("miou"),
        )
        for band in fields.rows("bands")
    )
