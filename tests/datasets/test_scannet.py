"""ScanNet: frames of both exports, classes by NYU40 ids, official splits, errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets_trees_scannet import (
    EXPORTED,
    SAMPLED,
    intrinsics,
    write_matrix,
    write_mesh,
    write_tree,
)
from plyfile import PlyData
from posed_camera import CX, CY, PIXEL, POINT, pixel_of, write_image

from clip3d_cli.core.scenes import PosedScene
from clip3d_cli.datasets.scannet.dataset import ScanNet
from clip3d_cli.datasets.splits import split_numbers
from clip3d_cli.errors import InputError, UsageError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_tree(tmp_path)
    return tmp_path


def scene_at(root: Path, name: str) -> PosedScene:
    return next(scene for scene in ScanNet(root).scenes("all") if scene.name == name)


@pytest.mark.parametrize("name", [EXPORTED, SAMPLED])
def test_both_exports_show_the_pixel_computed_by_hand(root: Path, name: str) -> None:
    scene = scene_at(root, name)
    first = ScanNet(root).cloud(scene.sweeps[0]).xyz[:1]
    np.testing.assert_array_equal(first, POINT)
    for view in scene.views:
        assert pixel_of(view, first) == pytest.approx(PIXEL, abs=1e-9)
        assert view.depth is not None and view.depth_unit_m == 0.001


def test_frames_without_a_pose_are_left_out_and_others_keep_their_order(root: Path) -> None:
    views = scene_at(root, EXPORTED).views
    assert [view.image.stem for view in views] == ["2", "10"]


def test_images_exported_smaller_scale_the_intrinsics_about_pixel_edges(root: Path) -> None:
    for number in (2, 9, 10):
        write_image(root / "scans" / EXPORTED / "color" / f"{number}.jpg", (64, 20))
    view = scene_at(root, EXPORTED).views[0]
    assert view.size == (64, 20)
    u, v = PIXEL
    assert pixel_of(view) == pytest.approx(((u + 0.5) / 2 - 0.5, (v + 0.5) / 4 - 0.5), abs=1e-9)
    (root / "scans" / EXPORTED / f"{EXPORTED}.txt").unlink()
    assert scene_at(root, EXPORTED).views[0].intrinsics[0, 2] == CX


def test_the_depth_cameras_intrinsics_are_not_taken(root: Path) -> None:
    exported = root / "scans" / EXPORTED / "intrinsic"
    write_matrix(exported / "intrinsic_depth.txt", intrinsics(cx=1.0, cy=2.0))
    assert scene_at(root, EXPORTED).views[0].intrinsics[1, 2] == CY


def test_truth_is_the_benchmarks_twenty_classes(root: Path) -> None:
    scannet = ScanNet(root)
    truth = scannet.ground_truth(scene_at(root, EXPORTED))
    assert truth is not None
    names = [scannet.vocabulary.classes[index].name if index >= 0 else "" for index in truth[:6]]
    # NYU40 numbers 0, 1, 2, 39, 40, 13: 0 is nothing, 40 and 13 (blinds) are not judged.
    assert names == ["", "wall", "floor", "otherfurniture", "", ""]


def test_scans_without_frames_or_labels_are_scenes_for_what_they_have(root: Path) -> None:
    name = "scene0707_00"
    write_mesh(root / "scans_test" / name / f"{name}_vh_clean_2.ply", 9, None)
    scene = scene_at(root, name)
    assert scene.views == () and scene.ground_truth is None
    assert ScanNet(root).ground_truth(scene) is None


def test_the_official_splits_count_as_published() -> None:
    splits = split_numbers("scannet")
    counts = {name: len(numbers) for name, numbers in splits.items()}
    assert counts == {"train": 1201, "val": 312, "test": 100}
    assert len({number for numbers in splits.values() for number in numbers}) == 1613
    # Scans of one room never stand on both sides.
    rooms = [{number // 100 for number in numbers} for numbers in splits.values()]
    assert not rooms[0] & rooms[1] and not rooms[0] & rooms[2] and not rooms[1] & rooms[2]


def test_an_official_split_that_is_not_here_as_a_whole_is_refused(root: Path) -> None:
    scannet = ScanNet(root)
    assert scannet.splits() == ("all",)
    with pytest.raises(InputError, match="of the split val does not exist") as refusal:
        scannet.scenes("val")
    assert "--split all" in refusal.value.remedy
    with pytest.raises(UsageError, match="valid"):
        scannet.scenes("valid")


def test_a_whole_split_is_offered_in_the_official_order(root: Path) -> None:
    for number in split_numbers("scannet")["test"]:
        name = f"scene{number // 100:04d}_{number % 100:02d}"
        write_mesh(root / "scans_test" / name / f"{name}_vh_clean_2.ply", 3, None)
    scannet = ScanNet(root / "scans")
    assert scannet.splits() == ("test", "all")
    scenes = scannet.scenes("test")
    assert len(scenes) == 100 and scenes[0].name == "scene0707_00"
    assert len(scannet.scenes("all")) == 102


def matrix_file(name: str, content: str) -> Callable[[Path], Any]:
    return lambda root: (root / "scans" / EXPORTED / name).write_text(content, encoding="utf-8")


def relabel(root: Path, points: int, labels: Any) -> None:
    write_mesh(root / "scans" / EXPORTED / f"{EXPORTED}_vh_clean_2.labels.ply", points, labels)


MIRROR = "1 0 0 0\n0 1 0 0\n0 0 -1 0\n0 0 0 1\n"
REFUSALS: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "words": (matrix_file("pose/2.txt", "a b"), "E_DATASET", "contains other text than numbers"),
    "short": (matrix_file("pose/2.txt", "1 0 0 0\n"), "E_DATASET", "4 of the 16 numbers"),
    "mirror": (matrix_file("pose/2.txt", MIRROR), "E_DATASET", "not a rigid transform"),
    "empty": (matrix_file("pose/2.txt", ""), "E_EMPTY_FILE", "no bytes"),
    "no pose": (
        lambda root: (root / "scans" / EXPORTED / "pose" / "2.txt").unlink(),
        "E_NOT_FOUND",
        "does not exist",
    ),
    "no intrinsics": (
        lambda root: (root / "scans" / EXPORTED / "intrinsic" / "intrinsic_color.txt").unlink(),
        "E_NOT_FOUND",
        "does not exist",
    ),
    "flat": (
        matrix_file("intrinsic/intrinsic_color.txt", "0 " * 16),
        "E_DATASET",
        "is not a camera",
    ),
    "no image": (matrix_file("color/2.jpg", "text"), "E_UNSUPPORTED", "is not an image"),
    "count": (lambda root: relabel(root, 59, np.ones(59)), "E_COUNT_MISMATCH", "59 labels"),
    "no label": (lambda root: relabel(root, 60, None), "E_DATASET", "no property label"),
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_what_cannot_be_is_refused_in_one_line(root: Path, kind: str) -> None:
    damage, code, fault = REFUSALS[kind]
    damage(root)
    with pytest.raises(InputError) as refusal:
        scannet = ScanNet(root)
        for scene in scannet.scenes("all"):
            scannet.ground_truth(scene)
    assert refusal.value.code == code
    assert fault in refusal.value.fault
    assert refusal.value.remedy and "\n" not in str(refusal.value)
    assert EXPORTED in refusal.value.where


def test_labels_of_a_cut_file_are_refused(root: Path) -> None:
    path = root / "scans" / EXPORTED / f"{EXPORTED}_vh_clean_2.labels.ply"
    assert len(PlyData.read(path)["vertex"]) == 60
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(InputError) as refusal:
        ScanNet(root).ground_truth(scene_at(root, EXPORTED))
    assert refusal.value.code == "E_TRUNCATED"
