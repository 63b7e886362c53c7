from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets_trees_nuscenes as official
import numpy as np
import numpy.typing as npt
import pytest

from clip3d_cli.core.scenes import PosedScene, View, transform_points
from clip3d_cli.core.vocabulary import load_vocabulary
from clip3d_cli.datasets.labels import file_labels
from clip3d_cli.datasets.nuscenes import cache as nuscenes_cache
from clip3d_cli.datasets.nuscenes.cache import frame_index
from clip3d_cli.datasets.nuscenes.dataset import NuScenes
from clip3d_cli.datasets.splits import split_numbers
from clip3d_cli.datasets.sweeps import merge_sweeps
from clip3d_cli.errors import InputError

Floats = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nuscenes")
    official.write_tree(folder)
    return folder


@pytest.fixture
def own_root(root: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(root, tmp_path / "nuscenes"))


@pytest.fixture(scope="module")
def dataset(root: Path) -> NuScenes:
    return NuScenes(root)


def key_frame(dataset: NuScenes, name: str, sweep: int) -> PosedScene:
    wanted = f"{name}_{official.token(name, 'k', sweep)}"
    return next(scene for scene in dataset.scenes("all") if scene.name == wanted)


def by_hand(channel: str, key: int, world: Floats, ego_time_s: float | None = None) -> Floats:
    """(P, 3) x and y in pixels, and depth: map, vehicle when the image was taken, camera."""
    _, place_of_camera, delay = official.CAMERAS[channel]
    time_s = official.time_of_sweep(key) + delay if ego_time_s is None else ego_time_s
    turn, place = official.ego_at(time_s)
    in_vehicle = np.stack([turn.T @ (point - place) for point in world])
    camera = official.camera_turn(channel)
    in_camera = np.stack([camera.T @ (point - np.array(place_of_camera)) for point in in_vehicle])
    x = official.INTRINSICS[0, 0] * in_camera[:, 0] / in_camera[:, 2] + official.INTRINSICS[0, 2]
    y = official.INTRINSICS[1, 1] * in_camera[:, 1] / in_camera[:, 2] + official.INTRINSICS[1, 2]
    return np.stack([x, y, in_camera[:, 2]], axis=1)


def through_view(view: View, world: Floats) -> Floats:
    in_camera = transform_points(view.camera_from_world, world)
    pixels = in_camera @ view.intrinsics.T
    return np.column_stack([pixels[:, :2] / pixels[:, 2:], in_camera[:, 2]])


@pytest.mark.parametrize("number", range(6))
def test_views_are_the_chain_through_the_vehicle_at_the_images_time(
    number: int, dataset: NuScenes
) -> None:
    channel = list(official.CAMERAS)[number]
    scene = key_frame(dataset, "scene-0061", 18)
    view = next(view for view in scene.views if channel in view.image.parts)
    world = official.world_points()
    right = by_hand(channel, 18, world)
    inside = (right[:, 2] > 1) & (np.abs(right[:, :2] - 80) < 100).all(axis=1)
    assert inside.sum() > 10
    seen = through_view(view, world)
    np.testing.assert_allclose(seen[inside], right[inside], atol=1e-6)
    # What one gets with the vehicle's place at the lidar's time instead.
    wrong = by_hand(channel, 18, world, official.time_of_sweep(18))
    assert np.abs(wrong[inside, :2] - seen[inside, :2]).max() > 0.1


def test_points_of_the_scan_fall_where_the_world_does(dataset: NuScenes) -> None:
    scene = key_frame(dataset, "scene-0103", 12)
    cloud = dataset.cloud(scene.sweeps[0])
    xyz = transform_points(scene.sweeps[0].world_from_sensor, cloud.xyz)[:400]
    view = scene.views[0]
    right = by_hand("CAM_FRONT", 12, official.world_points())
    ahead = right[:, 2] > 1
    np.testing.assert_allclose(through_view(view, xyz)[ahead], right[ahead], atol=2e-3)


def test_sweeps_of_a_still_world_coincide(dataset: NuScenes) -> None:
    scene = key_frame(dataset, "scene-0061", 18)
    assert [sweep.path.name[-10:-8] for sweep in scene.sweeps] == [
        f"{n:02d}" for n in range(18, 7, -1)
    ]
    merged = merge_sweeps(dataset, scene.sweeps)
    assert len(merged.cloud) == 11 * 400  # without the vehicle's own returns
    for position in range(11):
        xyz = merged.cloud.xyz[merged.sweep_of_point == position]
        np.testing.assert_allclose(xyz, official.world_points(), atol=1e-4)


