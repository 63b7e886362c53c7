"""nuScenes with lidarseg in its official layout: key frames, sweeps and six cameras."""

from __future__ import annotations

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
    invert_pose,
    pose_from_quaternion,
)
from clip3d_cli.core.vocabulary import load_vocabulary
from clip3d_cli.datasets.json_files import Location, read_json
from clip3d_cli.datasets.labels import FileLabel, LabelTable, file_labels, read_thing_classes
from clip3d_cli.datasets.nuscenes.cache import frame_index
from clip3d_cli.datasets.nuscenes.index import FrameIndex, scene_names
from clip3d_cli.datasets.nuscenes.panoptic import panoptic_file, read_panoptic
from clip3d_cli.datasets.nuscenes.submission import NuScenesSubmission
from clip3d_cli.datasets.nuscenes.tables import VERSIONS, table_error, table_rows
from clip3d_cli.datasets.point_files import read_label_numbers, read_scan, scan_length
from clip3d_cli.datasets.splits import LazyScenes, split_numbers
from clip3d_cli.errors import InputError
from clip3d_cli.metrics.rules import BenchmarkRules
from clip3d_cli.registry import unknown_name_error

_COLUMNS = ("x", "y", "z", "intensity", "ring")
_FULL_INTENSITY = 255.0
_EARLIER_SWEEPS = 10
_ALL = "all"


class NuScenes:
    """nuScenes (Caesar et al., CVPR 2020): a scene is a key frame, and the world is the map.

    Poses are composed of sensor from ego vehicle and ego vehicle from map. The ego vehicle has one
    pose at the time of the scan and another at the time of each image. The key frame is followed
    by up to ten earlier sweeps, along ``prev``.

    Splits are the official ones whose scenes are all installed, ``parametrize`` and ``verify``
    (SLidR's and CLIP2Scene's parts of ``train``), those of ``splits.json`` in the folder of a
    version's tables, and ``all``.

    Args:
        root: folder of ``samples``, ``sweeps`` and a version's tables such as ``v1.0-trainval``;
            or the folder of the tables.

    Raises:
        InputError: E_NOT_FOUND: the folder has another layout.
    """

    name = "nuscenes"
    # Returns from the roof and the hood of the vehicle.
    ego_half_size_m = 1.0
    # ConfusionMatrix.get_mean_iou is a nanmean, and panoptic/evaluate.py requires 15 points. The
    # devkit does not accept points without a prediction; here they count as wrong.
    rules = BenchmarkRules("nuscenes-devkit (1.2.0)", unused_class_iou=None, min_points=15)
    submission = NuScenesSubmission

    def __init__(self, root: Path) -> None:
        self.root, self._versions = _installed_versions(Path(root))
        self.vocabulary = load_vocabulary("nuscenes16")
        self.thing_classes = read_thing_classes("nuscenes", self.vocabulary)
        names = {version: scene_names(self.root / version) for version in self._versions}
        # Version and scene names of every split.
        self._split_scenes = _official_splits(names)
        for version in self._versions:
            own = _own_splits(self.root / version / "splits.json", version, names[version])
            self._split_scenes = {**own, **self._split_scenes}
        self._indices: dict[str, FrameIndex] = {}
        self._label_tables: dict[str, LabelTable] = {}

    def splits(self) -> tuple[str, ...]:
        """Return the names that `scenes` accepts."""
        return tuple(self._split_scenes)

    def scenes(self, split: str) -> Sequence[PosedScene]:
        """Return the key frames of a split, by scene and time.

        Args:
            split: one of `splits`.

        Raises:
            UsageError: there is no such split.
            InputError: a table is missing or broken.
        """
        if split not in self._split_scenes:
            raise unknown_name_error("split of nuscenes", split, self._split_scenes)
        version, names = self._split_scenes[split]
        index = self._index(version)
        # (A,) mask of scenes, then the rows of the samples in these scenes.
        in_split = np.isin(index.scene_names, [name.encode() for name in names])
        samples = np.flatnonzero(in_split[index.scene_of_sample])
        return LazyScenes(len(samples), _KeyFrames(self.root, index, samples).scene)

    def cloud(self, sweep: Sweep) -> PointCloud:
        """Read all N points of a sweep in the lidar's frame; intensity is the stored one over 255.

        Args:
            sweep: a sweep of one of the scenes.

        Raises:
            InputError: the file is missing, truncated, or of another format.
        """
        if not sweep.path.is_file():
            raise InputError(
                "E_NOT_FOUND",
                sweep.path,
                "is listed in the tables, but does not exist",
                "Unpack the archive that contains it. Key frames alone suffice for one sweep.",
            )
        return read_scan(sweep.path, _COLUMNS, _FULL_INTENSITY)

    def ground_truth(self, scene: PosedScene) -> npt.NDArray[np.int32] | None:
        """Read lidarseg's 16 classes for the points of a key frame.

        Args:
            scene: one of the scenes.

        Returns:
            (N,) int32 class indices, −1 = ignored; or None.

        Raises:
            InputError: E_COUNT_MISMATCH: the number of labels is not the number of points.
        """
        path = scene.ground_truth
        if path is None:
            return None
        numbers = read_label_numbers(path, "u1", scan_length(scene.sweeps[0].path, _COLUMNS))
        return self._label_table(self._version_of(path)).class_index(path, numbers)

    def instances(self, scene: PosedScene) -> npt.NDArray[np.int32] | None:
        """Read the objects of Panoptic nuScenes for the points of a key frame.

        As in the official code, different categories that count as one class never share an
        object. Points in two boxes are noise in Panoptic nuScenes, and have a class in lidarseg:
        they are ignored.

        Args:
            scene: one of the scenes.

        Returns:
            (N,) int32 object numbers, −1 = ignored; or None if Panoptic nuScenes is not installed.

        Raises:
            InputError: a file is missing or broken; E_COUNT_MISMATCH: the number of labels is not
                the number of points.
        """
        classes = self.ground_truth(scene)
        if classes is None or scene.ground_truth is None:
            return None
        path = panoptic_file(self.root, scene.ground_truth)
        if path is None:
            return None
        category, object_number = read_panoptic(path, len(classes))
        table = self._label_table(self._version_of(scene.ground_truth))
        agree = table.class_index(path, category) == classes
        return np.where(agree, table.object_numbers(category, object_number), np.int32(-1))

    def _index(self, version: str) -> FrameIndex:
        if version not in self._indices:
            self._indices[version] = frame_index(self.root / version)
        return self._indices[version]

    def _version_of(self, label_file: Path) -> str:
        """Return the version of a label file, after which lidarseg names its folders."""
        version = label_file.parent.name
        return version if version in self._versions else self._versions[0]

    def _label_table(self, version: str) -> LabelTable:
        if version not in self._label_tables:
            labels = _categories(self.root / version / "category.json")
            self._label_tables[version] = LabelTable(labels, self.vocabulary)
        return self._label_tables[version]


