"""The channels that a point network can ask for, computed per voxel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.ground import Ground
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.voxels import VoxelGrid
from clip3d_cli.errors import InputError, SetupError

Floats = npt.NDArray[np.float64]

_NEAR = {"cell_m": 1.0, "radius_m": 5.0}
_FAR = {"cell_m": 4.0, "radius_m": 24.0}


class TwoScaleGround:
    """The ground under a whole cloud, at two widths, each worked out when it is asked for.

    Made once before a cloud is cut into tiles, so that tiles see the same ground.

    Args:
        xyz: (N, 3) float64, metres, all finite, N ≥ 1.
    """

    def __init__(self, xyz: Floats) -> None:
        self._xyz = xyz

    @cached_property
    def near(self) -> Ground:
        """Without what is up to ten metres wide."""
        return Ground.estimate(self._xyz, **_NEAR)

    @cached_property
    def far(self) -> Ground:
        """Without what is up to 48 metres wide."""
        return Ground.estimate(self._xyz, **_FAR)


@dataclass(frozen=True, slots=True)
class _Voxels:
    """What channels are computed from: one cloud's points by voxel, and the ground."""

    cloud: PointCloud
    grid: VoxelGrid
    ground: TwoScaleGround
    z_low: Floats
    z_high: Floats

    def height_above(self, ground: Ground) -> Floats:
        """(M,) metres: the middle of a voxel's points above the lowest ground under them."""
        base = np.full(len(self.grid), np.inf)
        np.minimum.at(base, self.grid.voxel_of_point, ground.z_at(self.cloud.xyz))
        above: Floats = (self.z_low + self.z_high) / 2 - base
        return above

    def mean_of_points(self, number: npt.NDArray[np.int64]) -> Floats:
        """(M,) the mean of (N,) whole numbers: exact, so it does not depend on point order."""
        rows = self.grid.voxel_of_point
        total = np.bincount(rows, weights=number, minlength=len(self.grid))
        return total / np.bincount(rows, minlength=len(self.grid))

    def color(self, position: int) -> Floats:
        """(M,) the mean red, green or blue, −1…1."""
        if self.cloud.rgb is None:
            raise _lacks("colors (red, green, blue)")
        return self.mean_of_points(self.cloud.rgb[:, position].astype(np.int64)) / 127.5 - 1

    def intensity(self) -> Floats:
        """(M,) the mean intensity, 0…1."""
        if self.cloud.intensity is None:
            raise _lacks("intensity")
        whole = np.rint(self.cloud.intensity.astype(np.float64) * 65535).astype(np.int64)
        return self.mean_of_points(whole) / 65535


# Each channel is about −2…2, so that none drowns another in the first convolution.
CHANNELS: Mapping[str, Callable[[_Voxels], Floats]] = {
    "one": lambda voxels: np.ones(len(voxels.grid)),
    "height_near": lambda voxels: np.clip(voxels.height_above(voxels.ground.near), -2, 6) / 3,
    "height_far": lambda voxels: _log(np.clip(voxels.height_above(voxels.ground.far), -4, 60)),
    "z_spread": lambda voxels: (voxels.z_high - voxels.z_low) / voxels.grid.size_m,
    "z_offset": lambda voxels: (
        ((voxels.z_high + voxels.z_low) / 2 - voxels.grid.centers[:, 2]) / voxels.grid.size_m
    ),
    "log_voxel": lambda voxels: np.full(len(voxels.grid), np.log2(voxels.grid.size_m / 0.2) / 2),
    "intensity": lambda voxels: voxels.intensity(),
    "red": lambda voxels: voxels.color(0),
    "green": lambda voxels: voxels.color(1),
    "blue": lambda voxels: voxels.color(2),
}


def voxel_inputs(
    names: Sequence[str], cloud: PointCloud, grid: VoxelGrid, ground: TwoScaleGround
) -> npt.NDArray[np.float32]:
    """What a network is told of every voxel.

    Args:
        names: the channels, keys of `CHANNELS`.
        cloud: N ≥ 1 points, all finite.
        grid: its M voxels.
        ground: the ground under these points and possibly more.

    Returns:
        (M, C) float32.

    Raises:
        InputError: the cloud lacks colors or intensity that a channel needs.
        SetupError: a name is no channel.
    """
    unknown = [name for name in names if name not in CHANNELS]
    if unknown:
        raise SetupError(
            "E_WEIGHTS",
            "inputs",
            f"the weights ask for a channel {unknown[0]!r}",
            f"This version knows {', '.join(CHANNELS)}; a newer clip3d may know it.",
        )
    z_low = np.full(len(grid), np.inf)
    z_high = np.full(len(grid), -np.inf)
    np.minimum.at(z_low, grid.voxel_of_point, cloud.xyz[:, 2])
    np.maximum.at(z_high, grid.voxel_of_point, cloud.xyz[:, 2])
    voxels = _Voxels(cloud, grid, ground, z_low, z_high)
    return np.stack([CHANNELS[name](voxels) for name in names], axis=1).astype(np.float32)


def _log(height: Floats) -> Floats:
    return np.sign(height) * np.log1p(np.abs(height)) / 2


def _lacks(what: str) -> InputError:
    return InputError(
        "E_NO_CHANNEL",
        "the cloud",
        f"has no {what}, and these weights need them",
        "Use weights that need xyz only, such as the default ones.",
    )
