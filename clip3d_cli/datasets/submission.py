"""Answers in the form in which a benchmark's server takes them."""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.checks import check_array
from clip3d_cli.core.labels import UNLABELED
from clip3d_cli.core.scenes import PosedScene
from clip3d_cli.datasets.dataset import Dataset
from clip3d_cli.errors import OutputError, UsageError
from clip3d_cli.formats.atomic import part_beside, write_refusal

ClassIndex = npt.NDArray[np.int32]
ClassIds = npt.NDArray[np.int64]


class Submission(Protocol):
    """Answers for all scenes of a split, written as a benchmark takes them.

    A class of these is a row of the registry's kind ``submissions``, under its data set's name.
    Its constructor takes ``(dataset, folder, split)``: the folder is made, and may exist if it is
    empty. Left as a context manager before `finish`, it takes away all that it wrote.
    """

    def add(self, scene: PosedScene, class_index: ClassIndex) -> None:
        """Write the answers for one scene of the split, with or without truth, each scene once.

        Args:
            scene: of the split.
            class_index: (N,) int32 of the data set's vocabulary, for every point of the key
                frame in the order of its file. −1 (no answer) becomes what the benchmark wants.

        Raises:
            OutputError: E_NO_SPACE or E_NOT_WRITABLE.
            ValueError: not one answer per point, a class that the vocabulary has not, or a scene
                that was added before.
        """

    def finish(self) -> Path:
        """The file or folder to send, which appears now and whole.

        Raises:
            OutputError: E_COUNT_MISMATCH: not every scene of the split was added; E_NO_SPACE,
                E_NOT_WRITABLE.
        """

    def __enter__(self) -> Submission: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class FolderSubmission(ABC):
    """What all submissions share: checks, and a folder that appears when it is whole.

    Args:
        dataset: whose scenes are answered.
        folder: where the submission shall be; its parents are made.
        split: of the data set.

    Raises:
        UsageError: E_EXISTS: there is something already; E_UNKNOWN_NAME: there is no such split.
        OutputError: E_NO_SPACE or E_NOT_WRITABLE.
    """

    no_answer: ClassVar[int] = 0

    def __init__(self, dataset: Dataset, folder: Path, split: str) -> None:
        if dataset.vocabulary is None:
            raise ValueError(f"{dataset.name} has no classes to answer with")
        self.dataset = dataset
        self.split = split
        self._ids = dataset.vocabulary.class_ids
        self._wanted = len(dataset.scenes(split))
        self._added: set[str] = set()
        self._target = folder.resolve()
        with self._writing():
            if self._target.exists() and not _is_empty_folder(self._target):
                raise UsageError(
                    "E_EXISTS", folder, "exists already", "Name a new folder for the submission."
                )
            self._target.parent.mkdir(parents=True, exist_ok=True)
            self._part = part_beside(self._target)
            self._part.mkdir()

    def add(self, scene: PosedScene, class_index: ClassIndex) -> None:
        """Write the answers for one scene: see `Submission`."""
        points = len(self.dataset.cloud(scene.sweeps[0]))
        check_array("class_index", class_index, np.int32, (points,))
        if points and not UNLABELED <= class_index.min() <= class_index.max() < len(self._ids):
            raise ValueError(f"class_index is not within -1 and {len(self._ids) - 1}")
        if scene.name in self._added:
            raise ValueError(f"scene {scene.name!r} was added before")
        self._added.add(scene.name)
        with self._writing():
            self._write(self._part, scene, self._answers(class_index))

    def finish(self) -> Path:
        """The file or folder to send: see `Submission`."""
        if len(self._added) != self._wanted:
            raise OutputError(
                "E_COUNT_MISMATCH",
                self._target,
                f"{len(self._added):,} of the {self._wanted:,} scenes of {self.split} have answers",
                "A benchmark wants all of them: leave out --limit.",
            )
        with self._writing():
            sent = self._complete(self._part)
            self._part.replace(self._target)
        return self._target / sent.relative_to(self._part)

    def __enter__(self) -> FolderSubmission:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # After finish() there is nothing of that name any more.
        shutil.rmtree(self._part, ignore_errors=True)

    @abstractmethod
    def _write(self, folder: Path, scene: PosedScene, class_ids: ClassIds) -> None:
        """Put (N,) class ids of a scene below the folder."""

    def _complete(self, folder: Path) -> Path:
        """Add what belongs to the whole; the file or folder that is to be sent."""
        return folder

    def _answers(self, class_index: ClassIndex) -> ClassIds:
        """(N,) the benchmark's numbers for the answers."""
        ids: ClassIds = np.append(self._ids, self.no_answer)[class_index]
        return ids

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise write_refusal(self._target, error) from error


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, and see it onto the disk; its folder is made.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())