def test_a_scenes_first_key_frames_have_the_sweeps_there_are(dataset: NuScenes) -> None:
    assert len(key_frame(dataset, "scene-0061", 12).sweeps) == 11
    assert len(key_frame(dataset, "scene-1077", 1).sweeps) == 2


def test_times_sizes_and_order_are_the_tables(dataset: NuScenes) -> None:
    scene = key_frame(dataset, "scene-0061", 12)
    start = 1_532_402_927.6
    assert scene.sweeps[0].time_s == pytest.approx(start + 0.6, abs=1e-5)
    assert scene.sweeps[3].time_s == pytest.approx(start + 0.45, abs=1e-5)
    assert [view.image.parent.name for view in scene.views] == list(official.CAMERAS)
    assert {view.size for view in scene.views} == {official.IMAGE_SIZE}
    delays = [delay for _, _, delay in official.CAMERAS.values()]
    times = [view.time_s for view in scene.views]
    assert times == pytest.approx([start + 0.6 + delay for delay in delays], abs=1e-5)


def test_intensity_is_the_files_over_255(own_root: Path) -> None:
    dataset = NuScenes(own_root)
    sweep = key_frame(dataset, "scene-0061", 12).sweeps[0]
    rows = np.fromfile(sweep.path, "<f4").reshape(-1, 5)
    intensity = dataset.cloud(sweep).intensity
    assert intensity is not None
    np.testing.assert_array_equal(intensity, rows[:, 3] / np.float32(255))
    rows[:, 3] = 1.0  # a dark scan stays dark
    sweep.path.write_bytes(rows.tobytes())
    intensity = dataset.cloud(sweep).intensity
    assert intensity is not None
    assert set(intensity.tolist()) == {np.float32(1) / np.float32(255)}


EXPECTED = (
    "driveable surface", "sidewalk", "manmade", "vegetation", "car", "pedestrian", "pedestrian",
    None, None, None,
)  # fmt: skip


def names_of(dataset: NuScenes, truth: npt.NDArray[np.int32] | None) -> list[str | None]:
    assert truth is not None
    return [dataset.vocabulary.classes[index].name if index >= 0 else None for index in truth]


def test_truth_is_lidarsegs_sixteen_classes(dataset: NuScenes) -> None:
    truth = dataset.ground_truth(key_frame(dataset, "scene-0061", 12))
    assert names_of(dataset, truth) == [EXPECTED[n % 10] for n in range(402)]


def test_every_number_of_lidarseg_has_the_published_class() -> None:
    """The devkit's table (eval/panoptic/README.md), and SLidR's numbers, which agree with it."""
    published = {
        2: 7, 3: 7, 4: 7, 6: 7, 9: 1, 12: 8, 14: 2, 15: 3, 16: 3, 17: 4, 18: 5, 21: 6, 22: 9,
        23: 10, 24: 11, 25: 12, 26: 13, 27: 14, 28: 15, 30: 16,
    }  # fmt: skip
    id_of_name = {entry.name: entry.class_id for entry in load_vocabulary("nuscenes16").classes}
    ours = {
        label.number: id_of_name[label.class_name]
        for label in file_labels("nuscenes")
        if label.class_name is not None
    }
    assert ours == published
    assert [label.number for label in file_labels("nuscenes")] == list(range(32))


