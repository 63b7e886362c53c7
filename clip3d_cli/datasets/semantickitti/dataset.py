"""SemanticKITTI in its official layout: scans, labels, poses, and the left color camera."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.scenes import PosedScene, Sweep, View, invert_pose
from clip3d_cli.core.vocabulary import load_vocabulary
from clip3d_cli.datasets.images import image_size
from clip3d_cli.datasets.labels import LabelTable, file_labels, read_thing_classes
from clip3d_cli.datasets.point_files import read_label_numbers, read_scan, scan_length
from clip3d_cli.datasets.semantickitti.sequence import KittiSequence, read_sequence
from clip3d_cli.datasets.semantickitti.submission import SemanticKittiSubmission
from clip3d_cli.datasets.splits import LazyScenes, split_numbers
from clip3d_cli.errors import InputError
from clip3d_cli.metrics.rules import BenchmarkRules
from clip3d_cli.registry import unknown_name_error

_COLUMNS = ("x", "y", "z", "intensity")
_EARLIER_SWEEPS = 10
_ALL = "all"
# A label is a uint32: the lower 16 bits are the class, the upper 16 bits the object.
_CLASS_MASK = np.uint32(0xFFFF)
_OBJECT_SHIFT = np.uint32(16)


class SemanticKitti:
    """SemanticKITTI (Behley et al., ICCV 2019): a scene is a frame of a sequence.

    The world is the lidar's frame at the start of the sequence. The frame is followed by up to ten
    earlier ones. Images and labels may be missing; images of different sequences have different
    sizes. No points are removed as returns from the ego vehicle: they are labelled as outliers.

    Splits are the official ones whose sequences are all installed, and ``all``.

    Args:
        root: folder that contains ``sequences`` or ``dataset/sequences``; or ``sequences``.

    Raises:
        InputError: E_NOT_FOUND: the folder has another layout.
    """

    name = "semantickitti"
    ego_half_size_m = 0.0
    # iouEval.getIoU divides by union + 1e-15, getacc leaves out points without a prediction, and
    # evaluate_panoptic.py requires 50 points.
    rules = BenchmarkRules(
        "semantic-kitti-api (a9c749e)",
        unused_class_iou=0.0,
        counts_unlabeled=False,
        min_points=50,
    )
    submission = SemanticKittiSubmission

    def __init__(self, root: Path) -> None:
        self.root = _folder_of_sequences(Path(root))
        self.vocabulary = load_vocabulary("semantickitti19")
        self.thing_classes = read_thing_classes("semantickitti", self.vocabulary)
        self._installed = _sequences_in(self.root)
        self._official = {
            split: tuple(f"{number:02d}" for number in numbers)
            for split, numbers in split_numbers("semantickitti").items()
        }
        self._labels = LabelTable(file_labels("semantickitti"), self.vocabulary)
        self._sequences: dict[str, KittiSequence] = {}

    def splits(self) -> tuple[str, ...]:
        """Return the official splits whose sequences are all installed, and ``all``."""
        installed = set(self._installed)
        return (*(s for s, names in self._official.items() if set(names) <= installed), _ALL)

    def scenes(self, split: str) -> Sequence[PosedScene]:
        """Return the frames of a split, by sequence and number.

        Args:
            split: one of `splits`.

        Raises:
            UsageError: there is no such split.
            InputError: a sequence is not installed, or one of its files is missing or broken.
        """
        names = self._installed if split == _ALL else self._official.get(split)
        if names is None:
            raise unknown_name_error("split of semantickitti", split, self.splits())
        for name in names:
            if name not in self._installed:
                raise InputError(
                    "E_NOT_FOUND",
                    self.root / "sequences" / name / "velodyne",
                    f"does not exist, and {split} needs sequences {', '.join(names)}",
                    f"Fetch the rest, or use an installed split: {', '.join(self.splits())}.",
                )
        frames = [
            (sequence, frame)
            for sequence in map(self._sequence, names)
            for frame in range(len(sequence.frames))
        ]
        return LazyScenes(len(frames), partial(_scene, frames))

    def cloud(self, sweep: Sweep) -> PointCloud:
        """Read all N points of a frame in the lidar's frame, with the stored intensity, 0…1.

        Args:
            sweep: a sweep of one of the scenes.

        Raises:
            InputError: the file is missing, truncated, or of another format.
        """
        return read_scan(sweep.path, _COLUMNS, 1.0)

    def ground_truth(self, scene: PosedScene) -> npt.NDArray[np.int32] | None:
        """Read the 19 classes of the points of a frame; moving cars count as cars, and so on.

        Args:
            scene: one of the scenes.

        Returns:
            (N,) int32 class indices, −1 = ignored; or None.

        Raises:
            InputError: E_COUNT_MISMATCH: the number of labels is not the number of points.
        """
        if scene.ground_truth is None:
            return None
        numbers = _label_numbers(scene, scene.ground_truth)
        return self._labels.class_index(scene.ground_truth, numbers & _CLASS_MASK)

    def instances(self, scene: PosedScene) -> npt.NDArray[np.int32] | None:
        """Read the objects of the points of a frame.

        As in the official code, different labels that count as one class (road and lane marking,
        car and moving car) never share an object.

        Args:
            scene: one of the scenes.

        Returns:
            (N,) int32 object numbers; or None.

        Raises:
            InputError: as `ground_truth`.
        """
        if scene.ground_truth is None:
            return None
        numbers = _label_numbers(scene, scene.ground_truth)
        # Rejects numbers that are not labels.
        self._labels.class_index(scene.ground_truth, numbers & _CLASS_MASK)
        return self._labels.object_numbers(numbers & _CLASS_MASK, numbers >> _OBJECT_SHIFT)

    def _sequence(self, name: str) -> KittiSequence:
        if name not in self._sequences:
            self._sequences[name] = read_sequence(self.root / "sequences" / name, self.root)
        return self._sequences[name]


def _label_numbers(scene: PosedScene, path: Path) -> npt.NDArray[np.uint32]:
    return read_label_numbers(path, "<u4", scan_length(scene.sweeps[0].path, _COLUMNS))


def _scene(frames: Sequence[tuple[KittiSequence, int]], number: int) -> PosedScene:
    sequence, frame = frames[number]
    folder, stem = sequence.folder, sequence.frames[frame]
    back_in_time = range(frame, max(-1, frame - _EARLIER_SWEEPS - 1), -1)
    return PosedScene(
        name=f"{folder.name}_{stem}",
        sweeps=tuple(_sweep(sequence, earlier) for earlier in back_in_time),
        views=(_view(sequence, frame),) if sequence.has_images else (),
        ground_truth=folder / "labels" / f"{stem}.label" if sequence.has_labels else None,
    )


def _sweep(sequence: KittiSequence, frame: int) -> Sweep:
    path = sequence.folder / "velodyne" / f"{sequence.frames[frame]}.bin"
    return Sweep(path, sequence.world_from_lidar[frame], _time_s(sequence, frame))


def _view(sequence: KittiSequence, frame: int) -> View:
    image = sequence.folder / "image_2" / f"{sequence.frames[frame]}.png"
    lidar_from_world = invert_pose(sequence.world_from_lidar[frame])
    return View(
        image=image,
        size=image_size(image),
        intrinsics=sequence.intrinsics,
        camera_from_world=sequence.camera_from_lidar @ lidar_from_world,
        time_s=_time_s(sequence, frame),
    )


def _time_s(sequence: KittiSequence, frame: int) -> float | None:
    return None if sequence.times_s is None else float(sequence.times_s[frame])


def _folder_of_sequences(root: Path) -> Path:
    """Return the folder that contains ``sequences``: the root, its parent, or ``dataset`` in it."""
    candidates = (root, root / "dataset", root.parent if root.name == "sequences" else root)
    for folder in candidates:
        if _sequences_in(folder):
            return folder
    if not root.is_dir():
        raise InputError(
            "E_NOT_FOUND", root, "is not a folder", "Name the root folder of SemanticKITTI."
        )
    nearby = [
        path
        for path in sorted(root.iterdir())
        if _sequences_in(path) or _sequences_in(path / "dataset")
    ]
    if root.parent.name == "sequences" and _sequences_in(root.parent.parent):
        nearby = [root.parent.parent]
    raise InputError(
        "E_NOT_FOUND",
        root,
        "is not SemanticKITTI: it has no sequences/00…21 with a folder velodyne",
        f"Did you mean {nearby[0]}?"
        if nearby
        else "Its root contains sequences/00/velodyne/, or dataset/sequences/00/velodyne/.",
    )


def _sequences_in(root: Path) -> tuple[str, ...]:
    """Return the names of the sequences that have scans, sorted."""
    names = (path.parent.name for path in (root / "sequences").glob("*/velodyne"))
    return tuple(sorted(name for name in names if len(name) == 2 and name.isdecimal()))
