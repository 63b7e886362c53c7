from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from posed_sample import (
    BACK,
    HIGH,
    LOW,
    InMemory,
    batches_of,
    four_words,
    lattice,
    make,
    make_scene,
    number_of,
    points_of,
    tensors_of,
    view_from,
    where,
    with_intensity,
)

from clip3d_cli.core.embeddings import FeatureSpace
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.errors import InputError, SetupError
from clip3d_cli.training.batch_loader import BatchLoader
from clip3d_cli.training.clip2scene.batches import PosedBatch


def same(one: PosedBatch, other: PosedBatch) -> bool:
    return one.cells == other.cells and all(
        torch.equal(a, b)
        for a, b in zip(tensors_of(one), tensors_of(other), strict=True)
        if a.shape == b.shape or pytest.fail("other shapes")
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_follows_from_its_number(workers: int, tmp_path: Path) -> None:
    maker = make(tmp_path, scenes=3, augment=True, pairs=50, points=150)
    maker = replace(maker, options=replace(maker.options, scenes=2, views=1, sweeps=2))
    wanted = [maker(number) for number in (0, 1, 2, 3)]
    for number, batch in zip((2, 3), BatchLoader(maker, workers)(range(2, 4)), strict=True):
        assert same(batch, wanted[number])
    copied = pickle.loads(pickle.dumps(maker))
    assert all(same(copied(number), wanted[number]) for number in (3, 0))
    assert same(pickle.loads(pickle.dumps(wanted[1])), wanted[1])


def test_other_numbers_and_seeds_give_other_batches(tmp_path: Path) -> None:
    maker = make(tmp_path, augment=True)
    first = number_of(maker(0)).tolist()
    assert first != number_of(maker(1)).tolist()
    assert first != number_of(replace(maker, seed=1)(0)).tolist()


@pytest.mark.parametrize("together", [1, 2, 3])
def test_every_scene_is_drawn_once_an_epoch(together: int, tmp_path: Path) -> None:
    maker = make(tmp_path, scenes=5, sweeps=1, views=1)
    maker = replace(maker, options=replace(maker.options, scenes=together))
    asked = maker.dataset.asked  # type: ignore[attr-defined]
    for number in range(30 // together):
        maker(number)
    epochs = [asked[first : first + 5] for first in range(0, 30, 5)]
    names = sorted(scene.name for scene in maker.scenes)
    assert all(sorted(epoch) == names for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 3


@pytest.mark.parametrize("augment", [False, True])
def test_pairs_lead_to_the_voxel_of_their_point(augment: bool, tmp_path: Path) -> None:
    maker = make(tmp_path, scenes=2, augment=augment)
    maker = replace(maker, options=replace(maker.options, scenes=2))
    batch = maker(0)
    number, point = number_of(batch), points_of(maker.dataset)  # type: ignore[arg-type]
    # One point a voxel: nothing is mixed.
    assert len(batch.voxels.cells) == len(set(number.tolist())) == 1800
    assert len(batch.pair_row) > 300
    views = maker.scenes[0].views
    for row, vector in zip(batch.pair_row.tolist(), batch.pixels.numpy(), strict=True):
        camera = int(np.rint(vector[3] / vector[2] * 4))
        wanted = where(views[camera // 2], camera, point[number[row]])
        np.testing.assert_allclose(vector, wanted, atol=3e-4)
    nearest = (batch.pixels @ torch.from_numpy(four_words().vectors).T).argmax(dim=1)
    assert torch.equal(batch.pair_word, nearest)
    assert set(nearest.tolist()) == {0, 1, 2, 3}


def test_voxels_lie_where_their_points_are(tmp_path: Path) -> None:
    maker = make(tmp_path, augment=False)
    batch = maker(0)
    point = points_of(maker.dataset)  # type: ignore[arg-type]
    for sweep in range(3):
        inside = (batch.voxels.cells[:, 0] == sweep).numpy()
        where_they_are = np.array([point[number] for number in number_of(batch)[inside]])
        middle = (batch.voxels.cells[inside, 1:].numpy() + 0.5) * 0.05
        shift = where_they_are - middle
        # A lattice's corner lies on multiples of 64 cells.
        corner = np.rint(np.median(shift, axis=0) / 3.2) * 3.2
        assert np.abs(shift - corner).max() < 0.025 + 1e-9


def _turn_of(batch: PosedBatch, point: dict[int, Any]) -> Any:
    """(3, 3) what turns the world into the lattice of a batch's first cloud."""
    inside = (batch.voxels.cells[:, 0] == 0).numpy()
    world = np.array([point[number] for number in number_of(batch)[inside]])
    cells = (batch.voxels.cells[inside, 1:].numpy() + 0.5) * 0.05
    world, cells = world - world.mean(axis=0), cells - cells.mean(axis=0)
    turn, *_ = np.linalg.lstsq(world, cells, rcond=None)
    assert np.abs(world @ turn - cells).max() < 0.06
    return turn.T


def test_scenes_are_turned_about_the_vertical_and_mirrored(tmp_path: Path) -> None:
    maker = make(tmp_path, sweeps=1, augment=True)
    point = points_of(maker.dataset)  # type: ignore[arg-type]
    sides, angles = set(), []
    for number in range(16):
        turn = _turn_of(maker(number), point)
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=0.01)
        np.testing.assert_allclose(turn[2], (0, 0, 1), atol=0.01)
        sides.add(round(np.linalg.det(turn)))
        angles.append(np.arctan2(turn[1, 0], turn[0, 0]))
    assert sides == {-1, 1}
    assert np.std(angles) > 1
    plain = replace(maker, options=replace(maker.options, augment=False))
    np.testing.assert_allclose(_turn_of(plain(0), point), np.eye(3), atol=0.01)


@pytest.mark.parametrize("views", [0, 1])
def test_scenes_without_pairs_stand_beside_others(views: int, tmp_path: Path) -> None:
    dataset = InMemory()
    blind = [view_from(tmp_path / "images", 3, (0, 0, 0), BACK)][:views]
    scenes = [
        make_scene(dataset, tmp_path / "images", 1),
        dataset.scene("blind", [lattice(50, 99, LOW, HIGH)], blind),
    ]
    maker = batches_of(dataset, scenes, tmp_path / "features")
    alone = next(batch for batch in map(maker, (0, 1)) if len(batch.voxels.cells) == 50)
    assert (len(alone.pair_row), alone.pixels.shape, alone.cells) == (0, (0, 4), 0)
    assert (len(alone.member_row), len(alone.unseen_row)) == (0, 50)
    for tensor in tensors_of(alone)[2:]:
        assert tensor.dtype == (torch.float32 if tensor is alone.pixels else torch.int64)
    both = replace(maker, options=replace(maker.options, scenes=2))(0)
    assert len(both.voxels.cells) == 950
    assert len(both.pair_row) == len(both.pixels) == len(both.pair_word) > 100
    number = number_of(both)
    assert set(number[both.pair_row.numpy()] // 1000) <= {10, 11, 12}
    assert {99} < set(number[both.unseen_row.numpy()] // 1000)


def test_sweeps_are_drawn_from_those_shortly_before(tmp_path: Path) -> None:
    maker = make(tmp_path, sweeps=8, views=1)
    maker = replace(maker, options=replace(maker.options, sweeps=3, among=5))
    drawn: Counter[str] = Counter()
    asked = maker.dataset.asked  # type: ignore[attr-defined]
    for number in range(60):
        asked.clear()
        batch = maker(number)
        assert len(asked) == 3
        assert asked[0] == "scene0"
        assert asked[1:] == sorted(set(asked[1:]))
        drawn.update(asked[1:])
        # The key frame is the first cloud, whatever was drawn.
        assert set(number_of(batch)[(batch.voxels.cells[:, 0] == 0).numpy()]) == set(range(1, 301))
    assert set(drawn) == set("12345")
    assert min(drawn.values()) > 10
    for sweeps, among, count in ((1, 5, 1), (3, 0, 1), (9, 99, 8), (5, 3, 4)):
        few = replace(maker, options=replace(maker.options, sweeps=sweeps, among=among))
        asked.clear()
        assert len(set(few(0).voxels.cells[:, 0].tolist())) == len(asked) == count


def test_clouds_keep_their_own_ground(tmp_path: Path) -> None:
    # An earlier sweep hangs ten metres higher: only together does it stand high.
    flat = np.stack(
        [side.ravel() for side in np.meshgrid(np.arange(0, 8, 0.3), np.arange(3, 9, 0.3), [0.0])],
        axis=1,
    )
    dataset = InMemory()
    scene = dataset.scene(
        "two", [with_intensity(flat), with_intensity(flat + (0, 0, 10), 5000)], []
    )
    inputs = ("intensity", "height_near")
    maker = batches_of(dataset, [scene], tmp_path / "f", inputs=inputs)
    apart = maker(0).voxels.feats[:, 1]
    assert apart.abs().max() < 0.01
    merged = replace(maker, options=replace(maker.options, merge=True))(0).voxels.feats[:, 1]
    assert merged.max() == 2


def test_missing_colors_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="E_NO_CHANNEL"):
        make(tmp_path, inputs=("red",))(0)


def _empty(count: int) -> Sequence[PointCloud]:
    return [with_intensity(np.full((count, 3), np.nan))]


@pytest.mark.parametrize("count", [0, 5])
def test_scenes_without_points_are_refused(count: int, tmp_path: Path) -> None:
    dataset = InMemory()
    scene = dataset.scene("void", _empty(count), [view_from(tmp_path, 1, (0, 0, 0))])
    with pytest.raises(
        InputError, match=r"E_EMPTY_FILE.*void\.bin: has no finite point"
    ) as refusal:
        batches_of(dataset, [scene], tmp_path / "f")(0)
    assert refusal.value.remedy == "Leave the scene out."


def test_a_key_frame_without_points_leaves_the_others(tmp_path: Path) -> None:
    dataset = InMemory()
    clouds = [*_empty(3), lattice(100, 1, LOW, HIGH)]
    scene = dataset.scene("late", clouds, [view_from(tmp_path, 1, (0, 0, 0))])
    batch = batches_of(dataset, [scene], tmp_path / "f", points=10)(0)
    assert len(batch.voxels.cells) == 100
    assert set(batch.voxels.cells[:, 0].tolist()) == {0}


def test_features_of_another_space_or_scene_are_refused(tmp_path: Path) -> None:
    maker = make(tmp_path, scenes=2)
    other = replace(maker.words, space=FeatureSpace("openclip/other/test", 4))
    with pytest.raises(SetupError, match="E_SPACE_MISMATCH"):
        replace(maker, words=other)(0)
    dataset = InMemory()
    fewer = [make_scene(dataset, tmp_path / "images", number, views=1) for number in range(2)]
    with pytest.raises(InputError, match="E_CHANGED"):
        replace(maker, dataset=dataset, scenes=fewer)(0)


def test_a_batch_goes_to_a_device_whole(tmp_path: Path) -> None:
    batch = make(tmp_path)(0)
    moved = batch.to("meta")
    assert {tensor.device.type for tensor in tensors_of(moved)} == {"meta"}
    assert moved.cells == batch.cells
    assert same(batch.to("cpu"), batch)
