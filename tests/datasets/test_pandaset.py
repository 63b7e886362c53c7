"""PandaSet: the published and the repacked layout, poses, sweeps, labels, errors."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets_trees_pandaset import CAMERA, FRAMES, VEHICLE, points, write_drive, write_tree
from pandas_pickles import write_frame
from posed_camera import CX, CY, FX, FY, PIXEL, POINT, pixel_of, write_image, write_json

from clip3d_cli.core.cameras import project
from clip3d_cli.datasets.pandaset.dataset import PandaSet
from clip3d_cli.datasets.splits import split_numbers
from clip3d_cli.datasets.sweeps import merge_sweeps
from clip3d_cli.errors import InputError, UsageError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_tree(tmp_path / "pandaset")
    return tmp_path / "pandaset"


def write_repacked(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    frames = {}
    for number, name in enumerate(FRAMES):
        xyz = points(number)
        np.savez(
            folder / f"{name}.npz",
            xyz=xyz,
            intensity=np.arange(80, dtype=np.uint8),
            sensor=np.arange(80) % 2,
            label=np.resize([0, 5, 7, 13, 42], 80).astype(np.uint8),
        )
        write_image(folder / f"{name}.jpg")
        frames[name] = {
            "image": f"{name}.jpg",
            "camera_to_world": CAMERA,
            "lidar_to_world": VEHICLE,
            "timestamp": 10.0 + number,
        }
    lens = {"fx": FX, "fy": FY, "cx": CX, "cy": CY}
    write_json(folder / "camera.json", {"intrinsics": lens, "frames": frames})


def test_every_frame_is_a_scene_with_the_frames_before_it(root: Path) -> None:
    scenes = PandaSet(root).scenes("all")
    assert [scene.name for scene in scenes] == ["001_00", "001_01", "002_00", "002_01"]
    assert [[sweep.path.name for sweep in scene.sweeps] for scene in scenes[:2]] == [
        ["00.pkl.gz"],
        ["01.pkl.gz", "00.pkl.gz"],
    ]
    assert scenes[1].sweeps[0].time_s == 1557539924.6
    assert [view.image.parent.name for view in scenes[1].views] == ["front_camera", "left_camera"]
    assert scenes[1].views[0].time_s == pytest.approx(1557539924.55)


def test_both_layouts_show_the_pixel_computed_by_hand(root: Path, tmp_path: Path) -> None:
    write_repacked(tmp_path / "repacked")
    for dataset in (PandaSet(root), PandaSet(tmp_path / "repacked")):
        scene = dataset.scenes("all")[0]
        cloud = merge_sweeps(dataset, scene.sweeps[:1]).cloud
        np.testing.assert_allclose(cloud.xyz[:1], POINT, atol=1e-12)
        for view in scene.views:
            assert pixel_of(view, cloud.xyz[:1]) == pytest.approx(PIXEL, abs=1e-9)


def test_points_come_in_the_vehicles_frame(root: Path) -> None:
    dataset = PandaSet(root)
    sweep = dataset.scenes("all")[0].sweeps[0]
    cloud = dataset.cloud(sweep)
    # The vehicle at (1, 2, 0) has turned left: (2, 7, 2.5) is 5 m ahead (x) and 1 m right (−y).
    np.testing.assert_allclose(cloud.xyz[0], (5, -1, 2.5), atol=1e-12)
    assert cloud.intensity is not None
    np.testing.assert_allclose(cloud.intensity[:2], [0, 3 / 255], rtol=1e-6)


def test_truth_counts_the_numbers_of_classes(root: Path, tmp_path: Path) -> None:
    write_repacked(tmp_path / "repacked")
    for dataset in (PandaSet(root), PandaSet(tmp_path / "repacked")):
        truth = dataset.ground_truth(dataset.scenes("all")[0])
        assert truth is not None
        names = [dataset.vocabulary.classes[i].name if i >= 0 else "" for i in truth[:5]]
        assert names == ["", "Vegetation", "Road", "Car", "Other Static Object"]


def test_labels_belong_to_points_by_index_not_by_place(root: Path) -> None:
    scan, labels = root / "001" / "lidar" / "00.pkl.gz", root / "001" / "annotations" / "semseg"
    columns = {name: np.arange(3.0) for name in ("x", "y", "z", "i")}
    write_frame(scan, columns, np.array([7, 3, 5]))
    write_frame(labels / "00.pkl.gz", {"class": np.array([3, 5, 7])}, np.array([3, 5, 7]))
    dataset = PandaSet(root)
    truth = dataset.ground_truth(dataset.scenes("all")[0])
    assert truth is not None and (truth + 1).tolist() == [7, 3, 5]


def test_drives_without_labels_have_no_truth(root: Path) -> None:
    shutil.rmtree(root / "002" / "annotations")
    dataset = PandaSet(root)
    assert dataset.ground_truth(dataset.scenes("all")[3]) is None


def test_one_drive_can_be_the_root(root: Path) -> None:
    assert [scene.name for scene in PandaSet(root / "002").scenes("all")] == ["002_00", "002_01"]


def test_splits_are_offered_where_they_are_whole(root: Path) -> None:
    assert sum(len(numbers) for numbers in split_numbers("pandaset").values()) == 103
    assert PandaSet(root).splits() == ("all",)
    with pytest.raises(InputError, match="drive 003 of the split val does not exist"):
        PandaSet(root).scenes("val")
    with pytest.raises(UsageError, match="valid"):
        PandaSet(root).scenes("valid")
    for number in split_numbers("pandaset")["val"]:
        write_drive(root / f"{number:03d}")
    assert PandaSet(root).splits() == ("all", "val")
    assert len(PandaSet(root).scenes("val")) == 40


def table(name: str, content: Any) -> Callable[[Path], Any]:
    return lambda root: write_json(root / "001" / name, content)


NO_HEADING = {**VEHICLE, "heading": dict.fromkeys("wxyz", 0.0)}
NAN_POSITION = {**VEHICLE, "position": {"x": float("nan"), "y": 0.0, "z": 0.0}}
LENS = {"fx": FX, "fy": FY, "cx": CX}
REFUSALS: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "short poses": (table("lidar/poses.json", [VEHICLE]), "E_COUNT_MISMATCH", "1 poses and 2"),
    "NaN": (
        table("lidar/poses.json", [NAN_POSITION] * 2),
        "E_DATASET",
        "NaN and infinity are not numbers",
    ),
    "no turn": (table("lidar/poses.json", [NO_HEADING] * 2), "E_DATASET", "[0]: heading"),
    "no list": (table("lidar/poses.json", {}), "E_DATASET", "is an object, not a list"),
    "half a lens": (
        table("camera/left_camera/intrinsics.json", LENS),
        "E_DATASET",
        "has no 'cy'",
    ),
    "times": (
        table("lidar/timestamps.json", ["now", "then"]),
        "E_DATASET",
        "[0] is a text, not a number",
    ),
    "classes": (table("annotations/semseg/classes.json", {"5": "Tree"}), "E_DATASET", "'Tree'"),
    "cut off": (
        lambda root: (root / "001" / "lidar" / "poses.json").write_text('[{"position": {"x'),
        "E_TRUNCATED",
        "ends early",
    ),
    "no image": (
        lambda root: (root / "001" / "camera" / "left_camera" / "01.jpg").unlink(),
        "E_NOT_FOUND",
        "does not exist",
    ),
    "fewer labels": (
        lambda root: write_frame(
            root / "001" / "annotations" / "semseg" / "00.pkl.gz", {"class": np.ones(79, np.int64)}
        ),
        "E_COUNT_MISMATCH",
        "79 labels",
    ),
    "other rows": (
        lambda root: write_frame(
            root / "001" / "annotations" / "semseg" / "00.pkl.gz",
            {"class": np.ones(80, np.int64)},
            np.arange(1, 81),
        ),
        "E_COUNT_MISMATCH",
        "not those of the points",
    ),
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_what_cannot_be_is_refused_in_one_line(root: Path, kind: str) -> None:
    damage, code, fault = REFUSALS[kind]
    damage(root)
    with pytest.raises(InputError) as refusal:
        dataset = PandaSet(root)
        for scene in dataset.scenes("all"):
            dataset.ground_truth(scene)
    assert refusal.value.code == code
    assert fault in refusal.value.fault
    assert refusal.value.remedy and "\n" not in str(refusal.value)
    assert str(root / "001") in refusal.value.where


def test_a_repacked_frame_without_labels_is_refused_by_name(tmp_path: Path) -> None:
    write_repacked(tmp_path)
    np.savez(tmp_path / "00.npz", xyz=np.zeros((3, 3)), intensity=np.zeros(3))
    dataset = PandaSet(tmp_path)
    with pytest.raises(InputError, match="no array 'label', only xyz, intensity"):
        dataset.ground_truth(dataset.scenes("all")[0])


def test_real_cars_lie_where_the_camera_sees_them(shared_data: Path) -> None:
    """The front camera of a real drive: what is labelled road lies low, and cars on the road."""
    dataset = PandaSet(shared_data / "driving" / "pandaset_001")
    scenes = dataset.scenes("all")
    assert [len(scene.sweeps) for scene in scenes] == [1, 2, 3]
    scene = scenes[0]
    truth = dataset.ground_truth(scene)
    assert truth is not None
    sweep = scene.sweeps[0]
    cloud = dataset.cloud(sweep)
    world = cloud.xyz @ sweep.world_from_sensor[:3, :3].T + sweep.world_from_sensor[:3, 3]
    seen = project(scene.views[0], world)
    assert 0.3 < len(seen.point_index) / len(cloud) < 0.5
    names = [entry.name for entry in dataset.vocabulary.classes]
    seen_class = truth[seen.point_index]
    road, building = (
        np.median(seen.uv[seen_class == names.index(name), 1]) for name in ("Road", "Building")
    )
    assert building < 560 < road


def test_a_broken_repacked_frame_is_named_and_leaves_the_others_readable(tmp_path: Path) -> None:
    write_repacked(tmp_path)
    content = json.loads((tmp_path / "camera.json").read_text())
    del content["frames"]["01"]["camera_to_world"]["heading"]["z"]
    write_json(tmp_path / "camera.json", content)
    scenes = PandaSet(tmp_path).scenes("all")
    assert len(scenes[0].views) == 1
    with pytest.raises(InputError) as refusal:
        scenes[1]
    assert refusal.value.code == "E_DATASET"
    assert refusal.value.fault == "frames.01.camera_to_world.heading has no 'z'"


def test_a_repacked_drive_can_be_sent_to_a_worker(tmp_path: Path) -> None:
    write_repacked(tmp_path)
    dataset = PandaSet(tmp_path)
    sent = pickle.loads(pickle.dumps(dataset)).scenes("all")[1]
    here = dataset.scenes("all")[1]
    assert (sent.name, sent.views[0].image) == (here.name, here.views[0].image)
    np.testing.assert_array_equal(
        sent.sweeps[0].world_from_sensor, here.sweeps[0].world_from_sensor
    )
