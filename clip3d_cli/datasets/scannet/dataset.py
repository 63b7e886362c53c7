"""ScanNet v2 in its official layout: a scene is one reconstructed room with its RGB-D frames."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.scenes import PosedScene, Sweep
from clip3d_cli.core.vocabulary import load_vocabulary
from clip3d_cli.datasets.labels import class_index_of_ids
from clip3d_cli.datasets.point_files import require_one_per_point
from clip3d_cli.datasets.scannet.frames import read_frames
from clip3d_cli.datasets.scannet.submission import ScanNetSubmission
from clip3d_cli.datasets.splits import LazyScenes, split_numbers
from clip3d_cli.errors import InputError
from clip3d_cli.formats.cloud_file import read_cloud
from clip3d_cli.formats.ply.body import open_body
from clip3d_cli.formats.ply.header import read_ply_header
from clip3d_cli.metrics.rules import BenchmarkRules
from clip3d_cli.registry import unknown_name_error

# The script does not average over classes, and gives an unused class NaN; unknown ids are wrong.
SCANNET_RULES = BenchmarkRules(
    "ScanNet, evaluate_semantic_label.py (3830fce)", unused_class_iou=None
)

_NAME = "scannet"
_ALL = "all"
_SCAN_FOLDERS = ("scans", "scans_test")
_SCANS_PER_SPACE = 100


class ScanNet:
    """ScanNet v2 (Dai et al., CVPR 2017): the world is that of the camera poses, z up.

    ``axisAlignment`` is not applied: it turns rooms about z and moves them, which changes neither
    labels nor what a camera sees. A scene without exported frames has no views, but may have
    ground truth.

    Args:
        root: folder of ``scans`` (and ``scans_test``, ``scannet_frames_25k``).

    Raises:
        InputError: E_NOT_FOUND: the folder contains no scan.
    """

    name = _NAME
    thing_classes: frozenset[int] = frozenset()
    ego_half_size_m = 0.0
    rules = SCANNET_RULES
    submission = ScanNetSubmission
    _vocabulary_name = "scannet20"

    def __init__(self, root: Path) -> None:
        self.root = root.parent if root.name in _SCAN_FOLDERS else root
        self.vocabulary = load_vocabulary(self._vocabulary_name)
        self._folders = {
            folder.name: folder
            for scans in _SCAN_FOLDERS
            for folder in sorted((self.root / scans).glob("scene*"))
            if folder.is_dir()
        }
        if not self._folders:
            raise InputError(
                "E_NOT_FOUND",
                self.root,
                "is not ScanNet: it contains no scans/scene*",
                "Set --root to the folder in which the download script made scans/.",
            )

    def splits(self) -> tuple[str, ...]:
        """Return ``all`` and the official splits whose scans are all installed."""
        installed = {name for name in self._folders if self._mesh(name).is_file()}
        splits = split_numbers(_NAME)
        return (*(s for s in splits if installed.issuperset(_official_names(s))), _ALL)

    def scenes(self, split: str) -> Sequence[PosedScene]:
        """Return the scans of a split, by name.

        Args:
            split: one of `splits`.

        Raises:
            UsageError: there is no such split.
            InputError: E_NOT_FOUND: a scan of an official split is not installed.
        """
        if split == _ALL:
            names = [name for name in self._folders if self._mesh(name).is_file()]
        elif split in split_numbers(_NAME):
            names = _official_names(split)
        else:
            raise unknown_name_error(f"split of {self.name}", split, self.splits())
        for name in names:
            if name not in self._folders or not self._mesh(name).is_file():
                raise InputError(
                    "E_NOT_FOUND",
                    self._folders.get(name, self.root / _SCAN_FOLDERS[0] / name),
                    f"{name}_vh_clean_2.ply of the split {split} does not exist",
                    "Download it, or use the installed scans with --split all.",
                )
        return LazyScenes(len(names), partial(self._scene, names))

    def cloud(self, sweep: Sweep) -> PointCloud:
        """Read the N vertices of a mesh in its order, with colors.

        Args:
            sweep: a sweep of one of the scenes.

        Raises:
            InputError: the file is missing, truncated, or not a PLY file.
        """
        return read_cloud(sweep.path)

    def ground_truth(self, scene: PosedScene) -> npt.NDArray[np.int32] | None:
        """Read the benchmark's 20 classes of the vertices of a mesh.

        Args:
            scene: one of the scenes.

        Returns:
            (N,) int32 class indices, −1 = ignored; or None.

        Raises:
            InputError: E_COUNT_MISMATCH: the number of labels is not the number of vertices;
                E_DATASET: the file has no labels.
        """
        path = scene.ground_truth
        if path is None:
            return None
        header = read_ply_header(path)
        if "label" not in [column.name for column in header.vertex.properties]:
            raise InputError("E_DATASET", path, "has no property label", "Download it again.")
        points = read_ply_header(scene.sweeps[0].path).vertex.count
        require_one_per_point(path, (header.vertex.count,), points)
        class_ids = open_body(path, header, allow_truncated=False).columns(["label"])["label"]
        # The benchmark ignores the other labels of NYU40.
        return class_index_of_ids(path, class_ids, self.vocabulary, ignored=None)

    def instances(self, scene: PosedScene) -> None:
        """Return None: objects are not part of the semantic benchmark."""

    def _mesh(self, name: str) -> Path:
        return self._folders[name] / f"{name}_vh_clean_2.ply"

    def _ground_truth_file(self, name: str) -> Path:
        return self._folders[name] / f"{name}_vh_clean_2.labels.ply"

    def _scene(self, names: Sequence[str], number: int) -> PosedScene:
        name = names[number]
        folder = self._folders[name]
        ground_truth = self._ground_truth_file(name)
        frame_folders = (folder, self.root / "scannet_frames_25k" / name)
        frames = next((path for path in frame_folders if (path / "color").is_dir()), None)
        return PosedScene(
            name,
            # The mesh is in the world's frame already.
            (Sweep(self._mesh(name), np.eye(4)),),
            () if frames is None else read_frames(frames, folder / f"{name}.txt"),
            ground_truth if ground_truth.is_file() else None,
        )


def _official_names(split: str) -> list[str]:
    """Return the names of the scans of an official split."""
    numbers = split_numbers(_NAME)[split]
    spaces = (divmod(number, _SCANS_PER_SPACE) for number in numbers)
    return [f"scene{space:04d}_{scan:02d}" for space, scan in spaces]
