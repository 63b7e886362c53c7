"""Score scans that are spoiled in ways that users meet: stray points, storeys, turns, copies.

    python -m benchmarks.spoiled_scans FOLDER [--only NAME,NAME]

FOLDER holds NAME.ply and NAME.truth.npz with ``truth`` (N,) int, -1 = not evaluated, and
``classes``, the words. The mean IoU of the original points is printed for every case.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.upright import ROTATION_OF_UP
from clip3d_cli.formats.cloud_file import read_cloud
from clip3d_cli.labelling.labeller import Labeller

Floats = npt.NDArray[np.float64]
_MIN_POINTS = 50
_LARGEST_CLOUD = 400_000


def main() -> None:
    """Print one line for each scan."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    names = set(filter(None, arguments.only.split(",")))
    labeller = Labeller.open()
    for path in sorted(arguments.folder.glob("*.truth.npz")):
        name = path.name.removesuffix(".truth.npz")
        xyz = read_cloud(arguments.folder / f"{name}.ply").xyz
        if (names and name not in names) or len(xyz) > _LARGEST_CLOUD:
            continue
        with np.load(path) as stored:
            truth, words = stored["truth"], [str(word) for word in stored["classes"]]
        scores = []
        for case, points, up in spoiled(xyz):
            labels = labeller.label(PointCloud(points), words, background="none", up=up)  # type: ignore[arg-type]
            found = labels.class_index[: len(truth)]
            scores.append(f"{case} {100 * mean_iou(found, truth, len(words)):.1f}")
        print(f"{name:18}", " | ".join(scores), flush=True)


def mean_iou(found: npt.NDArray[np.int32], truth: npt.NDArray[np.int32], classes: int) -> float:
    """Return the mean IoU over the classes with at least 50 points, 0…1."""
    known, scores = truth >= 0, []
    for index in range(classes):
        if np.count_nonzero(truth == index) >= _MIN_POINTS:
            both = np.count_nonzero((found == index) & (truth == index))
            scores.append(both / np.count_nonzero(known & ((found == index) | (truth == index))))
    return float(np.mean(scores))


def spoiled(xyz: Floats) -> Iterator[tuple[str, Floats, str]]:
    """Yield the name of a case, (P, 3) points that begin with those of the scan, and ``--up``."""
    rng = np.random.default_rng(0)
    low, high = xyz.min(axis=0), xyz.max(axis=0)
    floor = float(np.quantile(xyz[:, 2], 0.02))

    def strays(z: float, corner: Floats, far: Floats) -> Floats:
        xy = rng.uniform(corner, far, (50, 2))
        return np.column_stack((xy, floor + z + rng.normal(0, 0.1, 50)))

    yield "plain", xyz, "z"
    yield "50 at -3 m", np.vstack((xyz, strays(-3, low[:2] - 1, high[:2] + 1))), "z"
    window = strays(-3, np.array([high[0] + 0.5, low[1]]), np.array([high[0] + 3, low[1] + 3]))
    yield "window", np.vstack((xyz, window)), "z"
    yield "50 at +6 m", np.vstack((xyz, strays(6, low[:2] - 1, high[:2] + 1))), "z"
    yield "storey above", np.vstack((xyz, xyz + [0.3, 0.2, 3.0])), "z"
    yield "storey below", np.vstack((xyz, xyz - [0.3, 0.2, 3.0])), "z"
    yield "twice", np.vstack((xyz, xyz)), "z"
    yield "empty returns", np.vstack((xyz, np.zeros((len(xyz) // 2, 3)))), "z"
    yield "y up, auto", np.ascontiguousarray(xyz @ ROTATION_OF_UP["y"]), "auto"
    yield "20 deg", np.ascontiguousarray((xyz - low) @ _tilt(20).T), "z"


def _tilt(degrees: float) -> Floats:
    angle = np.radians(degrees)
    sine, cosine = np.sin(angle), np.cos(angle)
    return np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])


if __name__ == "__main__":
    main()
