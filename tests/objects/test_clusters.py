from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clip3d_cli.objects.clusters import cluster_points, instances_of

CAR, WALL, BIKE = 0, 1, 2


def by_search(xyz: np.ndarray, link_m: float) -> np.ndarray:
    """The same by comparing every point with every other."""
    near = np.square(xyz[:, None] - xyz[None]).sum(axis=2) <= link_m**2
    cluster = np.full(len(xyz), -1)
    for seed in range(len(xyz)):
        if cluster[seed] >= 0:
            continue
        here = np.zeros(len(xyz), dtype=bool)
        here[seed] = True
        while True:
            grown = near[here].any(axis=0)
            if (grown == here).all():
                break
            here = grown
        cluster[here] = cluster.max() + 1
    return cluster


def instances(xyz: list[list[float]], classes: list[int], **options: float) -> list[int]:
    found = instances_of(np.array(xyz, float), np.array(classes, np.int32), {CAR, BIKE}, **options)
    assert found.dtype == np.int32
    return found.tolist()


def test_objects_by_hand() -> None:
    row = [[0, 0, 0], [1, 0, 0], [2, 0, 0], [4, 0, 0], [2, 0, 0.5]]
    assert instances(row, [CAR] * 5, link_m=1.0) == [1, 1, 1, 2, 1]
    assert instances(row, [CAR] * 5, link_m=0.9) == [1, 2, 3, 4, 3]
    assert instances(row, [CAR] * 5, link_m=2.0) == [1] * 5


def test_a_step_as_long_as_the_longest_counts_and_a_longer_does_not() -> None:
    assert instances([[0, 0, 0], [0.3, 0.4, 0]], [CAR, CAR], link_m=0.5) == [1, 1]
    assert instances([[0, 0, 0], [0.3, 0.4, 0.01]], [CAR, CAR], link_m=0.5) == [1, 2]


def test_classes_part_objects_and_stuff_is_none() -> None:
    row = [[0.1 * step, 0, 0] for step in range(6)]
    assert instances(row, [BIKE, CAR, WALL, CAR, -1, BIKE], link_m=0.3) == [2, 1, 0, 1, 0, 3]


def test_nothing_and_points_nowhere_are_no_object() -> None:
    assert instances_of(np.zeros((0, 3)), np.zeros(0, np.int32), {CAR}, link_m=1.0).shape == (0,)
    found = instances([[np.nan, 0, 0], [0, 0, 0], [np.inf, 0, 0]], [CAR] * 3, link_m=1.0)
    assert found == [0, 1, 0]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 250), st.floats(0.5, 9.0))
def test_clusters_are_those_of_a_search(seed: int, points: int, size_m: float) -> None:
    xyz = np.random.default_rng(seed).uniform(0, size_m, (points, 3))
    np.testing.assert_array_equal(cluster_points(xyz, 0.6), by_search(xyz, 0.6))


@pytest.mark.parametrize("seed", range(40))
def test_clumps_that_nearly_touch_are_told_apart(seed: int) -> None:
    """Many points per cell, and gaps about as wide as the linking distance."""
    rng = np.random.default_rng(seed)
    centers = rng.uniform(0, 2, (10, 3)) * [1, 1, 0.3]
    xyz = (centers[:, None] + rng.uniform(0, 0.3, (10, 12, 3))).reshape(-1, 3)
    xyz = rng.permutation(xyz)
    np.testing.assert_array_equal(cluster_points(xyz, 0.5), by_search(xyz, 0.5))


def test_crowded_cells_are_compared_point_by_point() -> None:
    """More points in a cell than are looked at first, of which only the last two are near."""
    rng = np.random.default_rng(3)
    left = rng.uniform(0, 0.05, (40, 3))
    right = rng.uniform(0, 0.05, (40, 3)) + [0.75, 0, 0]
    apart = np.concatenate([left, right])
    assert cluster_points(apart, 0.5).max() == 1
    bridge = [[0.28, 0.02, 0.02], [0.70, 0.02, 0.02]]
    for place in (0, 80):
        xyz = np.insert(apart, place, bridge, axis=0)
        np.testing.assert_array_equal(cluster_points(xyz, 0.5), np.zeros(82))


def test_order_turn_and_place_do_not_matter() -> None:
    rng = np.random.default_rng(5)
    xyz = rng.uniform(0, 6, (800, 3))
    here = cluster_points(xyz, 0.5)
    shuffled = rng.permutation(800)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    far = xyz[shuffled] @ turn.T + [400_000.0, 5_000_000.0, 100.0]
    there = cluster_points(far, 0.5)
    pairs = {*zip(here[shuffled].tolist(), there.tolist(), strict=True)}
    assert len(pairs) == here.max() + 1 == there.max() + 1


def test_stray_points_cost_nothing() -> None:
    xyz = np.array([[0, 0, 0], [0.4, 0, 0], [1e9, -1e9, 1e12], [1e9, -1e9, 1e12]])
    assert cluster_points(xyz, 0.5).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("gap_m", [0.49, 0.51])
def test_a_hundred_thousand_points_are_not_compared_in_pairs(gap_m: float) -> None:
    """Two thick walls, where every cell holds hundreds of points."""
    xyz = np.random.default_rng(1).uniform(0, 1, (100_000, 3)) * [2, 0.25, 2]
    xyz[50_000:, 1] += 0.25 + gap_m
    started = time.process_time()
    cluster = cluster_points(xyz, 0.5)
    assert time.process_time() - started < 10  # about one; all pairs take minutes
    assert cluster.max() == (gap_m > 0.5)
