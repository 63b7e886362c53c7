"""Input channels of point networks: features computed for every voxel from its points."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

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
_HIGHEST_INTENSITY = 65535


class CloudContext:
    """What channels need to know of a whole cloud, each computed on first use.

    It is made once, before a cloud is cut into tiles, so that all tiles use the same ground and
    rank intensities among the same points.

    Args:
        cloud: N ≥ 1 points, all finite.
        scan: cloud that intensities are ranked in, if it is not the same: in training the ground
            is found under a moved part of a scan.
    """

    def __init__(self, cloud: PointCloud, scan: PointCloud | None = None) -> None:
        self._cloud = cloud
        self._scan = cloud if scan is None else scan

    @cached_property
    def _by_height(self) -> npt.NDArray[np.int64]:
        return np.argsort(self._cloud.xyz[:, 2])

    @cached_property
    def storeys(self) -> Storeys:
        """Storeys of the cloud, and its stray points."""
        return Storeys.find(self._cloud.xyz)

    @cached_property
    def near_ground(self) -> Ground:
        """Ground without objects up to ten metres wide."""
        return self._ground(**_NEAR)

    @cached_property
    def far_ground(self) -> Ground:
        """Ground without objects up to 48 metres wide."""
        return self._ground(**_FAR)

    @cached_property
    def has_color(self) -> bool:
        """Whether the points have colors, and not all the same one."""
        rgb = self._scan.rgb
        return rgb is not None and bool((rgb != rgb[0]).any())

    @cached_property
    def intensity_scores(self) -> Floats | None:
        """Score of each of 65,536 intensities by its rank among the points: see `rank_scores`.

        None where the points have no intensity, or all the same one.
        """
        intensity = self._scan.intensity
        if intensity is None or bool((intensity == intensity[0]).all()):
            return None
        return rank_scores(quantize_intensity(intensity))

    def _ground(self, cell_m: float, radius_m: float) -> Ground:
        return Ground.estimate(
            self._cloud.xyz,
            cell_m=cell_m,
            radius_m=radius_m,
            storeys=self.storeys,
            by_height=self._by_height,
        )


@dataclass(frozen=True, slots=True)
class _Voxels:
    """What channels are computed from: the points of M voxels, and the cloud they are part of.

    Attributes:
        cloud: N points.
        grid: M voxels.
        context: of the whole cloud.
        z_low: (M,) metres, z of the lowest point of every voxel.
        z_high: (M,) metres, z of the highest point of every voxel.
        names: all channels that the network reads.
    """

    cloud: PointCloud
    grid: VoxelGrid
    context: CloudContext
    z_low: Floats
    z_high: Floats
    names: tuple[str, ...]

    def height_near(self) -> Floats:
        """Return (M,) metres above the ground without objects up to ten metres wide."""
        return self.height_above(self.context.near_ground)

    def height_far(self) -> Floats:
        """Return (M,) metres above the ground without objects up to 48 metres wide."""
        return self.height_above(self.context.far_ground)

    def horizontal_extent(self) -> Floats:
        """Return (M,) metres, the larger of the extents of a voxel's points along x and y."""
        rows, extents = self.grid.voxel_of_point, []
        for axis in (0, 1):
            low, high = np.full(len(self.grid), np.inf), np.full(len(self.grid), -np.inf)
            np.minimum.at(low, rows, self.cloud.xyz[:, axis])
            np.maximum.at(high, rows, self.cloud.xyz[:, axis])
            extents.append(high - low)
        widest: Floats = np.maximum(*extents)
        return widest

    def height_above(self, ground: Ground) -> Floats:
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
        """Return (M,) mean red (0), green (1) or blue (2) as −1…1.

        Where the network also reads ``has_color``, a cloud without colors has 0.
        """
        if "has_color" in self.names and not self.context.has_color:
            return np.zeros(len(self.grid))
        if self.cloud.rgb is None:
            raise _missing("colors (red, green, blue)")
        return self.mean_of_points(self.cloud.rgb[:, column].astype(np.int64)) / 127.5 - 1

    def intensity(self) -> Floats:
        """Return (M,) mean intensities, 0…1."""
        if self.cloud.intensity is None:
            raise _missing("intensity")
        return self.mean_of_points(quantize_intensity(self.cloud.intensity)) / _HIGHEST_INTENSITY

    def intensity_rank(self) -> Floats:
        """Return (M,) mean scores of the points' ranks by intensity, −2.5…2.5.

        Where the network also reads ``has_intensity``, a cloud without intensity has 0.
        """
        scores, intensity = self.context.intensity_scores, self.cloud.intensity
        if scores is None or intensity is None:
            if "has_intensity" in self.names:
                return np.zeros(len(self.grid))
            raise _missing("intensity that varies")
        of_point = scores[quantize_intensity(intensity)]
        # Whole numbers: see mean_of_points.
        return self.mean_of_points(np.rint(of_point * 65536).astype(np.int64)) / 65536

    def fill(self, is_known: bool) -> Floats:
        """Return (M,) ones where something is known of the cloud, else zeros."""
        return np.full(len(self.grid), float(is_known))


