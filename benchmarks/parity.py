"""Compute scores with the official code of each benchmark, for comparison with ours.

    pip install nuscenes-devkit         # in an environment of its own: it needs an older numpy
    python -m benchmarks.parity nuscenes
    pip install pyyaml
    git clone https://github.com/PRBonn/semantic-kitti-api
    python -m benchmarks.parity semantickitti semantic-kitti-api
    git clone https://github.com/ScanNet/ScanNet
    python -m benchmarks.parity scannet ScanNet
    git clone https://github.com/runnanchen/CLIP2Scene
    python -m benchmarks.parity clip2scene CLIP2Scene     # needs torch

Each call evaluates synthetic predictions with the official code, and replaces the scores of one
benchmark in ``tests/support/parity.json``. ``tests/metrics/test_parity.py`` compares our scores
with that file. The official code is imported from where it was installed or checked out; none of
it is kept here. A call takes a few seconds.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.parity_cases import CASES, PANOPTIC, labelled, segmented
from benchmarks.parity_files import nuscenes_files, semantickitti_files

STORED = Path(__file__).resolve().parents[1] / "tests" / "support" / "parity.json"
NUSCENES_THINGS = frozenset(range(1, 11))
SEMANTICKITTI_THINGS = frozenset(range(1, 9))
MIN_POINTS = {"nuscenes": 15, "semantickitti": 50}


def nuscenes() -> dict[str, Any]:
    """Return the scores of nuscenes-devkit's ConfusionMatrix and PanopticEval."""
    from nuscenes.eval.lidarseg.utils import ConfusionMatrix
    from nuscenes.eval.panoptic.evaluate import NuScenesPanopticEval
    from nuscenes.eval.panoptic.panoptic_seg_evaluator import PanopticEval

    matrix = ConfusionMatrix(17, 0)
    for truth, predicted in labelled(CASES["nuscenes"]):
        matrix.update(truth, predicted)
    panoptic = PanopticEval(17, ignore=[0], min_points=MIN_POINTS["nuscenes"])
    for truth, instance, predicted, predicted_instance in segmented(
        PANOPTIC["nuscenes"], NUSCENES_THINGS
    ):
        panoptic.addBatch(
            predicted, predicted * 1000 + predicted_instance, truth, truth * 1000 + instance
        )
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
        "iou": _json_numbers(matrix.get_per_class_iou()[1:]),
        "mean_iou": matrix.get_mean_iou(),
        "frequency_weighted_iou": matrix.get_freqweighted_iou(),
        "panoptic": _panoptic_scores(panoptic, NUSCENES_THINGS, result["all"]["PQ_dagger"]),
        "files": nuscenes_files(),
    }


def semantickitti(checkout: Path) -> dict[str, Any]:
    """Return the scores of semantic-kitti-api's iouEval and PanopticEval."""
    sys.path.insert(0, str(checkout))
    from auxiliary.eval_np import PanopticEval
    from auxiliary.np_ioueval import iouEval

    matrix = iouEval(20, [0])
    for truth, predicted in labelled(CASES["semantickitti"]):
        matrix.addBatch(predicted, truth)
    mean_iou, iou = matrix.getIoU()
    panoptic = PanopticEval(20, None, [0], min_points=MIN_POINTS["semantickitti"])
    for truth, instance, predicted, predicted_instance in segmented(
        PANOPTIC["semantickitti"], SEMANTICKITTI_THINGS
    ):
        panoptic.addBatch(
            predicted, predicted + (predicted_instance << 16), truth, truth + (instance << 16)
        )
    pq, semantic_iou = panoptic.getPQ()[3], panoptic.getSemIoU()[1]
    # The PQ of things and the IoU of stuff, as in evaluate_panoptic.py.
    mixed = [*pq[1:9], *semantic_iou[9:]]
    return {
        "code": f"semantic-kitti-api {_commit(checkout)}",
        "numpy": np.__version__,
        "iou": _json_numbers(iou[1:]),
        "mean_iou": float(mean_iou),
        "accuracy": float(matrix.getacc()),
        "panoptic": _panoptic_scores(panoptic, SEMANTICKITTI_THINGS, float(np.mean(mixed))),
        "files": semantickitti_files(checkout),
    }


