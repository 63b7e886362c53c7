"""Submissions to ScanNet's 3D semantic label benchmarks, of 20 and of 200 classes."""

from __future__ import annotations

from pathlib import Path

from clip3d_cli.core.scenes import PosedScene
from clip3d_cli.datasets.submission import ClassIds, FolderSubmission, write_whole


class ScanNetSubmission(FolderSubmission):
    """A text file per scan, ``scene0707_00.txt``, with a label id per line and vertex.

    The ids are NYU40's, or for ScanNet200 those of its 200 classes, in the order of the vertices
    of ``*_vh_clean_2.ply``: what ``evaluate_semantic_label.py`` of github.com/ScanNet/ScanNet
    (3830fce) reads from ``--pred_path``. The server takes the files as an archive, without a
    folder around them.

    A point without an answer is 0, which is no valid id and so counts as a miss there.
    """

    def _write(self, folder: Path, scene: PosedScene, class_ids: ClassIds) -> None:
        lines = "".join(f"{number}\n" for number in class_ids.tolist())
        write_whole(folder / f"{scene.name}.txt", lines.encode())
