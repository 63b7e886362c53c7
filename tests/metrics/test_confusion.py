from __future__ import annotations

import numpy as np

from clip3d_cli.metrics.confusion import ConfusionMatrix


def test_scores_by_hand() -> None:
    truth = np.array([0, 0, 0, 1, 1, -1, -1], np.int32)
    answer = np.array([0, 0, 1, 1, -1, 0, 1], np.int32)
    matrix = ConfusionMatrix.of(truth, answer, 3)
    # Class 0: 2 hits, 3 true, 2 answered. Class 1: 1 hit, 2 true, 2 answered. Class 2: absent.
    np.testing.assert_allclose(matrix.iou, [2 / 3, 1 / 3, np.nan])
    np.testing.assert_allclose(matrix.recall, [2 / 3, 1 / 2, np.nan])
    assert matrix.mean_iou == 0.5
    assert matrix.counts.sum() == 5


def test_matrices_add() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(-1, 4, 1000).astype(np.int32)
    answer = rng.integers(-1, 4, 1000).astype(np.int32)
    halves = ConfusionMatrix.of(truth[:300], answer[:300], 4) + ConfusionMatrix.of(
        truth[300:], answer[300:], 4
    )
    np.testing.assert_array_equal(halves.counts, ConfusionMatrix.of(truth, answer, 4).counts)


def test_answering_an_absent_class_costs_the_true_one() -> None:
    matrix = ConfusionMatrix.of(np.array([0, 0], np.int32), np.array([0, 1], np.int32), 2)
    np.testing.assert_allclose(matrix.iou, [0.5, np.nan])


def test_nothing_judged_is_no_score() -> None:
    matrix = ConfusionMatrix.of(np.array([-1], np.int32), np.array([0], np.int32), 2)
    assert np.isnan(matrix.mean_iou)
