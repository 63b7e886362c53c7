"""Submissions against the checks that the benchmarks' own validators make.

The checks are written anew from what the validators say they check: nuscenes-devkit 1.2.0
(``eval/lidarseg/validate_submission.py``, which was also run on such a folder), semantic-kitti-api
a9c749e (``validate_submission.py``), ScanNet 3830fce (``evaluate_semantic_label.py``).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import datasets_trees_nuscenes
import datasets_trees_scannet
import datasets_trees_semantickitti
import numpy as np
import pytest

from clip3d_cli.core.scenes import PosedScene
from clip3d_cli.datasets.dataset import Dataset
from clip3d_cli.datasets.nuscenes.dataset import NuScenes
from clip3d_cli.datasets.nuscenes.submission import NuScenesSubmission
from clip3d_cli.datasets.scannet.dataset import ScanNet
from clip3d_cli.datasets.scannet.submission import ScanNetSubmission
from clip3d_cli.datasets.semantickitti.dataset import SemanticKitti
from clip3d_cli.datasets.semantickitti.submission import SemanticKittiSubmission
from clip3d_cli.datasets.submission import FolderSubmission


def answer_of(dataset: Dataset, scene: PosedScene) -> Any:
    """Every class in turn, another first one in every scene."""
    assert dataset.vocabulary is not None
    points = len(dataset.cloud(scene.sweeps[0]))
    return (np.arange(points) + sum(map(ord, scene.name))).astype(np.int32) % len(
        dataset.vocabulary
    )


def send(submission: FolderSubmission, change: Any = None) -> Path:
    """The submission with an answer for every scene, of which some may be changed."""
    with submission:
        for scene in submission.dataset.scenes(submission.split):
            answer = answer_of(submission.dataset, scene)
            submission.add(scene, answer if change is None else change(answer))
        return submission.finish()


@pytest.fixture(scope="module")
def nuscenes(tmp_path_factory: pytest.TempPathFactory) -> NuScenes:
    root = tmp_path_factory.mktemp("nuscenes")
    datasets_trees_nuscenes.write_tree(root)
    return NuScenes(root)


def test_nuscenes_devkit_finds_a_file_of_1_to_16_for_every_key_frame(
    nuscenes: NuScenes, tmp_path: Path
) -> None:
    sent = send(NuScenesSubmission(nuscenes, tmp_path / "sent", "mini_val"))
    assert sorted(path.name for path in sent.iterdir()) == ["lidarseg", "mini_val"]
    meta = json.loads((sent / "mini_val" / "submission.json").read_text())["meta"]
    assert set(meta) == {"use_camera", "use_lidar", "use_radar", "use_map", "use_external"}
    assert all(type(used) is bool for used in meta.values()) and meta["use_lidar"]
    tables = nuscenes.root / datasets_trees_nuscenes.VERSION
    labels = json.loads((tables / "lidarseg.json").read_text())
    tokens = {row["filename"]: row["sample_data_token"] for row in labels}
    scenes = nuscenes.scenes("mini_val")
    files = list((sent / "lidarseg" / "mini_val").iterdir())
    assert len(files) == len(scenes) == 3
    for scene in scenes:
        assert scene.ground_truth is not None
        token = tokens[str(scene.ground_truth.relative_to(nuscenes.root))]
        path = sent / "lidarseg" / "mini_val" / f"{token}_lidarseg.bin"
        numbers = np.fromfile(path, np.uint8)
        assert len(numbers) == scene.ground_truth.stat().st_size
        assert numbers.min() >= 1 and numbers.max() <= 16
        # The challenge numbers classes in our vocabulary's order, from 1.
        assert np.array_equal(numbers, answer_of(nuscenes, scene) + 1)


def test_nuscenes_points_without_answer_get_the_commonest_of_their_scan(
    nuscenes: NuScenes, tmp_path: Path
) -> None:
    def holes(answer: Any) -> Any:
        answer[:7], answer[7:] = -1, 3
        answer[-1] = 5
        return answer

    sent = send(NuScenesSubmission(nuscenes, tmp_path / "sent", "mini_val"), holes)
    for path in (sent / "lidarseg" / "mini_val").iterdir():
        assert set(np.fromfile(path, np.uint8)[:-1]) == {4}
    nothing = NuScenesSubmission(nuscenes, tmp_path / "none", "mini_val")
    sent = send(nothing, lambda answer: np.full_like(answer, -1))
    for path in (sent / "lidarseg" / "mini_val").iterdir():
        assert set(np.fromfile(path, np.uint8)) == {1}


@pytest.fixture(scope="module")
def kitti(tmp_path_factory: pytest.TempPathFactory) -> SemanticKitti:
    root = tmp_path_factory.mktemp("semantickitti")
    datasets_trees_semantickitti.write_tree(root)
    return SemanticKitti(root)


def test_the_test_sequences_are_listed_without_labels(kitti: SemanticKitti) -> None:
    assert "test" in kitti.splits()
    scenes = kitti.scenes("test")
    assert {scene.name[:2] for scene in scenes} == {str(number) for number in range(11, 22)}
    assert all(scene.ground_truth is None and kitti.ground_truth(scene) is None for scene in scenes)


def test_semantic_kitti_api_finds_every_folder_and_scan(
    kitti: SemanticKitti, tmp_path: Path
) -> None:
    sent = send(SemanticKittiSubmission(kitti, tmp_path / "sent", "test"))
    assert sent.suffix == ".zip"
    with ZipFile(sent) as archive:
        assert archive.testzip() is None
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
        # The hour of writing would make every archive another file.
        assert {entry.date_time[0] for entry in archive.infolist()} == {1980}
    wanted = {"sequences/": 0}
    for sequence in range(11, 22):
        place = f"sequences/{sequence}/"
        wanted |= {place: 0, f"{place}predictions/": 0}
        for scan in (kitti.root / place / "velodyne").iterdir():
            wanted[f"{place}predictions/{scan.stem}.label"] = scan.stat().st_size // 16 * 4
    assert sizes == wanted


def test_semantickitti_takes_the_numbers_of_its_own_label_files(tmp_path: Path) -> None:
    datasets_trees_semantickitti.write_tree(tmp_path / "root")
    kitti = SemanticKitti(tmp_path / "root")

    def truth_like(answer: Any) -> Any:
        answer[:3] = -1, 0, 8
        return answer

    sent = send(SemanticKittiSubmission(kitti, tmp_path / "sent", "val"), truth_like)
    with ZipFile(sent) as archive:
        stored = archive.read("sequences/08/predictions/000001.label")
    numbers = np.frombuffer(stored, "<u4")
    assert numbers[:3].tolist() == [0, 10, 40]  # nothing, car, road
    # The data set reads the answers back as truth.
    scene = kitti.scenes("val")[1]
    assert scene.ground_truth is not None
    scene.ground_truth.write_bytes(stored)
    truth = kitti.ground_truth(scene)
    assert truth is not None
    assert np.array_equal(truth, truth_like(answer_of(kitti, scene)))


def test_scannets_script_reads_an_id_per_line_for_every_vertex(tmp_path: Path) -> None:
    datasets_trees_scannet.write_tree(tmp_path / "root")
    scannet = ScanNet(tmp_path / "root")

    def with_holes(answer: Any) -> Any:
        answer[:2] = -1, 19
        return answer

    sent = send(ScanNetSubmission(scannet, tmp_path / "sent", "all"), with_holes)
    scenes = scannet.scenes("all")
    assert sorted(path.name for path in sent.iterdir()) == [f"{s.name}.txt" for s in scenes]
    valid = {*range(1, 13), 14, 16, 24, 28, 33, 34, 36, 39}
    for scene in scenes:
        lines = (sent / f"{scene.name}.txt").read_text().splitlines()
        assert len(lines) == len(scannet.cloud(scene.sweeps[0]))
        assert lines[:2] == ["0", "39"]  # no answer, other furniture
        assert {int(line) for line in lines[1:]} == valid
