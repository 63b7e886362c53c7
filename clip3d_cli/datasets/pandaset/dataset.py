"""PandaSet in its official layout, and repacked as arrays: every frame of a drive is a scene."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.scenes import PosedScene, Sweep, inverse_pose, moved
from clip3d_cli.core.vocabulary_files import named_vocabulary
from clip3d_cli.datasets.dataset_files import split_numbers
from clip3d_cli.datasets.json_documents import read_document
from clip3d_cli.datasets.lazy_scenes import LazyScenes
from clip3d_cli.datasets.pandaset.recordings import (
    PublishedRecording,
    Recording,
    RepackedRecording,
)
from clip3d_cli.datasets.pandaset.scans import read_pandaset_labels, read_pandaset_scan
from clip3d_cli.datasets.point_labels import class_index_of_ids
from clip3d_cli.errors import InputError
from clip3d_cli.metrics.rules import NO_BENCHMARK
from clip3d_cli.registry import unknown_name

_ALL = "all"
_SWEEPS = 10


class PandaSet:
    """PandaSet (Hesai and Scale AI): six cameras and two lidars, both kept, at 10 frames a second.

    Files hold points in the world; they are moved back into the frame of the vehicle, z up.
    Behind a frame come up to nine earlier ones. There are no official splits: ``train``,
    ``val`` and ``test`` are OpenPCDet's, offered where all their drives are here.

    Args:
        root: the folder of the drives (``001``, ``002``, …), or one of them; a drive is as
            published, or ``NN.npz`` with ``NN.jpg`` and ``camera.json``.

    Raises:
        InputError: E_NOT_FOUND: there is no drive in it.
    """

    name = "pandaset"
    # The nearest returns are reflections of the vehicle itself; then there is nothing up to 3 m.
    ego_m = 2.0
    things: frozenset[int] = frozenset()
    rules = NO_BENCHMARK

    def __init__(self, root: Path) -> None:
        self.root = root
        self.vocabulary = named_vocabulary("pandaset")
        self._drives = _drives(root)

    def splits(self) -> tuple[str, ...]:
        """``all`` that is here, and OpenPCDet's splits that are here as a whole."""
        here = set(self._drives)
        return (_ALL, *(s for s in split_numbers(self.name) if here.issuperset(_listed(s))))

    def scenes(self, split: str) -> Sequence[PosedScene]:
        """The frames of the drives of a split; each is put together when asked for.

        Raises:
            UsageError: there is no such split here.
            InputError: E_NOT_FOUND: a drive of the split is not here; E_DATASET: the labels of a
                drive are not PandaSet's.
        """
        if split != _ALL and split not in split_numbers(self.name):
            raise unknown_name("split of pandaset", split, self.splits())
        names = list(self._drives) if split == _ALL else _listed(split)
        for name in names:
            if name not in self._drives:
                fault = f"drive {name} of the split {split} is not there"
                remedy = "Download it, or take what is here with --split all."
                raise InputError("E_NOT_FOUND", self.root / name, fault, remedy)
            self._check_classes(self._drives[name].classes)
        frames = [
            (name, place) for name in names for place in range(len(self._drives[name].frames))
        ]
        return LazyScenes(len(frames), partial(self._scene, frames))

    def cloud(self, sweep: Sweep) -> PointCloud:
        """All points of both lidars in the order of the file, in the vehicle's frame.

        Raises:
            InputError: the file is missing, broken, or asks to run code.
        """
        world = read_pandaset_scan(sweep.path)
        xyz = moved(inverse_pose(sweep.world_from_sensor), world.xyz)
        return PointCloud(xyz, None, world.intensity)

    def truth(self, scene: PosedScene) -> npt.NDArray[np.int32] | None:
        """(N,) int32: one of 42 classes for every point, −1 = not judged, or None.

        Raises:
            InputError: E_COUNT_MISMATCH: not as many labels as points.
        """
        if scene.truth is None:
            return None
        numbers = read_pandaset_labels(scene.truth, scene.sweeps[0].path)
        return class_index_of_ids(scene.truth, numbers, self.vocabulary, ignored=(0,))

    def instances(self, scene: PosedScene) -> None:
        """None: PandaSet's labels do not tell objects apart."""

    def _scene(self, frames: Sequence[tuple[str, int]], number: int) -> PosedScene:
        name, place = frames[number]
        drive = self._drives[name]
        earlier = range(place, max(-1, place - _SWEEPS), -1)
        return PosedScene(
            f"{name}_{drive.frames[place]}",
            tuple(drive.sweep(number) for number in earlier),
            drive.views(place),
            drive.labels(place),
        )

    def _check_classes(self, path: Path) -> None:
        if not path.is_file():
            return
        ours = {str(entry.class_id): entry.name for entry in self.vocabulary.classes}
        for number, name in read_document(path).table.items():
            if ours.get(number) != name:
                raise InputError(
                    "E_DATASET",
                    path,
                    f"calls label {number[:9]} {str(name)[:40]!r}, PandaSet {ours.get(number)!r}",
                    "These labels are another data set's.",
                )


def _listed(split: str) -> list[str]:
    """The names of the drives of a split."""
    return [f"{number:03d}" for number in split_numbers(PandaSet.name)[split]]


def _drives(root: Path) -> dict[str, Recording]:
    """The drives in a folder by name, or the one that the folder is."""
    alone = _drive(root)
    if alone is not None:
        return {root.resolve().name: alone}
    found = {path.name: _drive(path) for path in sorted(root.glob("*/"))}
    drives = {name: drive for name, drive in found.items() if drive is not None}
    if not drives:
        raise InputError(
            "E_NOT_FOUND",
            root,
            "holds no drive of PandaSet: no <drive>/lidar/*.pkl.gz, no <drive>/camera.json",
            "Point --root at the folder that holds 001, 002, ...",
        )
    return drives


def _drive(folder: Path) -> Recording | None:
    if (folder / "camera.json").is_file():
        return RepackedRecording(folder)
    published = PublishedRecording(folder)
    return published if published.frames else None