def scannet(checkout: Path) -> dict[str, Any]:
    """Return the scores of the functions in ScanNet's evaluate_semantic_label.py."""
    script = checkout / "BenchmarkScripts" / "3d_evaluation" / "evaluate_semantic_label.py"
    # The script is Python 2 and runs at import, so its functions are cut out and adapted.
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
    for truth, predicted in labelled(CASES["scannet"]):
        clouds.update(truth=ids[truth], predicted=ids[predicted])
        code["evaluate_scan"]("predicted", "truth", confusion)
    entries = [code["get_iou"](class_id, confusion) for class_id in ids[1:]]
    iou = [entry[0] if isinstance(entry, tuple) else entry for entry in entries]
    return {
        "code": f"ScanNet {_commit(checkout)}",
        "numpy": np.__version__,
        "iou": _json_numbers(np.array(iou)),
        "mean_iou": float(np.nanmean(iou)),
    }


def clip2scene(checkout: Path) -> dict[str, Any]:
    """Return the scores of CLIP2Scene's utils/metrics.py."""
    import torch

    sys.path.insert(0, str(checkout))
    from utils.metrics import compute_IoU

    scenes = list(labelled(CASES["clip2scene"]))
    truth, predicted = (
        torch.from_numpy(np.concatenate(part)) for part in zip(*scenes, strict=True)
    )
    mean_iou, frequency_weighted_iou, iou = compute_IoU(predicted, truth, 17, ignore_index=0)
    return {
        "code": f"CLIP2Scene {_commit(checkout)}",
        "torch": torch.__version__,
        "iou": _json_numbers(iou.numpy()),
        "mean_iou": mean_iou,
        "frequency_weighted_iou": frequency_weighted_iou,
    }


def _panoptic_scores(evaluator: Any, things: frozenset[int], pq_dagger: float) -> dict[str, Any]:
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
        "pq": _json_numbers(per_class[0][1:]),
        "sq": _json_numbers(per_class[1][1:]),
        "rq": _json_numbers(per_class[2][1:]),
        "matched": evaluator.pan_tp[1:].tolist(),
        "missed": evaluator.pan_fn[1:].tolist(),
        "invented": evaluator.pan_fp[1:].tolist(),
    }


def _json_numbers(numbers: Any) -> list[float | None]:
    """Return numbers for JSON, with null for NaN."""
    return [None if math.isnan(number) else float(number) for number in numbers]


def _commit(checkout: Path) -> str:
    """Return the first seven digits of the commit of a checkout."""
    head = (checkout / ".git" / "HEAD").read_text().strip()
    name = head.removeprefix("ref: ")
    return head[:7] if name == head else (checkout / ".git" / name).read_text()[:7]


BENCHMARKS: dict[str, Callable[..., dict[str, Any]]] = {
    "nuscenes": nuscenes,
    "semantickitti": semantickitti,
    "scannet": scannet,
    "clip2scene": clip2scene,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("benchmark", choices=BENCHMARKS)
    parser.add_argument("checkout", type=Path, nargs="?", help="folder of the official code")
    args = parser.parse_args()
    checkout = [] if args.benchmark == "nuscenes" else [args.checkout]
    if checkout == [None]:
        parser.error(f"{args.benchmark} needs the folder of its official code")
    scores = BENCHMARKS[args.benchmark](*checkout)
    stored = json.loads(STORED.read_text()) if STORED.is_file() else {}
    stored[args.benchmark] = scores
    STORED.write_text(json.dumps(dict(sorted(stored.items())), indent=1) + "\n")
    print(f"{args.benchmark}: mean IoU {scores['mean_iou']:.6f}, written to {STORED}")


if __name__ == "__main__":
    main()
