"""Contract of every submission, tested on the tree of its data set."""

from __future__ import annotations

import errno
import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clip3d_cli import registry
from clip3d_cli.core.scenes import PosedScene
from clip3d_cli.datasets.dataset import Dataset, Submission
from clip3d_cli.errors import Clip3DError, OutputError, UsageError

SPLIT = "all"
WITH_BENCHMARK = [
    name
    for name in registry.names("datasets")
    if registry.load("datasets", name).submission is not None
]


@pytest.fixture(scope="module", params=WITH_BENCHMARK)
def dataset(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Dataset]:
    root = tmp_path_factory.mktemp(request.param)
    importlib.import_module(f"datasets_trees_{request.param}").write_tree(root)
    yield registry.load("datasets", request.param)(root)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sent"


def opened(dataset: Dataset, folder: Path, split: str = SPLIT) -> Submission:
    assert dataset.submission is not None
    return dataset.submission(dataset, folder, split)


def points_of(dataset: Dataset, scene: PosedScene) -> int:
    return len(dataset.cloud(scene.sweeps[0]))


def some_answer(dataset: Dataset, scene: PosedScene) -> Any:
    assert dataset.vocabulary is not None
    classes = np.arange(-1, len(dataset.vocabulary), dtype=np.int32)
    return np.resize(classes, points_of(dataset, scene))


def files_below(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def sent_whole(dataset: Dataset, folder: Path) -> Path:
    with opened(dataset, folder) as submission:
        for scene in dataset.scenes(SPLIT):
            submission.add(scene, some_answer(dataset, scene))
        return submission.finish()


def test_it_appears_whole_and_only_when_finished(dataset: Dataset, folder: Path) -> None:
    with opened(dataset, folder) as submission:
        for scene in dataset.scenes(SPLIT):
            submission.add(scene, some_answer(dataset, scene))
            assert not folder.exists()
        sent = submission.finish()
    assert sent.exists() and (sent == folder or folder in sent.parents)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_the_same_answers_are_the_same_bytes(dataset: Dataset, tmp_path: Path) -> None:
    sent_whole(dataset, tmp_path / "one")
    sent_whole(dataset, tmp_path / "two")
    assert files_below(tmp_path / "one") == files_below(tmp_path / "two") != {}


def test_answers_not_one_per_point_are_refused(dataset: Dataset, folder: Path) -> None:
    scene = dataset.scenes(SPLIT)[0]
    points = points_of(dataset, scene)
    with opened(dataset, folder) as submission:
        for wrong in (np.zeros(points - 1), np.zeros(points + 1), np.zeros((points, 1))):
            with pytest.raises(ValueError, match="class_index must have shape"):
                submission.add(scene, wrong.astype(np.int32))
        with pytest.raises(TypeError, match="int32"):
            submission.add(scene, np.zeros(points, dtype=np.int64))  # type: ignore[arg-type]


@pytest.mark.parametrize("beyond", [-2, "K"])
def test_classes_beyond_the_vocabulary_are_refused(
    dataset: Dataset, folder: Path, beyond: int | str
) -> None:
    assert dataset.vocabulary is not None
    scene = dataset.scenes(SPLIT)[0]
    answer = some_answer(dataset, scene)
    answer[-1] = len(dataset.vocabulary) if beyond == "K" else beyond
    with opened(dataset, folder) as submission, pytest.raises(ValueError, match="not within"):
        submission.add(scene, answer)


def test_a_scene_is_taken_once(dataset: Dataset, folder: Path) -> None:
    scene = dataset.scenes(SPLIT)[0]
    with opened(dataset, folder) as submission:
        submission.add(scene, some_answer(dataset, scene))
        with pytest.raises(ValueError, match="was added before"):
            submission.add(scene, some_answer(dataset, scene))


def test_scenes_left_out_are_refused_and_leave_nothing(dataset: Dataset, folder: Path) -> None:
    scene = dataset.scenes(SPLIT)[0]
    with (
        pytest.raises(OutputError, match="1 of the") as refusal,
        opened(dataset, folder) as submission,
    ):
        submission.add(scene, some_answer(dataset, scene))
        submission.finish()
    assert refusal.value.code == "E_COUNT_MISMATCH" and "--limit" in refusal.value.remedy
    assert not list(folder.parent.iterdir())


def test_an_interrupt_leaves_nothing(dataset: Dataset, folder: Path) -> None:
    scene = dataset.scenes(SPLIT)[0]
    with pytest.raises(KeyboardInterrupt), opened(dataset, folder) as submission:
        submission.add(scene, some_answer(dataset, scene))
        raise KeyboardInterrupt
    assert not list(folder.parent.iterdir())


def test_what_is_there_is_kept(dataset: Dataset, folder: Path) -> None:
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="exists already") as refusal:
        opened(dataset, folder)
    assert refusal.value.code == "E_EXISTS"
    assert [path.name for path in folder.parent.rglob("*")] == ["sent", "mine.txt"]


def test_an_empty_folder_and_missing_parents_do(dataset: Dataset, folder: Path) -> None:
    (folder / "deep").mkdir(parents=True)
    assert sent_whole(dataset, folder / "deep").exists()
    assert sent_whole(dataset, folder / "deeper" / "still").exists()


def test_what_comes_into_the_folder_meanwhile_is_kept(dataset: Dataset, folder: Path) -> None:
    with pytest.raises(OutputError), opened(dataset, folder) as submission:
        for scene in dataset.scenes(SPLIT):
            submission.add(scene, some_answer(dataset, scene))
        folder.mkdir()
        (folder / "mine.txt").write_text("mine")
        submission.finish()
    assert [path.name for path in folder.parent.rglob("*")] == ["sent", "mine.txt"]


def test_a_file_where_the_folder_should_be_is_one_refusal(dataset: Dataset, folder: Path) -> None:
    folder.write_text("mine")
    for place, code in ((folder, "E_EXISTS"), (folder / "below", "E_NOT_WRITABLE")):
        with pytest.raises(Clip3DError) as refusal:
            opened(dataset, place)
        assert refusal.value.code == code and "\n" not in str(refusal.value)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_one_refusal(dataset: Dataset, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError) as refusal:
        opened(dataset, tmp_path / "sent")
    tmp_path.chmod(0o700)
    assert refusal.value.code == "E_NOT_WRITABLE"


@pytest.mark.parametrize("moment", ["add", "finish"])
def test_a_full_disk_is_one_refusal_and_leaves_nothing(
    dataset: Dataset, folder: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    scenes = dataset.scenes(SPLIT)
    with pytest.raises(OutputError) as refusal, opened(dataset, folder) as submission:
        if moment == "add":
            monkeypatch.setattr("clip3d_cli.datasets.submission.os.fsync", full)
            monkeypatch.setattr("zipfile.ZipFile.writestr", full)
        for scene in scenes:
            submission.add(scene, some_answer(dataset, scene))
        monkeypatch.setattr(Path, "replace", full)
        submission.finish()
    assert refusal.value.code == "E_NO_SPACE"
    assert not list(folder.parent.iterdir())


def test_a_split_that_is_not_there_is_refused(dataset: Dataset, folder: Path) -> None:
    with pytest.raises(UsageError) as refusal:
        opened(dataset, folder, "vall")
    assert refusal.value.code == "E_UNKNOWN_NAME"
    assert not list(folder.parent.iterdir())