@dataclass(frozen=True, slots=True, eq=False)
class _KeyFrames:
    """Scenes of some samples of the index.

    Attributes:
        root: root folder of nuScenes.
        index: index of the version.
        samples: rows of samples in the index.
    """

    root: Path
    index: FrameIndex
    samples: npt.NDArray[np.intp]

    def scene(self, number: int) -> PosedScene:
        index, sample = self.index, self.samples[number]
        lidar, *cameras = index.files_of_sample[sample].tolist()
        scene = index.scene_names[index.scene_of_sample[sample]].decode()
        label_file = index.label_file[sample].decode()
        return PosedScene(
            name=f"{scene}_{index.sample_token[sample].decode()}",
            sweeps=tuple(self._sweep(file) for file in _with_earlier(index, lidar)),
            views=tuple(self._view(file) for file in cameras if file >= 0),
            ground_truth=self.root / label_file if label_file else None,
        )

    def _sweep(self, file: int) -> Sweep:
        return Sweep(self._path(file), self._world_from_sensor(file), self._time_s(file))

    def _view(self, file: int) -> View:
        width, height = self.index.size[file].tolist()
        if min(width, height) < 1:
            raise table_error(self._path(file), "has no width and height in sample_data.json")
        return View(
            image=self._path(file),
            size=(width, height),
            intrinsics=self.index.intrinsics[self.index.sensor[file]],
            camera_from_world=invert_pose(self._world_from_sensor(file)),
            time_s=self._time_s(file),
        )

    def _world_from_sensor(self, file: int) -> Floats:
        ego = self.index.ego_pose[file]
        sensor = self.index.sensor_pose[self.index.sensor[file]]
        world_from_ego = pose_from_quaternion(ego[:4], ego[4:])
        ego_from_sensor = pose_from_quaternion(sensor[:4], sensor[4:])
        pose: Floats = world_from_ego @ ego_from_sensor
        return pose

    def _path(self, file: int) -> Path:
        name: bytes = self.index.file_name[file]
        return self.root / name.decode()

    def _time_s(self, file: int) -> float:
        return float(self.index.time_us[file]) * 1e-6


