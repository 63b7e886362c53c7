"""Real scans with their ground truth, for benchmarks that judge labels.

A folder of them has scans (PLY, LAZ), and beside each ``scan.truth.npz`` with ``truth`` ((N,) class
of each point, −1 where it is not judged) and ``classes`` (names).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

import clip3d_cli as clip3d

_LEAST_POINTS = 50


@dataclass(frozen=True, slots=True, eq=False)
class JudgedScan:
    """A scan with ground truth.

    Attributes:
        name: name of the file.
        cloud: N points.
        truth: (N,) index into ``classes``, −1 where a point is not judged.
        classes: names of all classes.
    """

    name: str
    cloud: clip3d.PointCloud
    truth: npt.NDArray[np.int64]
    classes: tuple[str, ...]

    @property
    def judged(self) -> list[int]:
        """Classes with at least 50 judged points."""
        counts = np.bincount(self.truth[self.truth >= 0], minlength=len(self.classes))
        return np.flatnonzero(counts >= _LEAST_POINTS).tolist()

    def iou(self, predicted: npt.NDArray[np.bool_], number: int) -> float:
        """Return the IoU of one class over the judged points, in percent."""
        judged = self.truth >= 0
        true = self.truth[judged] == number
        found = predicted[judged]
        return 100 * float((found & true).sum() / max(1, (found | true).sum()))

    def mean_iou(self, predicted: npt.NDArray[np.integer]) -> float:
        """Return the mean IoU over `judged`, in percent, of (N,) class indices."""
        return float(np.mean([self.iou(predicted == k, k) for k in self.judged]))


def read_judged_scans(folder: Path) -> Iterator[JudgedScan]:
    """Read the scans of a folder, in the order of their names."""
    for truth_path in sorted(folder.glob("*.truth.npz")):
        name = truth_path.name.removesuffix(".truth.npz")
        files = [folder / f"{name}{suffix}" for suffix in (".ply", ".laz")]
        cloud = clip3d.read_cloud(next(path for path in files if path.exists()))
        with np.load(truth_path) as stored:
            truth = stored["truth"].astype(np.int64)
            classes = tuple(map(str, stored["classes"]))
        yield JudgedScan(name, cloud, truth, classes)
