"""What is left out of the computation, and how storeys are moved apart."""

from __future__ import annotations

import numpy as np

from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.storeys import Storeys
from clip3d_cli.core.voxels import ANCHOR_CELLS, choose_voxel_size
from clip3d_cli.labelling.preparation import (
    count_no_returns,
    measured_points,
    move_storeys_apart,
)

RNG = np.random.default_rng(0)
SIZES_M = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)


def test_points_without_coordinates_and_at_the_origin_are_no_measurements() -> None:
    xyz = RNG.normal(0, 5, (10, 3))
    xyz[[2, 5, 7]] = 0
    xyz[4, 1] = np.nan
    xyz[8, 0] = 0  # one coordinate of zero is no empty return
    cloud, rows = measured_points(PointCloud(xyz))
    np.testing.assert_array_equal(rows, [0, 1, 3, 6, 8, 9])
    np.testing.assert_array_equal(cloud.xyz, xyz[rows])
    counted = count_no_returns(xyz)
    assert (counted.not_finite, counted.empty) == (1, 3)


def test_a_single_point_at_the_origin_is_a_point() -> None:
    xyz = np.concatenate((np.zeros((1, 3)), RNG.normal(0, 5, (10, 3))))
    assert len(measured_points(PointCloud(xyz))[0]) == 11
    assert count_no_returns(xyz).empty == 0


def two_rooms() -> np.ndarray:
    floor = np.column_stack((RNG.uniform(0.3, 6.5, (6000, 2)), RNG.normal(0, 0.01, 6000)))
    shelf = np.column_stack((RNG.uniform(2, 5, (1000, 2)), RNG.normal(1.5, 0.01, 1000)))
    room = np.concatenate((floor, shelf))
    return np.concatenate((room, room + [0, 0, 3]))


def test_storeys_are_moved_by_whole_blocks_of_voxels_beyond_the_reach() -> None:
    xyz = np.concatenate((two_rooms(), [[3.0, 3.0, -4.0]]))
    storeys = Storeys.find(xyz)
    moved = move_storeys_apart(xyz, storeys, 0.1, reach=50)
    shift = moved - xyz
    np.testing.assert_array_equal(shift[:, :2], 0)
    in_blocks = shift[:, 2] / (0.1 * ANCHOR_CELLS)
    np.testing.assert_allclose(in_blocks, np.rint(in_blocks), atol=1e-6)
    half = (len(xyz) - 1) // 2
    np.testing.assert_allclose(shift[:half, 2], 0)
    assert moved[half:-1, 2].min() - moved[:half, 2].max() > 50 * 0.1
    assert moved[:half, 2].min() - moved[-1, 2] > 50 * 0.1


def test_one_storey_is_not_copied() -> None:
    xyz = two_rooms()[:7000]
    assert move_storeys_apart(xyz, Storeys.find(xyz), 0.1, reach=50) is xyz


def test_the_voxel_size_depends_neither_on_repeated_points_nor_on_a_dense_object() -> None:
    survey = np.column_stack((RNG.uniform(0, 100, (40_000, 2)), np.full(40_000, 0.01)))
    size_m = choose_voxel_size(survey, SIZES_M)
    assert size_m == 0.8
    assert choose_voxel_size(np.concatenate((survey, survey, survey)), SIZES_M) == size_m
    shed = RNG.uniform((40, 40, 0), (44, 44, 0.1), (25_000, 3))
    assert choose_voxel_size(np.concatenate((survey, shed)), SIZES_M) == size_m
