"""SemanticKITTI in its official layout: scans, labels, poses, and the left color camera."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.scenes import PosedScene, Sweep, View, inverse_pose
from clip3d_cli.core.vocabulary_files import named_vocabulary
from clip3d_cli.datasets.dataset_files import LabelTable, file_labels, split_numbers, thing_classes
from clip3d_cli.datasets.images import image_size
from clip3d_cli.datasets.lazy_scenes import LazyScenes
from clip3d_cli.datasets.scans import read_numbers, read_scan, scan_length
from clip3d_cli.datasets.semantickitti.sequence import KittiSequence, read_sequence
from clip3d_cli.errors import InputError
from clip3d_cli.metrics.rules import BenchmarkRules
from clip3d_cli.registry import unknown_name

_COLUMNS = ("x", "y", "z", "intensity")
_SWEEPS = 10
_ALL = "all"
_CLASS_BITS = np.uint32(0xFFFF)
_OBJECT_BITS = np.uint32(16)


class SemanticKitti:
    """SemanticKITTI (Behley et al., ICCV 2019): a scene is a frame; the world its sequence's start.

    Behind the frame come up to ten earlier ones. Images keep their true size; they and labels may
    be missing. No returns are taken for the vehicle's own: its labels count them as outliers.

    Splits are the official ones, of which each needs all of its sequences, and ``all``, which
    takes the sequences that are here.

    Args:
        root: the folder that holds ``sequences``, or ``dataset/sequences``; or ``sequences``.

    Raises:
        InputError: E_NOT_FOUND, it is something else.
    """

    name = "semantickitti"
    ego_m = 0.0
    # iouEval.getIoU divides by union + 1e-15, getacc leaves out what was left unlabeled, and
    # evaluate_panoptic.py asks for 50 points.
    rules = BenchmarkRules("semantic-kitti-api (a9c749e)", 0.0, False, 50)

    def __init__(self, root: Path) -> None:
        self.root = _root_of(Path(root))
        self.vocabulary = named_vocabulary("semantickitti19")
        self._here = _sequences_below(self.root)
        self._official = {
            split: tuple(f"{number:02d}" for number in numbers)
            for split, numbers in split_numbers("semantickitti").items()
        }
        self._labels = LabelTable(file_labels("semantickitti"), self.vocabulary)
        self.things = thing_classes("semantickitti", self.vocabulary)
        self._read: dict[str, KittiSequence] = {}

    def splits(self) -> tuple[str, ...]:
        """The official splits that are here as a whole, and ``all``."""
        whole = [split for split, names in self._official.items() if set(names) <= set(self._here)]
        return (*whole, _ALL)

    def scenes(self, split: str) -> Sequence[PosedScene]:
        """The frames of a split by sequence and number; each is put together when asked for.

        Raises:
            UsageError: there is no such split.
            InputError: a sequence of it is missing, or one of its files is missing or broken.
        """
        names = self._here if split == _ALL else self._official.get(split)
        if names is None:
            raise unknown_name("split of semantickitti", split, self.splits())
        for name in names:
            if name not in self._here:
                raise InputError(
                    "E_NOT_FOUND",
                    self.root / "sequences" / name / "velodyne",
                    f"does not exist, and {split} needs sequences {', '.join(names)}",
                    f"Fetch the rest, or take what is here: {', '.join(self.splits())}.",
                )
        frames = [
            (sequence, frame)
            for sequence in map(self._sequence, names)
            for frame in range(len(sequence.frames))
        ]
        return LazyScenes(len(frames), partial(_scene, frames))

    def cloud(self, sweep: Sweep) -> PointCloud:
        """All points of a frame in the lidar's frame, with intensity as the file has it.

        Raises:
            InputError: the file is missing, cut off, or of another kind.
        """
        return read_scan(sweep.path, _COLUMNS, 1.0)

    def truth(self, scene: PosedScene) -> npt.NDArray[np.int32] | None:
        """(N,) int32: the 19 classes for the frame's points, −1 = not judged.

        What moves counts as what stands. The instance in the upper 16 bits is left out.

        Raises:
            InputError: E_COUNT_MISMATCH: not as many labels as points.
        """
        if scene.truth is None:
            return None
        return self._labels.class_index(scene.truth, _numbers(scene, scene.truth) & _CLASS_BITS)

    def instances(self, scene: PosedScene) -> npt.NDArray[np.int32] | None:
        """(N,) int32: the object of every point as its class and the upper 16 bits tell it.

        As in the official code, labels that one class counts (road and lane marking, car and
        moving car) never share an object.

        Raises:
            InputError: as `truth`.
        """
        if scene.truth is None:
            return None
        numbers = _numbers(scene, scene.truth)
        self._labels.class_index(scene.truth, numbers & _CLASS_BITS)
        return self._labels.objects(numbers & _CLASS_BITS, numbers >> _OBJECT_BITS)

    def _sequence(self, name: str) -> KittiSequence:
        if name not in self._read:
            self._read[name] = read_sequence(self.root / "sequences" / name, self.root)
        return self._read[name]


def _numbers(scene: PosedScene, labels: Path) -> npt.NDArray[np.uint32]:
    return read_numbers(labels, "<u4", scan_length(scene.sweeps[0].path, _COLUMNS))


def _scene(frames: Sequence[tuple[KittiSequence, int]], number: int) -> PosedScene:
    sequence, frame = frames[number]
    folder, stem = sequence.folder, sequence.frames[frame]
    back = range(frame, max(-1, frame - _SWEEPS - 1), -1)
    return PosedScene(
        name=f"{folder.name}_{stem}",
        sweeps=tuple(_sweep(sequence, earlier) for earlier in back),
        views=(_view(sequence, frame),) if sequence.images else (),
        truth=folder / "labels" / f"{stem}.label" if sequence.labels else None,
    )


def _sweep(sequence: KittiSequence, frame: int) -> Sweep:
    path = sequence.folder / "velodyne" / f"{sequence.frames[frame]}.bin"
    return Sweep(path, sequence.world_from_lidar[frame], _time_s(sequence, frame))


def _view(sequence: KittiSequence, frame: int) -> View:
    image = sequence.folder / "image_2" / f"{sequence.frames[frame]}.png"
    return View(
        image=image,
        size=image_size(image),
        intrinsics=sequence.intrinsics,
        camera_from_world=sequence.camera_from_lidar
        @ inverse_pose(sequence.world_from_lidar[frame]),
        time_s=_time_s(sequence, frame),
    )


def _time_s(sequence: KittiSequence, frame: int) -> float | None:
    return None if sequence.times_s is None else float(sequence.times_s[frame])


def _root_of(root: Path) -> Path:
    """The folder that holds ``sequences``, from it, from the one above or the one below."""
    below = root / "dataset"
    for place in (root, below, root.parent if root.name == "sequences" else root):
        if _sequences_below(place):
            return place
    if not root.is_dir():
        raise InputError("E_NOT_FOUND", root, "is no folder", "Name the root of SemanticKITTI.")
    near = [
        path
        for path in sorted(root.iterdir())
        if _sequences_below(path) or _sequences_below(path / "dataset")
    ]
    if root.parent.name == "sequences" and _sequences_below(root.parent.parent):
        near = [root.parent.parent]
    raise InputError(
        "E_NOT_FOUND",
        root,
        "is not SemanticKITTI: it has no sequences/00…21 with a folder velodyne",
        f"Did you mean {near[0]}?"
        if near
        else "Its root holds sequences/00/velodyne/, or dataset/sequences/00/velodyne/.",
    )


def _sequences_below(root: Path) -> tuple[str, ...]:
    """The names of the sequences that have scans, sorted."""
    found = (path.parent.name for path in (root / "sequences").glob("*/velodyne"))
    return tuple(sorted(name for name in found if len(name) == 2 and name.isdecimal()))
