"""Base class of submissions that are written as a folder."""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.labels import UNLABELED_INDEX
from clip3d_cli.core.scenes import PosedScene
from clip3d_cli.core.validation import validate_array
from clip3d_cli.datasets.dataset import Dataset
from clip3d_cli.errors import OutputError, UsageError
from clip3d_cli.formats.atomic import part_path, write_error

ClassIndex = npt.NDArray[np.int32]
ClassIds = npt.NDArray[np.int64]


class FolderSubmission(ABC):
    """Submission in a folder that appears, complete, when it is finished.

    It is written to a folder beside its own, which `finish` renames. A subclass writes the files.

    Args:
        dataset: the data set of the scenes.
        folder: folder of the submission; its parents are created.
        split: name of the split.

    Attributes:
        unlabeled_id: number in the files that stands for "no prediction".
        dataset: the data set of the scenes.
        split: name of the split.

    Raises:
        UsageError: E_EXISTS: the folder exists and is not empty; E_UNKNOWN_NAME: there is no such
            split.
        OutputError: E_NO_SPACE or E_NOT_WRITABLE.
    """

    unlabeled_id: ClassVar[int] = 0

    def __init__(self, dataset: Dataset, folder: Path, split: str) -> None:
        if dataset.vocabulary is None:
            raise ValueError(f"{dataset.name} has no classes to predict")
        self.dataset = dataset
        self.split = split
        self._ids = dataset.vocabulary.class_ids
        self._scene_count = len(dataset.scenes(split))
        self._added: set[str] = set()
        self._target = folder.resolve()
        with self._named_write_errors():
            if self._target.exists() and not _is_empty_folder(self._target):
                raise UsageError(
                    "E_EXISTS", folder, "exists already", "Name a new folder for the submission."
                )
            self._target.parent.mkdir(parents=True, exist_ok=True)
            self._part = part_path(self._target)
            self._part.mkdir()

    def add(self, scene: PosedScene, class_index: ClassIndex) -> None:
        """Write the predictions for one scene: see `Submission.add`."""
        points = len(self.dataset.cloud(scene.sweeps[0]))
        validate_array("class_index", class_index, np.int32, (points,))
        last = len(self._ids) - 1
        if points and not UNLABELED_INDEX <= class_index.min() <= class_index.max() <= last:
            raise ValueError(f"class_index is not within -1 and {last}")
        if scene.name in self._added:
            raise ValueError(f"scene {scene.name!r} was added before")
        self._added.add(scene.name)
        with self._named_write_errors():
            self._write(self._part, scene, self._class_ids(class_index))

    def finish(self) -> Path:
        """Complete the submission and move it to its place: see `Submission.finish`."""
        if len(self._added) != self._scene_count:
            raise OutputError(
                "E_COUNT_MISMATCH",
                self._target,
                f"{len(self._added):,} of the {self._scene_count:,} scenes of {self.split} have "
                "predictions",
                "A benchmark needs all of them: leave out --limit.",
            )
        with self._named_write_errors():
            upload = self._complete(self._part)
            self._part.replace(self._target)
        return self._target / upload.relative_to(self._part)

    def __enter__(self) -> FolderSubmission:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # After finish() the folder has another name, and there is nothing to delete.
        shutil.rmtree(self._part, ignore_errors=True)

    @abstractmethod
    def _write(self, folder: Path, scene: PosedScene, class_ids: ClassIds) -> None:
        """Write the predictions for a scene.

        Args:
            folder: folder of all files of the submission.
            scene: the scene.
            class_ids: (N,) class ids, or `unlabeled_id` where there is no prediction.
        """

    def _complete(self, folder: Path) -> Path:
        """Write what belongs to the whole submission, and return the file or folder to upload."""
        return folder

    def _class_ids(self, class_index: ClassIndex) -> ClassIds:
        """Return the (N,) numbers to write for (N,) class indices."""
        # Index -1 (no prediction) picks the last entry.
        ids: ClassIds = np.append(self._ids, self.unlabeled_id)[class_index]
        return ids

    @contextmanager
    def _named_write_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise write_error(self._target, error) from error


def write_synced(path: Path, content: bytes) -> None:
    """Write a new file and wait until it is on the disk; its folder is created.

    Args:
        path: the file.
        content: bytes of the file.

    Raises:
        OSError: the file exists or cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())
