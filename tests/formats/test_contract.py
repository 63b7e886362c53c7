"""Tests that every format in the registry must pass."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from other_readers import PREFIXES, columns_in, surroundings_of
from sample_clouds import SAMPLES, UTM, read_with_facts, some_labels, street

from clip3d_cli import registry
from clip3d_cli.errors import Clip3DError, UsageError
from clip3d_cli.formats.cloud_file import (
    ReadOptions,
    inspect_cloud,
    open_cloud,
    read_cloud,
    write_labels,
)

EVERY_SAMPLE = pytest.mark.parametrize("sample", SAMPLES)
COUNT = 300


def write_sample(folder: Path, sample: str, count: int = COUNT) -> Path:
    _, suffix, writer = SAMPLES[sample]
    return writer(folder / f"scan{suffix}", count)


def test_every_format_has_samples() -> None:
    assert {kind for kind, _, _ in SAMPLES.values()} == set(registry.names("formats"))


@EVERY_SAMPLE
def test_points_come_in_the_files_order(tmp_path: Path, sample: str) -> None:
    path = write_sample(tmp_path, sample)
    cloud, facts = read_with_facts(path)
    expected = street(COUNT) + (UTM if sample.startswith("la") else 0)
    found = np.isfinite(cloud.xyz).all(axis=1)
    assert len(cloud) == facts.points == COUNT
    assert found.sum() == COUNT - sample.startswith("pcd")
    np.testing.assert_allclose(cloud.xyz[found], expected[found], rtol=1e-6, atol=1e-3)


@EVERY_SAMPLE
def test_looking_tells_what_reading_tells(tmp_path: Path, sample: str) -> None:
    path = write_sample(tmp_path, sample)
    looked, (_, read) = inspect_cloud(path), read_with_facts(path)
    assert (looked.format, looked.points, looked.fields) == (read.format, read.points, read.fields)
    np.testing.assert_array_equal(looked.bounds, read.bounds)


@EVERY_SAMPLE
@pytest.mark.parametrize("count", [1, COUNT])
@pytest.mark.parametrize("ranks", [None, 3])
def test_labels_are_found_by_other_readers(
    tmp_path: Path, sample: str, count: int, ranks: int | None
) -> None:
    path = write_sample(tmp_path, sample, count)
    labels = some_labels(count, ranks)
    target = open_cloud(path).target_path()
    sidecar = target.with_name(target.stem + ".classes.json")
    assert write_labels(labels, path, target) == [target, sidecar]
    columns = columns_in(target)
    prefix = PREFIXES.get(target.suffix, "")
    np.testing.assert_array_equal(columns[f"{prefix}label"].reshape(-1), labels.class_id)
    if target.suffix == ".label":
        return
    np.testing.assert_array_equal(columns[f"{prefix}score"].reshape(-1), labels.score)
    if labels.ranking is None or labels.ranking_score is None:
        return
    if target.suffix == ".npz":
        third = columns["topk_label"][:, 2], columns["topk_score"][:, 2]
    else:
        names = {f"{prefix}{kind}{n}" for kind in ("label", "score") for n in ("", "_2", "_3")}
        assert {name for name in columns if "label" in name or "score" in name} == names
        third = columns[f"{prefix}label_3"].reshape(-1), columns[f"{prefix}score_3"].reshape(-1)
    np.testing.assert_array_equal(third[0], np.array([1, 2, 3, 0])[labels.ranking[:, 2]])
    np.testing.assert_array_equal(third[1], labels.ranking_score[:, 2])


@EVERY_SAMPLE
def test_all_else_survives(tmp_path: Path, sample: str) -> None:
    path = write_sample(tmp_path, sample)
    before, original = columns_in(path), path.read_bytes()
    target = open_cloud(path).target_path()
    write_labels(some_labels(COUNT), path, target)
    assert path.read_bytes() == original
    if target.suffix == ".label":
        return
    after = columns_in(target)
    prefix = PREFIXES[target.suffix]
    assert set(after) == {*before, f"{prefix}label", f"{prefix}score"}
    for name, values in before.items():
        assert after[name].dtype == values.dtype
        np.testing.assert_array_equal(after[name], values, err_msg=name)
    if target.suffix == path.suffix:
        assert surroundings_of(target) == surroundings_of(path)


@EVERY_SAMPLE
def test_labelling_again_replaces_labels_only(tmp_path: Path, sample: str) -> None:
    path = write_sample(tmp_path, sample)
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    once = open_cloud(path).target_path(first)
    write_labels(some_labels(COUNT, 3), path, once)
    if once.suffix == ".label":
        return
    assert inspect_cloud(once).label_fields
    labels = some_labels(COUNT, names="a,b")
    with pytest.raises(UsageError, match="E_LABEL_FIELD"):
        write_labels(labels, once, second / once.name)
    write_labels(labels, once, second / once.name, overwrite=True)
    fresh = first / f"fresh{once.suffix}"
    write_labels(labels, path, fresh)
    if sample in ("pcd-packed", "npz", "npy"):  # these are packed anew
        again, expected = columns_in(second / once.name), columns_in(fresh)
        assert list(again) == list(expected)
        assert all(
            np.array_equal(again[name], expected[name], equal_nan=True)
            for name in again
            if again[name].dtype.kind != "U"
        )
        return
    assert (second / once.name).read_bytes() == fresh.read_bytes()


@EVERY_SAMPLE
def test_no_points_is_a_valid_file(tmp_path: Path, sample: str) -> None:
    if SAMPLES[sample][0] == "bin":
        pytest.skip("a headless table without rows is an empty file")
    path = write_sample(tmp_path, sample, 0)
    cloud, facts = read_with_facts(path)
    assert len(cloud) == 0
    assert "there are no points" in facts.warnings
    target = open_cloud(path).target_path()
    write_labels(some_labels(0), path, target)
    assert len(read_cloud(target)) == 0


@EVERY_SAMPLE
@pytest.mark.parametrize("share", [0.5, 0.97])
def test_a_cut_file_is_refused(tmp_path: Path, sample: str, share: float) -> None:
    path = write_sample(tmp_path, sample)
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * share) | 1])
    with pytest.raises(Clip3DError) as refusal:
        read_cloud(path)
    assert refusal.value.code in ("E_TRUNCATED", "E_COUNT_MISMATCH", "E_BAD_SIZE")
    assert refusal.value.where == str(path)
    assert refusal.value.remedy


@pytest.mark.parametrize(
    "sample", [name for name in SAMPLES if name.split("-")[0] in ("ply", "las", "laz", "kitti")]
)
def test_a_cut_file_may_be_labelled_as_far_as_it_goes(tmp_path: Path, sample: str) -> None:
    path = write_sample(tmp_path, sample, 4000)
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) * 3 // 4 + 1])
    columns = ("x", "y", "z", "i") if "k" in sample else None
    options = ReadOptions(columns, allow_truncated=True)
    whole = street(4000) + (UTM if sample.startswith("la") else 0)
    cloud, facts = read_with_facts(path, options)
    # Points of LAS 1.4 are packed 50,000 together: a cut leaves none of them.
    assert facts.points == len(cloud) < 4000
    assert len(cloud) > 1000 or sample == "laz-1.4"
    np.testing.assert_allclose(cloud.xyz, whole[: len(cloud)], rtol=1e-6, atol=1e-3)
    target = open_cloud(path, options).target_path()
    labels = some_labels(len(cloud))
    write_labels(labels, path, target, columns=columns, allow_truncated=True)
    found = columns_in(target)[PREFIXES.get(target.suffix, "") + "label"]
    np.testing.assert_array_equal(found, labels.class_id)


@EVERY_SAMPLE
def test_damaged_files_are_refused_or_read_never_worse(tmp_path: Path, sample: str) -> None:
    path = write_sample(tmp_path, sample, 40)
    raw = path.read_bytes()
    dice = random.Random(sample)
    options = ReadOptions(max_memory=1 << 28)
    for _ in range(30):
        damaged = bytearray(raw)
        for _ in range(dice.choice([1, 2, 8])):
            place = dice.randrange(min(len(damaged), dice.choice([500, len(raw)])))
            damaged[place] = dice.choice([0, 127, 255, damaged[place] ^ 1 << dice.randrange(8)])
        if dice.random() < 0.2:
            del damaged[dice.randrange(len(damaged)) + 1 :]
        path.write_bytes(damaged)
        try:
            cloud, facts = read_with_facts(path, options)
        except Clip3DError as refusal:
            assert refusal.remedy
        else:
            assert len(cloud) == facts.points
