from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from clip3d_cli.core.labels import Labels
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.vocabulary import Vocabulary
from weights.recipe.points.batches import Batches, BatchOptions, _draw_target_rows, augment
from weights.recipe.points.evaluate import Suite, evaluate
from weights.recipe.points.sources import (
    Scan,
    read_leaf_sets,
    read_real_scan,
    read_simulated_scan,
)
from weights.recipe.points.taxonomy import Taxonomy, read_table


def _scan(points: int = 4000) -> Scan:
    rng = np.random.default_rng(0)
    ground = rng.uniform(0, 30, (points, 3)) * [1, 1, 0]
    box = rng.uniform(10, 14, (points // 4, 3)) * [1, 1, 0.1]
    leaf_set = np.repeat([0, 1], [points, points // 4]).astype(np.int16)
    leaf_set[::7] = -1
    leaf_sets = (frozenset({"road", "sidewalk"}), frozenset({"car"}))
    return Scan("s", "sim-driving", np.concatenate((ground, box)), leaf_set, leaf_sets)


def test_tables_list_only_known_leaves() -> None:
    taxonomy = Taxonomy.read()
    leaves = set(taxonomy.words_of_leaf)
    for table in read_table("sources.toml"):
        if table != "sets":
            _, sets = read_leaf_sets(table)
            assert set().union(*sets) <= leaves


def test_simulated_concepts_are_leaves() -> None:
    from weights.recipe.simulate.concepts import concept_names

    assert {*concept_names()} - {"trash bin", "unlabeled"} <= set(Taxonomy.read().words_of_leaf)


def test_queries_never_repeat_a_leaf_or_split_a_group() -> None:
    taxonomy = Taxonomy.read()
    known = frozenset({"road", "sidewalk", "car", "van", "tree crown", "tree trunk", "building"})
    in_one_word: Counter[bool] = Counter()
    for seed in range(200):
        query = taxonomy.draw_query(known, np.random.default_rng(seed))
        leaves = [leaf for leaves_of_word in query.values() for leaf in leaves_of_word]
        assert len(leaves) == len(set(leaves)), "a leaf is in the query twice"
        assert all(word in taxonomy.all_words for word in query)
        in_one_word[any({"car", "van"} <= meant for meant in query.values())] += 1
    assert min(in_one_word[True], in_one_word[False]) > 20


def test_augmented_scans_keep_shape_and_labels() -> None:
    scan = replace(_scan(), leaf_set_of_point=np.arange(5000).astype(np.int16) % 2)
    xyz, leaf_set = augment(scan, np.random.default_rng(3))
    assert len(xyz) == len(leaf_set)
    size, was = np.ptp(xyz, axis=0), np.ptp(scan.xyz, axis=0)
    assert (np.hypot(*size[:2]) > 0.8 * np.hypot(*was[:2])).all()
    assert size[2] < 8


def _batches(scan: Scan, seed: int = 0) -> Batches:
    words = Taxonomy.read().all_words
    vectors = torch.nn.functional.normalize(torch.randn(len(words), 8), dim=1)
    options = BatchOptions({"sim-driving": 1.0}, 3, 500, 200)
    return Batches([scan], options, dict(zip(words, vectors, strict=True)), seed)


def test_batches_have_a_right_word_for_every_target() -> None:
    batch = next(iter(_batches(_scan())))
    assert len(batch.targets) == 3
    assert len(batch.target_rows) == sum(len(target.meaning) for target in batch.targets)
    assert (torch.bincount(batch.voxels.cells[:, 0]) <= 500).all()
    assert (torch.diff(batch.target_rows) > 0).all()
    for target in batch.targets:
        assert (target.meaning >= 0).all()
        assert target.accepted.shape == (2, len(target.vectors) + 1)
        assert target.accepted.any(dim=1).all(), "a voxel has no right word"


def test_target_rows_prefer_rare_leaf_sets_and_have_ground_truth() -> None:
    leaf_set = np.repeat([0, 1, -1], [9600, 200, 200])
    weight = np.array([0.98, 0.02]) ** -0.5
    rows = _draw_target_rows(leaf_set, weight, 1000, np.random.default_rng(0))
    assert len(rows) == len(set(rows)) == 1000
    assert (leaf_set[rows] >= 0).all()
    # Drawn with seven times the weight, 2 % of the voxels are near 12 % of the rows.
    assert 0.08 < (leaf_set[rows] == 1).mean() < 0.16


def test_batches_repeat_by_seed() -> None:
    scan = _scan()
    one, two, other = (next(iter(_batches(scan, seed))) for seed in (5, 5, 6))
    assert torch.equal(one.voxels.cells, two.voxels.cells)
    assert torch.equal(one.voxels.feats, two.voxels.feats)
    assert not torch.equal(one.target_rows, other.target_rows)


def test_simulated_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "scan.npz"
    concepts = np.array(["road", "car", "trash bin"])
    label = np.array([2, 0, 0], np.uint8)
    np.savez(path, xyz=np.zeros((3, 3), np.float32), label=label, concepts=concepts)
    scan = read_simulated_scan(path, "sim-driving")
    assert scan.known_leaves == {"trash can", "road"}
    assert scan.leaf_sets[scan.leaf_set_of_point[0]] == {"trash can"}


def test_real_scans_have_the_leaf_sets_of_their_labels(shared_data: Path) -> None:
    scan = read_real_scan(shared_data / "driving/pandaset_001/00.npz", "pandaset", "pandaset")
    label = np.load(shared_data / "driving/pandaset_001/00.npz")["label"]
    cars = np.flatnonzero(label == 13)
    assert {scan.leaf_sets[index] for index in np.unique(scan.leaf_set_of_point[cars])} == {
        frozenset({"car"})
    }
    assert (scan.leaf_set_of_point[label == 4] == -1).all()


class FixedLabeller:
    """Predicts the same classes for every cloud."""

    def __init__(self, class_index: np.ndarray) -> None:
        self.class_index = class_index

    def embed_classes(self, vocabulary: Vocabulary) -> Vocabulary:
        return vocabulary

    def label(self, cloud: PointCloud, vocabulary: Vocabulary) -> Labels:
        return Labels(self.class_index, np.ones(len(cloud), np.float32), vocabulary)


def test_evaluation_scores_a_perfect_and_a_useless_labeller(tmp_path: Path) -> None:
    label = np.array([0, 0, 1, 4, 7, 10], np.uint8)
    np.savez(tmp_path / "scan.npz", xyz=np.zeros((6, 3), np.float32), label=label)
    suite = Suite("ika", "*.npz", False)
    perfect = np.array([0, 0, 1, 4, 7, 2], np.int32)
    for class_index, score in ((perfect, 1.0), (np.full(6, 9, np.int32), 0.0)):
        result = evaluate(FixedLabeller(class_index), suite, tmp_path)  # type: ignore[arg-type]
        assert result["mIoU"] == score
        # Label 10 belongs to no class.
        assert result["points"] == 5
