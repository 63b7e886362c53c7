"""Small run folders and evaluation documents for the tests of reports."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from clip3d_cli.core.vocabulary import SemanticClass, Vocabulary
from clip3d_cli.metrics.confusion import ConfusionMatrix
from clip3d_cli.pipelines.evaluate.document import EvaluationSetup, evaluation_document
from clip3d_cli.pipelines.evaluate.run import DistanceBand, EvalOptions, Evaluation

CLASSES = ("car", "tree", "road")
COUNTS = ((6, 2, 1, 1), (0, 5, 0, 0), (0, 0, 0, 0))
CONFIG = '[data]\ndataset = "folder"\n\n[optimizer]\nlearning_rate = {rate}\nsteps = 60\n'


def write_run(folder: Path, *, steps: int = 60, rate: float = 0.01, level: float = 1.0) -> Path:
    """Write the folder of a training; it has no metrics if it has done no step."""
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(CONFIG.format(rate=rate))
    start = {"began": "2026-01-02T03:04:05+00:00", "after_step": 0, "clip3d": "0.1.0"}
    (folder / "versions.json").write_text(json.dumps([start]))
    if steps:
        lines = [json.dumps(step_line(step, rate, level)) + "\n" for step in range(1, steps + 1)]
        (folder / "metrics.jsonl").write_text("".join(lines))
    return folder


def step_line(step: int, rate: float = 0.01, level: float = 1.0) -> dict[str, float]:
    return {
        "step": step,
        "loss": level / step,
        "semantic": level / step,
        "learning_rate": rate * (1 - step / 60),
        "gradient_norm": 1.0,
        "seconds": 0.5 * step,
    }


def eval_document(
    classes: tuple[str, ...] = CLASSES,
    counts: tuple[tuple[int, ...], ...] = COUNTS,
    changes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the JSON document that clip3d writes for these counts, after the changes."""
    entries = tuple(
        SemanticClass(name, (name,), index + 1, (40 * index % 256, 100, 200))
        for index, name in enumerate(classes)
    )
    vocabulary = Vocabulary("mine", entries)
    confusion = ConfusionMatrix(np.array(counts, dtype=np.int64))
    evaluation = Evaluation(
        vocabulary,
        confusion,
        bands=(DistanceBand(20.0, math.inf, confusion),),
        panoptic=None,
        scenes=2,
        scenes_without_ground_truth=0,
    )
    setup = EvaluationSetup(
        dataset="folder", root=Path("scenes"), split="val", words=vocabulary, templates=("{}",),
        text_encoder="mini", head="text", weights=Path("points.safetensors"), sha256="5e" * 32,
        device="cpu", backend="torch", precision="exact", seconds={"label": 1.0},
    )  # fmt: skip
    options = EvalOptions(ignored=classes[1:2])
    document = evaluation_document(evaluation, options, setup).as_json()
    return {**json.loads(json.dumps(document)), **(changes or {})}


def write_eval(path: Path, document: object = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(eval_document() if document is None else document))
    return path
