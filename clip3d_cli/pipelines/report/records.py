"""Training runs and evaluations, read from run folders and evaluation documents."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from msgspec import Meta, Struct

from clip3d_cli.encoders.weights_file import file_sha256, read_spec
from clip3d_cli.errors import Clip3DError, InputError, UsageError
from clip3d_cli.pipelines.evaluate.document import EvaluationDocument, read_document
from clip3d_cli.schema import SchemaError, convert, decode_json
from clip3d_cli.training.toml_text import flatten_tables, toml_table

Floats = npt.NDArray[np.float64]
# A line of metrics.jsonl: "step", and any number of quantities.
MetricsLine = dict[str, float | None]


class Start(Struct, frozen=True):
    """A start or a resumption of a training: an entry of versions.json.

    Attributes:
        began: time of the start, ISO 8601.
        after_step: number of steps that were done before; 0 for a new run.
        clip3d: version of clip3d.
        git_commit: commit of the source tree; None if clip3d was installed from a wheel.
        python: version of Python.
        torch: version of PyTorch.
        device: device on which the network was trained.
    """

    began: str
    after_step: Annotated[int, Meta(ge=0)]
    clip3d: str
    git_commit: str | None = None
    python: str | None = None
    torch: str | None = None
    device: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One quantity of a training: (S,) float64 steps, and its finite values (S,) float64."""

    steps: Floats
    values: Floats


@dataclass(frozen=True, slots=True, eq=False)
class RunRecord:
    """One training, finished or not.

    Attributes:
        name: name of the run in the report; no other run of the report has it.
        path: folder of the run.
        config: every value of the configuration by its dotted key; empty without config.toml.
        starts: starts and resumptions of the training, oldest first.
        series: quantities of metrics.jsonl by name, in the order of the file.
        sha256: SHA-256 of the weights; empty while there are none.
        text_encoder: name of the text encoder of the weights; empty while there are none.
    """

    name: str
    path: Path
    config: dict[str, Any]
    starts: tuple[Start, ...]
    series: dict[str, Series]
    sha256: str
    text_encoder: str

    @property
    def steps(self) -> int:
        """Number of steps that were done."""
        return max((int(series.steps[-1]) for series in self.series.values()), default=0)

    @property
    def planned_steps(self) -> int:
        """Number of steps of the whole training; 0 if the configuration counts epochs."""
        steps = self.config.get("optimizer.steps")
        return steps if isinstance(steps, int) else 0

    @property
    def seconds(self) -> float:
        """Duration of the training, over all starts, seconds."""
        if "seconds" not in self.series:
            return 0.0
        clock = self.series["seconds"].values
        passed = np.diff(clock, prepend=0.0)
        # The clock starts from 0 again where the training was resumed.
        return float(np.where(passed < 0, clock, passed).sum())


@dataclass(frozen=True, slots=True)
class EvaluationRecord:
    """One evaluation, and the name that it has in the report."""

    name: str
    document: EvaluationDocument

    @property
    def scope(self) -> tuple[object, ...]:
        """What two evaluations must have in common for their scores to be comparable."""
        document = self.document
        names = document.vocabulary.classes
        return document.dataset, document.split, document.metric.name, document.points, names


@dataclass(frozen=True, slots=True)
class Failure:
    """An input that could not be read, and why."""

    path: Path
    error: Clip3DError | OSError


@dataclass(frozen=True, slots=True)
class Records:
    """Everything that a report shows."""

    runs: tuple[RunRecord, ...]
    evaluations: tuple[EvaluationRecord, ...]
    failures: tuple[Failure, ...] = ()


def read_records(paths: Sequence[Path]) -> Records:
    """Read run folders and evaluation documents.

    A training may still be running. Of several inputs, those that cannot be read become failures,
    and the others are read.

    Args:
        paths: folders and files. Each is named by the shortest end of its path that no other has.

    Raises:
        UsageError: E_USAGE: a path is given twice.
        Clip3DError, OSError: the only input cannot be read.
    """
    _reject_duplicates(paths)
    names = _unique_names(path if path.is_dir() else _subject(path) for path in paths)
    runs: list[RunRecord] = []
    evaluations: dict[str, EvaluationRecord] = {}
    failures: list[Failure] = []
    for path in paths:
        try:
            # By real path, because a run folder and a document in it may both be given.
            read = {
                os.path.realpath(file): _read_evaluation(file, names) for file in _documents(path)
            }
            runs += [_read_run(path, names[_absolute(path)])] if _is_run(path) else []
        except (Clip3DError, OSError) as error:
            if len(paths) == 1:
                raise
            failures.append(Failure(path, error))
        else:
            evaluations |= read
    return Records(tuple(runs), tuple(evaluations.values()), tuple(failures))


