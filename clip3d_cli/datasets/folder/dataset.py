"""One's own scans and images, in a documented layout (docs/folder.md)."""

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
    described_scene,
    is_described,
    named_cloud,
    only_cloud,
    placement_of,
)
from clip3d_cli.datasets.point_labels import class_index_of_ids, read_label_array
from clip3d_cli.errors import InputError
from clip3d_cli.formats.cloud_file import ReadOptions, read_cloud, suffixes
from clip3d_cli.metrics.rules import NO_BENCHMARK
from clip3d_cli.registry import unknown_name

_ALL = "all"


class Folder:
    """Scenes of one folder: every sub-folder with a cloud, or the folder itself.

    Args:
        root: the folder.

    Raises:
        InputError: E_NOT_FOUND: no such folder; E_DATASET: no cloud in it.
    """

    name = "folder"
    ego_m = 0.0
    things: frozenset[int] = frozenset()
    rules = NO_BENCHMARK

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise InputError("E_NOT_FOUND", root, "is no folder", "Check --root.")
        self.root = root
        self._folders = _scene_folders(root)
        vocabulary = root / "vocabulary.toml"
        self.vocabulary = _read_vocabulary(vocabulary) if vocabulary.is_file() else None

    def splits(self) -> tuple[str, ...]:
        """``all``, and the lists in ``splits/``."""
        lists = sorted(path.stem for path in (self.root / "splits").glob("*.txt"))
        return (_ALL, *(name for name in lists if name != _ALL))

    def scenes(self, split: str) -> Sequence[PosedScene]:
        """The scenes of a split: by name for ``all``, else in the order of its list.

        Raises:
            UsageError: there is no such split.
            InputError: a description is broken, or a file that it names is missing.
        """
        return [self._scene(name) for name in self._names(split)]

    def cloud(self, sweep: Sweep) -> PointCloud:
        """All points of a scan in the order of its file, metres.

        Raises:
            InputError: it is missing, broken, or no point cloud.
        """
        if sweep.path.stem == "points3D":
            cloud = read_colmap_points(sweep.path)
        else:
            cloud, _ = read_cloud(sweep.path, ReadOptions())
        scale = self._units_m(sweep.path)
        return cloud if scale == 1 else PointCloud(cloud.xyz * scale, cloud.rgb, cloud.intensity)

    def truth(self, scene: PosedScene) -> npt.NDArray[np.int32] | None:
        """(N,) int32: a class index for every point of the cloud, −1 = not judged, or None.

        Raises:
            InputError: E_COUNT_MISMATCH: not as many labels as points; E_DATASET: a label that
                ``vocabulary.toml`` does not name, or no vocabulary.
        """
        if scene.truth is None:
            return None
        if self.vocabulary is None:
            raise InputError(
                "E_DATASET",
                self.root,
                f"has labels ({scene.truth.name}) but no vocabulary.toml that names them",
                "Write one: see clip3d vocabularies --help, and docs/folder.md.",
            )
        numbers = read_label_array(scene.truth, len(self.cloud(scene.sweeps[0])))
        return class_index_of_ids(scene.truth, numbers, self.vocabulary, ignored=(0,))

    def instances(self, scene: PosedScene) -> None:
        """None: the layout has no place for single objects."""

    def _names(self, split: str) -> list[str]:
        if split not in self.splits():
            raise unknown_name("--split", split, self.splits())
        listed = self.root / "splits" / f"{split}.txt"
        if not listed.is_file():
            return list(self._folders)
        names = [
            line.strip()
            for line in listed.read_text(encoding="utf-8", errors="replace").splitlines()
        ]
        names = [name for name in names if name and not name.startswith("#")]
        for name in names:
            if name not in self._folders:
                there = unknown_name("", name, self._folders).remedy
                raise InputError("E_DATASET", listed, f"lists {name!r}, which is no scene", there)
        if len(set(names)) < len(names):
            raise InputError("E_DATASET", listed, "lists a scene twice", "List it once.")
        return names

    def _scene(self, name: str) -> PosedScene:
        folder = self._folders[name]
        described = described_scene(folder)
        cloud = named_cloud(folder) or described.cloud or only_cloud(folder)
        if cloud is None:
            raise InputError("E_DATASET", folder, "holds no cloud", "Add cloud.ply.")
        labels = folder / LABELS
        return PosedScene(
            name,
            (Sweep(cloud, described.world_from_cloud, described.time_s), *described.sweeps),
            described.views,
            labels if labels.is_file() else None,
        )

    def _units_m(self, path: Path) -> float:
        """The metres of a unit in which a cloud is stored."""
        folder = next((f for f in self._folders.values() if f in path.parents), self.root)
        return placement_of(folder).metres_per_unit


def _read_vocabulary(path: Path) -> Vocabulary:
    """The classes of a folder, each with an id of its own, as labels name classes by their ids."""
    vocabulary = Vocabulary.read(path)
    owner: dict[int, str] = {}
    for entry in vocabulary.classes:
        first = owner.setdefault(entry.class_id, entry.name)
        if first != entry.name:
            raise InputError(
                "E_VOCABULARY",
                path,
                f"{first!r} and {entry.name!r} both have the id {entry.class_id}",
                "Give each class an id of its own; one without takes its position, from 1.",
            )
    return vocabulary


def _scene_folders(root: Path) -> dict[str, Path]:
    """Folders by the names of their scenes, sorted.

    Raises:
        InputError: E_DATASET: none is a scene.
    """
    alone = {root.resolve().name or "scene": root}
    if is_described(root) or named_cloud(root) is not None:
        return alone
    found = {
        folder.name: folder
        for folder in sorted(root.iterdir())
        if folder.is_dir() and not folder.name.startswith(".") and _is_scene(folder)
    }
    if found or _is_scene(root):
        return found or alone
    raise InputError(
        "E_DATASET",
        root,
        "holds no scene: neither it nor a folder in it has a cloud",
        f"A scene is a folder with cloud.* ({', '.join(suffixes())}); see docs/folder.md.",
    )


def _is_scene(folder: Path) -> bool:
    return is_described(folder) or bool(clouds_in(folder))
