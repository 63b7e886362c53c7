"""Every input channel against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.voxels import voxelize
from clip3d_cli.encoders.input_channels import CHANNELS, TwoScaleGround, voxel_inputs

# Two points in the voxel (0, 0, 0) of 0.5 m, one in (1, 0, 0).
TWO_VOXELS = PointCloud(
    np.array([[0.1, 0.2, 0.2], [0.3, 0.1, 0.4], [0.6, 0.3, 0.05]]),
    np.array([[10, 20, 90], [20, 60, 30], [255, 0, 51]], np.uint8),
    np.array([0.2, 0.4, 1.0], np.float32),
)


@pytest.mark.parametrize(
    ("channel", "values"),
    [
        ("one", [1, 1]),
        ("z_spread", [0.2 / 0.5, 0]),
        ("z_offset", [(0.3 - 0.25) / 0.5, (0.05 - 0.25) / 0.5]),
        ("log_voxel", [np.log2(0.5 / 0.2) / 2] * 2),
        ("intensity", [0.3, 1]),
        ("red", [15 / 127.5 - 1, 1]),
        ("green", [40 / 127.5 - 1, -1]),
        ("blue", [60 / 127.5 - 1, 51 / 127.5 - 1]),
    ],
)
def test_channel_of_two_voxels(channel: str, values: list[float]) -> None:
    grid = voxelize(TWO_VOXELS.xyz, 0.5)
    inputs = voxel_inputs([channel], TWO_VOXELS, grid, TwoScaleGround(TWO_VOXELS.xyz))
    assert inputs.dtype == np.float32
    np.testing.assert_allclose(inputs[:, 0], values, atol=1e-5)


def test_channels_stand_in_the_order_of_their_names() -> None:
    grid, ground = voxelize(TWO_VOXELS.xyz, 0.5), TwoScaleGround(TWO_VOXELS.xyz)
    names = list(CHANNELS)
    together = voxel_inputs(names, TWO_VOXELS, grid, ground)
    for column, name in enumerate(names):
        alone = voxel_inputs([name], TWO_VOXELS, grid, ground)[:, 0]
        np.testing.assert_array_equal(together[:, column], alone)


def test_heights_above_the_ground_at_both_widths() -> None:
    """On a plain at z = 100: roofs at 108, a hut, a mast to 190, one echo at 90."""
    steps = np.arange(0.25, 110, 0.5)
    x, y = (grid.ravel() for grid in np.meshgrid(steps, steps))
    z = np.full(len(x), 100.0)
    for middle_m, half_m, top_m in ((50, 20, 108), (90, 7, 108), (15, 4, 104)):
        z[np.maximum(np.abs(x - middle_m), np.abs(y - middle_m)) < half_m] = top_m
    plain = np.column_stack((x, y, z))
    alone = np.array([[5.25, 5.25, 190.25], [20.25, 60.25, 90.25]])
    # The echo's grid cell has ten more points: it is the lowest tenth, which does not count.
    beside_echo = np.repeat([[20.25, 60.25, 100.0]], 10, axis=0)
    cloud = PointCloud(np.concatenate((plain, beside_echo, alone)))
    grid = voxelize(cloud.xyz, 0.5)
    inputs = voxel_inputs(["height_near", "height_far"], cloud, grid, TwoScaleGround(cloud.xyz))
    near, far = inputs[grid.voxel_of_point].T

    def at(x_m: float, y_m: float) -> int:
        return int(np.flatnonzero((plain[:, 0] == x_m) & (plain[:, 1] == y_m))[0])

    rows = [at(5.25, 60.25), at(50.25, 50.25), at(90.25, 90.25), at(15.25, 15.25)]
    # Openings of radius 5 m and 24 m: the roofs of 40 m and 14 m are ground to the first alone.
    np.testing.assert_allclose(near[rows], [0, 0, 0, 4 / 3], atol=1e-6)
    np.testing.assert_allclose(far[rows], np.log1p([0, 8, 8, 4]) / 2, rtol=1e-6)
    # Clipped to -2 to 6 m and to -4 to 60 m.
    mast, echo = len(cloud) - 2, len(cloud) - 1
    np.testing.assert_allclose(near[[mast, echo]], [6 / 3, -2 / 3], rtol=1e-6)
    np.testing.assert_allclose(far[[mast, echo]], [np.log1p(60) / 2, -np.log1p(4) / 2], rtol=1e-6)
