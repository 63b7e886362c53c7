"""Submissions to nuScenes' lidar segmentation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from clip3d_cli.core.scenes import PosedScene
from clip3d_cli.datasets.dataset import Dataset
from clip3d_cli.datasets.nuscenes.cache import frame_index
from clip3d_cli.datasets.nuscenes.tables import VERSIONS
from clip3d_cli.datasets.submission import (
    ClassIds,
    ClassIndex,
    FolderSubmission,
    write_synced,
)

# Inputs of labelling. The text space was learned from images of the web: external data.
_META = {
    "use_camera": False,
    "use_lidar": True,
    "use_radar": False,
    "use_map": False,
    "use_external": True,
}


class NuScenesSubmission(FolderSubmission):
    """Folder that ``validate_submission.py`` of nuscenes-devkit checks and zips.

    ``lidarseg/<split>/<lidar token>_lidarseg.bin`` contains a uint8 per point, 1…16, and
    ``<split>/submission.json`` the inputs of the predictions (results format: README of
    ``nuscenes/eval/lidarseg``, nuscenes-devkit 1.2.0).

    The benchmark does not accept 0, which is noise in its ground truth: a point without a
    prediction gets the most frequent prediction of its scan, or the first class in a scan without
    any prediction.
    """

    def __init__(self, dataset: Dataset, folder: Path, split: str) -> None:
        self._lidar_token_of_sample = _lidar_tokens(dataset.root)
        super().__init__(dataset, folder, split)

    def _class_ids(self, class_index: ClassIndex) -> ClassIds:
        most_frequent = np.bincount(class_index[class_index >= 0], minlength=1).argmax()
        return super()._class_ids(np.where(class_index < 0, np.int32(most_frequent), class_index))

    def _write(self, folder: Path, scene: PosedScene, class_ids: ClassIds) -> None:
        sample_token = scene.name.rpartition("_")[2]
        token = self._lidar_token_of_sample[sample_token]
        path = folder / "lidarseg" / self.split / f"{token}_lidarseg.bin"
        write_synced(path, class_ids.astype("u1").tobytes())

    def _complete(self, folder: Path) -> Path:
        text = json.dumps({"meta": _META}, indent=2) + "\n"
        write_synced(folder / self.split / "submission.json", text.encode())
        return folder


def _lidar_tokens(root: Path) -> dict[str, str]:
    """Return the token of the lidar's file by that of its sample, for all installed versions."""
    tokens: dict[str, str] = {}
    for version in VERSIONS:
        if (root / version / "scene.json").is_file():
            index = frame_index(root / version)
            pairs = zip(index.sample_token.tolist(), index.lidar_token.tolist(), strict=True)
            tokens.update((sample.decode(), lidar.decode()) for sample, lidar in pairs)
    return tokens
