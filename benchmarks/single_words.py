"""How well points of one class are found when it alone is asked for, and what complete lists lose.

    python -m benchmarks.single_words FOLDER [--weights NAME]

FOLDER holds scans with ground truth: see `benchmarks.judged_scans`. Every class with at least 50
judged points is asked for alone, and then all classes together; with plain argmax, with "none of
these" and with everyday words. Scores are the IoU in percent.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt

import clip3d_cli as clip3d
from benchmarks.judged_scans import read_judged_scans
from clip3d_cli.encoders.scoring import ClassQuery, rank_by_similarity
from clip3d_cli.labelling.background import Background
from clip3d_cli.labelling.label import VoxelFeatures

_METHODS = ("argmax", "none of these", "everyday words")


def predict(
    labeller: clip3d.Labeller, features: VoxelFeatures, names: list[str], method: str
) -> npt.NDArray[np.int64]:
    """Return the index of each point's name, −1 where none fits, (N,)."""
    classes = labeller.embed_classes(names)
    background = {
        "argmax": None,
        "none of these": Background(classes.vectors[:0]),
        "everyday words": labeller.embed_background("auto", classes),
    }[method]
    query = ClassQuery.of(classes, 1, None if background is None else background.vectors)
    similarity = features.vectors @ query.words.T
    ranked = rank_by_similarity(similarity, query, labeller.spec.logit_scale)
    voxel = features.voxel_of_point
    best = ranked.ranking[voxel, 0].astype(np.int64)
    if background is not None:
        best[background.unlabeled(ranked.fits[voxel])] = -1
    return best


def main() -> None:
    """Print the scores of every scan, and their means."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", default="points-default")
    args = parser.parse_args()
    labeller = clip3d.Labeller.open(args.weights, device="cpu")
    alone: dict[str, list[float]] = {method: [] for method in _METHODS}
    lost: dict[str, list[float]] = {method: [] for method in _METHODS}
    print(f"{'':18}" + "".join(f"{method:>18}" for method in _METHODS) + "   complete list: loss")
    for scan in read_judged_scans(args.folder):
        features = labeller.embed(scan.cloud)
        single, complete = {}, {}
        for method in _METHODS:
            single[method] = [
                scan.iou(predict(labeller, features, [scan.classes[k]], method) == 0, k)
                for k in scan.judged
            ]
            best = predict(labeller, features, list(scan.classes), method)
            complete[method] = scan.mean_iou(best)
            alone[method] += single[method]
            lost[method].append(complete["argmax"] - complete[method])
        print(
            f"{scan.name:18}"
            + "".join(f"{np.mean(single[method]):18.1f}" for method in _METHODS)
            + "".join(f"{lost[method][-1]:8.2f}" for method in _METHODS[1:]),
            flush=True,
        )
    for method in _METHODS:
        print(
            f"{method}: {np.mean(alone[method]):.1f} over {len(alone[method])} words asked alone; "
            f"complete lists lose {np.mean(lost[method]):.2f} on average, "
            f"{max(lost[method]):.2f} at most"
        )


if __name__ == "__main__":
    main()
