"""What official evaluations say of whole folders: the small trees of the tests, and answers.

Here the official code reads truth, objects and answers from files by its own hand, so that our
reading of the data sets is compared too. Run by ``benchmarks/parity.py``.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.parity_cases import tree_answers

MIN_POINTS = 5
_VERSION = "v1.0-mini"
_SPLIT = "mini_val"
_UNUSED = ("attribute", "visibility", "instance", "log", "sample_annotation")


def nuscenes_files() -> dict[str, Any]:
    """Of LidarSegEval and NuScenesPanopticEval on the mini_val split of the tests' tree."""
    from nuscenes.eval.lidarseg.evaluate import LidarSegEval
    from nuscenes.eval.panoptic.evaluate import NuScenesPanopticEval
    from nuscenes.nuscenes import NuScenes

    with tempfile.TemporaryDirectory() as folder:
        root, answers = Path(folder, "root"), Path(folder, "answers")
        _write_tree("nuscenes", root)
        _complete(root)
        devkit = NuScenes(_VERSION, str(root), verbose=False)
        (answers / "panoptic" / _SPLIT).mkdir(parents=True)
        (answers / "lidarseg" / _SPLIT).mkdir(parents=True)
        judge = LidarSegEval(devkit, str(answers), _SPLIT)
        for token in judge.sample_tokens:
            scan = devkit.get("sample", token)["data"]["LIDAR_TOP"]
            labels = np.fromfile(root / devkit.get("lidarseg", scan)["filename"], np.uint8)
            truth = judge.mapper.convert_label(labels)
            numbers = np.load(root / devkit.get("panoptic", scan)["filename"])["data"]
            said, part = tree_answers(token, truth, numbers, 16, 10)
            whole = (said * 1000 + part).astype(np.uint16)
            said.astype(np.uint8).tofile(answers / "lidarseg" / _SPLIT / f"{scan}_lidarseg.bin")
            np.savez(answers / "panoptic" / _SPLIT / f"{scan}_panoptic.npz", data=whole)
        objects = NuScenesPanopticEval(
            devkit,
            str(answers),
            _SPLIT,
            "segmentation",
            min_inst_points=MIN_POINTS,
            out_dir=folder,
        )
        return {
            "scenes": len(judge.sample_tokens),
            "mean_iou": judge.evaluate()["miou"],
            "panoptic": _entries(objects.evaluate_segmentation()["all"], str.lower),
        }


def semantickitti_files(checkout: Path) -> dict[str, Any]:
    """Of evaluate_semantics.py and evaluate_panoptic.py on sequence 08 of the tests' tree."""
    import yaml

    table = yaml.safe_load((checkout / "config" / "semantic-kitti.yaml").read_text())
    with tempfile.TemporaryDirectory() as folder:
        root, answers = Path(folder, "dataset"), Path(folder, "answers")
        _write_tree("semantickitti", Path(folder))
        (answers / "sequences" / "08" / "predictions").mkdir(parents=True)
        labels = sorted((root / "sequences" / "08" / "labels").iterdir())
        for path in labels:
            numbers = np.fromfile(path, np.uint32)
            classes = (numbers & 0xFFFF).tolist()
            truth = np.array([table["learning_map"][number] for number in classes])
            said, part = tree_answers(f"08_{path.stem}", truth, numbers, 19, 8)
            ids = np.array([table["learning_map_inv"][number] for number in range(20)])
            whole = ids[said] | part << 16
            whole.astype(np.uint32).tofile(answers / "sequences" / "08" / "predictions" / path.name)
        common = ["--dataset", str(root), "--predictions", str(answers), "--split", "valid"]
        least = str(MIN_POINTS)
        semantic = _scores(checkout, "evaluate_semantics.py", [*common, "--codalab", folder])
        panoptic = _scores(
            checkout,
            "evaluate_panoptic.py",
            [*common, "--output", folder, "--min_inst_points", least],
        )
    return {
        "scenes": len(labels),
        "mean_iou": semantic["iou_mean"],
        "accuracy": semantic["accuracy_mean"],
        "panoptic": _entries(panoptic, lambda name: name.removesuffix("_mean")),
    }


def _write_tree(dataset: str, root: Path) -> None:
    sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
    importlib.import_module(f"datasets_trees_{dataset}").write_tree(root)


def _scores(checkout: Path, script: str, arguments: list[str]) -> dict[str, float]:
    """What a script leaves in scores.txt of its last folder."""
    import yaml

    command = [sys.executable, script, *arguments]
    subprocess.run(command, cwd=checkout, check=True, stdout=subprocess.DEVNULL)
    folder = arguments[arguments.index("--codalab" if "--codalab" in arguments else "--output") + 1]
    scores: dict[str, float] = yaml.safe_load(Path(folder, "scores.txt").read_text())
    return scores


def _entries(found: dict[str, float], rename: Any) -> dict[str, float]:
    return {
        rename(name): float(number) for name, number in found.items() if "iou" not in name.lower()
    }


def _complete(root: Path) -> None:
    """Add the tables that the devkit loads and nobody asks for."""
    for name in _UNUSED:
        (root / _VERSION / f"{name}.json").write_text("[]")
    Image.new("L", (4, 4)).save(root / "map.png")
    maps = [{"token": "m", "log_tokens": [], "filename": "map.png"}]
    (root / _VERSION / "map.json").write_text(json.dumps(maps))
