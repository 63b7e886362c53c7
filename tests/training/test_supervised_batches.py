"""Batches with truth: what is drawn, and what a voxel truly is."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from labelled_sample import LabelledMemory, parks, tensors_of
from posed_sample import STEPS

from clip3d_cli.core.scenes import PosedScene
from clip3d_cli.core.voxels import voxelize
from clip3d_cli.datasets.folder.dataset import Folder
from clip3d_cli.errors import InputError
from clip3d_cli.training.batch_loader import BatchLoader
from clip3d_cli.training.clip2scene.batches import NetworkInputs
from clip3d_cli.training.supervised import batches as labelled_batches
from clip3d_cli.training.supervised.batches import (
    LabelledBatch,
    LabelledBatches,
    LabelledOptions,
    majority_class,
)

NUMBERED = NetworkInputs(("intensity",), (0.1,))


def same(one: LabelledBatch, other: LabelledBatch) -> bool:
    pairs = zip(tensors_of(one), tensors_of(other), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def numbers_of(batch: LabelledBatch) -> Any:
    """(M,) the number of the point in each voxel."""
    return np.rint(batch.voxels.feats[:, 0].numpy() * STEPS).astype(int)


def spread(dataset: LabelledMemory, name: str, count: int, first: int = 0) -> PosedScene:
    """Points ten metres long, each in a voxel of its own; point n is of class n % 3."""
    xyz = np.column_stack([np.arange(count) * 10.0 / count, np.zeros((count, 2))]) + 0.03
    scene = dataset.labelled(name, xyz, [(first + n) % 3 for n in range(count)])
    cloud = dataset.clouds[scene.sweeps[0].path]
    shifted = cloud.intensity + np.float32(first / STEPS)
    dataset.clouds[scene.sweeps[0].path] = replace(cloud, intensity=shifted)
    return scene


def lines(lines: int, count: int = 60, **options: Any) -> LabelledBatches:
    dataset = LabelledMemory()
    made = [spread(dataset, f"line{n}", count, 300 * n) for n in range(lines)]
    return LabelledBatches(dataset, made, NUMBERED, LabelledOptions(**options))


def test_the_truth_of_a_voxel_by_hand() -> None:
    truth = np.array([2, 1, 2, -1, 1, 0, -1, 5, 5, 0, -1, -1], dtype=np.int32)
    voxel = np.array([0, 0, 0, 0, 1, 1, 2, 3, 3, 3, 3, 3])
    # Two of three; as common as each other: the first class; not judged; two of the three judged.
    assert majority_class(truth, voxel, 5).tolist() == [2, 0, -1, 5, -1]
    assert majority_class(truth, voxel, 5).dtype == np.int64
    assert majority_class(np.full(12, -1, dtype=np.int32), voxel, 5).tolist() == [-1] * 5


def test_the_truth_of_many_voxels_is_what_counting_says() -> None:
    rng = np.random.default_rng(0)
    truth, voxel = rng.integers(-1, 4, 2000).astype(np.int32), rng.integers(0, 300, 2000)
    counts = np.zeros((300, 4), dtype=int)
    np.add.at(counts, (voxel[truth >= 0], truth[truth >= 0]), 1)
    wanted = np.where(counts.any(axis=1), counts.argmax(axis=1), -1)
    assert majority_class(truth, voxel, 300).tolist() == wanted.tolist()


@pytest.mark.parametrize("augment", [False, True])
def test_truth_stays_with_its_points(augment: bool) -> None:
    batch = lines(3, scenes=3, augment=augment)(0)
    assert len(batch.voxels) == 180
    assert batch.voxels.cells[:, 0].unique().tolist() == [0, 1, 2]
    number = numbers_of(batch) - 1
    assert sorted(number.tolist()) == [300 * n + k for n in range(3) for k in range(60)]
    assert batch.truth.tolist() == (number % 3).tolist()


def test_points_that_nobody_judged_or_that_are_not_finite() -> None:
    dataset = LabelledMemory()
    xyz = np.array([[0.05, 0, 0], [np.nan, 0, 0], [1.05, 0, 0], [2.05, 0, 0]])
    scene = dataset.labelled("few", xyz, [2, 1, -1, 0])
    batch = LabelledBatches(dataset, [scene], NUMBERED, LabelledOptions(scenes=1, augment=False))(0)
    assert numbers_of(batch).tolist() == [1, 3, 4]
    assert batch.truth.tolist() == [2, -1, 0]


def test_as_labelling_sees_a_scene() -> None:
    maker = parks(1, scenes=1, augment=False)
    cloud = maker.dataset.cloud(maker.scenes[0].sweeps[0])
    wanted = voxelize(cloud.xyz, 0.2)
    assert maker(0).voxels.cells[:, 1:].tolist() == wanted.cells.tolist()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_follows_from_its_number(workers: int) -> None:
    maker = parks(3, scenes=2, points=800)
    wanted = [maker(number) for number in range(4)]
    for number, batch in zip((2, 3), BatchLoader(maker, workers)(range(2, 4)), strict=True):
        assert same(batch, wanted[number])
    copied = pickle.loads(pickle.dumps(maker))
    assert all(same(copied(number), wanted[number]) for number in (3, 0))
    assert not same(wanted[0], wanted[1])
    assert not same(replace(maker, seed=1)(0), wanted[0])


def test_every_scene_is_drawn_once_an_epoch() -> None:
    maker = lines(5, scenes=2, augment=False)
    drawn = [
        int(first) // 300
        for number in range(15)
        for cloud in range(2)
        for batch in [maker(number)]
        for first in [numbers_of(batch)[(batch.voxels.cells[:, 0] == cloud).numpy()][0] - 1]
    ]
    epochs = [drawn[first : first + 5] for first in range(0, 30, 5)]
    assert all(sorted(epoch) == [0, 1, 2, 3, 4] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 3


def test_a_disc_lies_around_a_judged_point() -> None:
    dataset = LabelledMemory()
    scene = spread(dataset, "line", 100)
    judged = [17, 71]
    dataset.truths["line"] = np.where(np.isin(np.arange(100), judged), 1, -1).astype(np.int32)
    options = LabelledOptions(scenes=1, points=9, augment=False)
    maker = LabelledBatches(dataset, [scene], NUMBERED, options)
    middles = set()
    for number in range(20):
        found = numbers_of(maker(number)) - 1
        assert found.tolist() == list(range(found[0], found[0] + 9))
        middles.add(int(found[4]))
    assert middles == set(judged)


def test_scenes_are_read_once_while_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    maker = lines(3, scenes=3)
    asked = maker.dataset.asked  # type: ignore[attr-defined]
    for number in range(4):
        maker(number)
    assert len(asked) == 3
    # A line of 60 points takes 60 · (24 + 4 + 4) bytes: one fits.
    monkeypatch.setattr(labelled_batches, "_CACHE_BYTES", 60 * 32 + 1)
    forgetful = lines(3, scenes=3)
    asked = forgetful.dataset.asked  # type: ignore[attr-defined]
    for number in range(4):
        assert same(forgetful(number), maker(number))
    assert len(asked) == 1 + 2 * 4


def test_what_was_read_does_not_travel_to_workers() -> None:
    maker = lines(1, scenes=1, count=3000)
    before = len(pickle.dumps(maker))
    maker(0)
    assert len(pickle.dumps(maker)) < before + 100


def test_scenes_without_truth_or_points_are_refused() -> None:
    dataset = LabelledMemory()
    scene = spread(dataset, "bare", 5)
    dataset.truths.clear()
    maker = LabelledBatches(dataset, [scene], NUMBERED, LabelledOptions(scenes=1))
    with pytest.raises(InputError, match=r"E_DATASET.*bare: has no ground truth"):
        maker(0)
    nothing = dataset.labelled("void", np.full((2, 3), np.nan), [0, 1])
    with pytest.raises(InputError, match=r"E_EMPTY_FILE.*void\.bin: has no finite point"):
        LabelledBatches(dataset, [nothing], NUMBERED, LabelledOptions(scenes=1))(0)


def test_a_batch_goes_to_a_device_whole() -> None:
    batch = parks(scenes=1)(0)
    assert {tensor.device.type for tensor in tensors_of(batch.to("meta"))} == {"meta"}
    assert same(batch.to("cpu"), batch)


def test_a_folder_with_labels_is_learned_from(tmp_path: Path) -> None:
    scene = tmp_path / "yard"
    scene.mkdir()
    rng = np.random.default_rng(0)
    np.save(scene / "cloud.npy", rng.uniform(0, 5, (200, 3)))
    np.save(scene / "labels.npy", np.arange(200) % 3)
    (tmp_path / "vocabulary.toml").write_text(
        "".join(f'[[class]]\nname = "{name}"\nid = {k}\n' for k, name in ((1, "a"), (2, "b")))
    )
    dataset = Folder(tmp_path)
    inputs = NetworkInputs(("one",), (0.01,))
    options = LabelledOptions(scenes=1, augment=False)
    batch = LabelledBatches(dataset, dataset.scenes("all"), inputs, options)(0)
    # Number 0 is not judged, 1 is class 0.
    assert torch.bincount(batch.truth + 1).tolist() == [67, 67, 66]