def edit(path: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    rows = json.loads(path.read_text())
    change(rows)
    path.write_text(json.dumps(rows))


def test_the_copys_own_numbers_win(own_root: Path) -> None:
    path = own_root / official.VERSION / "category.json"

    def swap(rows: list[dict[str, Any]]) -> None:
        rows[24]["index"], rows[17]["index"] = 17, 24

    edit(path, swap)
    dataset = NuScenes(own_root)
    names = names_of(dataset, dataset.ground_truth(key_frame(dataset, "scene-0061", 12)))
    assert names[:5] == ["car", "sidewalk", "manmade", "vegetation", "driveable surface"]


def test_without_numbers_of_its_own_the_usual_ones_hold(own_root: Path) -> None:
    edit(own_root / official.VERSION / "category.json", lambda rows: [r.pop("index") for r in rows])
    dataset = NuScenes(own_root)
    names = names_of(dataset, dataset.ground_truth(key_frame(dataset, "scene-0061", 12)))
    assert names[:10] == list(EXPECTED)


def test_without_lidarseg_there_is_no_truth(own_root: Path) -> None:
    (own_root / official.VERSION / "lidarseg.json").unlink()
    dataset = NuScenes(own_root)
    scene = dataset.scenes("all")[0]
    assert scene.ground_truth is None and dataset.ground_truth(scene) is None


def test_official_splits_have_the_official_counts() -> None:
    numbers = {split: set(listed) for split, listed in split_numbers("nuscenes").items()}
    counts = {split: len(listed) for split, listed in split_numbers("nuscenes").items()}
    assert counts == {
        "train": 700, "val": 150, "test": 150, "mini_train": 8, "mini_val": 2,
        "parametrize": 600, "verify": 100,
    }  # fmt: skip
    assert len(numbers["train"] | numbers["val"] | numbers["test"]) == 1000
    assert numbers["parametrize"] | numbers["verify"] == numbers["train"]
    assert numbers["mini_train"] | numbers["mini_val"] <= numbers["train"] | numbers["val"]


def test_splits_follow_the_tables_of_scenes(dataset: NuScenes) -> None:
    assert dataset.splits() == ("mini_train", "mini_val", "all")
    assert [scene.name[:10] for scene in dataset.scenes("mini_val")] == ["scene-0103"] * 2 + [
        "scene-0916"
    ]
    assert len(dataset.scenes("all")) == 12
    names = [scene.name[:10] for scene in dataset.scenes("all")]
    assert list(dict.fromkeys(names)) == list(official.SCENES)
    first, second = dataset.scenes("all")[:2]
    assert (first.sweeps[0].time_s or 0) < (second.sweeps[0].time_s or 0)


def test_own_splits_are_read_from_the_versions_folder(own_root: Path) -> None:
    path = own_root / official.VERSION / "splits.json"
    path.write_text(json.dumps({"rain": ["scene-1077", "scene-0103"]}))
    dataset = NuScenes(own_root)
    assert "rain" in dataset.splits()
    assert {scene.name[:10] for scene in dataset.scenes("rain")} == {"scene-0103", "scene-1077"}
    path.write_text(json.dumps({"rain": ["scene-9999"]}))
    with pytest.raises(InputError, match="scene-9999"):
        NuScenes(own_root)


def test_of_two_versions_the_smaller_one_serves_its_splits(own_root: Path) -> None:
    larger = own_root / "v1.0-trainval"
    shutil.copytree(own_root / official.VERSION, larger)
    edit(larger / "scene.json", lambda rows: rows.append({"token": "more", "name": "scene-0001"}))
    (own_root / official.VERSION / "sample_data.json").write_text("[]")
    dataset = NuScenes(own_root)
    assert len(dataset.scenes("all")) == 12  # of trainval, the first in order
    with pytest.raises(InputError, match=r"v1\.0-mini"):
        dataset.scenes("mini_train")


def test_the_tables_folder_may_be_named_as_the_root(root: Path, dataset: NuScenes) -> None:
    deep = NuScenes(root / official.VERSION)
    assert deep.root == root and deep.splits() == dataset.splits()


def test_the_index_holds_scans_and_images_of_key_frames_only(root: Path) -> None:
    files = frame_index(root / official.VERSION).file_name.tolist()
    assert len(files) == 2 * 19 + 8 * 2 + 6 * (2 * 2 + 8)
    assert not any(file.endswith(b"x.jpg") or b"RADAR" in file for file in files)


def test_the_index_of_large_tables_is_kept(
    own_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = own_root / official.VERSION
    fresh = frame_index(folder, cached_from_bytes=0)
    (kept,) = (tmp_path / "cache" / "clip3d").iterdir()
    scans = []
    scan = nuscenes_cache.scan_tables
    monkeypatch.setattr(nuscenes_cache, "scan_tables", lambda f: (scans.append(f), scan(f))[1])
    again = frame_index(folder, cached_from_bytes=0)
    assert not scans
    for name, array in fresh.arrays().items():
        np.testing.assert_array_equal(array, again.arrays()[name])
    kept.write_bytes(kept.read_bytes()[:1000])  # a damaged one is made anew
    frame_index(folder, cached_from_bytes=0)
    assert len(scans) == 1
    edit(folder / "sample.json", lambda rows: rows.reverse())  # other tables, another index
    frame_index(folder, cached_from_bytes=0)
    assert len(scans) == 2


def test_without_a_place_to_keep_it_tables_are_read_each_time(
    own_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert len(frame_index(own_root / official.VERSION, cached_from_bytes=0).sample_token) == 12
