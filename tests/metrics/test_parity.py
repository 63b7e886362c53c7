"""clip3d and the benchmarks' own evaluation code give the same scores for the same predictions.

``parity.json`` holds what that code said (``benchmarks/parity.py`` ran it, and names the versions).
"""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import datasets_trees_nuscenes
import datasets_trees_semantickitti
import numpy as np
import pytest

from benchmarks.parity_cases import CASES, PANOPTIC, labelled, segmented, tree_answers
from benchmarks.parity_files import MIN_POINTS
from clip3d_cli import registry
from clip3d_cli.core.scenes import PosedScene
from clip3d_cli.core.vocabulary import load_vocabulary
from clip3d_cli.datasets.dataset import Dataset
from clip3d_cli.datasets.labels import read_thing_classes
from clip3d_cli.metrics.confusion import ConfusionMatrix
from clip3d_cli.metrics.panoptic import (
    PanopticCounts,
    PanopticScores,
    Quality,
    Segments,
    panoptic_scores_of,
)
from clip3d_cli.metrics.rules import BenchmarkRules
from clip3d_cli.metrics.scores import Scores, scores_of

CLOSE = 1e-6
EXPECTED: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "support" / "parity.json").read_text()
)
VOCABULARIES = {"nuscenes": "nuscenes16", "semantickitti": "semantickitti19"}


def rules_of(benchmark: str) -> BenchmarkRules:
    dataset: type[Dataset] = registry.load("datasets", benchmark)
    return dataset.rules


def index_of(numbers: np.ndarray) -> np.ndarray:
    """Class indices of numbers that count classes from 1."""
    return (numbers - 1).astype(np.int32)


def scores(benchmark: str) -> Scores:
    case = CASES[benchmark]
    confusion = ConfusionMatrix(np.zeros((case.classes, case.classes + 1), dtype=np.int64))
    for truth, said in labelled(case):
        confusion += ConfusionMatrix.of(index_of(truth), index_of(said), case.classes)
    if benchmark == "clip2scene":
        return scores_of(confusion, "reference")
    return scores_of(confusion, "official", rules_of(benchmark))


@pytest.mark.parametrize("benchmark", CASES)
def test_semantic_scores_are_the_official_ones(benchmark: str) -> None:
    ours, theirs = scores(benchmark), EXPECTED[benchmark]
    iou = [np.nan if number is None else number for number in theirs["iou"]]
    np.testing.assert_allclose(ours.iou, iou, rtol=0, atol=CLOSE)
    compared = {"mean_iou", "frequency_weighted_iou", "accuracy"} & set(theirs)
    assert "mean_iou" in compared
    for name in compared:
        assert getattr(ours, name) == pytest.approx(theirs[name], abs=CLOSE), name


@pytest.mark.parametrize("benchmark", ["nuscenes", "semantickitti", "scannet"])
def test_the_rules_name_the_version_that_they_were_compared_with(benchmark: str) -> None:
    version = EXPECTED[benchmark]["code"].split()[-1]
    assert f"({version})" in rules_of(benchmark).source


@pytest.mark.parametrize("benchmark", CASES)
def test_the_cases_have_classes_that_are_absent_or_never_answered(benchmark: str) -> None:
    case = CASES[benchmark]
    assert set(scores(benchmark).absent) == {number - 1 for number in (*case.gone, *case.absent)}
    truth, said = (np.concatenate(part) for part in zip(*labelled(case), strict=True))
    assert set(case.absent) <= set(said.tolist()) and set(case.mute) <= set(truth.tolist())
    assert not set(case.gone + case.mute) & set(said.tolist())
    assert 0 in truth and (0 in said) == case.unlabeled


def panoptic_scores(benchmark: str) -> tuple[PanopticCounts, PanopticScores]:
    case = PANOPTIC[benchmark]
    things = read_thing_classes(benchmark, load_vocabulary(VOCABULARIES[benchmark]))
    total: PanopticCounts | None = None
    for truth, instance, said, part in segmented(case, frozenset(thing + 1 for thing in things)):
        counts = PanopticCounts.of(
            Segments(index_of(truth), instance.astype(np.int32)),
            Segments(index_of(said), part.astype(np.int32)),
            case.classes,
            thing_classes=things,
            min_points=rules_of(benchmark).min_points,
        )
        total = counts if total is None else total + counts
    assert total is not None
    return total, panoptic_scores_of(total, "official")