def read_metrics(path: Path) -> dict[str, Series]:
    """Read every quantity of a metrics.jsonl.

    A last line without a line break is still being written, and is left out.

    Raises:
        InputError: E_CORRUPT: another line does not hold a step and numbers.
    """
    pairs_of: dict[str, list[tuple[float, float]]] = {}
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), start=1):
        if not line.endswith(b"\n"):
            break
        try:
            # The json module reads NaN, which other writers put where there is no value.
            numbers = convert(json.loads(line), MetricsLine)
            step = numbers.pop("step")
            if step is None:
                raise ValueError("the step is null")
        except (ValueError, KeyError) as error:
            fault = f"line {number} does not hold a step and numbers"
            raise InputError("E_CORRUPT", path, fault, "Remove the line.") from error
        for name, value in numbers.items():
            if value is not None and math.isfinite(value):
                pairs_of.setdefault(name, []).append((step, value))
    arrays = {name: np.array(pairs) for name, pairs in pairs_of.items()}  # (S, 2)
    return {name: Series(array[:, 0], array[:, 1]) for name, array in arrays.items()}


def _read_run(folder: Path, name: str) -> RunRecord:
    config, metrics, weights = (
        folder / file for file in ("config.toml", "metrics.jsonl", "points.safetensors")
    )
    finished = weights.is_file()
    return RunRecord(
        name=name,
        path=folder,
        config=_read_config(config) if config.is_file() else {},
        starts=_read_starts(folder / "versions.json"),
        series=read_metrics(metrics) if metrics.is_file() else {},
        sha256=file_sha256(weights) if finished else "",
        text_encoder=read_spec(weights).text_encoder if finished else "",
    )


def _read_config(path: Path) -> dict[str, Any]:
    try:
        return flatten_tables(toml_table(path.read_text(encoding="utf-8")))
    except (ValueError, RecursionError) as error:
        fault, remedy = f"is not TOML: {error}", "Correct the file."
        raise InputError("E_CORRUPT", path, fault, remedy) from error


def _read_starts(path: Path) -> tuple[Start, ...]:
    if not path.is_file():
        return ()
    try:
        return decode_json(path.read_bytes(), tuple[Start, ...])
    except SchemaError as error:
        raise InputError("E_CORRUPT", path, str(error), "Remove the file.") from error


def _read_evaluation(path: Path, names: dict[Path, str]) -> EvaluationRecord:
    subject = names[_absolute(_subject(path))]
    # Of eval.val.text.json in the folder "a": "a · val · text".
    parts = path.stem[len("eval") :].strip("._-").split(".") if _is_unnamed(path) else ()
    name = " · ".join(part for part in (subject, *parts) if part)
    return EvaluationRecord(name, read_document(path))


def _documents(path: Path) -> list[Path]:
    """Return the evaluation documents of a run folder, or the path itself if it is a file.

    Raises:
        InputError: E_NOT_FOUND: the folder has neither a run nor an evaluation.
    """
    if not path.is_dir():
        return [path]
    documents = sorted(path.glob("eval*.json"))
    if not documents and not _is_run(path):
        runs = [folder for folder in sorted(path.iterdir()) if _is_run(folder)]
        remedy = f"Give a run in it, such as {runs[0]}." if runs else "Check the path."
        raise InputError("E_NOT_FOUND", path, "has neither a run nor an evaluation", remedy)
    return documents


def _is_run(path: Path) -> bool:
    return (path / "config.toml").is_file() or (path / "metrics.jsonl").is_file()


def _is_unnamed(document: Path) -> bool:
    """Whether a document has the usual file name, so that its folder names the evaluation."""
    return document.name.startswith("eval")


def _subject(document: Path) -> Path:
    """Return the path that names an evaluation: the folder of its run, or the file itself."""
    return document.parent if _is_unnamed(document) else document.with_suffix("")


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - a link keeps its own name


def _unique_names(paths: Iterable[Path]) -> dict[Path, str]:
    """Return for each absolute path the shortest end of it that no other path has."""
    distinct = dict.fromkeys(map(_absolute, paths))
    names: dict[Path, str] = {}
    for path in distinct:
        for count in range(1, len(path.parts) + 1):
            end = path.parts[-count:]
            names[path] = "/".join(end)
            if sum(other.parts[-count:] == end for other in distinct) == 1:
                break
    return names


def _reject_duplicates(paths: Sequence[Path]) -> None:
    seen: set[str] = set()
    for path in paths:
        real = os.path.realpath(path)
        if real in seen:
            raise UsageError("E_USAGE", path, "is given twice", "Give each path once.")
        seen.add(real)
