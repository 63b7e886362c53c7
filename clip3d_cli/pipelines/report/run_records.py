"""How trainings went and what evaluations found, read back from their files."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clip3d_cli.encoders.weights_file import file_sha256, read_weights
from clip3d_cli.errors import InputError, UsageError
from clip3d_cli.pipelines.report.evaluation_records import EvalRecord, read_evaluation
from clip3d_cli.pipelines.report.json_fields import read_json
from clip3d_cli.training.toml_text import flatten_tables, toml_table

Floats = npt.NDArray[np.float64]

_CONFIG, _METRICS, _VERSIONS, _WEIGHTS = (
    "config.toml", "metrics.jsonl", "versions.json", "points.safetensors",
)  # fmt: skip
_EVALUATIONS = "eval*.json"


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One quantity of a training: (S,) float64 steps and values, both finite."""

    steps: Floats
    values: Floats


@dataclass(frozen=True, slots=True, eq=False)
class RunRecord:
    """One training, finished or not.

    Attributes:
        name: by which a report tells it from others.
        path: its folder.
        config: every value by its dotted key; empty where the folder has none.
        starts: what versions.json says of each start, the first one first.
        series: by name of the quantity, in the order of the file.
        sha256: of its weights; empty while there are none.
        text_encoder: in whose space they are; empty while there are none.
    """

    name: str
    path: Path
    config: dict[str, Any]
    starts: tuple[dict[str, Any], ...]
    series: dict[str, Series]
    sha256: str
    text_encoder: str

    @property
    def steps(self) -> int:
        """How many steps were done; 0 before the first."""
        return max((int(series.steps[-1]) for series in self.series.values()), default=0)

    @property
    def asked(self) -> int:
        """How many steps were asked for; 0 where the configuration counts epochs."""
        steps = self.config.get("optimizer.steps", 0)
        return steps if type(steps) is int else 0

    @property
    def seconds(self) -> float:
        """How long it trained, all starts together."""
        if "seconds" not in self.series:
            return 0.0
        clock = self.series["seconds"].values
        passed = np.diff(clock, prepend=0.0)
        # A resumed training counts from 0 again.
        return float(np.where(passed < 0, clock, passed).sum())


@dataclass(frozen=True, slots=True)
class Records:
    """All that a report is made of."""

    runs: tuple[RunRecord, ...]
    evaluations: tuple[EvalRecord, ...]


def read_records(paths: Sequence[Path]) -> Records:
    """The trainings and evaluations of run folders and of documents that ``clip3d eval`` wrote.

    A training may still be going on.

    Args:
        paths: folders and files; each is named by as much of its path as tells it from the others.

    Raises:
        UsageError: E_USAGE: one is given twice.
        InputError: E_NOT_FOUND: nothing is there, or no run; E_CORRUPT or E_UNSUPPORTED: a file
            does not say what it should.
    """
    _refuse_twice(paths)
    folders = [path for path in paths if path.is_dir()]
    documents = [document for path in paths for document in _documents(path)]
    # A run's folder and a document in it may both be given.
    documents = list({os.path.realpath(path): path for path in documents}.values())
    name_of = _names([*folders, *map(_subject, documents)])
    trained = [folder for folder in folders if _has_training(folder)]
    return Records(
        tuple(_read_run(folder, name_of[_place(folder)]) for folder in trained),
        tuple(
            read_evaluation(path, _evaluation_name(path, name_of[_place(_subject(path))]))
            for path in documents
        ),
    )


def read_metrics(path: Path) -> dict[str, Series]:
    """Every quantity of a metrics.jsonl; half a last line, still being written, is passed over.

    Raises:
        InputError: E_CORRUPT: another line is no metric; it names the line.
    """
    rows: dict[str, list[tuple[float, float]]] = {}
    for number, line in _whole_lines(path):
        try:
            numbers = json.loads(line)
            step = numbers.pop("step")
            for name, value in numbers.items():
                if value is not None and math.isfinite(value):
                    rows.setdefault(name, []).append((float(step), float(value)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                "E_CORRUPT", path, f"line {number} is no metric", "Remove the line."
            ) from error
    arrays = {name: np.array(pairs, dtype=np.float64) for name, pairs in rows.items()}
    return {name: Series(pairs[:, 0], pairs[:, 1]) for name, pairs in arrays.items()}


def _whole_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.endswith(b"\n"):
                yield number, line


def _read_run(folder: Path, name: str) -> RunRecord:
    weights = folder / _WEIGHTS
    there = weights.is_file()
    metrics = folder / _METRICS
    return RunRecord(
        name=name,
        path=folder,
        config=_read_config(folder / _CONFIG),
        starts=_read_starts(folder / _VERSIONS),
        series=read_metrics(metrics) if metrics.is_file() else {},
        sha256=file_sha256(weights) if there else "",
        text_encoder=read_weights(weights)[0].text_encoder if there else "",
    )


def _read_config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return flatten_tables(toml_table(path.read_text(encoding="utf-8")))
    except (ValueError, RecursionError) as error:
        raise InputError("E_CORRUPT", path, f"is not TOML: {error}", "Mend the file.") from error


def _read_starts(path: Path) -> tuple[dict[str, Any], ...]:
    starts = read_json(path) if path.is_file() else []
    if not isinstance(starts, list) or not all(isinstance(start, dict) for start in starts):
        raise InputError("E_CORRUPT", path, "is not a list of starts", "Remove it.")
    return tuple(starts)


def _documents(path: Path) -> list[Path]:
    """The evaluations that a path leads to.

    Raises:
        InputError: E_NOT_FOUND: it leads nowhere, or to a folder without a run.
    """
    if not path.is_dir():
        return [path]
    found = sorted(path.glob(_EVALUATIONS))
    if not found and not _has_training(path):
        inner = [each.name for each in sorted(path.iterdir()) if _has_training(each)]
        remedy = f"Its folders hold some: try {path / inner[0]}." if inner else "Check the path."
        raise InputError("E_NOT_FOUND", path, "holds no run and no evaluation", remedy)
    return found


def _has_training(folder: Path) -> bool:
    return (folder / _CONFIG).is_file() or (folder / _METRICS).is_file()


def _subject(document: Path) -> Path:
    """What an evaluation is of: the run whose folder it lies in, or just itself."""
    return document.parent if document.name.startswith("eval") else document.with_suffix("")


def _evaluation_name(document: Path, subject: str) -> str:
    if not document.name.startswith("eval"):
        return subject
    parts = document.stem.removeprefix("eval").strip("._-").split(".")
    return " · ".join(part for part in (subject, *parts) if part)


def _place(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - a link keeps its own name


def _names(paths: Sequence[Path]) -> dict[Path, str]:
    """As much of the end of each path as no other has."""
    parts_of = {place: place.parts for place in map(_place, paths)}
    longest = max((len(parts) for parts in parts_of.values()), default=0)
    name_of: dict[Path, str] = {}
    for count in range(1, longest + 1):
        ends = ["/".join(parts[-count:]) for parts in parts_of.values()]
        for place, end in zip(parts_of, ends, strict=True):
            if place not in name_of and (ends.count(end) == 1 or count == longest):
                name_of[place] = end
    return name_of


def _refuse_twice(paths: Sequence[Path]) -> None:
    seen: set[str] = set()
    for path in paths:
        real = os.path.realpath(path)
        if real in seen:
            raise UsageError("E_USAGE", path, "is given twice", "Give each run once.")
        seen.add(real)
