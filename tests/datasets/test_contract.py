"""Contract of every data set of the registry, tested on a small tree in its official layout.

The tree comes from ``tests/datasets_trees_<name>.py``: ``write_tree(root)``. Rows of the registry
without such a module are skipped.
"""

from __future__ import annotations

import importlib
import importlib.util
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clip3d_cli import registry
from clip3d_cli.core.scenes import PosedScene, View, transform_points
from clip3d_cli.datasets.dataset import Dataset
from clip3d_cli.datasets.sweeps import merge_sweeps
from clip3d_cli.errors import InputError, UsageError
from clip3d_cli.metrics.rules import NO_BENCHMARK

NAMES = registry.names("datasets")


@pytest.fixture(scope="module", params=NAMES)
def tree(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """The name of a data set and the root of its tree."""
    module = f"datasets_trees_{request.param}"
    root = tmp_path_factory.mktemp(request.param)
    importlib.import_module(module).write_tree(root)
    return request.param, root


@pytest.fixture(scope="module")
def dataset(tree: tuple[str, Path]) -> Dataset:
    name, root = tree
    opened: Dataset = registry.load("datasets", name)(root)
    return opened


@pytest.fixture(scope="module")
def scenes(dataset: Dataset) -> list[PosedScene]:
    """All scenes of all splits, each once."""
    by_name = {scene.name: scene for split in dataset.splits() for scene in dataset.scenes(split)}
    return list(by_name.values())


def test_it_says_what_it_is(tree: tuple[str, Path], dataset: Dataset) -> None:
    name, root = tree
    assert dataset.name == name
    assert root in (dataset.root, *dataset.root.parents)
    assert dataset.ego_half_size_m >= 0
    assert dataset.vocabulary is None or len(dataset.vocabulary) > 0


def test_splits_have_scenes_in_a_fixed_order(tree: tuple[str, Path], dataset: Dataset) -> None:
    name, root = tree
    splits = dataset.splits()
    assert splits and len(set(splits)) == len(splits)
    again = registry.load("datasets", name)(root)
    for split in splits:
        names = [scene.name for scene in dataset.scenes(split)]
        assert names and names == [scene.name for scene in again.scenes(split)]
        assert len(set(names)) == len(names)


def test_unknown_splits_are_refused_with_the_known_ones(dataset: Dataset) -> None:
    with pytest.raises(UsageError) as refusal:
        dataset.scenes("trian")
    assert refusal.value.code == "E_UNKNOWN_NAME"
    assert dataset.splits()[0] in refusal.value.remedy


def test_there_are_two_scenes_whose_names_fit_files(scenes: list[PosedScene]) -> None:
    assert len(scenes) >= 2
    for scene in scenes:
        assert 0 < len(scene.name) < 200
        assert Path(scene.name).name == scene.name and not scene.name.startswith(".")


def test_scenes_can_be_sliced_and_counted_from_the_end(dataset: Dataset) -> None:
    for split in dataset.splits():
        listed = dataset.scenes(split)
        names = [scene.name for scene in listed]
        assert [scene.name for scene in listed[1:]] == names[1:]
        assert listed[-1].name == names[-1]
        with pytest.raises(IndexError):
            listed[len(names)]


def test_sweeps_read_as_clouds_and_go_back_in_time(
    dataset: Dataset, scenes: list[PosedScene]
) -> None:
    for scene in scenes:
        times = [sweep.time_s for sweep in scene.sweeps if sweep.time_s is not None]
        assert times == sorted(times, reverse=True)
        for sweep in scene.sweeps:
            cloud = dataset.cloud(sweep)
            assert len(cloud) > 0
            if cloud.intensity is not None:
                assert cloud.intensity.min() >= 0 and cloud.intensity.max() <= 1


def test_poses_are_rigid_to_rounding(scenes: list[PosedScene]) -> None:
    for scene in scenes:
        poses = [sweep.world_from_sensor for sweep in scene.sweeps]
        poses += [view.camera_from_world for view in scene.views]
        for pose in poses:
            turn = pose[:3, :3]
            np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-5)


def test_views_are_images_of_the_size_they_say(scenes: list[PosedScene]) -> None:
    assert any(scene.views for scene in scenes)
    for view in (view for scene in scenes for view in scene.views):
        with Image.open(view.image) as image:
            assert image.size == view.size
        assert np.array_equal(view.intrinsics[2], (0, 0, 1))
        assert view.intrinsics[0, 0] > 0 and view.intrinsics[1, 1] > 0
        assert 0 < view.intrinsics[0, 2] < view.size[0]
        assert 0 < view.intrinsics[1, 2] < view.size[1]
        if view.depth is not None:
            with Image.open(view.depth) as depth:
                assert depth.mode.startswith("I")


