"""Input channels against values computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.voxels import voxelize
from clip3d_cli.encoders.input_channels import (
    CHANNELS,
    CloudContext,
    rank_scores,
    voxel_inputs,
)
from clip3d_cli.errors import InputError

SIZE_M = 0.4


def landscape() -> np.ndarray:
    """A flat square of 100 m with a plateau of 20 m × 20 m that is 4 m high, a point per metre."""
    x, y = (each.ravel() for each in np.mgrid[0:100, 0:100] + 0.5)
    plateau = (abs(x - 50) < 10) & (abs(y - 50) < 10)
    return np.stack((x, y, np.where(plateau, 4.0, 0.0)), axis=1)


def channel_at(name: str, extra: list[tuple[float, float, float]]) -> float:
    """The channel of the voxel of the last extra point, above the landscape."""
    xyz = np.concatenate((landscape(), np.array(extra)))
    grid = voxelize(xyz, SIZE_M)
    values = voxel_inputs([name], PointCloud(xyz), grid, CloudContext(PointCloud(xyz)))
    assert values.dtype == np.float32
    return float(values[grid.voxel_of_point[-1], 0])


def log_height(height_m: float) -> float:
    return math.copysign(math.log1p(abs(height_m)) / 2, height_m)


@pytest.mark.parametrize(
    ("point", "near_m", "far_m"),
    [
        ((20.5, 20.5, 3.1), 3.1, 3.1),
        ((20.5, 20.5, 0.0), 0, 0),
        # The plateau is ground for objects up to 10 m wide, and an object up to 48 m wide.
        ((50.5, 50.5, 5.1), 1.1, 5.1),
        # Clipped: −2…6 m and −4…60 m.
        ((20.5, 20.5, 7.1), 6, 7.1),
        ((20.5, 20.5, 80.1), 6, 60),
        ((20.5, 20.5, -3.1), -2, -3.1),
        ((20.5, 20.5, -9.1), -2, -4),
    ],
)
def test_heights_are_above_the_ground_at_two_scales(
    point: tuple[float, float, float], near_m: float, far_m: float
) -> None:
    # Ten points of ground in its cell, so that a low point is an outlier and not the ground.
    ground = [(point[0], point[1], 4.0 if point[0] == 50.5 else 0.0)] * 10
    assert channel_at("height_near", [*ground, point]) == pytest.approx(near_m / 3, abs=1e-6)
    assert channel_at("height_far", [*ground, point]) == pytest.approx(log_height(far_m), abs=1e-6)


def test_heights_are_those_of_the_middle_of_a_voxels_points() -> None:
    points = [(20.5, 20.5, 2.02), (20.5, 20.5, 2.22), (20.5, 20.5, 2.02)]
    assert channel_at("height_near", points) == pytest.approx((2.02 + 2.22) / 2 / 3, abs=1e-6)


def test_extent_and_offset_along_z_are_in_voxels() -> None:
    points = [(20.5, 20.5, 2.05), (20.5, 20.5, 2.15)]  # the voxel is 2.0…2.4 m
    assert channel_at("z_spread", points) == pytest.approx(0.1 / SIZE_M, abs=1e-6)
    assert channel_at("z_offset", points) == pytest.approx((2.1 - 2.2) / SIZE_M, abs=1e-6)


@pytest.mark.parametrize(("size_m", "value"), [(0.05, -1.0), (0.2, 0.0), (0.4, 0.5), (0.8, 1.0)])
def test_constant_channels(size_m: float, value: float) -> None:
    xyz = np.array([[0.1, 0.1, 0.1], [5.0, 5.0, 5.0]])
    grid = voxelize(xyz, size_m)
    found = voxel_inputs(["one", "log_voxel"], PointCloud(xyz), grid, CloudContext(PointCloud(xyz)))
    np.testing.assert_allclose(found, [[1, value], [1, value]], atol=1e-6)


def test_colors_and_intensity_are_means_in_the_order_of_their_names() -> None:
    xyz = np.array([[0.1, 0.1, 0.1], [0.3, 0.3, 0.3], [5.0, 5.0, 5.0]])
    rgb = np.array([[10, 100, 200], [30, 120, 240], [255, 0, 127]], dtype=np.uint8)
    cloud = PointCloud(xyz, rgb, np.array([0.25, 0.5, 1.0], dtype=np.float32))
    grid = voxelize(xyz, SIZE_M)
    first, second = grid.voxel_of_point[0], grid.voxel_of_point[2]
    expected = {
        "red": (20 / 127.5 - 1, 1.0),
        "green": (110 / 127.5 - 1, -1.0),
        "blue": (220 / 127.5 - 1, 127 / 127.5 - 1),
        "intensity": (0.375, 1.0),
    }
    found = voxel_inputs(list(expected), cloud, grid, CloudContext(cloud))
    for column, values in enumerate(expected.values()):
        np.testing.assert_allclose(found[[first, second], column], values, atol=2e-5)


def test_channels_are_in_the_order_requested() -> None:
    xyz = landscape()
    cloud, grid = PointCloud(xyz), voxelize(xyz, SIZE_M)
    context = CloudContext(cloud)
    names = ["z_offset", "one", "height_far"]
    together = voxel_inputs(names, cloud, grid, context)
    for column, name in enumerate(names):
        alone = voxel_inputs([name], cloud, grid, context)[:, 0]
        np.testing.assert_array_equal(together[:, column], alone)


def test_a_tile_has_the_channels_of_the_whole_cloud() -> None:
    """Ground and ranks come from the whole cloud: at the edge of a tile they are the same."""
    xyz = landscape()
    intensity = (xyz[:, 0] / 100).astype(np.float32)
    rgb = np.full(xyz.shape, 7, dtype=np.uint8)
    rgb[xyz[:, 0] > 90] = 200  # all colors of the tile are the same, those of the cloud are not
    cloud, context = PointCloud(xyz, rgb, intensity), CloudContext(PointCloud(xyz, rgb, intensity))
    rows = np.flatnonzero(xyz[:, 0] < 45)  # cuts the plateau
    tile = cloud.select(rows)
    grid, tile_grid = voxelize(xyz, SIZE_M), voxelize(tile.xyz, SIZE_M)
    names = list(CHANNELS)
    whole = voxel_inputs(names, cloud, grid, context)[grid.voxel_of_point[rows]]
    found = voxel_inputs(names, tile, tile_grid, context)[tile_grid.voxel_of_point]
    np.testing.assert_array_equal(found, whole)
    own = voxel_inputs(names, tile, tile_grid, CloudContext(tile))[tile_grid.voxel_of_point]
    differing = [name for column, name in enumerate(names) if (own != whole)[:, column].any()]
    expected = ["height_near", "red", "green", "blue", "has_color", "intensity_rank"]
    assert differing == expected


OPTIONAL = ("red", "green", "blue", "has_color", "intensity_rank", "has_intensity")


def test_optional_channels_are_zero_where_the_cloud_lacks_them() -> None:
    xyz = landscape()
    same = PointCloud(
        xyz, np.full(xyz.shape, 128, np.uint8), np.full(len(xyz), 0.5, dtype=np.float32)
    )
    for cloud in (PointCloud(xyz), same):
        grid = voxelize(xyz, SIZE_M)
        assert not voxel_inputs(OPTIONAL, cloud, grid, CloudContext(cloud)).any()


@pytest.mark.parametrize("name", ["red", "intensity", "intensity_rank"])
def test_a_channel_without_its_mask_is_required(name: str) -> None:
    cloud = PointCloud(landscape())
    grid = voxelize(cloud.xyz, SIZE_M)
    with pytest.raises(InputError, match="E_NO_CHANNEL"):
        voxel_inputs([name], cloud, grid, CloudContext(cloud))


def test_intensity_ranks_do_not_change_with_gain_and_gamma() -> None:
    xyz = landscape()
    levels = np.random.default_rng(0).integers(1, 40, len(xyz)) / 40
    grid = voxelize(xyz, SIZE_M)
    clouds = [
        PointCloud(xyz, None, values.astype(np.float32))
        for values in (levels, levels * 0.1, levels**2)
    ]
    found = [voxel_inputs(["intensity_rank"], cloud, grid, CloudContext(cloud)) for cloud in clouds]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    assert found[0].min() < -1.4 < 1.4 < found[0].max()
    assert abs(found[0].mean()) < 0.02


def test_ranks_are_logits_of_the_share_of_lower_intensities() -> None:
    scores = rank_scores(np.array([0, 0, 5, 65535]))
    # (points below + half of the equal ones + 0.5) of 5.
    ranks = [1.5 / 5, 3 / 5, 4 / 5]
    np.testing.assert_allclose(
        scores[[0, 5, 65535]], [math.log(rank / (1 - rank)) / 2.5 for rank in ranks]
    )
    assert (np.diff(scores) >= 0).all()