# Every channel is scaled to about −2…2: a channel of larger numbers would dominate the sums of the
# first convolution.
CHANNELS: Mapping[str, Callable[[_Voxels], Floats]] = {
    # 1 for every voxel: occupancy.
    "one": lambda voxels: np.ones(len(voxels.grid)),
    # Height above the ground without objects up to 10 m wide, −2…6 m, in units of 3 m.
    "height_near": lambda voxels: (
        np.clip(voxels.height_above(voxels.context.near_ground), -2, 6) / 3
    ),
    # Height above the ground without objects up to 48 m wide, −4…60 m, logarithmic.
    "height_far": lambda voxels: _log(
        np.clip(voxels.height_above(voxels.context.far_ground), -4, 60)
    ),
    # Vertical extent of the voxel's points, in voxels: 0…1.
    "z_spread": lambda voxels: (voxels.z_high - voxels.z_low) / voxels.grid.size_m,
    # Middle of the voxel's points above the middle of the voxel, in voxels: −0.5…0.5.
    "z_offset": lambda voxels: (
        ((voxels.z_high + voxels.z_low) / 2 - voxels.grid.centers[:, 2]) / voxels.grid.size_m
    ),
    # Horizontal extent of the voxel's points, in voxels: 0…1.
    "xy_spread": lambda voxels: voxels.horizontal_extent() / voxels.grid.size_m,
    # Number of points of the voxel, logarithmic: 0 for one point, 1 for 16.
    "log_count": lambda voxels: np.log2(np.bincount(voxels.grid.voxel_of_point)) / 4,
    # Voxel size, the same for every voxel: 0 at 0.2 m, plus 0.5 for each doubling.
    "log_voxel": lambda voxels: np.full(len(voxels.grid), np.log2(voxels.grid.size_m / 0.2) / 2),
    # Mean intensity, 0…1.
    "intensity": lambda voxels: voxels.intensity(),
    # Mean color, −1…1.
    "red": lambda voxels: voxels.color(0),
    "green": lambda voxels: voxels.color(1),
    "blue": lambda voxels: voxels.color(2),
    # 1 where the cloud has colors. With it, red, green and blue are optional, and 0 without.
    "has_color": lambda voxels: voxels.fill(voxels.context.has_color),
    # Rank of the intensity among all points of the cloud, so that the sensor's gain and the shape
    # of its response do not matter; mean score, −2.5…2.5.
    "intensity_rank": lambda voxels: voxels.intensity_rank(),
    # 1 where the cloud has intensity. With it, intensity_rank is optional, and 0 without.
    "has_intensity": lambda voxels: voxels.fill(voxels.context.intensity_scores is not None),
}


def voxel_inputs(
    names: Sequence[str], cloud: PointCloud, grid: VoxelGrid, context: CloudContext
) -> npt.NDArray[np.float32]:
    """Return the input channels of every voxel.

    Args:
        names: C names of channels, keys of `CHANNELS`.
        cloud: N ≥ 1 points, all finite.
        grid: the M voxels of these points.
        context: of the cloud that these points are part of.

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
    voxels = _Voxels(cloud, grid, context, z_low, z_high, tuple(names))
    return np.stack([CHANNELS[name](voxels) for name in names], axis=1).astype(np.float32)


def quantize_intensity(intensity: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Return intensities 0…1 as whole numbers 0…65535, the resolution of LAS."""
    # Whole numbers, so that sums are exact: see mean_of_points.
    return np.rint(intensity.astype(np.float64) * _HIGHEST_INTENSITY).astype(np.int64)


def rank_scores(quantized: npt.NDArray[np.int64]) -> Floats:
    """Return the score of every possible intensity among those of a cloud.

    The score of the share r of points with a lower intensity (ties count half) is its logit,
    ln(r / (1 − r)) / 2.5, clipped to −2.5…2.5. The logit spreads the highest ranks, where road
    signs and lane markings are.

    Args:
        quantized: (N,) 0…65535, N ≥ 1.

    Returns:
        (65536,) scores that rise with the intensity.
    """
    count = np.bincount(quantized, minlength=_HIGHEST_INTENSITY + 1)
    below = np.cumsum(count) - count
    # Half a point more on both sides, so that the ranks of absent intensities are not 0 or 1.
    rank = (below + count / 2 + 0.5) / (len(quantized) + 1)
    return np.clip(np.log(rank / (1 - rank)) / 2.5, -2.5, 2.5)


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
