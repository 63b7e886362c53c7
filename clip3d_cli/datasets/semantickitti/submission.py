"""Submissions to SemanticKITTI's semantic segmentation."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from clip3d_cli.core.scenes import PosedScene
from clip3d_cli.datasets.dataset import Dataset
from clip3d_cli.datasets.submission import ClassIds, FolderSubmission


class SemanticKittiSubmission(FolderSubmission):
    """``<split>.zip``, which ``validate_submission.py`` of semantic-kitti-api (a9c749e) accepts.

    It contains ``sequences/<sequence>/predictions/<frame>.label`` with one uint32 per point, the
    class by the numbers of the data set's own label files, and an entry for every folder. The
    server needs the sequences 11 to 21, which are the split ``test``.

    A point without a prediction is 0, unlabeled, which counts as wrong there.
    """

    def __init__(self, dataset: Dataset, folder: Path, split: str) -> None:
        super().__init__(dataset, folder, split)
        self._entries: set[str] = set()
        with self._named_write_errors():
            self._path = self._part / f"{split}.zip"
            # Written into the archive directly: unpacked, the test split takes ten gigabytes.
            self._file = self._path.open("xb")
            self._archive = ZipFile(self._file, "w")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Closing the archive writes its list of contents, which fails again if the disk is full.
        with suppress(OSError):
            self._archive.close()
        with suppress(OSError):
            self._file.close()
        super().__exit__(kind, error, trace)

    def _write(self, folder: Path, scene: PosedScene, class_ids: ClassIds) -> None:
        sequence, _, frame = scene.name.partition("_")
        path = ""
        for name in ("sequences", sequence, "predictions"):
            path += f"{name}/"
            if path not in self._entries:
                self._entries.add(path)
                self._archive.writestr(ZipInfo(path), b"")
        entry = ZipInfo(f"{path}{frame}.label")
        self._archive.writestr(entry, class_ids.astype("<u4").tobytes(), ZIP_DEFLATED)

    def _complete(self, folder: Path) -> Path:
        self._archive.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return self._path
