from __future__ import annotations

import numpy as np
import pytest

from clip3d_cli.metrics.panoptic import PanopticCounts, Quality, Segments, panoptic_scores_of

ROAD, CAR, BUS, TREE = range(4)
THINGS = {CAR, BUS}


def segments(*runs: tuple[int, int, int]) -> Segments:
    """Points by runs of (class, instance, points)."""
    classes, instances, points = np.array(runs, dtype=np.int32).T
    return Segments(np.repeat(classes, points), np.repeat(instances, points))


def counts(truth: Segments, answer: Segments, min_points: int = 1) -> PanopticCounts:
    return PanopticCounts.of(truth, answer, 4, thing_classes=THINGS, min_points=min_points)


def test_qualities_by_hand() -> None:
    truth = segments((ROAD, 0, 10), (CAR, 1, 6), (CAR, 2, 4), (BUS, 3, 5))
    # 8 of the road's 10 with no point too many; 5 of the first car's 6 with one of the second's.
    answer = segments(
        (ROAD, 0, 8), (TREE, 0, 2), (CAR, 7, 5), (CAR, 8, 1), (CAR, 7, 1), (CAR, 9, 1),
        (CAR, 8, 2), (-1, 0, 5),
    )  # fmt: skip
    found = counts(truth, answer)
    # Car 1 and 7: 5 of 7. Car 2 and 8: 2 of 5, no match; nor are 9 and the tree any.
    assert found.matched.tolist() == [1, 1, 0, 0]
    assert found.missed.tolist() == [0, 1, 1, 0]
    assert found.spurious.tolist() == [0, 2, 0, 1]
    np.testing.assert_allclose(found.sq, [0.8, 5 / 7, 0, 0])
    np.testing.assert_allclose(found.rq, [1, 1 / 2.5, 0, 0])
    np.testing.assert_allclose(found.pq, [0.8, 2 / 7, 0, 0])


def test_absent_classes_are_left_out_or_count_nothing() -> None:
    truth = segments((ROAD, 0, 10), (CAR, 1, 6))
    answer = segments((ROAD, 0, 8), (TREE, 0, 2), (CAR, 7, 6))
    present = panoptic_scores_of(counts(truth, answer))
    assert present.all.pq == pytest.approx((0.8 + 1) / 2)
    assert present.things == Quality(1.0, 1.0, 1.0)
    assert present.stuff.pq == pytest.approx(0.8)
    assert present.pq_dagger == pytest.approx((0.8 + 1) / 2)
    np.testing.assert_array_equal(np.isnan(present.pq), [False, False, True, True])
    official = panoptic_scores_of(counts(truth, answer), "official")
    assert official.all.pq == pytest.approx((0.8 + 1) / 4)
    assert official.things.pq == pytest.approx(1 / 2)
    assert official.stuff.pq == pytest.approx(0.8 / 2)
    assert official.pq_dagger == pytest.approx((0.8 + 1) / 4)
    reference = panoptic_scores_of(counts(truth, answer), "reference")
    assert (reference.all, reference.pq_dagger) == (official.all, official.pq_dagger)


def test_pq_dagger_takes_the_overlap_of_stuff_without_a_match() -> None:
    truth = segments((ROAD, 0, 10), (TREE, 0, 5))
    answer = segments((ROAD, 0, 4), (TREE, 0, 11))
    scores = panoptic_scores_of(counts(truth, answer))
    assert scores.all.pq == 0
    assert scores.pq_dagger == pytest.approx((4 / 10 + 5 / 11) / 2)


def test_half_is_no_match_and_more_is() -> None:
    truth = segments((CAR, 1, 6))
    assert counts(truth, segments((CAR, 1, 3), (TREE, 0, 3))).matched[CAR] == 0
    assert counts(truth, segments((CAR, 1, 4), (TREE, 0, 2))).matched[CAR] == 1


def test_small_segments_may_match_but_are_not_missed() -> None:
    truth = segments((CAR, 1, 3), (CAR, 2, 3), (BUS, 3, 4))
    answer = segments((CAR, 5, 3), (BUS, 4, 3), (TREE, 0, 4))
    found = counts(truth, answer, min_points=4)
    assert found.matched.tolist() == [0, 1, 0, 0]
    assert found.missed.tolist() == [0, 0, 1, 0]
    assert found.spurious.tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("unjudged", [(-1, 0), (CAR, -1)])
def test_points_that_are_not_judged_are_taken_away_first(unjudged: tuple[int, int]) -> None:
    truth = segments((CAR, 1, 5), (*unjudged, 20))
    found = counts(truth, segments((CAR, 3, 25)))
    assert found.pq[CAR] == 1
    assert found.confusion.counts.sum() == 5


def test_one_number_in_two_classes_is_two_segments() -> None:
    truth = segments((CAR, 1, 5), (BUS, 1, 5))
    found = counts(truth, segments((CAR, 1, 5), (BUS, 1, 5)))
    assert found.matched.tolist() == [0, 1, 1, 0]


def test_scenes_add_and_never_share_a_segment() -> None:
    one = counts(segments((CAR, 1, 4)), segments((CAR, 1, 4)))
    other = counts(segments((CAR, 1, 6)), segments((CAR, 1, 4), (BUS, 1, 2)))
    both = one + other
    assert both.matched[CAR] == 2 and both.spurious[BUS] == 1
    assert both.sq[CAR] == pytest.approx((1 + 4 / 6) / 2)
    assert both.confusion.counts.sum() == 10 and both.thing_classes == THINGS


def test_numbers_and_order_of_points_do_not_matter() -> None:
    rng = np.random.default_rng(2)
    classes = rng.integers(-1, 4, (2, 600)).astype(np.int32)
    classes[1, :400] = classes[0, :400]
    instances = rng.integers(0, 5, (2, 600)).astype(np.int32)
    instances[1, :400] = instances[0, :400]
    truth, answer = (Segments(c, i) for c, i in zip(classes, instances, strict=True))
    here = counts(truth, answer, min_points=5)
    order = rng.permutation(600)
    renamed = np.array([900, 12, 70_000, 3, 2**31 - 1], dtype=np.int32)
    there = counts(
        Segments(truth.class_index[order], truth.instance[order]),
        Segments(answer.class_index[order], renamed[answer.instance[order]]),
        min_points=5,
    )
    assert here.matched.sum() > 3
    np.testing.assert_array_equal(here.pq, there.pq)


def test_nothing_judged_is_no_score() -> None:
    nothing = counts(segments((-1, 0, 3)), segments((CAR, 1, 3)))
    scores = panoptic_scores_of(nothing)
    assert np.isnan([scores.all.pq, scores.things.rq, scores.stuff.sq, scores.pq_dagger]).all()


def test_arrays_are_checked() -> None:
    with pytest.raises(TypeError, match="instance"):
        Segments(np.zeros(3, np.int32), np.zeros(3, np.int64))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="instance"):
        Segments(np.zeros(3, np.int32), np.zeros(4, np.int32))
