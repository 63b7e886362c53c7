from __future__ import annotations

import numpy as np
import pytest

from clip3d_cli.metrics.confusion import ConfusionMatrix
from clip3d_cli.metrics.rules import BenchmarkRules
from clip3d_cli.metrics.scores import (
    Convention,
    foreground_iou,
    harmonic_iou,
    metric_name,
    scores_of,
)

# Class 0: 4 true, 3 right, 1 unlabeled. Class 1: 2 true, 1 right, 1 said to be 2. Class 2: never
# true. Class 3: neither true nor answered. Class 4: 2 true, both said to be 0.
TRUTH = np.array([0, 0, 0, 0, 1, 1, 4, 4, -1, -1], np.int32)
ANSWER = np.array([0, 0, 0, -1, 1, 2, 0, 0, 3, 0], np.int32)
IOU = (3 / 6, 1 / 2, 0.0, 0.0, 0.0)


@pytest.fixture
def confusion() -> ConfusionMatrix:
    return ConfusionMatrix.of(TRUTH, ANSWER, 5)


def test_present_classes_by_hand(confusion: ConfusionMatrix) -> None:
    scores = scores_of(confusion)
    np.testing.assert_allclose(scores.iou, [0.5, 0.5, np.nan, np.nan, 0])
    np.testing.assert_allclose(scores.recall, [3 / 4, 1 / 2, np.nan, np.nan, 0])
    assert scores.mean_iou == pytest.approx(1 / 3)
    assert scores.mean_accuracy == pytest.approx((3 / 4 + 1 / 2) / 3)
    assert scores.frequency_weighted_iou == pytest.approx((4 * 0.5 + 2 * 0.5) / 8)
    assert scores.accuracy == pytest.approx(4 / 8)
    assert scores.absent == (2, 3) and scores.points == 8 and scores.convention == "present"


@pytest.mark.parametrize(
    ("unmet", "mean"), [(None, (0.5 + 0.5) / 4), (0.0, (0.5 + 0.5) / 5), (1.0, (0.5 + 0.5 + 1) / 5)]
)
def test_what_an_unmet_class_counts_is_the_benchmarks_rule(
    confusion: ConfusionMatrix, unmet: float | None, mean: float
) -> None:
    scores = scores_of(confusion, "official", BenchmarkRules("x", unused_class_iou=unmet))
    assert scores.iou[3] == pytest.approx(np.nan if unmet is None else unmet, nan_ok=True)
    assert scores.iou[2] == 0, "answered, so it is no longer unmet"
    assert scores.mean_iou == pytest.approx(mean)
    assert scores_of(
        confusion, "present", BenchmarkRules("x", unused_class_iou=unmet)
    ).mean_iou == (pytest.approx(1 / 3))


def test_unlabeled_answers_may_be_left_out_of_the_accuracy(confusion: ConfusionMatrix) -> None:
    rules = BenchmarkRules("x", counts_unlabeled=False)
    assert scores_of(confusion, "official", rules).accuracy == pytest.approx(4 / 7)
    assert scores_of(confusion, "present", rules).accuracy == pytest.approx(4 / 8)


def test_the_references_frequency_weighting_is_none(confusion: ConfusionMatrix) -> None:
    scores = scores_of(confusion, "reference")
    np.testing.assert_allclose(scores.iou, [0.5, 0.5, 0, 1, 0])
    assert scores.frequency_weighted_iou == pytest.approx(4 / (2 * 8 - 4))


@pytest.mark.parametrize("convention", ["present", "official", "reference"])
def test_nothing_judged_is_no_score(convention: Convention) -> None:
    nothing = ConfusionMatrix.of(np.array([-1], np.int32), np.array([0], np.int32), 2)
    scores = scores_of(nothing, convention)
    assert np.isnan([scores.mean_accuracy, scores.frequency_weighted_iou, scores.accuracy]).all()
    assert np.isnan(scores.mean_iou) or convention == "reference"
    assert scores.absent == (0, 1) and scores.points == 0


def test_names_say_what_is_averaged_and_by_whom() -> None:
    kitti = BenchmarkRules("semantic-kitti-api (a9c749e)", unused_class_iou=0.0)
    names = [
        metric_name("present", kitti),
        metric_name("official", kitti),
        metric_name("official", BenchmarkRules("nuscenes-devkit (1.2.0)")),
        metric_name("official"),
        metric_name("reference", kitti),
    ]
    assert names[0].startswith("mIoU over present classes")
    assert "semantic-kitti-api (a9c749e)" in names[1] and names[1].endswith("counts 0")
    assert "nuscenes-devkit (1.2.0)" in names[2] and names[2].endswith("is left out")
    assert "CLIP2Scene" in names[4] and names[4].endswith("counts 1")
    assert len(set(names)) == len(names)


def test_the_foreground_leaves_classes_out_of_the_mean_alone(confusion: ConfusionMatrix) -> None:
    assert foreground_iou(confusion, {4}) == pytest.approx(0.5)
    assert foreground_iou(confusion, {1, 2}) == pytest.approx((0.5 + 0) / 2)
    assert foreground_iou(confusion, ()) == pytest.approx(1 / 3)
    assert np.isnan(foreground_iou(confusion, {0, 1, 4}))


def test_harmonic_means_by_hand(confusion: ConfusionMatrix) -> None:
    assert harmonic_iou(confusion, {1, 2}) == pytest.approx((0.25, 0.5, 2 * 0.125 / 0.75))
    base, novel, both = harmonic_iou(confusion, {4})
    assert (base, novel, both) == pytest.approx((0.5, 0.0, 0.0))
    base, novel, both = harmonic_iou(confusion, {3})
    assert base == pytest.approx(1 / 3) and np.isnan(novel) and np.isnan(both)


def test_both_kinds_at_nothing_are_nothing() -> None:
    wrong = ConfusionMatrix.of(np.array([0, 1], np.int32), np.array([1, 0], np.int32), 2)
    assert harmonic_iou(wrong, {1}) == (0.0, 0.0, 0.0)


def test_an_answer_beyond_the_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="class 2 of 2"):
        ConfusionMatrix.of(np.array([0, 0], np.int32), np.array([0, 2], np.int32), 2)
    with pytest.raises(ValueError, match="class 5 of 2"):
        ConfusionMatrix.of(np.array([0, 5], np.int32), np.array([0, 1], np.int32), 2)
