"""Submissions to nuScenes' lidar segmentation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from clip3d_cli.core.scenes import PosedScene
from clip3d_cli.datasets.dataset import Dataset
from clip3d_cli.datasets.nuscenes.cache import frame_index
from clip3d_cli.datasets.nuscenes.dataset import VERSIONS
from clip3d_cli.datasets.submission import (
    ClassIds,
    ClassIndex,
    FolderSubmission,
    write_whole,
)

# What labelling looks at. The words' space was learned from images of the web.
_META = {
    "use_camera": False,
    "use_lidar": True,
    "use_radar": False,
    "use_map": False,
    "use_external": True,
}


class NuScenesSubmission(FolderSubmission):
    """The folder that ``validate_submission.py`` of nuscenes-devkit checks and zips.

    ``lidarseg/<split>/<lidar token>_lidarseg.bin`` holds a uint8 per point, 1…16, and
    ``<split>/submission.json`` what the answers were made of (results format: README of
    ``nuscenes/eval/lidarseg``, nuscenes-devkit 1.2.0).

    The benchmark takes no 0, which its truth calls noise: a point without an answer gets the
    commonest answer of its scan, in a scan without any the first class.
    """

    def __init__(self, dataset: Dataset, folder: Path, split: str) -> None:
        self._token_of_sample = _lidar_tokens(dataset.root)
        super().__init__(dataset, folder, split)

    def _answers(self, class_index: ClassIndex) -> ClassIds:
        commonest = np.bincount(class_index[class_index >= 0], minlength=1).argmax()
        return super()._answers(np.where(class_index < 0, np.int32(commonest), class_index))

    def _write(self, folder: Path, scene: PosedScene, class_ids: ClassIds) -> None:
        token = self._token_of_sample[scene.name.rpartition("_")[2]]
        path = folder / "lidarseg" / self.split / f"{token}_lidarseg.bin"
        write_whole(path, class_ids.astype("u1").tobytes())

    def _complete(self, folder: Path) -> Path:
        text = json.dumps({"meta": _META}, indent=2) + "\n"
        write_whole(folder / self.split / "submission.json", text.encode())
        return folder


def _lidar_tokens(root: Path) -> dict[str, str]:
    """The token of the lidar's file by the token of its sample, of all versions that are here."""
    tokens: dict[str, str] = {}
    for version in VERSIONS:
        if (root / version / "scene.json").is_file():
            index = frame_index(root / version)
            pairs = zip(index.sample_token.tolist(), index.lidar_token.tolist(), strict=True)
            tokens.update((sample.decode(), lidar.decode()) for sample, lidar in pairs)
    return tokens
