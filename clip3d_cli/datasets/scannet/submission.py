"""Submissions to ScanNet's 3D semantic label benchmarks, of 20 and of 200 classes."""

from __future__ import annotations

from pathlib import Path

from clip3d_cli.core.scenes import PosedScene
from clip3d_cli.datasets.submission import ClassIds, FolderSubmission, write_synced


class ScanNetSubmission(FolderSubmission):
    """Folder with a text file per scan, ``scene0707_00.txt``, and in it one label id per vertex.

    Ids are those of NYU40, or of ScanNet200's 200 classes, one per line in the order of the
    vertices of ``*_vh_clean_2.ply``, as ``evaluate_semantic_label.py`` of
    github.com/ScanNet/ScanNet (3830fce) reads them from ``--pred_path``. The server takes the
    files in an archive, without a folder.

    A point without a prediction is 0, which is not a valid id and counts as wrong there.
    """

    def _write(self, folder: Path, scene: PosedScene, class_ids: ClassIds) -> None:
        lines = "".join(f"{number}\n" for number in class_ids.tolist())
        write_synced(folder / f"{scene.name}.txt", lines.encode())
