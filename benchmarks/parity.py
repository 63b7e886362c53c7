"""What the benchmarks' own scoring code says of made-up answers: tests/support/parity.json.

Nothing of that code is kept here; it is imported from where it was installed or checked out:

    pip install nuscenes-devkit         in an environment of its own: it wants an older numpy
    python -m benchmarks.parity nuscenes
    pip install pyyaml
    git clone https://github.com/PRBonn/semantic-kitti-api
    python -m benchmarks.parity semantickitti semantic-kitti-api
    git clone https://github.com/ScanNet/ScanNet
    python -m benchmarks.parity scannet ScanNet
    git clone https://github.com/runnanchen/CLIP2Scene
    python -m benchmarks.parity clip2scene CLIP2Scene     with torch

Each call replaces its own figures. ``tests/metrics/test_parity.py`` compares ours with them.
"""

from __future__ import annotations

import importlib.metadata
import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.parity_cases import CASES, PANOPTIC, labelled, segmented
from benchmarks.parity_files import nuscenes_files, semantickitti_files

KEPT = Path(__file__).resolve().parents[1] / "tests" / "support" / "parity.json"
NUSCENES_THINGS = frozenset(range(1, 11))
SEMANTICKITTI_THINGS = frozenset(range(1, 9))
MIN_POINTS = {"nuscenes": 15, "semantickitti": 50}


def nuscenes() -> dict[str, Any]:
    """The figures of nuscenes-devkit's ConfusionMatrix and PanopticEval."""
    from nuscenes.eval.lidarseg.utils import ConfusionMatrix
    from nuscenes.eval.panoptic.evaluate import NuScenesPanopticEval
    from nuscenes.eval.panoptic.panoptic_seg_evaluator import PanopticEval

    matrix = ConfusionMatrix(17, 0)
    for truth, said in labelled(CASES["nuscenes"]):
        matrix.update(truth, said)
    panoptic = PanopticEval(17, ignore=[0], min_points=MIN_POINTS["nuscenes"])
    for truth, instance, said, part in segmented(PANOPTIC["nuscenes"], NUSCENES_THINGS):
        panoptic.addBatch(said, said * 1000 + part, truth, truth * 1000 + instance)
    mean_iou, iou = panoptic.getSemIoU()
    *means, pq, sq, rq = panoptic.getPQ()
    names = SimpleNamespace(
        id2name={number: number for number in range(17)},
        things=sorted(NUSCENES_THINGS),
        stuff=range(11, 17),
    )
    result = NuScenesPanopticEval.wrap_result_segmentation(names, *means, mean_iou, pq, sq, rq, iou)
    return {
        "code": f"nuscenes-devkit {importlib.metadata.version('nuscenes-devkit')}",
        "numpy": np.__version__,
        "iou": _listed(matrix.get_per_class_iou()[1:]),
        "mean_iou": matrix.get_mean_iou(),
        "frequency_weighted_iou": matrix.get_freqweighted_iou(),
        "panoptic": _panoptic(panoptic, NUSCENES_THINGS, result["all"]["PQ_dagger"]),
        "files": nuscenes_files(),
    }


def semantickitti(checkout: Path) -> dict[str, Any]:
    """The figures of semantic-kitti-api's iouEval and PanopticEval."""
    sys.path.insert(0, str(checkout))
    from auxiliary.eval_np import PanopticEval
    from auxiliary.np_ioueval import iouEval

    matrix = iouEval(20, [0])
    for truth, said in labelled(CASES["semantickitti"]):
        matrix.addBatch(said, truth)
    mean_iou, iou = matrix.getIoU()
    panoptic = PanopticEval(20, None, [0], min_points=MIN_POINTS["semantickitti"])
    for truth, instance, said, part in segmented(PANOPTIC["semantickitti"], SEMANTICKITTI_THINGS):
        panoptic.addBatch(said, said + (part << 16), truth, truth + (instance << 16))
    pq, semantic = panoptic.getPQ()[3], panoptic.getSemIoU()[1]
    # As evaluate_panoptic.py averages them.
    mixed = [*pq[1:9], *semantic[9:]]
    return {
        "code": f"semantic-kitti-api {_commit(checkout)}",
        "numpy": np.__version__,
        "iou": _listed(iou[1:]),
        "mean_iou": float(mean_iou),
        "accuracy": float(matrix.getacc()),
        "panoptic": _panoptic(panoptic, SEMANTICKITTI_THINGS, float(np.mean(mixed))),
        "files": semantickitti_files(checkout),
    }