def _with_earlier(index: FrameIndex, scan: int) -> list[int]:
    """Return the rows of a scan and of up to ten scans before it, the latest first."""
    rows = [scan]
    while len(rows) <= _EARLIER_SWEEPS and index.previous[rows[-1]] >= 0:
        rows.append(int(index.previous[rows[-1]]))
    return rows


def _installed_versions(root: Path) -> tuple[Path, tuple[str, ...]]:
    """Return the root and its versions, also if the folder of the tables is given as the root."""
    if root.name in VERSIONS and _has_tables(root):
        return root.parent, (root.name,)
    versions = tuple(version for version in VERSIONS if _has_tables(root / version))
    if versions:
        return root, versions
    if not root.is_dir():
        raise InputError(
            "E_NOT_FOUND", root, "is not a folder", "Name the root folder of nuScenes."
        )
    subfolders = sorted(root.iterdir())
    nearby = [path for path in subfolders if any(_has_tables(path / v) for v in VERSIONS)]
    raise InputError(
        "E_NOT_FOUND",
        root,
        f"is not nuScenes: it has no {' or '.join(VERSIONS)} with scene.json",
        f"Did you mean {nearby[0]}?"
        if nearby
        else "Its root has samples/, sweeps/ and a folder of tables such as v1.0-trainval/.",
    )


def _has_tables(folder: Path) -> bool:
    return (folder / "scene.json").is_file()


def _official_splits(names: dict[str, list[str]]) -> dict[str, tuple[str, list[str]]]:
    """Return version and scene names of every split whose scenes are all installed.

    If two versions have a split (trainval contains the scenes of mini), the smaller one is used.

    Args:
        names: scene names of every installed version.
    """
    official = {
        split: [f"scene-{number:04d}" for number in numbers]
        for split, numbers in split_numbers("nuscenes").items()
    }
    installed = {}
    for split, scenes in official.items():
        complete = [version for version, has in names.items() if set(scenes) <= set(has)]
        if complete:
            installed[split] = (min(complete, key=lambda version: len(names[version])), scenes)
    first = next(iter(names))
    installed[_ALL] = (first, names[first])
    return installed


def _own_splits(path: Path, version: str, names: list[str]) -> dict[str, tuple[str, list[str]]]:
    """Return version and scene names of the splits in the user's own ``splits.json``, if any."""
    if not path.is_file():
        return {}
    splits = read_json(path, dict[str, list[str]], remedy="Write lists of scene names by split.")
    for split, scenes in splits.items():
        unknown = [name for name in scenes if name not in names]
        if unknown:
            fault = f"split {split!r} names {unknown[0]!r}, which {version} does not have"
            raise Location(path).error(fault, "Correct the name, or remove it.")
    return {split: (version, scenes) for split, scenes in splits.items()}


def _categories(path: Path) -> tuple[FileLabel, ...]:
    """Return the labels as numbered by ``category.json``, or if it has no numbers, by default."""
    known = {label.name: label for label in file_labels("nuscenes")}
    rows = list(table_rows(path)) if path.is_file() else []
    if not any("index" in row for row in rows):
        return tuple(known.values())
    labels = []
    for row in rows:
        name, number = row.get("name"), row.get("index")
        if name not in known or not isinstance(number, int) or not 0 <= number < 256:
            fault = f"row {row.get('token')!r}: {name!r} is not a lidarseg category"
            raise table_error(path, fault)
        labels.append(FileLabel(number, name, known[name].class_name))
    return tuple(labels)
