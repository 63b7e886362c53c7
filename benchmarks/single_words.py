"""How well points of one class are found when it alone is asked for, and what complete lists lose.

    python -m benchmarks.single_words FOLDER [--weights NAME]

FOLDER holds scans (PLY, LAZ) with their ground truth beside them: ``scan.truth.npz`` with ``truth``
((N,) class of each point, −1 where it is not judged) and ``classes`` (names). Every class with at
least 50 judged points is asked for alone, and then all classes together; with plain argmax, with
"none of these" and with everyday words. Scores are the IoU in percent.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

import clip3d_cli as clip3d
from clip3d_cli.encoders.scoring import ClassQuery, rank_by_similarity
from clip3d_cli.labelling.background import Background
from clip3d_cli.labelling.label import VoxelFeatures

_LEAST_POINTS = 50
_METHODS = ("argmax", "none of these", "everyday words")


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """A scan with ground truth.

    Attributes:
        name: name of the file.
        features: features of its voxels.
        truth: (N,) index into ``classes``, −1 where a point is not judged.
        classes: names of all classes.
    """

    name: str
    features: VoxelFeatures
    truth: npt.NDArray[np.int64]
    classes: tuple[str, ...]

    @property
    def judged(self) -> list[int]:
        """Classes with enough points."""
        counts = np.bincount(self.truth[self.truth >= 0], minlength=len(self.classes))
        return np.flatnonzero(counts >= _LEAST_POINTS).tolist()

    def iou(self, predicted: npt.NDArray[np.bool_], number: int) -> float:
        """Return the IoU of one class over the judged points, in percent."""
        judged = self.truth >= 0
        true = self.truth[judged] == number
        found = predicted[judged]
        return 100 * float((found & true).sum() / max(1, (found | true).sum()))


def read_scans(folder: Path, labeller: clip3d.Labeller) -> Iterator[Scan]:
    """Embed every scan of a folder."""
    for truth_path in sorted(folder.glob("*.truth.npz")):
        name = truth_path.name.removesuffix(".truth.npz")
        files = [folder / f"{name}{suffix}" for suffix in (".ply", ".laz")]
        cloud = clip3d.read_cloud(next(path for path in files if path.exists()))
        with np.load(truth_path) as stored:
            truth = stored["truth"].astype(np.int64)
            classes = tuple(map(str, stored["classes"]))
        yield Scan(name, labeller.embed(cloud), truth, classes)


def predict(
    labeller: clip3d.Labeller, scan: Scan, names: list[str], method: str
) -> npt.NDArray[np.int64]:
    """Return the index of each point's name, −1 where none fits, (N,)."""
    classes = labeller.embed_classes(names)
    background = {
        "argmax": None,
        "none of these": Background(classes.vectors[:0]),
        "everyday words": labeller.embed_background("auto", classes),
    }[method]
    query = ClassQuery.of(classes, 1, None if background is None else background.vectors)
    similarity = scan.features.vectors @ query.words.T
    ranked = rank_by_similarity(similarity, query, labeller.spec.logit_scale)
    voxel = scan.features.voxel_of_point
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
    for scan in read_scans(args.folder, labeller):
        single, complete = {}, {}
        for method in _METHODS:
            single[method] = [
                scan.iou(predict(labeller, scan, [scan.classes[k]], method) == 0, k)
                for k in scan.judged
            ]
            best = predict(labeller, scan, list(scan.classes), method)
            complete[method] = float(np.mean([scan.iou(best == k, k) for k in scan.judged]))
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
