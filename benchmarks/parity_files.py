"""Official evaluations of whole folders: the tests' small data sets with synthetic predictions.

The official code reads ground truth, instances and predictions from files, so our reading of the
data sets is compared too. Used by `benchmarks.parity`.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.parity_cases import tree_answers

MIN_POINTS = 5
_VERSION = "v1.0-mini"
_SPLIT = "mini_val"
_UNUSED_TABLES = ("attribute", "visibility", "instance", "log", "sample_annotation")


def nuscenes_files() -> dict[str, Any]:
    """Return the scores of LidarSegEval and NuScenesPanopticEval on mini_val of the tests' data."""
    from nuscenes.eval.lidarseg.evaluate import LidarSegEval
    from nuscenes.eval.panoptic.evaluate import NuScenesPanopticEval
    from nuscenes.nuscenes import NuScenes

    with tempfile.TemporaryDirectory() as folder:
        root, predictions = Path(folder, "root"), Path(folder, "predictions")
        _write_data_set("nuscenes", root)
        _add_unused_tables(root)
        devkit = NuScenes(_VERSION, str(root), verbose=False)
        (predictions / "panoptic" / _SPLIT).mkdir(parents=True)
        (predictions / "lidarseg" / _SPLIT).mkdir(parents=True)
        semantic = LidarSegEval(devkit, str(predictions), _SPLIT)
        for token in semantic.sample_tokens:
            scan = devkit.get("sample", token)["data"]["LIDAR_TOP"]
            labels = np.fromfile(root / devkit.get("lidarseg", scan)["filename"], np.uint8)
            truth = semantic.mapper.convert_label(labels)
            panoptic_labels = np.load(root / devkit.get("panoptic", scan)["filename"])["data"]
            predicted, instance = tree_answers(token, truth, panoptic_labels, 16, 10)
            combined = (predicted * 1000 + instance).astype(np.uint16)
            path = predictions / "lidarseg" / _SPLIT / f"{scan}_lidarseg.bin"
            predicted.astype(np.uint8).tofile(path)
            path = predictions / "panoptic" / _SPLIT / f"{scan}_panoptic.npz"
            np.savez(path, data=combined)
        panoptic = NuScenesPanopticEval(
            devkit,
            str(predictions),
            _SPLIT,
            "segmentation",
            min_inst_points=MIN_POINTS,
            out_dir=folder,
        )
        return {
            "scenes": len(semantic.sample_tokens),
            "mean_iou": semantic.evaluate()["miou"],
            "panoptic": _without_iou(panoptic.evaluate_segmentation()["all"], str.lower),
        }


def semantickitti_files(checkout: Path) -> dict[str, Any]:
    """Return the scores of the official scripts on sequence 08 of the tests' data.

    Args:
        checkout: folder of semantic-kitti-api, with evaluate_semantics.py and evaluate_panoptic.py.
    """
    import yaml

    table = yaml.safe_load((checkout / "config" / "semantic-kitti.yaml").read_text())
    with tempfile.TemporaryDirectory() as folder:
        root, predictions = Path(folder, "dataset"), Path(folder, "predictions")
        _write_data_set("semantickitti", Path(folder))
        target = predictions / "sequences" / "08" / "predictions"
        target.mkdir(parents=True)
        labels = sorted((root / "sequences" / "08" / "labels").iterdir())
        for path in labels:
            # Class in the lower 16 bits, instance in the upper ones.
            numbers = np.fromfile(path, np.uint32)
            class_ids = (numbers & 0xFFFF).tolist()
            truth = np.array([table["learning_map"][class_id] for class_id in class_ids])
            predicted, instance = tree_answers(f"08_{path.stem}", truth, numbers, 19, 8)
            ids = np.array([table["learning_map_inv"][number] for number in range(20)])
            combined = ids[predicted] | instance << 16
            combined.astype(np.uint32).tofile(target / path.name)
        common = ["--dataset", str(root), "--predictions", str(predictions), "--split", "valid"]
        semantic = _run_script(
            checkout, "evaluate_semantics.py", [*common, "--codalab", folder], Path(folder)
        )
        panoptic = _run_script(
            checkout,
            "evaluate_panoptic.py",
            [*common, "--output", folder, "--min_inst_points", str(MIN_POINTS)],
            Path(folder),
        )
    return {
        "scenes": len(labels),
        "mean_iou": semantic["iou_mean"],
        "accuracy": semantic["accuracy_mean"],
        "panoptic": _without_iou(panoptic, lambda name: name.removesuffix("_mean")),
    }


def _write_data_set(dataset: str, root: Path) -> None:
    """Write the small data set of the tests."""
    sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "support"))
    importlib.import_module(f"datasets_trees_{dataset}").write_tree(root)


def _run_script(
    checkout: Path, script: str, arguments: list[str], folder: Path
) -> dict[str, float]:
    """Run an official script and return the scores that it writes to ``folder``/scores.txt."""
    import yaml

    command = [sys.executable, script, *arguments]
    subprocess.run(command, cwd=checkout, check=True, stdout=subprocess.DEVNULL)
    scores: dict[str, float] = yaml.safe_load((folder / "scores.txt").read_text())
    return scores


def _without_iou(scores: dict[str, float], rename: Callable[[str], str]) -> dict[str, float]:
    return {
        rename(name): float(value) for name, value in scores.items() if "iou" not in name.lower()
    }


def _add_unused_tables(root: Path) -> None:
    """Add the tables that the devkit loads and the evaluation does not use."""
    for name in _UNUSED_TABLES:
        (root / _VERSION / f"{name}.json").write_text("[]")
    Image.new("L", (4, 4)).save(root / "map.png")
    maps = [{"token": "m", "log_tokens": [], "filename": "map.png"}]
    (root / _VERSION / "map.json").write_text(json.dumps(maps))
