"""Random changes of a scan, as other sensors at other places might have measured it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.point_cloud import PointCloud

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

# Shares of training scans that lose their colors, and their intensity.
_NO_COLOR, _NO_INTENSITY = 0.35, 0.35
_GRAY = 0.08
_STRAYS = 0.12
_TILTED = 0.08


def thin(points: int, rng: np.random.Generator, *, aerial: bool) -> Mask:
    """Return a mask of the points to keep: at times all, else as few as 35 %.

    Args:
        points: number of points.
        rng: draws the share.
        aerial: keep at times as little as 3 %, as the densities of surveys differ that much.
    """
    shares = [1.0, 1.0, rng.uniform(0.35, 1.0)]
    if aerial:
        shares += [np.exp(rng.uniform(np.log(0.03), 0))] * 2
    keep: Mask = rng.random(points) < rng.choice(shares)
    if keep.sum() < 100:
        keep[:] = True
    return keep


def move(xyz: Floats, rng: np.random.Generator, *, indoor: bool, voxel_m: float) -> Floats:
    """Return points rotated about the vertical, mirrored, scaled, tilted, warped and made noisy.

    Scales are 0.85 to 1.18 in all, and 0.9 to 1.1 more along each axis; tilts are up to 3° for
    most scans and up to 20° for one in twelve; the
    noise is up to 2 cm for most scans and up to 8 cm for some, and not above half a voxel. Some
    scans are warped by waves of some centimetres, as drift and fusion do. At last the points move
    to anywhere on the voxel lattice.

    Args:
        xyz: (N, 3) metres.
        rng: draws the changes.
        indoor: scans of rooms are warped more often.
        voxel_m: voxel edge in metres.
    """
    xyz = xyz - xyz.mean(axis=0)
    angle = rng.uniform(0, 2 * np.pi)
    rotation = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    tilt = _tilt(rng)
    size = np.exp(rng.uniform(-0.16, 0.16))
    sizes = size * rng.uniform(0.93, 1.07, 3) * [rng.choice([-1, 1]), 1, 1]
    # Stretch along a random horizontal direction: rotate, scale, rotate.
    turn = rng.uniform(0, 2 * np.pi)
    about = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    xyz = xyz @ (tilt @ rotation @ np.diag(sizes) @ about).T
    if rng.random() < (0.4 if indoor else 0.15):
        xyz = xyz + _warp(xyz, rng, amplitude_m=0.6 * voxel_m)
    largest = 0.08 if rng.random() < 0.15 else 0.02
    noise_m = min(rng.uniform(0, largest), 0.5 * voxel_m)
    moved: Floats = xyz + rng.normal(0, noise_m, xyz.shape) + rng.uniform(-50, 50, 3)
    return moved


def _tilt(rng: np.random.Generator) -> Floats:
    """Return a (3, 3) tilt."""
    tilt = np.eye(3)
    if rng.random() < _TILTED:
        # A rotation: the sensor was not upright.
        angle = np.radians(rng.uniform(3, 20))
        tilt[1:, 1:] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        return tilt
    # A shear, z += a x + b y, which keeps walls upright: the ground slopes.
    tilt[2, :2] = np.tan(np.radians(rng.normal(0, 1.2, 2).clip(-3, 3)))
    return tilt


def _warp(xyz: Floats, rng: np.random.Generator, *, amplitude_m: float) -> Floats:
    """Return (N, 3) smooth offsets: a sum of three waves along random directions."""
    offset = np.zeros_like(xyz)
    for _ in range(3):
        length_m = rng.uniform(0.6, 4.0)
        direction = rng.normal(size=3)
        direction *= 2 * np.pi / (length_m * np.linalg.norm(direction))
        phase = xyz @ direction + rng.uniform(0, 2 * np.pi)
        offset += np.sin(phase)[:, None] * rng.normal(0, amplitude_m / 2, 3)
    return offset


def hide(xyz: Floats, rng: np.random.Generator, *, voxel_m: float) -> Mask:
    """Return a mask of the points that stay when up to four balls are cut out.

    Args:
        xyz: (N, 3) metres.
        rng: draws the balls, of 5 to 25 voxels.
        voxel_m: voxel edge in metres.
    """
    keep: Mask = np.ones(len(xyz), dtype=np.bool_)
    if rng.random() < 0.5:
        return keep
    for _ in range(rng.integers(1, 5)):
        center = xyz[rng.integers(len(xyz))]
        radius_m = voxel_m * rng.uniform(5, 25)
        keep &= ((xyz - center) ** 2).sum(axis=1) > radius_m**2
    if keep.sum() < len(xyz) // 2:
        keep[:] = True
    return keep


def add_strays(
    cloud: PointCloud, leaf_set_of_point: npt.NDArray[np.int16], rng: np.random.Generator
) -> tuple[PointCloud, npt.NDArray[np.int16]]:
    """Return a cloud with some points below the ground and in the air, without ground truth.

    Reflections and views through windows leave such points, and the ground is found by the lowest.

    Args:
        cloud: N points.
        leaf_set_of_point: (N,) ground truth.
        rng: one cloud in eight gets 5 to 60 points.
    """
    if rng.random() >= _STRAYS or len(cloud) < 100:
        return cloud, leaf_set_of_point
    count = int(rng.integers(5, 60))
    low, high = cloud.xyz.min(axis=0), cloud.xyz.max(axis=0)
    strays = rng.uniform(low, high, (count, 3))
    below = rng.random(count) < 0.7
    strays[below, 2] = low[2] - rng.uniform(0.3, 5.0, int(below.sum()))
    # Each has the color and intensity of some other point.
    rows = np.concatenate((np.arange(len(cloud)), rng.integers(len(cloud), size=count)))
    truth = np.concatenate((leaf_set_of_point, np.full(count, -1, dtype=np.int16)))
    return replace(cloud.select(rows), xyz=np.concatenate((cloud.xyz, strays))), truth


def recolor(cloud: PointCloud, rng: np.random.Generator) -> PointCloud:
    """Return a cloud with other white balance, exposure, contrast and noise, or without colors."""
    if cloud.rgb is None or rng.random() < _NO_COLOR:
        return replace(cloud, rgb=None)
    rgb = cloud.rgb.astype(np.float32) / 255
    gain = np.exp(rng.normal(0, 0.2) + rng.normal(0, 0.08, 3))
    gamma = np.exp(rng.normal(0, 0.25))
    rgb = (rgb * gain).clip(0, 1) ** gamma + rng.normal(0, 0.03, 3)
    gray = rgb.mean(axis=1, keepdims=True)
    saturation = 0.0 if rng.random() < _GRAY else np.exp(rng.normal(0, 0.3))
    rgb = gray + (rgb - gray) * saturation
    noise = rng.normal(0, rng.uniform(0, 0.06), rgb.shape)
    return replace(cloud, rgb=((rgb + noise).clip(0, 1) * 255).astype(np.uint8))


def change_intensity(cloud: PointCloud, rng: np.random.Generator) -> PointCloud:
    """Return a cloud with noisier, coarser intensity, or without intensity.

    Gain and gamma are left alone, since ranks do not change with them; what changes is how the
    material's share and the noise mix, and what is saturated.
    """
    if cloud.intensity is None or rng.random() < _NO_INTENSITY:
        return replace(cloud, intensity=None)
    intensity = cloud.intensity
    noise = np.exp(rng.normal(0, rng.uniform(0, 0.35), len(intensity)))
    changed = intensity * noise.astype(np.float32)
    # Sensors round to few levels and cut off the brightest points.
    highest = float(np.quantile(changed, rng.uniform(0.97, 1.0))) or 1.0
    levels = int(rng.choice([64, 255, 4095]))
    rounded = np.rint((changed / highest).clip(0, 1) * levels) / levels
    return replace(cloud, intensity=rounded.astype(np.float32))
