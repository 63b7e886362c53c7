"""Your own scans and photos; docs/guides/own-data.md describes the folder layout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.scenes import PosedScene, Sweep
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.datasets.folder.colmap_files import read_colmap_points
from clip3d_cli.datasets.folder.scene import (
    LABELS,
    clouds_in,
    describe_scene,
    is_described,
    named_cloud,
    only_cloud,
    read_placement,
)
from clip3d_cli.datasets.labels import class_index_of_ids
from clip3d_cli.datasets.point_files import read_label_array
from clip3d_cli.errors import InputError
from clip3d_cli.formats.cloud_file import read_cloud, suffixes
from clip3d_cli.metrics.rules import NO_BENCHMARK
from clip3d_cli.registry import unknown_name_error

_ALL = "all"


class Folder:
    """Scenes of a folder: every subfolder with a cloud or a description, or the folder itself.

    Args:
        root: the folder.

    Raises:
        InputError: E_NOT_FOUND: there is no such folder; E_DATASET: it contains no scene.
    """

    name = "folder"
    thing_classes: frozenset[int] = frozenset()
    ego_half_size_m = 0.0
    rules = NO_BENCHMARK
    submission = None

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise InputError("E_NOT_FOUND", root, "is not a folder", "Check --root.")
        self.root = root
        self._folders = _scene_folders(root)
        vocabulary = root / "vocabulary.toml"
        self.vocabulary = _read_vocabulary(vocabulary) if vocabulary.is_file() else None

    def splits(self) -> tuple[str, ...]:
        """Return ``all``, and the names of the lists in ``splits/``."""
        lists = sorted(path.stem for path in (self.root / "splits").glob("*.txt"))
        return (_ALL, *(name for name in lists if name != _ALL))

    def scenes(self, split: str) -> Sequence[PosedScene]:
        """Return the scenes of a split: by name for ``all``, else in the order of its list.

        Args:
            split: one of `splits`.

        Raises:
            UsageError: there is no such split.
            InputError: a description is broken, or a file that it names is missing.
        """
        return [self._scene(name) for name in self._scene_names(split)]

    def cloud(self, sweep: Sweep) -> PointCloud:
        """Read all N points of a scan in the order of its file, metres.

        Args:
            sweep: a sweep of one of the scenes.

        Raises:
            InputError: the file is missing, broken, or not a point cloud.
        """
        if sweep.path.stem == "points3D":
            cloud = read_colmap_points(sweep.path)
        else:
            cloud = read_cloud(sweep.path)
        scale = self._metres_per_unit(sweep.path)
        return cloud if scale == 1 else PointCloud(cloud.xyz * scale, cloud.rgb, cloud.intensity)

    def ground_truth(self, scene: PosedScene) -> npt.NDArray[np.int32] | None:
        """Read ``labels.npy`` of a scene.

        Args:
            scene: one of the scenes.

        Returns:
            (N,) int32 class indices, −1 = ignored; or None.

        Raises:
            InputError: E_COUNT_MISMATCH: the number of labels is not the number of points;
                E_DATASET: ``vocabulary.toml`` is missing or does not define a label.
        """
        if scene.ground_truth is None:
            return None
        if self.vocabulary is None:
            raise InputError(
                "E_DATASET",
                self.root,
                f"has labels ({scene.ground_truth.name}) but no vocabulary.toml that defines them",
                "Write one: see docs/guides/own-data.md and clip3d vocabularies --help.",
            )
        class_ids = read_label_array(scene.ground_truth, len(self.cloud(scene.sweeps[0])))
        return class_index_of_ids(scene.ground_truth, class_ids, self.vocabulary, ignored=(0,))

    def instances(self, scene: PosedScene) -> None:
        """Return None: the layout has no file for single objects."""

    def _scene_names(self, split: str) -> list[str]:
        if split not in self.splits():
            raise unknown_name_error("--split", split, self.splits())
        list_file = self.root / "splits" / f"{split}.txt"
        if not list_file.is_file():
            return list(self._folders)
        lines = list_file.read_text(encoding="utf-8", errors="replace").splitlines()
        names = [line.strip() for line in lines]
        names = [name for name in names if name and not name.startswith("#")]
        for name in names:
            if name not in self._folders:
                remedy = unknown_name_error("", name, self._folders).remedy
                fault = f"lists {name!r}, but there is no such scene"
                raise InputError("E_DATASET", list_file, fault, remedy)
        if len(set(names)) < len(names):
            raise InputError("E_DATASET", list_file, "lists a scene twice", "List it once.")
        return names

    def _scene(self, name: str) -> PosedScene:
        folder = self._folders[name]
        described = describe_scene(folder)
        cloud = named_cloud(folder) or described.cloud or only_cloud(folder)
        if cloud is None:
            raise InputError("E_DATASET", folder, "contains no cloud", "Add cloud.ply.")
        labels = folder / LABELS
        return PosedScene(
            name,
            (Sweep(cloud, described.world_from_cloud, described.time_s), *described.sweeps),
            described.views,
            labels if labels.is_file() else None,
        )

    def _metres_per_unit(self, cloud: Path) -> float:
        """Return the unit of the coordinates in a file of points, metres."""
        folder = next((f for f in self._folders.values() if f in cloud.parents), self.root)
        return read_placement(folder).metres_per_unit


def _read_vocabulary(path: Path) -> Vocabulary:
    """Read a vocabulary whose classes have different ids, because labels are class ids."""
    vocabulary = Vocabulary.read(path)
    name_of_id: dict[int, str] = {}
    for entry in vocabulary.classes:
        first = name_of_id.setdefault(entry.class_id, entry.name)
        if first != entry.name:
            raise InputError(
                "E_VOCABULARY",
                path,
                f"{first!r} and {entry.name!r} both have the id {entry.class_id}",
                "Give each class its own id; the default is its position, from 1.",
            )
    return vocabulary


def _scene_folders(root: Path) -> dict[str, Path]:
    """Return the folders of all scenes by name, sorted.

    Raises:
        InputError: E_DATASET: there is no scene.
    """
    root_only = {root.resolve().name or "scene": root}
    if is_described(root) or named_cloud(root) is not None:
        return root_only
    folders = {
        folder.name: folder
        for folder in sorted(root.iterdir())
        if folder.is_dir() and not folder.name.startswith(".") and _is_scene(folder)
    }
    if folders or _is_scene(root):
        return folders or root_only
    raise InputError(
        "E_DATASET",
        root,
        "contains no scene: neither the folder nor a subfolder has a cloud",
        f"A scene is a folder with cloud.* ({', '.join(suffixes())}); see docs/guides/own-data.md.",
    )


def _is_scene(folder: Path) -> bool:
    return is_described(folder) or bool(clouds_in(folder))
