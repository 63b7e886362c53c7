"""nuScenes with lidarseg, in its official layout: key frames, sweeps and six cameras."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.scenes import (
    Floats,
    PosedScene,
    Sweep,
    View,
    inverse_pose,
    pose_of_quaternion,
)
from clip3d_cli.core.vocabulary_files import named_vocabulary
from clip3d_cli.datasets.dataset_files import (
    FileLabel,
    LabelTable,
    file_labels,
    split_numbers,
    thing_classes,
)
from clip3d_cli.datasets.json_tables import json_rows, table_fault
from clip3d_cli.datasets.lazy_scenes import LazyScenes
from clip3d_cli.datasets.nuscenes.cache import frame_index
from clip3d_cli.datasets.nuscenes.index import FrameIndex, scene_names
from clip3d_cli.datasets.nuscenes.panoptic import panoptic_file, read_panoptic
from clip3d_cli.datasets.scans import read_numbers, read_scan, scan_length
from clip3d_cli.errors import InputError
from clip3d_cli.metrics.rules import BenchmarkRules
from clip3d_cli.registry import unknown_name

VERSIONS = ("v1.0-trainval", "v1.0-test", "v1.0-mini")

_COLUMNS = ("x", "y", "z", "intensity", "ring")
_BRIGHTEST = 255.0
_SWEEPS = 10
_ALL = "all"


class NuScenes:
    """nuScenes (Caesar et al., CVPR 2020): a scene is a key frame; the world is the map's frame.

    The chain is lidar, vehicle at the time of the scan, map, vehicle at the time of the image,
    camera. Behind a key frame come up to ten earlier sweeps, as `prev` leads to them.

    Splits are the official ones that are here with all their scenes, ``parametrize`` and
    ``verify`` (SLidR's and CLIP2Scene's parts of train), those of ``splits.json`` in the
    version's folder, and ``all``.

    Args:
        root: the folder with ``samples``, ``sweeps`` and a version's tables such as
            ``v1.0-trainval``; or the folder of the tables.

    Raises:
        InputError: E_NOT_FOUND, it is something else.
    """

    name = "nuscenes"
    ego_m = 1.0
    # ConfusionMatrix.get_mean_iou is a nanmean, and panoptic/evaluate.py asks for 15 points. The
    # devkit takes no unlabeled answers; here they are misses.
    rules = BenchmarkRules("nuscenes-devkit (1.2.0)", unmet_iou=None, min_points=15)

    def __init__(self, root: Path) -> None:
        self.root, self._versions = _versions_below(Path(root))
        self.vocabulary = named_vocabulary("nuscenes16")
        self.things = thing_classes("nuscenes", self.vocabulary)
        self._names = {version: scene_names(self.root / version) for version in self._versions}
        self._chosen = _official_splits(self._names)
        for version in self._versions:
            own = _own_splits(self.root / version / "splits.json", version, self._names[version])
            self._chosen = {**own, **self._chosen}
        self._indices: dict[str, FrameIndex] = {}
        self._labels: dict[str, LabelTable] = {}

    def splits(self) -> tuple[str, ...]:
        """The names that `scenes` takes."""
        return tuple(self._chosen)

    def scenes(self, split: str) -> Sequence[PosedScene]:
        """The key frames of a split by scene and time; each is put together when asked for.

        Raises:
            UsageError: there is no such split.
            InputError: a table is missing or broken.
        """
        if split not in self._chosen:
            raise unknown_name("split of nuscenes", split, self._chosen)
        version, names = self._chosen[split]
        index = self._index(version)
        wanted = np.isin(index.scene_names, [name.encode() for name in names])
        samples = np.flatnonzero(wanted[index.scene_of_sample])
        return LazyScenes(len(samples), _KeyFrames(self.root, index, samples).scene)

    def cloud(self, sweep: Sweep) -> PointCloud:
        """All points of a sweep in the lidar's frame; intensity is the file's over 255.

        Raises:
            InputError: the file is missing, cut off, or of another kind.
        """
        if not sweep.path.is_file():
            raise InputError(
                "E_NOT_FOUND",
                sweep.path,
                "is in the tables, but not on disk",
                "Unpack the blobs that hold it; key frames alone do where one sweep is asked for.",
            )
        return read_scan(sweep.path, _COLUMNS, _BRIGHTEST)

    def truth(self, scene: PosedScene) -> npt.NDArray[np.int32] | None:
        """(N,) int32: lidarseg's 16 classes for the key frame's points, −1 = not judged.

        Raises:
            InputError: E_COUNT_MISMATCH: not as many labels as points.
        """
        if scene.truth is None:
            return None
        points = scan_length(scene.sweeps[0].path, _COLUMNS)
        numbers = read_numbers(scene.truth, "u1", points)
        return self._label_table(self._version_of(scene.truth)).class_index(scene.truth, numbers)

    def instances(self, scene: PosedScene) -> npt.NDArray[np.int32] | None:
        """(N,) int32: the object of every point by Panoptic nuScenes, None without it.

        As in the official code, categories that one class counts never share an object. −1 where
        lidarseg and Panoptic nuScenes differ in the class: points in two boxes are noise there.

        Raises:
            InputError: a file is missing or broken; E_COUNT_MISMATCH: not as many numbers as
                points.
        """
        truth = self.truth(scene)
        path = None if scene.truth is None else panoptic_file(self.root, scene.truth)
        if path is None or truth is None or scene.truth is None:
            return None
        category, one = read_panoptic(path, len(truth))
        table = self._label_table(self._version_of(scene.truth))
        same = table.class_index(path, category) == truth
        return np.where(same, table.objects(category, one), np.int32(-1))

    def _index(self, version: str) -> FrameIndex:
        if version not in self._indices:
            self._indices[version] = frame_index(self.root / version)
        return self._indices[version]

    def _version_of(self, truth: Path) -> str:
        """The version whose categories number a label file: lidarseg's folders are called so."""
        version = truth.parent.name
        return version if version in self._versions else self._versions[0]

    def _label_table(self, version: str) -> LabelTable:
        if version not in self._labels:
            labels = _categories(self.root / version / "category.json")
            self._labels[version] = LabelTable(labels, self.vocabulary)
        return self._labels[version]


