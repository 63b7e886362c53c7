"""Spinning and forward-looking LiDARs: their beams, noise and losses."""

from dataclasses import dataclass

import numpy as np

from weights.recipe.simulate.caster import Caster
from weights.recipe.simulate.primitives import F32, U8, Rng


@dataclass(frozen=True, slots=True)
class Lidar:
    """A sensor's geometry and faults.

    Attributes:
        name: the kind it resembles.
        elevation_deg: (B,) beams, one row per laser.
        azimuth_deg: (first, last) sector and, through ``step_deg``, its columns.
        step_deg: between columns.
        noise_m: standard deviation of the range.
        reach_m: range beyond which nothing comes back.
        near_m: range below which nothing comes back.
    """

    name: str
    elevation_deg: F32
    azimuth_deg: tuple[float, float]
    step_deg: float
    noise_m: float
    reach_m: float
    near_m: float = 1.5


@dataclass(frozen=True, slots=True)
class Pose:
    """Where the sensor is and how it is tilted: metres and radians."""

    at: tuple[float, float, float]
    yaw: float
    pitch: float
    roll: float

    def rotation(self) -> F32:
        """Return the (3, 3) matrix from the sensor's axes to the world's."""
        cy, sy = np.cos(self.yaw), np.sin(self.yaw)
        cp, sp = np.cos(self.pitch), np.sin(self.pitch)
        cr, sr = np.cos(self.roll), np.sin(self.roll)
        about_z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
        about_y = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
        about_x = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
        return np.asarray(about_z @ about_y @ about_x, dtype=np.float32)


def elevations(kind: str) -> F32:
    """Return the (B,) beam angles in degrees of a known kind of sensor, from its data sheet.

    Raises:
        KeyError: no such kind.
    """
    even = {
        "vlp16": (-15, 15, 16),
        "hdl32": (-30.67, 10.67, 32),
        "os1_64": (-16.6, 16.6, 64),
        "os1_128": (-22.5, 22.5, 128),
        "os0_128": (-45, 45, 128),
        "os1_64_below": (-22.5, 0, 64),
    }
    if kind in even:
        return np.linspace(*even[kind], dtype=np.float32)
    dense = {"vlp32": (-4.67, 1.33, 19), "hdl64": (-8.4, 2, 32)}
    dense |= {"pandar40": (-6, 2, 25), "pandar64": (-6, 2, 49)}
    low = {
        "vlp32": [-25, -15.6, -11.3, -8.8, -7.25, -6.15, -5.3],
        "hdl64": list(np.linspace(-24.9, -8.8, 32)),
        "pandar40": [-16, -14, -13, -12, -11, -10, -9, -8, -7],
        "pandar64": [-25, -19, -14, -13, -12, -11, -10, -9, -8, -7],
    }
    high = {"vlp32": [1.67, 2.33, 3.33, 4.67, 7, 15], "hdl64": []}
    high |= {"pandar40": [3, 5, 8, 11, 13, 15], "pandar64": [3, 5, 9, 12, 15]}
    beams = np.concatenate([low[kind], np.linspace(*dense[kind]), high[kind]])
    return beams.astype(np.float32)


def draw_lidar(rng: Rng, place: str) -> Lidar:
    """Return a sensor of a random kind, slightly unlike the last; trails get robots' sensors."""
    if place == "trail":
        kinds = ["os1_64", "os1_64", "os1_128", "hdl64", "hdl32", "os0_128", "vlp32"]
    else:
        kinds = (
            ["hdl64"] * 4
            + ["pandar64"] * 4
            + ["hdl32"] * 3
            + ["front_gt", "front", "front32", "front32"]
            + ["vlp16", "vlp32", "pandar40", "os1_64", "os1_128", "os1_128", "os1_64_below"]
        )
    kind = str(rng.choice(kinds))
    noise, reach = float(rng.uniform(0.008, 0.03)), float(rng.choice([60, 80, 100, 120, 200]))
    if kind.startswith("front"):
        return _front(kind, rng, noise, reach)
    beams = elevations(kind)
    beams = beams * np.float32(rng.uniform(0.95, 1.08)) + np.float32(rng.uniform(-1, 1))
    # Each laser of a real head is a little off its nominal angle.
    beams = beams + rng.normal(0, 0.04, len(beams)).astype(np.float32)
    steps = [0.1728, 0.2] if kind in ("hdl64", "pandar64", "pandar40") else [0.1758, 0.3516, 0.3516]
    step = float(rng.choice(steps if len(beams) > 32 else [0.1, 0.16, 0.2, 0.33]))
    return Lidar(kind, beams.astype(np.float32), (0.0, 360.0), step, noise, max(reach, 80.0))


def _front(kind: str, rng: Rng, noise: float, reach: float) -> Lidar:
    half, low, high, rows, step = (30.0, -7.0, 5.0, 100, 0.1)
    if kind == "front":
        half, low, high = float(rng.uniform(45, 70)), float(rng.uniform(-18, -10)), 8.0
        rows, step = int(rng.integers(40, 110)), 0.2
    if kind == "front32":
        half, low, high = (
            float(rng.uniform(40, 60)),
            float(rng.uniform(-20, -12)),
            float(rng.uniform(1, 8)),
        )
        rows, step = 32, float(rng.choice([0.2, 0.4]))
    beams = np.linspace(low, high, rows, dtype=np.float32)
    return Lidar(kind, beams, (-half, half), step, noise, max(reach, 120.0))


def scan(caster: Caster, lidar: Lidar, pose: Pose, rng: Rng) -> tuple[F32, U8]:
    """Return the points (P, 3) in world metres and the labels (P,) of one turn of the sensor."""
    azimuth = np.arange(lidar.azimuth_deg[0], lidar.azimuth_deg[1], lidar.step_deg)
    # Lasers fire one after another, so their columns do not line up.
    offset = rng.uniform(-2, 2, len(lidar.elevation_deg))
    angle = np.radians(azimuth[None, :] + offset[:, None])
    angle = angle + rng.normal(0, 2e-4, angle.shape)
    rise = np.radians(lidar.elevation_deg)[:, None] + rng.normal(0, 2e-4, angle.shape)
    own = (
        np.stack(
            [np.cos(rise) * np.cos(angle), np.cos(rise) * np.sin(angle), np.sin(rise)], axis=-1
        )
        .reshape(-1, 3)
        .astype(np.float32)
    )
    directions = own @ pose.rotation().T
    origins = np.broadcast_to(np.asarray(pose.at, dtype=np.float32), directions.shape)
    hits = caster.cast(origins, directions, rng)
    kept = _kept(lidar, hits.range_m, hits.cosine, rng)
    range_m = hits.range_m[kept] + rng.normal(0, lidar.noise_m, int(kept.sum()))
    ray = hits.ray[kept]
    xyz = origins[ray] + directions[ray] * range_m[:, None].astype(np.float32)
    return xyz.astype(np.float32), hits.label[kept]


def _kept(
    lidar: Lidar, range_m: F32, cosine: F32, rng: Rng
) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Return which hits are strong enough: power falls with range and slanting surfaces."""
    strength = np.sqrt(np.clip(cosine, 0.004, 1)) * (lidar.reach_m / np.maximum(range_m, 1)) ** 1.5
    chance = 0.985 * np.clip(strength / (0.35 + strength) * 1.25, 0, 1)
    return (
        (rng.random(len(range_m)) < chance) & (range_m < lidar.reach_m) & (range_m > lidar.near_m)
    )
