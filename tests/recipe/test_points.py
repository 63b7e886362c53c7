from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from weights.recipe.points.batches import Batches, Mixture, _rare_first, augment
from weights.recipe.points.judge import judge
from weights.recipe.points.sources import Scan, meanings, real_scan, simulated_scan
from weights.recipe.points.taxonomy import Taxonomy, read_table


def _scan(points: int = 4000) -> Scan:
    rng = np.random.default_rng(0)
    ground = rng.uniform(0, 30, (points, 3)) * [1, 1, 0]
    box = rng.uniform(10, 14, (points // 4, 3)) * [1, 1, 0.1]
    meaning = np.repeat([0, 1], [points, points // 4]).astype(np.int16)
    meaning[::7] = -1
    leaves = (frozenset({"road", "sidewalk"}), frozenset({"car"}))
    return Scan("s", "sim-driving", np.concatenate((ground, box)), meaning, leaves)


def test_every_table_names_only_leaves_that_are_there() -> None:
    taxonomy = Taxonomy.read()
    leaves = set(taxonomy.words_of_leaf)
    for table in read_table("sources.toml"):
        if table != "sets":
            _, sets = meanings(table)
            assert set().union(*sets) <= leaves


def test_simulated_concepts_are_leaves() -> None:
    from weights.recipe.simulate.concepts import concept_names

    assert {*concept_names()} - {"trash bin"} <= set(Taxonomy.read().words_of_leaf)


def test_questions_never_give_a_word_two_meanings_or_split_a_group() -> None:
    taxonomy = Taxonomy.read()
    known = frozenset({"road", "sidewalk", "car", "van", "tree crown", "tree trunk", "building"})
    asked_together: Counter[bool] = Counter()
    for seed in range(200):
        question = taxonomy.ask(known, np.random.default_rng(seed))
        leaves = [leaf for meaning in question.values() for leaf in meaning]
        assert len(leaves) == len(set(leaves)), "a leaf is asked for twice"
        assert all(words in taxonomy.all_words for words in question)
        asked_together[any({"car", "van"} <= meaning for meaning in question.values())] += 1
    assert min(asked_together[True], asked_together[False]) > 20


def test_augmented_scans_keep_shape_and_labels() -> None:
    scan = replace(_scan(), meaning=np.arange(5000).astype(np.int16) % 2)
    xyz, meaning = augment(scan, np.random.default_rng(3))
    assert len(xyz) == len(meaning)
    size, was = np.ptp(xyz, axis=0), np.ptp(scan.xyz, axis=0)
    assert (np.hypot(*size[:2]) > 0.8 * np.hypot(*was[:2])).all()
    assert size[2] < 8


def _batches(scan: Scan, seed: int = 0) -> Batches:
    words = Taxonomy.read().all_words
    vectors = torch.nn.functional.normalize(torch.randn(len(words), 8), dim=1)
    mixture = Mixture({"sim-driving": 1.0}, 3, 500, 200)
    return Batches([scan], mixture, dict(zip(words, vectors, strict=True)), seed)


def test_batches_ask_only_what_the_rows_can_answer() -> None:
    batch = next(iter(_batches(_scan())))
    assert len(batch.targets) == 3
    assert len(batch.rows) == sum(len(target.meaning) for target in batch.targets)
    assert (torch.bincount(batch.voxels.cells[:, 0]) <= 500).all()
    assert (torch.diff(batch.rows) > 0).all()
    for target in batch.targets:
        assert (target.meaning >= 0).all()
        assert target.accepted.shape == (2, len(target.vectors) + 1)
        assert target.accepted.any(dim=1).all(), "some voxel has no right answer"


def test_rows_favor_rare_meanings_and_leave_out_what_is_not_judged() -> None:
    truth = np.repeat([0, 1, -1], [9600, 200, 200])
    weight = np.array([0.98, 0.02]) ** -0.5
    rows = _rare_first(truth, weight, 1000, np.random.default_rng(0))
    assert len(rows) == len(set(rows)) == 1000
    assert (truth[rows] >= 0).all()
    # Drawn with seven times the weight, 2 % of the voxels are near 12 % of the rows.
    assert 0.08 < (truth[rows] == 1).mean() < 0.16


def test_batches_repeat_by_seed() -> None:
    scan = _scan()
    one, two, other = (next(iter(_batches(scan, seed))) for seed in (5, 5, 6))
    assert torch.equal(one.voxels.cells, two.voxels.cells)
    assert torch.equal(one.voxels.feats, two.voxels.feats)
    assert not torch.equal(one.rows, other.rows)


def test_simulated_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "scan.npz"
    concepts = np.array(["road", "car", "trash bin"])
    label = np.array([2, 0, 0], np.uint8)
    np.savez(path, xyz=np.zeros((3, 3), np.float32), label=label, concepts=concepts)
    scan = simulated_scan(path, "sim-driving")
    assert scan.known == {"trash can", "road"}
    assert scan.leaves_of_meaning[scan.meaning[0]] == {"trash can"}


def test_real_scans_mean_what_their_labels_say(shared_data: Path) -> None:
    scan = real_scan(shared_data / "driving/pandaset_001/00.npz", "pandaset", "pandaset")
    label = np.load(shared_data / "driving/pandaset_001/00.npz")["label"]
    cars = np.flatnonzero(label == 13)
    assert {scan.leaves_of_meaning[m] for m in np.unique(scan.meaning[cars])} == {
        frozenset({"car"})
    }
    assert (scan.meaning[label == 4] == -1).all()


def test_judge_scores_a_perfect_and_a_blind_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from clip3d_cli.core.labels import Labels
    from weights.recipe.points import judge as judging

    label = np.array([0, 0, 1, 4, 7, 10], np.uint8)
    path = tmp_path / "scan.npz"
    np.savez(path, xyz=np.zeros((6, 3), np.float32), label=label)
    known = np.array([0, 0, 1, 4, 7, 2], np.int32)
    for answer, wanted in ((known, 1.0), (np.full(6, 9, np.int32), 0.0)):

        def answered(_: object, __: object, classes: object, given: np.ndarray = answer) -> Labels:
            return Labels(given, np.ones(6, np.float32), classes.vocabulary)  # type: ignore[attr-defined]

        monkeypatch.setattr(judging, "label_cloud", answered)
        result = judge(None, "ika", [path])  # type: ignore[arg-type]
        assert result["mIoU"] == wanted
        assert result["points"] == 5