def test_some_view_sees_points_of_its_scene(dataset: Dataset, scenes: list[PosedScene]) -> None:
    seen = [
        _points_in(view, dataset, scene) for scene in scenes if scene.views for view in scene.views
    ]
    assert max(seen) > 0


def test_truth_is_a_class_or_not_judged_for_every_point(
    dataset: Dataset, scenes: list[PosedScene]
) -> None:
    judged = 0
    for scene in scenes:
        truth = dataset.ground_truth(scene)
        assert (truth is None) == (scene.ground_truth is None)
        if truth is None:
            continue
        assert dataset.vocabulary is not None
        assert truth.dtype == np.int32
        assert truth.shape == (len(dataset.cloud(scene.sweeps[0])),)
        assert truth.min() >= -1 and truth.max() < len(dataset.vocabulary)
        judged += int((truth >= 0).sum())
    assert judged > 0 or dataset.vocabulary is None


def test_instances_are_of_every_point_where_there_are_things(
    dataset: Dataset, scenes: list[PosedScene]
) -> None:
    classes = 0 if dataset.vocabulary is None else len(dataset.vocabulary)
    assert dataset.thing_classes <= set(range(classes))
    objects = set()
    for scene in scenes:
        instances, truth = dataset.instances(scene), dataset.ground_truth(scene)
        if instances is None or truth is None:
            assert instances is None
            continue
        assert instances.dtype == np.int32 and instances.shape == truth.shape
        assert instances.min() >= -1
        things = np.isin(truth, list(dataset.thing_classes)) & (instances > 0)
        objects |= set(zip(truth[things].tolist(), instances[things].tolist(), strict=True))
    assert len(objects) > 1 or not dataset.thing_classes


def test_the_benchmarks_rules_make_sense(dataset: Dataset) -> None:
    assert dataset.rules.unused_class_iou in (None, 0, 1) and dataset.rules.min_points >= 1
    assert bool(dataset.rules.source) == (dataset.rules != NO_BENCHMARK)


def test_sweeps_merge_in_the_world(dataset: Dataset, scenes: list[PosedScene]) -> None:
    for scene in scenes[:2]:
        merged = merge_sweeps(dataset, scene.sweeps)
        assert np.isfinite(merged.cloud.xyz).all()
        assert set(merged.sweep_of_point.tolist()) == set(range(len(scene.sweeps)))


def test_it_can_be_sent_to_a_worker(dataset: Dataset, scenes: list[PosedScene]) -> None:
    there: Dataset = pickle.loads(pickle.dumps(dataset))
    assert there.splits() == dataset.splits()
    listed = dataset.scenes(dataset.splits()[-1])
    for part in (listed, listed[1:]):
        assert [s.name for s in pickle.loads(pickle.dumps(part))] == [s.name for s in part]
    sent = pickle.loads(pickle.dumps(scenes[0]))
    assert np.array_equal(there.cloud(sent.sweeps[0]).xyz, dataset.cloud(sent.sweeps[0]).xyz)


def test_reading_leaves_the_folder_as_it_was(tree: tuple[str, Path]) -> None:
    name, root = tree
    before = _listing(root)
    dataset: Dataset = registry.load("datasets", name)(root)
    for split in dataset.splits():
        scene = dataset.scenes(split)[0]
        dataset.cloud(scene.sweeps[0])
        dataset.ground_truth(scene)
        dataset.instances(scene)
    assert _listing(root) == before


@pytest.mark.parametrize("kind", ["missing", "empty", "file"])
def test_another_folder_is_refused(tree: tuple[str, Path], kind: str, tmp_path: Path) -> None:
    root = tmp_path / "somewhere"
    if kind == "empty":
        root.mkdir()
    if kind == "file":
        root.write_text("not a folder")
    with pytest.raises(InputError) as refusal:
        registry.load("datasets", tree[0])(root)
    assert refusal.value.code in ("E_NOT_FOUND", "E_DATASET", "E_NO_INPUT")
    assert str(root) in refusal.value.where
    assert refusal.value.remedy


def _points_in(view: View, dataset: Dataset, scene: PosedScene) -> int:
    """How many points of the key frame fall into a view, lens aside."""
    xyz = transform_points(
        view.camera_from_world, merge_sweeps(dataset, scene.sweeps[:1]).cloud.xyz
    )
    xyz = xyz[xyz[:, 2] > 0.1]
    pixels = xyz @ view.intrinsics.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    inside = (pixels >= -0.5).all(axis=1) & (pixels < np.array(view.size) - 0.5).all(axis=1)
    return int(inside.sum())


def _listing(root: Path) -> list[tuple[str, int, int]]:
    return sorted(
        (str(path), path.stat().st_size, path.stat().st_mtime_ns)
        for path in root.rglob("*")
        if path.is_file()
    )
