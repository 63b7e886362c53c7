"""Run folders and evaluation documents, small and made up, for the tests of reports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from clip3d_cli.metrics.confusion import ConfusionMatrix
from clip3d_cli.metrics.scores import metric_name, scores_of

CLASSES = ("car", "tree", "road")
COUNTS = ((6, 2, 1, 1), (0, 5, 0, 0), (0, 0, 0, 0))
CONFIG = '[data]\ndataset = "folder"\n\n[optimizer]\nlearning_rate = {rate}\nsteps = 60\n'


def write_run(folder: Path, *, steps: int = 60, rate: float = 0.01, level: float = 1.0) -> Path:
    """A training as its folder shows it; of no step without metrics."""
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
    """What ``clip3d eval`` writes, after the changes."""
    confusion = ConfusionMatrix(np.array(counts, dtype=np.int64))
    scores = scores_of(confusion)
    iou, recall = (
        [None if np.isnan(value) else float(value) for value in numbers]
        for numbers in (scores.iou, scores.recall)
    )
    points = confusion.counts.sum(axis=1).tolist()
    return {
        "schema": "clip3d.eval/1",
        "dataset": "folder",
        "split": "val",
        "scenes": 2,
        "points": sum(points),
        "metric": {"convention": "present", "name": metric_name("present")},
        "vocabulary": {"name": "mine", "classes": list(classes)},
        "text_encoder": "mini",
        "head": "text",
        "weights": {"path": "points.safetensors", "sha256": "5e" * 32},
        "scores": {
            "miou": scores.mean_iou,
            "macc": scores.mean_accuracy,
            "fwiou": scores.frequency_weighted_iou,
            "accuracy": scores.accuracy,
        },
        "classes": [
            {
                "name": name,
                "id": place + 1,
                "color": [40 * place, 100, 200],
                "iou": each,
                "accuracy": right,
                "points": of_it,
            }
            for place, (name, each, right, of_it) in enumerate(
                zip(classes, iou, recall, points, strict=True)
            )
        ],
        "confusion": [list(row) for row in counts],
        "bands": [{"from_m": 20.0, "to_m": None, "points": 7, "miou": 0.25}],
        "foreground": {"ignored": ["road"], "miou": 0.5},
        "harmonic": None,
        "panoptic": None,
        **(changes or {}),
    }


def write_eval(path: Path, document: object = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(eval_document() if document is None else document))
    return path