@dataclass(frozen=True, slots=True, eq=False)
class _KeyFrames:
    """Key frames put together from the index."""

    root: Path
    index: FrameIndex
    samples: npt.NDArray[np.intp]

    def scene(self, number: int) -> PosedScene:
        index, sample = self.index, self.samples[number]
        lidar, *cameras = index.files_of_sample[sample].tolist()
        scene = index.scene_names[index.scene_of_sample[sample]].decode()
        truth = index.truth[sample].decode()
        return PosedScene(
            name=f"{scene}_{index.sample_token[sample].decode()}",
            sweeps=tuple(self._sweep(file) for file in _chain(index, lidar)),
            views=tuple(self._view(file) for file in cameras if file >= 0),
            truth=self.root / truth if truth else None,
        )

    def _sweep(self, file: int) -> Sweep:
        return Sweep(self._path(file), self._world_from_sensor(file), self._time_s(file))

    def _view(self, file: int) -> View:
        width, height = self.index.size[file].tolist()
        if min(width, height) < 1:
            raise table_fault(self._path(file), "has no width and height in sample_data.json")
        return View(
            image=self._path(file),
            size=(width, height),
            intrinsics=self.index.intrinsics[self.index.sensor[file]],
            camera_from_world=inverse_pose(self._world_from_sensor(file)),
            time_s=self._time_s(file),
        )

    def _world_from_sensor(self, file: int) -> Floats:
        ego = self.index.ego_pose[file]
        sensor = self.index.sensor_pose[self.index.sensor[file]]
        world_from_ego = pose_of_quaternion(ego[:4], ego[4:])
        pose: Floats = world_from_ego @ pose_of_quaternion(sensor[:4], sensor[4:])
        return pose

    def _path(self, file: int) -> Path:
        name: bytes = self.index.file_name[file]
        return self.root / name.decode()

    def _time_s(self, file: int) -> float:
        return float(self.index.time_us[file]) * 1e-6


def _chain(index: FrameIndex, lidar: int) -> list[int]:
    """A scan and up to ten before it."""
    chain = [lidar]
    while len(chain) <= _SWEEPS and index.previous[chain[-1]] >= 0:
        chain.append(int(index.previous[chain[-1]]))
    return chain


def _versions_below(root: Path) -> tuple[Path, tuple[str, ...]]:
    """The root and the versions it has, also where the tables' folder was named as the root."""
    if root.name in VERSIONS and _has_tables(root):
        return root.parent, (root.name,)
    found = tuple(version for version in VERSIONS if _has_tables(root / version))
    if found:
        return root, found
    if not root.is_dir():
        raise InputError("E_NOT_FOUND", root, "is no folder", "Name the root of nuScenes.")
    below = [
        path for path in sorted(root.iterdir()) if any(_has_tables(path / v) for v in VERSIONS)
    ]
    raise InputError(
        "E_NOT_FOUND",
        root,
        f"is not nuScenes: it has no {' or '.join(VERSIONS)} with scene.json",
        f"Did you mean {below[0]}?"
        if below
        else "Its root holds samples/, sweeps/ and a folder of tables such as v1.0-trainval/.",
    )


def _has_tables(folder: Path) -> bool:
    return (folder / "scene.json").is_file()


def _official_splits(names: dict[str, list[str]]) -> dict[str, tuple[str, list[str]]]:
    """The version and the scenes of every split that is here as a whole.

    Where two versions hold a split, as trainval holds the scenes of mini, the smaller is taken.
    """
    numbers = split_numbers("nuscenes")
    official = {split: [f"scene-{n:04d}" for n in numbers[split]] for split in numbers}
    chosen = {}
    for split, wanted in official.items():
        fitting = [version for version, has in names.items() if set(wanted) <= set(has)]
        if fitting:
            chosen[split] = (min(fitting, key=lambda version: len(names[version])), wanted)
    first = next(iter(names))
    chosen[_ALL] = (first, names[first])
    return chosen


def _own_splits(path: Path, version: str, names: list[str]) -> dict[str, tuple[str, list[str]]]:
    """The splits of the user's own ``splits.json``, a table of lists of scene names, if there."""
    if not path.is_file():
        return {}
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise table_fault(path, f"is not JSON: {error}") from error
    if not isinstance(table, dict) or not all(isinstance(part, list) for part in table.values()):
        raise table_fault(path, "is not a table of lists of scene names")
    for split, wanted in table.items():
        lost = [name for name in wanted if name not in names]
        if lost:
            raise table_fault(path, f"split {split!r} names {lost[0]!r}, which {version} has not")
    return {split: (version, wanted) for split, wanted in table.items()}


def _categories(path: Path) -> tuple[FileLabel, ...]:
    """The labels as this copy numbers them: by its own table where that has numbers."""
    ours = {label.name: label for label in file_labels("nuscenes")}
    rows = list(json_rows(path)) if path.is_file() else []
    if not any("index" in row for row in rows):
        return tuple(ours.values())
    labels = []
    for row in rows:
        name, number = row.get("name"), row.get("index")
        if name not in ours or not isinstance(number, int) or not 0 <= number < 256:
            raise table_fault(path, f"row {row.get('token')!r}: {name!r} is no lidarseg category")
        labels.append(FileLabel(number, name, ours[name].class_name))
    return tuple(labels)
