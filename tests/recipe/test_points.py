"""Labels, queries and batches of the training of the shipped point encoder."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from clip3d_cli.core.embeddings import FeatureSpace
from clip3d_cli.core.labels import Labels
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.encoders.spec import EncoderSpec
from weights.recipe.points.augmentation import add_strays, change_intensity, move, recolor
from weights.recipe.points.batches import (
    INPUTS,
    VOXEL_SIZES_M,
    Batches,
    BatchOptions,
    DrawTable,
)
from weights.recipe.points.evaluate import (
    SimulatedOptions,
    Suite,
    evaluate,
    evaluate_simulated,
)
from weights.recipe.points.learner import WordLearner, similarities
from weights.recipe.points.scan_lists import ScanLists, list_scan
from weights.recipe.points.sources import (
    read_leaf_sets,
    read_real_scan,
    read_simulated_scan,
    simulated_files,
)
from weights.recipe.points.taxonomy import Taxonomy, read_table

CONCEPTS = ["road", "car", "trash bin", "bed|pillow", "unlabeled", "pole"]


def write_scan(path: Path, seed: int = 0) -> None:
    """Write a street of 4,000 points with a car, a pole, and points of no label."""
    rng = np.random.default_rng(seed)
    ground = rng.uniform(0, 30, (3000, 3)) * [1, 1, 0]
    car = rng.uniform(10, 14, (900, 3)) * [1, 1, 0.1]
    pole = rng.uniform(20, 20.2, (100, 3)) * [1, 1, 0.1]
    label = np.repeat([0, 1, 5], [3000, 900, 100]).astype(np.uint16)
    label[::7] = 4
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        xyz=np.concatenate((ground, car, pole)).astype(np.float32),
        label=label,
        concepts=np.array(CONCEPTS),
        rgb=rng.integers(0, 255, (4000, 3), dtype=np.uint8),
        intensity=rng.random(4000).astype(np.float32),
    )


def test_tables_list_only_known_leaves() -> None:
    leaves = set(Taxonomy.read().words_of_leaf)
    for table in read_table("sources.toml"):
        if table != "sets":
            _, sets = read_leaf_sets(table)
            assert set().union(*sets) <= leaves


def test_simulated_concepts_are_leaves() -> None:
    from weights.recipe.simulate.concepts import concept_names

    names = {name for concept in concept_names() for name in concept.split("|")}
    assert names - {"trash bin", "unlabeled"} <= set(Taxonomy.read().words_of_leaf)


def test_nothing_is_under_itself() -> None:
    taxonomy = Taxonomy.read()
    for leaf in taxonomy.under:
        above = [each for _, each in zip(range(10), taxonomy.above(leaf), strict=False)]
        assert leaf not in above
        assert len(above) < 10


def test_queries_never_repeat_a_leaf_or_split_a_group() -> None:
    taxonomy = Taxonomy.read()
    known = frozenset({"road", "sidewalk", "car", "van", "tree crown", "tree trunk", "building"})
    in_one_word: Counter[bool] = Counter()
    for seed in range(200):
        query = taxonomy.draw_query(known, np.random.default_rng(seed))
        leaves = [leaf for leaves_of_word in query.values() for leaf in leaves_of_word]
        assert len(leaves) == len(set(leaves)), "a leaf is in the query twice"
        assert known <= set(leaves)
        assert all(word in taxonomy.all_words for word in query)
        in_one_word[any({"car", "van"} <= meant for meant in query.values())] += 1
    assert min(in_one_word[True], in_one_word[False]) > 20


def test_incomplete_queries_have_few_words_at_times() -> None:
    taxonomy = Taxonomy.read()
    known = frozenset({"road", "car", "building", "window"})
    counts = Counter(
        min(4, len(taxonomy.draw_query(known, np.random.default_rng(seed), complete=False)))
        for seed in range(300)
    )
    assert min(counts[1], counts[2], counts[4]) > 15


def test_parts_are_right_for_the_whole_where_they_have_no_word() -> None:
    taxonomy = Taxonomy.read()
    building = frozenset({"building"})
    alone = taxonomy.with_leaves_under({"house": building})
    assert {"facade wall", "window", "chimney"} <= alone["house"]
    beside = taxonomy.with_leaves_under({"house": building, "pane": frozenset({"window"})})
    assert "window" not in beside["house"]


def test_parts_are_not_added_to_queries_of_scans_that_do_not_tell_them_apart() -> None:
    taxonomy = Taxonomy.read()
    known = frozenset({"building", "road"})
    for seed in range(100):
        for fine in (False, True):
            query = taxonomy.draw_query(known, np.random.default_rng(seed), fine=fine)
            assert "balcony" not in query
            assert "tire" not in query


def test_simulated_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "scan.npz"
    label = np.array([2, 0, 0, 3, 4], np.uint16)
    np.savez(path, xyz=np.zeros((5, 3), np.float32), label=label, concepts=np.array(CONCEPTS))
    scan = read_simulated_scan(path, "sim-driving")
    assert scan.known_leaves == {"trash can", "road", "bed", "pillow"}
    assert scan.leaf_sets[scan.leaf_set_of_point[0]] == {"trash can"}
    assert scan.leaf_sets[scan.leaf_set_of_point[3]] == {"bed", "pillow"}
    assert scan.leaf_set_of_point[4] == -1
    assert scan.fine


def test_real_scans_have_the_leaf_sets_of_their_labels(shared_data: Path) -> None:
    scan = read_real_scan(shared_data / "driving/pandaset_001/00.npz", "pandaset", "pandaset")
    label = np.load(shared_data / "driving/pandaset_001/00.npz")["label"]
    cars = np.flatnonzero(label == 13)
    assert {scan.leaf_sets[index] for index in np.unique(scan.leaf_set_of_point[cars])} == {
        frozenset({"car"})
    }
    assert (scan.leaf_set_of_point[label == 4] == -1).all()
    assert not scan.fine


def test_moved_scans_keep_their_size_and_stay_nearly_upright() -> None:
    rng = np.random.default_rng(3)
    xyz = rng.uniform(0, 30, (5000, 3)) * [1, 1, 0.1]
    tilted = 0
    for seed in range(60):
        moved = move(xyz, np.random.default_rng(seed), indoor=False, voxel_m=0.2)
        size, was = np.ptp(moved, axis=0), np.ptp(xyz, axis=0)
        assert 0.75 * np.hypot(*was[:2]) < np.hypot(*size[:2]) < 1.7 * np.hypot(*was[:2])
        tilted += size[2] > 8
    assert 0 < tilted < 15


def test_colors_and_intensity_are_dropped_and_changed() -> None:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 255, (500, 3), dtype=np.uint8)
    cloud = PointCloud(rng.random((500, 3)), rgb, rng.random(500).astype(np.float32))
    changed = [
        change_intensity(recolor(cloud, np.random.default_rng(seed)), np.random.default_rng(seed))
        for seed in range(60)
    ]
    assert 8 < sum(each.rgb is None for each in changed) < 40
    assert 8 < sum(each.intensity is None for each in changed) < 40
    assert any(each.rgb is not None and (each.rgb != rgb).any() for each in changed)


def test_strays_have_no_ground_truth() -> None:
    cloud = PointCloud(np.random.default_rng(0).random((500, 3)))
    found = [
        add_strays(cloud, np.zeros(500, np.int16), np.random.default_rng(seed))
        for seed in range(40)
    ]
    assert {len(each) == 500 for each, _ in found} == {True, False}
    for each, leaf_set in found:
        assert len(each) == len(leaf_set)
        assert (leaf_set[500:] == -1).all()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_scan(tmp_path / "sim/driving-a/driving_0.npz")
    write_scan(tmp_path / "sim/driving-a/driving_1.npz", seed=1)
    return tmp_path


def batches_of(folder: Path, seed: int = 0, dim: int = 8) -> Batches:
    words = Taxonomy.read().all_words
    generator = torch.Generator().manual_seed(0)
    vectors = torch.nn.functional.normalize(
        torch.randn(len(words), dim, generator=generator), dim=1
    )
    lists = ScanLists(folder / "scans", None, folder / "sim", VOXEL_SIZES_M)
    options = BatchOptions({"sim-driving": 1.0}, INPUTS, 3, 500, 200)
    return Batches(lists, options, dict(zip(words, vectors, strict=True)), seed, 10)


def test_batches_have_a_right_word_for_every_target(folder: Path) -> None:
    batch = batches_of(folder)(0)
    assert len(batch.targets) == 3
    assert len(batch.target_rows) == sum(len(queries[0].meaning) for queries in batch.targets)
    assert (torch.bincount(batch.voxels.cells[:, 0]) <= 500).all()
    assert (torch.diff(batch.target_rows) > 0).all()
    for queries in batch.targets:
        for query in queries:
            assert (query.meaning >= 0).all()
            assert query.accepted.shape[1] == len(query.vectors) + 1
            assert query.accepted.any(dim=1).all(), "a voxel has no right word"


def test_batches_repeat_by_seed_and_number(folder: Path) -> None:
    one, two = (batches_of(folder, seed=5)(3) for _ in range(2))
    assert torch.equal(one.voxels.cells, two.voxels.cells)
    assert torch.equal(one.voxels.feats, two.voxels.feats)
    assert torch.equal(one.targets[0][1].vectors, two.targets[0][1].vectors)
    for other in (batches_of(folder, seed=6)(3), batches_of(folder, seed=5)(4)):
        assert not torch.equal(one.voxels.cells[:50], other.voxels.cells[:50])


def test_scans_that_are_added_are_listed_in_the_next_epoch(folder: Path) -> None:
    lists = ScanLists(folder / "scans", None, folder / "sim", VOXEL_SIZES_M)
    assert len(lists.of_epoch(0)) == 2
    write_scan(folder / "sim/driving-b/driving_2.npz", seed=2)
    assert len(lists.of_epoch(0)) == 2
    assert [Path(scan.path).stem[-1] for scan in lists.of_epoch(1)] == ["0", "1", "2"]


def test_rare_leaves_are_drawn_and_weigh_more(folder: Path) -> None:
    scans = [list_scan(file, VOXEL_SIZES_M) for file in simulated_files(folder / "sim")]
    assert scans[0].source == "sim-driving"
    table = DrawTable(scans, BatchOptions({"sim-driving": 1.0}))
    rng = np.random.default_rng(0)
    leaves = Counter(table.draw(rng)[1] for _ in range(600))
    assert 200 < leaves[""] < 400
    assert 40 < leaves["car"] < leaves[""]
    # The pole has less than the least number of points in both scans together.
    assert leaves["pole"] == 0
    weight = table.weight_of_leaves
    assert weight["road"] < weight["car"] < weight["pole"]


def test_a_step_lowers_the_loss_of_its_batch(folder: Path) -> None:
    torch.manual_seed(0)
    space = FeatureSpace("tests/points", 8)
    spec = EncoderSpec(
        "minkunet", {"layers": 14, "width": 0.25}, INPUTS, VOXEL_SIZES_M, space, "mini", 10.0
    )
    learner = WordLearner(PointEncoder(spec)).train()
    batch = batches_of(folder)(0)
    optimizer = torch.optim.SGD(learner.parameters(), 0.02)
    losses = []
    for _ in range(4):
        loss = learner.loss(batch)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_similarities_are_cosines_of_the_heads_vectors() -> None:
    torch.manual_seed(0)
    head, feats = torch.nn.Linear(6, 20), torch.randn(9, 6)
    words = torch.nn.functional.normalize(torch.randn(4, 20), dim=1)
    wanted = torch.nn.functional.normalize(head(feats), dim=1) @ words.T
    torch.testing.assert_close(similarities(feats, head, words), wanted)


def test_coarse_classes_are_wholes_that_the_scans_have() -> None:
    coarse, fine = SimulatedOptions(coarse=True), SimulatedOptions(synonym=1)
    street = frozenset({"window", "facade wall", "building", "police car", "car"})
    assert coarse.word_of("window", street) == "building"
    assert coarse.word_of("window", frozenset({"window", "indoor wall"})) == "window"
    assert coarse.word_of("police car", street) == "car"
    assert fine.word_of("person", street) == "pedestrian"
    assert fine.word_of("ceiling", street) == "ceiling"


class PerfectLabeller:
    """Predicts the class of each point of one scan."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def embed_classes(self, vocabulary: Vocabulary) -> Vocabulary:
        return vocabulary

    def label(self, cloud: PointCloud, vocabulary: Vocabulary, **_: object) -> Labels:
        order = [entry.name for entry in vocabulary.classes]
        index = np.array([order.index(name) if name in order else 0 for name in self.names])
        return Labels(index.astype(np.int32), np.ones(len(cloud), np.float32), vocabulary)


