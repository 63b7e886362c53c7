"""Input channels of point networks: features computed for every voxel from its points."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.ground import Ground
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.storeys import Storeys
from clip3d_cli.core.voxels import VoxelGrid
from clip3d_cli.errors import InputError, SetupError

Floats = npt.NDArray[np.float64]

_NEAR = {"cell_m": 1.0, "radius_m": 5.0}
_FAR = {"cell_m": 4.0, "radius_m": 24.0}


class GroundHeights(Protocol):
    """Heights of the ground."""

    def z_at(self, xyz: Floats) -> Floats:
        """Return the z of the ground at (P, 3) points, (P,) metres."""
        ...


class Terrain(Protocol):
    """The ground at two scales, such as `TwoScaleGround`."""

    @property
    def near(self) -> GroundHeights:
        """Ground without objects up to ten metres wide."""
        ...

    @property
    def far(self) -> GroundHeights:
        """Ground without objects up to 48 metres wide."""
        ...


class TwoScaleGround:
    """The ground under a whole cloud, estimated at two scales, each on first use.

    It is made once, before a cloud is cut into tiles, so that all tiles use the same ground.

    Args:
        xyz: (N, 3) float64, metres, all finite, N ≥ 1.
    """

    def __init__(self, xyz: Floats) -> None:
        self._xyz = xyz

    @cached_property
    def _by_height(self) -> npt.NDArray[np.int64]:
        return np.argsort(self._xyz[:, 2])

    @cached_property
    def storeys(self) -> Storeys:
        """Storeys of the cloud, and its stray points."""
        return Storeys.find(self._xyz)

    @cached_property
    def near(self) -> Ground:
        """Ground without objects up to ten metres wide."""
        return Ground.estimate(self._xyz, **_NEAR, storeys=self.storeys, by_height=self._by_height)

    @cached_property
    def far(self) -> Ground:
        """Ground without objects up to 48 metres wide."""
        return Ground.estimate(self._xyz, **_FAR, storeys=self.storeys, by_height=self._by_height)


@dataclass(frozen=True, slots=True)
class _Voxels:
    """What channels are computed from: the points of M voxels and the ground.

    Attributes:
        cloud: N points.
        grid: M voxels.
        ground: ground under the points.
        z_low: (M,) metres, z of the lowest point of every voxel.
        z_high: (M,) metres, z of the highest point of every voxel.
    """

    cloud: PointCloud
    grid: VoxelGrid
    ground: Terrain
    z_low: Floats
    z_high: Floats

    def height_above(self, ground: GroundHeights) -> Floats:
        """Return (M,) metres: middle of a voxel's points above the lowest ground under them."""
        base = np.full(len(self.grid), np.inf)
        np.minimum.at(base, self.grid.voxel_of_point, ground.z_at(self.cloud.xyz))
        above: Floats = (self.z_low + self.z_high) / 2 - base
        return above

    def mean_of_points(self, values: npt.NDArray[np.int64]) -> Floats:
        """Return (M,) means of (N,) values.

        Sums of whole numbers are exact in float64, so the result does not depend on the order of
        the points.
        """
        rows = self.grid.voxel_of_point
        total = np.bincount(rows, weights=values, minlength=len(self.grid))
        return total / np.bincount(rows, minlength=len(self.grid))

    def color(self, column: int) -> Floats:
        """Return (M,) mean red (0), green (1) or blue (2) as −1…1."""
        if self.cloud.rgb is None:
            raise _missing("colors (red, green, blue)")
        return self.mean_of_points(self.cloud.rgb[:, column].astype(np.int64)) / 127.5 - 1

    def intensity(self) -> Floats:
        """Return (M,) mean intensities, 0…1."""
        if self.cloud.intensity is None:
            raise _missing("intensity")
        # In 1/65535, the resolution of LAS, as whole numbers: see mean_of_points.
        whole = np.rint(self.cloud.intensity.astype(np.float64) * 65535).astype(np.int64)
        return self.mean_of_points(whole) / 65535


# Every channel is scaled to about −2…2: a channel of larger numbers would dominate the sums of the
# first convolution.
CHANNELS: Mapping[str, Callable[[_Voxels], Floats]] = {
    # 1 for every voxel: occupancy.
    "one": lambda voxels: np.ones(len(voxels.grid)),
    # Height above the ground without objects up to 10 m wide, −2…6 m, in units of 3 m.
    "height_near": lambda voxels: np.clip(voxels.height_above(voxels.ground.near), -2, 6) / 3,
    # Height above the ground without objects up to 48 m wide, −4…60 m, logarithmic.
    "height_far": lambda voxels: _log(np.clip(voxels.height_above(voxels.ground.far), -4, 60)),
    # Vertical extent of the voxel's points, in voxels: 0…1.
    "z_spread": lambda voxels: (voxels.z_high - voxels.z_low) / voxels.grid.size_m,
    # Middle of the voxel's points above the middle of the voxel, in voxels: −0.5…0.5.
    "z_offset": lambda voxels: (
        ((voxels.z_high + voxels.z_low) / 2 - voxels.grid.centers[:, 2]) / voxels.grid.size_m
    ),
    # Voxel size, the same for every voxel: 0 at 0.2 m, plus 0.5 for each doubling.
    "log_voxel": lambda voxels: np.full(len(voxels.grid), np.log2(voxels.grid.size_m / 0.2) / 2),
    # Mean intensity, 0…1.
    "intensity": lambda voxels: voxels.intensity(),
    # Mean color, −1…1.
    "red": lambda voxels: voxels.color(0),
    "green": lambda voxels: voxels.color(1),
    "blue": lambda voxels: voxels.color(2),
}


def voxel_inputs(
    names: Sequence[str], cloud: PointCloud, grid: VoxelGrid, ground: Terrain
) -> npt.NDArray[np.float32]:
    """Return the input channels of every voxel.

    Args:
        names: C names of channels, keys of `CHANNELS`.
        cloud: N ≥ 1 points, all finite.
        grid: the M voxels of these points.
        ground: ground under these points, and possibly under more.

    Returns:
        (M, C) float32.

    Raises:
        InputError: E_NO_CHANNEL, the cloud lacks colors or intensity that a channel needs.
        SetupError: E_WEIGHTS, a name is not a channel.
    """
    unknown = [name for name in names if name not in CHANNELS]
    if unknown:
        raise SetupError(
            "E_WEIGHTS",
            "inputs",
            f"the weights need an unknown input channel {unknown[0]!r}",
            f"This version knows {', '.join(CHANNELS)}; a newer version may know it.",
        )
    z_low = np.full(len(grid), np.inf)
    z_high = np.full(len(grid), -np.inf)
    np.minimum.at(z_low, grid.voxel_of_point, cloud.xyz[:, 2])
    np.maximum.at(z_high, grid.voxel_of_point, cloud.xyz[:, 2])
    voxels = _Voxels(cloud, grid, ground, z_low, z_high)
    return np.stack([CHANNELS[name](voxels) for name in names], axis=1).astype(np.float32)


def _log(height: Floats) -> Floats:
    """Compress heights in metres: sign(h) · ln(1 + |h|) / 2."""
    return np.sign(height) * np.log1p(np.abs(height)) / 2


def _missing(what: str) -> InputError:
    return InputError(
        "E_NO_CHANNEL",
        "the cloud",
        f"has no {what}, which the weights need",
        "Use weights that need xyz only, such as the default ones.",
    )