def scannet(checkout: Path) -> dict[str, Any]:
    """The figures of ScanNet's evaluate_semantic_label.py, which is Python 2: its functions."""
    script = checkout / "BenchmarkScripts" / "3d_evaluation" / "evaluate_semantic_label.py"
    text = script.read_text()
    text = text[text.index("CLASS_LABELS =") : text.index("def write_result_file")]
    clouds: dict[str, Any] = {}
    code: dict[str, Any] = {
        "np": np,
        "izip": zip,
        "util_3d": SimpleNamespace(load_ids=clouds.__getitem__),
    }
    exec(text.replace("Exception, e", "Exception as e"), code)
    ids = np.array([0, *code["VALID_CLASS_IDS"]])
    confusion = np.zeros((code["UNKNOWN_ID"] + 1,) * 2, dtype=np.int64)
    for truth, said in labelled(CASES["scannet"]):
        clouds.update(truth=ids[truth], said=ids[said])
        code["evaluate_scan"]("said", "truth", confusion)
    found = [code["get_iou"](number, confusion) for number in ids[1:]]
    iou = [entry[0] if isinstance(entry, tuple) else entry for entry in found]
    return {
        "code": f"ScanNet {_commit(checkout)}",
        "numpy": np.__version__,
        "iou": _listed(np.array(iou)),
        "mean_iou": float(np.nanmean(iou)),
    }


def clip2scene(checkout: Path) -> dict[str, Any]:
    """The figures of CLIP2Scene's utils/metrics.py."""
    import torch

    sys.path.insert(0, str(checkout))
    from utils.metrics import compute_IoU

    scenes = list(labelled(CASES["clip2scene"]))
    truth, said = (torch.from_numpy(np.concatenate(part)) for part in zip(*scenes, strict=True))
    mean_iou, frequency_weighted_iou, iou = compute_IoU(said, truth, 17, ignore_index=0)
    return {
        "code": f"CLIP2Scene {_commit(checkout)}",
        "torch": torch.__version__,
        "iou": _listed(iou.numpy()),
        "mean_iou": mean_iou,
        "frequency_weighted_iou": frequency_weighted_iou,
    }


def _panoptic(evaluator: Any, things: frozenset[int], pq_dagger: float) -> dict[str, Any]:
    pq_mean, sq_mean, rq_mean, *per_class = evaluator.getPQ()
    is_thing = np.isin(np.arange(evaluator.n_classes), sorted(things))
    is_stuff = ~is_thing
    is_stuff[0] = False
    return {
        "min_points": evaluator.min_points,
        "all": [float(pq_mean), float(sq_mean), float(rq_mean)],
        "things": [float(quality[is_thing].mean()) for quality in per_class],
        "stuff": [float(quality[is_stuff].mean()) for quality in per_class],
        "pq_dagger": float(pq_dagger),
        "pq": _listed(per_class[0][1:]),
        "sq": _listed(per_class[1][1:]),
        "rq": _listed(per_class[2][1:]),
        "matched": evaluator.pan_tp[1:].tolist(),
        "missed": evaluator.pan_fn[1:].tolist(),
        "invented": evaluator.pan_fp[1:].tolist(),
    }


def _listed(numbers: Any) -> list[float | None]:
    """Numbers as JSON has them: null for NaN."""
    return [None if math.isnan(number) else float(number) for number in numbers]


def _commit(checkout: Path) -> str:
    head = (checkout / ".git" / "HEAD").read_text().strip()
    name = head.removeprefix("ref: ")
    return head[:7] if name == head else (checkout / ".git" / name).read_text()[:7]


def main(benchmark: str, *checkout: str) -> None:
    figures = globals()[benchmark](*map(Path, checkout))
    kept = json.loads(KEPT.read_text()) if KEPT.is_file() else {}
    kept[benchmark] = figures
    KEPT.write_text(json.dumps(dict(sorted(kept.items())), indent=1) + "\n")
    print(f"{benchmark}: mean IoU {figures['mean_iou']:.6f}, to {KEPT}")


if __name__ == "__main__":
    main(*sys.argv[1:])
