"""PandaSet in its official layout, or repacked as arrays: every frame of a drive is a scene."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.scenes import PosedScene, Sweep, invert_pose, transform_points
from clip3d_cli.core.vocabulary import load_vocabulary
from clip3d_cli.datasets.json_files import read_json
from clip3d_cli.datasets.labels import class_index_of_ids
from clip3d_cli.datasets.pandaset.frames import read_pandaset_labels, read_pandaset_scan
from clip3d_cli.datasets.pandaset.recordings import (
    PublishedRecording,
    Recording,
    RepackedRecording,
)
from clip3d_cli.datasets.splits import LazyScenes, split_numbers
from clip3d_cli.errors import InputError
from clip3d_cli.metrics.rules import NO_BENCHMARK
from clip3d_cli.registry import unknown_name_error

_ALL = "all"
# The frame itself and the nine before it.
_SWEEPS = 10


class PandaSet:
    """PandaSet (Hesai and Scale AI): six cameras and two lidars at 10 frames per second.

    Files store the points in the world of the drive; they are moved back into the frame of the
    vehicle, z up. A frame contains the points of both lidars, and is followed by up to nine
    earlier frames. There are no official splits: ``train``, ``val`` and ``test`` are OpenPCDet's,
    and are available if all their drives are installed.

    Args:
        root: folder of the drives (``001``, ``002``, …), or of one drive. A drive is as published,
            or ``NN.npz`` with ``NN.jpg`` and ``camera.json``.

    Raises:
        InputError: E_NOT_FOUND: the folder contains no drive.
    """

    name = "pandaset"
    thing_classes: frozenset[int] = frozenset()
    # The nearest returns are reflections from the vehicle; beyond them nothing is nearer than 3 m.
    ego_half_size_m = 2.0
    rules = NO_BENCHMARK
    submission = None

    def __init__(self, root: Path) -> None:
        self.root = root
        self.vocabulary = load_vocabulary("pandaset")
        self._drives = _installed_drives(root)

    def splits(self) -> tuple[str, ...]:
        """Return ``all`` and OpenPCDet's splits whose drives are all installed."""
        installed = set(self._drives)
        splits = split_numbers(self.name)
        return (_ALL, *(split for split in splits if installed.issuperset(_drive_names(split))))

    def scenes(self, split: str) -> Sequence[PosedScene]:
        """Return the frames of the drives of a split.

        Args:
            split: one of `splits`.

        Raises:
            UsageError: there is no such split.
            InputError: E_NOT_FOUND: a drive of the split is not installed; E_DATASET: a drive has
                the labels of another data set.
        """
        if split != _ALL and split not in split_numbers(self.name):
            raise unknown_name_error("split of pandaset", split, self.splits())
        names = list(self._drives) if split == _ALL else _drive_names(split)
        for name in names:
            if name not in self._drives:
                fault = f"drive {name} of the split {split} does not exist"
                remedy = "Download it, or use the installed drives with --split all."
                raise InputError("E_NOT_FOUND", self.root / name, fault, remedy)
            self._check_classes(self._drives[name].classes)
        frames = [
            (name, position) for name in names for position in range(len(self._drives[name].frames))
        ]
        return LazyScenes(len(frames), partial(self._scene, frames))

    def cloud(self, sweep: Sweep) -> PointCloud:
        """Read all N points of both lidars in the order of the file, in the vehicle's frame.

        Args:
            sweep: a sweep of one of the scenes.

        Raises:
            InputError: the file is missing or broken, or is a pickle of anything but a table.
        """
        in_world = read_pandaset_scan(sweep.path)
        xyz = transform_points(invert_pose(sweep.world_from_sensor), in_world.xyz)
        return PointCloud(xyz, None, in_world.intensity)

    def ground_truth(self, scene: PosedScene) -> npt.NDArray[np.int32] | None:
        """Read the 42 classes for the points of a frame.

        Args:
            scene: one of the scenes.

        Returns:
            (N,) int32 class indices, −1 = ignored; or None.

        Raises:
            InputError: E_COUNT_MISMATCH: the number of labels is not the number of points.
        """
        if scene.ground_truth is None:
            return None
        class_ids = read_pandaset_labels(scene.ground_truth, scene.sweeps[0].path)
        return class_index_of_ids(scene.ground_truth, class_ids, self.vocabulary, ignored=(0,))

    def instances(self, scene: PosedScene) -> None:
        """Return None: PandaSet's point labels do not tell objects apart."""

    def _scene(self, frames: Sequence[tuple[str, int]], number: int) -> PosedScene:
        name, position = frames[number]
        drive = self._drives[name]
        back_in_time = range(position, max(-1, position - _SWEEPS), -1)
        return PosedScene(
            f"{name}_{drive.frames[position]}",
            tuple(drive.sweep(earlier) for earlier in back_in_time),
            drive.views(position),
            drive.label_file(position),
        )

    def _check_classes(self, path: Path) -> None:
        if not path.is_file():
            return
        expected = {str(entry.class_id): entry.name for entry in self.vocabulary.classes}
        for number, name in read_json(path, dict[str, Any]).items():
            if expected.get(number) != name:
                raise InputError(
                    "E_DATASET",
                    path,
                    f"names label {number[:9]} {str(name)[:40]!r}, but in PandaSet it is "
                    f"{expected.get(number)!r}",
                    "These are the labels of another data set.",
                )


def _drive_names(split: str) -> list[str]:
    """Return the names of the drives of a split."""
    return [f"{number:03d}" for number in split_numbers(PandaSet.name)[split]]


def _installed_drives(root: Path) -> dict[str, Recording]:
    """Return the drives in a folder by name, or the only one if the folder is a drive."""
    only = _drive(root)
    if only is not None:
        return {root.resolve().name: only}
    folders = {path.name: _drive(path) for path in sorted(root.glob("*/"))}
    drives = {name: drive for name, drive in folders.items() if drive is not None}
    if not drives:
        raise InputError(
            "E_NOT_FOUND",
            root,
            "contains no drive of PandaSet: no <drive>/lidar/*.pkl.gz, no <drive>/camera.json",
            "Set --root to the folder of 001, 002, ...",
        )
    return drives


def _drive(folder: Path) -> Recording | None:
    if (folder / "camera.json").is_file():
        return RepackedRecording(folder)
    published = PublishedRecording(folder)
    return published if published.frames else None