def test_simulated_scans_are_evaluated_without_points_of_several_leaves(tmp_path: Path) -> None:
    write_scan(tmp_path / "driving" / "driving_0.npz")
    label = np.load(tmp_path / "driving" / "driving_0.npz")["label"]
    labeller = PerfectLabeller([CONCEPTS[number] for number in label])
    options = SimulatedOptions()
    result = evaluate_simulated(labeller, "driving", tmp_path, options)  # type: ignore[arg-type]
    assert result["mIoU"] == 1
    assert result["points"] == (label != 4).sum()
    assert set(result["IoU"]) == {"road", "car", "pole"}  # type: ignore[call-overload]


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
    np.savez(
        tmp_path / "scan.npz",
        xyz=np.zeros((6, 3), np.float32),
        label=label,
        intensity=np.zeros(6, np.uint8),
    )
    suite = Suite("ika", "*.npz", False)
    perfect = np.array([0, 0, 1, 4, 7, 2], np.int32)
    for class_index, score in ((perfect, 1.0), (np.full(6, 9, np.int32), 0.0)):
        result = evaluate(FixedLabeller(class_index), suite, tmp_path)  # type: ignore[arg-type]
        assert result["mIoU"] == score
        # Label 10 belongs to no class.
        assert result["points"] == 5
