"""ScanNet v2 in its official layout: one reconstructed room with RGB-D frames is a scene."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.scenes import PosedScene, Sweep
from clip3d_cli.core.vocabulary_files import named_vocabulary
from clip3d_cli.datasets.dataset_files import split_numbers
from clip3d_cli.datasets.lazy_scenes import LazyScenes
from clip3d_cli.datasets.point_labels import class_index_of_ids, require_count
from clip3d_cli.datasets.scannet.frames import read_frames
from clip3d_cli.errors import InputError
from clip3d_cli.formats.cloud_file import ReadOptions, read_cloud
from clip3d_cli.formats.ply.body import open_body
from clip3d_cli.formats.ply.header import read_ply_header
from clip3d_cli.metrics.rules import BenchmarkRules
from clip3d_cli.registry import unknown_name

# Its script leaves the mean to the reader and scores such a class NaN; unknown ids are misses.
SCANNET_RULES = BenchmarkRules("ScanNet, evaluate_semantic_label.py (3830fce)", unmet_iou=None)

_NAME = "scannet"
_ALL = "all"
_FOLDERS = ("scans", "scans_test")
_SCANS_PER_SPACE = 100


class ScanNet:
    """ScanNet v2 (Dai et al., CVPR 2017): the world is that of the camera poses, z up.

    ``axisAlignment`` is not applied: it turns rooms about z and moves them, which changes no
    label and no sight. A scene without exported frames has truth but no views.

    Args:
        root: the folder with ``scans`` (and ``scans_test``, ``scannet_frames_25k``).

    Raises:
        InputError: E_NOT_FOUND: there is no scan in it.
    """

    name = _NAME
    _vocabulary_name = "scannet20"
    ego_m = 0.0
    things: frozenset[int] = frozenset()
    rules = SCANNET_RULES

    def __init__(self, root: Path) -> None:
        self.root = root.parent if root.name in _FOLDERS else root
        self.vocabulary = named_vocabulary(self._vocabulary_name)
        self._folders = {
            folder.name: folder
            for place in _FOLDERS
            for folder in sorted((self.root / place).glob("scene*"))
            if folder.is_dir()
        }
        if not self._folders:
            raise InputError(
                "E_NOT_FOUND",
                self.root,
                "holds no scans/scene*, so it is not ScanNet",
                "Point --root at the folder in which the download script made scans/.",
            )

    def splits(self) -> tuple[str, ...]:
        """``all`` that is here, and the official splits that are here as a whole."""
        here = {name for name in self._folders if self._mesh(name, "").is_file()}
        whole = (split for split in split_numbers(_NAME) if here.issuperset(_official(split)))
        return (*whole, _ALL)

    def scenes(self, split: str) -> Sequence[PosedScene]:
        """The scans of a split by name; each is put together when asked for.

        Raises:
            UsageError: there is no such split.
            InputError: E_NOT_FOUND: a scan of an official split is not here.
        """
        if split == _ALL:
            names = [name for name in self._folders if self._mesh(name, "").is_file()]
        elif split in split_numbers(_NAME):
            names = _official(split)
        else:
            raise unknown_name(f"split of {self.name}", split, self.splits())
        for name in names:
            if name not in self._folders or not self._mesh(name, "").is_file():
                raise InputError(
                    "E_NOT_FOUND",
                    self._folders.get(name, self.root / _FOLDERS[0] / name),
                    f"{name}_vh_clean_2.ply of the split {split} is not there",
                    "Download it, or take what is here with --split all.",
                )
        return LazyScenes(len(names), partial(self._scene, names))

    def cloud(self, sweep: Sweep) -> PointCloud:
        """The vertices of the mesh in its order, with colors.

        Raises:
            InputError: the file is missing, cut off, or no PLY.
        """
        return read_cloud(sweep.path, ReadOptions())[0]

    def truth(self, scene: PosedScene) -> npt.NDArray[np.int32] | None:
        """(N,) int32: the 20 classes of the benchmark for every vertex, −1 = not judged.

        Raises:
            InputError: E_COUNT_MISMATCH: not as many labels as vertices; E_DATASET: no labels.
        """
        if scene.truth is None:
            return None
        header = read_ply_header(scene.truth)
        if "label" not in [column.name for column in header.vertex.properties]:
            raise InputError(
                "E_DATASET", scene.truth, "has no property label", "Download it again."
            )
        points = read_ply_header(scene.sweeps[0].path).vertex.count
        require_count(scene.truth, (header.vertex.count,), points)
        numbers = open_body(scene.truth, header, allow_truncated=False).columns(["label"])["label"]
        # NYU's other labels are rooms' remainder: they are never judged.
        return class_index_of_ids(scene.truth, numbers, self.vocabulary, ignored=None)

    def instances(self, scene: PosedScene) -> None:
        """None: the semantic benchmark does not ask for objects."""

    def _mesh(self, name: str, kind: str) -> Path:
        return self._folders[name] / f"{name}_vh_clean_2{kind}.ply"

    def _truth_file(self, name: str) -> Path:
        return self._mesh(name, ".labels")

    def _scene(self, names: Sequence[str], number: int) -> PosedScene:
        name = names[number]
        folder = self._folders[name]
        truth = self._truth_file(name)
        places = (folder, self.root / "scannet_frames_25k" / name)
        frames = next((place for place in places if (place / "color").is_dir()), None)
        return PosedScene(
            name,
            (Sweep(self._mesh(name, ""), np.eye(4)),),
            () if frames is None else read_frames(frames, folder / f"{name}.txt"),
            truth if truth.is_file() else None,
        )


def _official(split: str) -> list[str]:
    """The names of the scans of an official split."""
    numbers = split_numbers(_NAME)[split]
    spaces = (divmod(number, _SCANS_PER_SPACE) for number in numbers)
    return [f"scene{space:04d}_{scan:02d}" for space, scan in spaces]
