"""Superpoints: what is parted, what is joined, and that neither depends on order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clip3d_cli.core.superpoints import compute_superpoints
from clip3d_cli.core.voxels import voxelize
from clip3d_cli.errors import InputError


def sheet(seed: int, count: int = 8000, side_m: float = 2.0) -> np.ndarray:
    """A level square with a little noise."""
    rng = np.random.default_rng(seed)
    flat = rng.uniform(0, side_m, (count, 2))
    return np.column_stack([flat, rng.normal(0, 0.002, count)])


def purity(patch: np.ndarray, label: np.ndarray) -> float:
    """The share of points whose patch's most frequent label is theirs."""
    pairs, counts = np.unique(np.stack([patch, label]), axis=1, return_counts=True)
    most = np.zeros(patch.max() + 1, dtype=np.int64)
    np.maximum.at(most, pairs[0], counts)
    return float(most.sum() / len(patch))


def test_wall_and_floor_are_parted_and_each_is_one() -> None:
    floor, wall = sheet(1), sheet(2)[:, [2, 0, 1]]
    xyz = np.concatenate([floor, wall])
    patch = compute_superpoints(xyz, cell_m=0.05, largest_m=10.0)
    surface = np.repeat([0, 1], 8000)
    assert purity(patch, surface) > 0.97
    for rows in (patch[:8000], patch[8000:]):
        assert np.bincount(rows).max() > 0.9 * 8000


def test_no_superpoint_is_longer_than_the_limit() -> None:
    xyz = sheet(1)
    for largest_m in (0.3, 0.5, 1.0):
        patch = compute_superpoints(xyz, cell_m=0.05, largest_m=largest_m)
        spans = [np.ptp(xyz[patch == number], axis=0).max() for number in range(patch.max() + 1)]
        assert max(spans) <= largest_m
        assert max(spans) > 0.5 * largest_m


def test_order_does_not_matter() -> None:
    rng = np.random.default_rng(7)
    xyz = np.concatenate([sheet(1), sheet(2)[:, [2, 0, 1]], rng.uniform(0, 2, (2000, 3))])
    rgb = rng.integers(0, 256, xyz.shape, dtype=np.uint8)
    order = rng.permutation(len(xyz))
    patch = compute_superpoints(xyz, cell_m=0.05, rgb=rgb)
    again = compute_superpoints(xyz[order], cell_m=0.05, rgb=rgb[order])
    np.testing.assert_array_equal(again, patch[order])
    assert sorted(set(patch.tolist())) == list(range(patch.max() + 1))


def test_far_from_the_origin_it_is_the_same() -> None:
    xyz = np.concatenate([sheet(1), sheet(2)[:, [2, 0, 1]]])
    away = np.array([5_000_000.0, -4_000_000.0, 128.0])
    near = compute_superpoints(xyz, cell_m=0.0625)
    far = compute_superpoints(xyz + away, cell_m=0.0625)
    # At this distance float64 itself rounds by a nanometre: a few points change voxels.
    assert purity(far, near) > 0.98
    assert abs(far.max() - near.max()) <= 0.1 * near.max()


def test_colors_part_what_shape_does_not() -> None:
    xyz = sheet(1)
    left = xyz[:, 0] < 1.0
    rgb = np.where(left[:, None], [200, 40, 40], [60, 60, 200]).astype(np.uint8)
    plain = compute_superpoints(xyz, cell_m=0.05, largest_m=10.0)
    colored = compute_superpoints(xyz, cell_m=0.05, largest_m=10.0, rgb=rgb)
    assert purity(plain, left.astype(int)) < 0.7
    assert purity(colored, left.astype(int)) > 0.97


def test_thin_scans_hang_together() -> None:
    # Rings 0.3 m apart, of points 0.05 m apart: no two rings have voxels that touch.
    x, y = np.meshgrid(np.arange(0, 4, 0.3), np.arange(0, 4, 0.05))
    xyz = np.column_stack([x.ravel(), y.ravel(), np.zeros(x.size)])
    patch = compute_superpoints(xyz, cell_m=0.1, largest_m=10.0)
    rings = np.round(xyz[:, 0] / 0.3).astype(int)
    assert max(len(set(rings[patch == number])) for number in set(patch.tolist())) > 3


def test_few_points_and_none() -> None:
    assert compute_superpoints(np.zeros((0, 3)), cell_m=0.1).shape == (0,)
    assert compute_superpoints(np.ones((1, 3)), cell_m=0.1).tolist() == [0]
    assert compute_superpoints(np.ones((3, 3)), cell_m=0.1).tolist() == [0, 0, 0]
    assert compute_superpoints(np.array([[0.0, 0, 0], [50, 0, 0]]), cell_m=0.1).tolist() == [0, 1]


def test_a_span_that_cannot_be_counted_is_refused() -> None:
    with pytest.raises(InputError, match="spans too many voxels") as caught:
        compute_superpoints(np.array([[0.0, 0, 0], [1e7, 1e7, 1e7]]), cell_m=0.01)
    assert caught.value.code == "E_VOXEL_RANGE"


@pytest.mark.slow
def test_purer_than_cubes_on_a_real_street(shared_data: Path) -> None:
    scan = np.load(shared_data / "driving/pandaset_001/00.npz")
    label = scan["label"].astype(np.int64)
    patch = compute_superpoints(scan["xyz"], cell_m=0.2)
    # Cubes of 1.64 m are about as many.
    cubes = voxelize(scan["xyz"], 1.64)
    assert patch.max() < 1.02 * len(cubes)
    assert purity(patch, label) > purity(cubes.voxel_of_point, label) > 0.9