@pytest.mark.parametrize("benchmark", PANOPTIC)
def test_panoptic_scores_are_the_official_ones(benchmark: str) -> None:
    (counts, ours), theirs = panoptic_scores(benchmark), EXPECTED[benchmark]["panoptic"]
    assert rules_of(benchmark).min_points == theirs["min_points"]
    for name, their_name in (("matched",) * 2, ("missed",) * 2, ("spurious", "invented")):
        assert getattr(counts, name).tolist() == theirs[their_name], name
    for name in ("pq", "sq", "rq"):
        np.testing.assert_allclose(getattr(ours, name), theirs[name], rtol=0, atol=CLOSE)
    for name in ("all", "things", "stuff"):
        mean: Quality = getattr(ours, name)
        assert (mean.pq, mean.sq, mean.rq) == pytest.approx(theirs[name], abs=CLOSE), name
    assert ours.pq_dagger == pytest.approx(theirs["pq_dagger"], abs=CLOSE)


def judged(
    dataset: Dataset, split: str, labels: np.ndarray, things: int
) -> tuple[int, PanopticCounts, ConfusionMatrix]:
    """Scenes, and counts over all of them, of the answers that the official code was given."""
    assert dataset.vocabulary is not None
    classes = len(dataset.vocabulary)
    found = []
    for scene in dataset.scenes(split):
        truth, instances = dataset.ground_truth(scene), dataset.instances(scene)
        assert truth is not None and instances is not None
        said, part = tree_answers(label_name(dataset, scene), truth + 1, labels, classes, things)
        answer = Segments(index_of(said), part.astype(np.int32))
        counts = PanopticCounts.of(
            Segments(truth, instances),
            answer,
            classes,
            thing_classes=dataset.thing_classes,
            min_points=MIN_POINTS,
        )
        found.append((counts, ConfusionMatrix.of(truth, answer.class_index, classes)))
    counts, confusion = found[0]
    for more, points in found[1:]:
        counts, confusion = counts + more, confusion + points
    return len(found), counts, confusion


def label_name(dataset: Dataset, scene: PosedScene) -> str:
    """The name that the official code's answers were made with."""
    return scene.name.split("_")[1] if dataset.name == "nuscenes" else scene.name


@pytest.mark.parametrize(
    ("tree", "split", "labels", "things"),
    [
        (
            datasets_trees_nuscenes,
            "mini_val",
            datasets_trees_nuscenes.panoptic_numbers(402),
            10,
        ),
        (
            datasets_trees_semantickitti,
            "val",
            np.resize(datasets_trees_semantickitti.NUMBERS, 300),
            8,
        ),
    ],
    ids=["nuscenes", "semantickitti"],
)
def test_whole_folders_score_as_by_the_official_scripts(
    tree: ModuleType, split: str, labels: np.ndarray, things: int, tmp_path: Path
) -> None:
    """The official scripts read the same files: truth, objects, and which scenes count."""
    name = tree.__name__.removeprefix("datasets_trees_")
    tree.write_tree(tmp_path)
    dataset: Dataset = registry.load("datasets", name)(tmp_path)
    theirs = EXPECTED[name]["files"]
    scenes, counts, confusion = judged(dataset, split, labels, things)
    semantic = scores_of(confusion, "official", dataset.rules)
    objects = panoptic_scores_of(counts, "official")
    assert scenes == theirs["scenes"] > 1
    assert semantic.mean_iou == pytest.approx(theirs["mean_iou"], abs=CLOSE)
    assert semantic.accuracy == pytest.approx(theirs.get("accuracy", semantic.accuracy), abs=CLOSE)
    ours = {"pq_dagger": objects.pq_dagger}
    for ending, mean in (("", objects.all), ("_things", objects.things), ("_stuff", objects.stuff)):
        ours |= {f"pq{ending}": mean.pq, f"sq{ending}": mean.sq, f"rq{ending}": mean.rq}
    assert {key: ours[key] for key in theirs["panoptic"]} == pytest.approx(
        theirs["panoptic"], abs=CLOSE
    )
    assert len(theirs["panoptic"]) >= 4
