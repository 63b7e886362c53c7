"""LiDARs without turning lasers: one or a few lasers that prisms move, as Livox builds them.

Their pattern does not repeat, so the longer they look, the denser they see. Source: Livox's
manuals of the Mid-40, Avia and Horizon; rotation of the Mid-40's prisms: 7,294 and −4,664 rpm.
"""

from dataclasses import dataclass

import numpy as np

from weights.recipe.simulate.captures import Capture
from weights.recipe.simulate.lidars import (
    STANDING,
    Lidar,
    Motion,
    Pose,
    directions_of,
    measure,
    moved_rays,
)
from weights.recipe.simulate.primitives import F64, Rng
from weights.recipe.simulate.ray_casting import RayCaster


@dataclass(frozen=True, slots=True)
class Rosette:
    """The pattern of one or a few lasers that look through turning prisms.

    Attributes:
        name: the model that it resembles.
        half_fov_deg: half the field of view, horizontal and vertical.
        lines: number of lasers, one above the other.
        line_deg: angle between neighbouring lasers.
        points_per_s: measurements per second.
        lidar: its range, noise and so on; angles are not used.
    """

    name: str
    half_fov_deg: tuple[float, float]
    lines: int
    line_deg: float
    points_per_s: int
    lidar: Lidar


def draw_rosette(rng: Rng) -> Rosette:
    """Return a random LiDAR that resembles the Mid-40, the Avia or the Horizon."""
    name = str(rng.choice(["mid40", "avia", "horizon", "horizon", "horizon"]))
    half, lines, line_deg, rate = {
        "mid40": ((19.2, 19.2), 1, 0.0, 100_000),
        "avia": ((35.2, 38.6), 6, 0.26, 240_000),
        "horizon": ((40.85, 11.0), 6, 0.55, 240_000),
    }[name]
    lidar = Lidar(
        name,
        np.zeros(1, dtype=np.float32),
        (0.0, 1.0),
        1.0,
        float(rng.uniform(0.01, 0.04)),
        float(rng.uniform(90, 260)),
        0.9,
        float(rng.choice([0.0, rng.uniform(0, 0.5)])),
    )
    return Rosette(name, half, lines, line_deg, rate, lidar)


def scan_with_rosette(
    caster: RayCaster,
    rosette: Rosette,
    pose: Pose,
    rng: Rng,
    *,
    duration_s: float = 0.1,
    motion: Motion = STANDING,
) -> Capture:
    """Return the points of ``duration_s`` seconds of such a LiDAR, at most 250,000 rays."""
    count = min(int(rosette.points_per_s * duration_s), 250_000) // rosette.lines
    seconds = np.arange(count) * rosette.lines / rosette.points_per_s + float(rng.uniform(0, 100))
    azimuth_deg, elevation_deg = _pattern(rosette, seconds)
    # Laser by laser, so that neighbours in time follow each other.
    offset = (np.arange(rosette.lines) - (rosette.lines - 1) / 2) * rosette.line_deg
    azimuth = np.tile(np.radians(azimuth_deg), rosette.lines)
    elevation = np.radians((elevation_deg[None, :] + offset[:, None]).ravel())
    laser = np.repeat(np.arange(rosette.lines), count)
    directions = directions_of(azimuth, elevation)
    time = np.tile(np.linspace(-0.5, 0.5, count), rosette.lines)
    own = (directions, np.zeros_like(directions))
    return measure(caster, rosette.lidar, moved_rays(own, laser, time, pose, motion), rng)


def _pattern(rosette: Rosette, seconds: F64) -> tuple[F64, F64]:
    """Return azimuth and elevation in degrees at times in seconds."""
    wide, high = rosette.half_fov_deg
    if rosette.name == "horizon":
        # It swings from side to side while it rises and falls slowly, along arcs.
        swing = 2 * np.pi * 41.3 * seconds
        azimuth = wide * np.sin(swing)
        elevation = high * np.sin(2 * np.pi * 5.17 * seconds) - 2.5 * np.cos(2 * swing)
        return azimuth, elevation
    first, second = 2 * np.pi * 121.57 * seconds, -2 * np.pi * 77.73 * seconds
    azimuth = wide / 2 * (np.cos(first) + np.cos(second))
    elevation = high / 2 * (np.sin(first) + np.sin(second))
    return azimuth, elevation
