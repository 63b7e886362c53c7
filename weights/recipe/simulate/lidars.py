"""LiDARs: where their rays go, and which of the returns they detect, at what range.

A LiDAR has B lasers that turn about its z axis, or one laser that prisms or mirrors move.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from weights.recipe.simulate.captures import Capture
from weights.recipe.simulate.concepts import concept_index
from weights.recipe.simulate.primitives import F32, F64, Point3, Rng
from weights.recipe.simulate.radiometry import laser_signal
from weights.recipe.simulate.ray_casting import RayCaster, Returns


@dataclass(frozen=True, slots=True)
class Pose:
    """Position and orientation of a sensor; its axes are x forward, y left, z up.

    Attributes:
        position: metres in the world.
        yaw: rotation about z in radians.
        pitch: rotation about y in radians, positive downwards.
        roll: rotation about x in radians.
    """

    position: Point3
    yaw: float
    pitch: float
    roll: float

    def rotation(self) -> F32:
        """Return the (3, 3) rotation from the sensor's axes to the world's."""
        cy, sy = np.cos(self.yaw), np.sin(self.yaw)
        cp, sp = np.cos(self.pitch), np.sin(self.pitch)
        cr, sr = np.cos(self.roll), np.sin(self.roll)
        about_z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
        about_y = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
        about_x = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
        return np.asarray(about_z @ about_y @ about_x, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Motion:
    """How a sensor moves while it measures one sweep.

    Attributes:
        speed: metres per second along the sensor's x axis.
        yaw_rate: radians per second.
        is_removed: whether the points are where the surfaces are; otherwise they lie where they
            would be, had the sensor stood still at its pose.
        sweep_s: duration of a sweep in seconds.
    """

    speed: float
    yaw_rate: float
    is_removed: bool
    sweep_s: float = 0.1


STANDING = Motion(0.0, 0.0, True)


@dataclass(frozen=True, slots=True)
class Lasers:
    """How the B lasers of a LiDAR deviate from ideal ones.

    Attributes:
        azimuth_deg: (B,) how far each laser looks to the left.
        height_m: (B,) how far each laser sits above the sensor's origin.
        range_m: (B,) error of all ranges of a laser.
        gain: (B,) factor of a laser's intensities.
        lost: (B,) share of the returns that a laser misses.
    """

    azimuth_deg: F32
    height_m: F32
    range_m: F32
    gain: F32
    lost: F32


def ideal_lasers(count: int) -> Lasers:
    """Return lasers without deviations."""
    zero, one = np.zeros(count, dtype=np.float32), np.ones(count, dtype=np.float32)
    return Lasers(zero, zero, zero, one, zero)


@dataclass(frozen=True, slots=True)
class Lidar:
    """A spinning or forward-looking LiDAR.

    Attributes:
        name: the model that it resembles.
        elevation_deg: (B,) elevation of each laser.
        sector_deg: first and last azimuth.
        step_deg: azimuth between measurements of a laser.
        noise_m: standard deviation of the range.
        max_range_m: there are no returns from beyond.
        min_range_m: there are no returns from nearer.
        mixed: probability that a ray at the edge of an object gives a range between the object's
            and that of what is behind it.
        max_returns: highest number of returns of one ray.
        lasers: deviations of the lasers; None for none, but for random azimuths.
    """

    name: str
    elevation_deg: F32
    sector_deg: tuple[float, float]
    step_deg: float
    noise_m: float
    max_range_m: float
    min_range_m: float = 1.5
    mixed: float = 0.0
    max_returns: int = 1
    lasers: Lasers | None = field(default=None)


@dataclass(frozen=True, slots=True)
class Rays:
    """R rays of a LiDAR; neighbouring rays of a laser follow each other.

    Attributes:
        origins: (R, 3) float32, world metres.
        directions: (R, 3) float32 unit vectors.
        laser: (R,) int64, the number of the laser.
        seen_from: (R, 3) float32, where the points are computed from.
        seen_along: (R, 3) float32, the directions they are computed with; these and ``seen_from``
            differ from the true ones where the sensor's motion is not removed.
    """

    origins: F32
    directions: F32
    laser: NDArray[np.int64]
    seen_from: F32
    seen_along: F32


def spinning_rays(lidar: Lidar, pose: Pose, rng: Rng, motion: Motion = STANDING) -> Rays:
    """Return the rays of one turn of a LiDAR whose lasers turn about its z axis."""
    azimuth = np.arange(lidar.sector_deg[0], lidar.sector_deg[1], lidar.step_deg)
    lasers = lidar.lasers or replace(
        # Lasers fire one after another, so each has its own azimuths.
        ideal_lasers(len(lidar.elevation_deg)),
        azimuth_deg=rng.uniform(-2, 2, len(lidar.elevation_deg)).astype(np.float32),
    )
    # (lasers, azimuths) angles:
    azimuth_rad = np.radians(azimuth[None, :] + lasers.azimuth_deg[:, None])
    azimuth_rad = azimuth_rad + rng.normal(0, 2e-4, azimuth_rad.shape)
    elevation_rad = np.radians(lidar.elevation_deg)[:, None]
    elevation_rad = elevation_rad + rng.normal(0, 2e-4, azimuth_rad.shape)
    directions = directions_of(azimuth_rad.ravel(), elevation_rad.ravel())
    laser = np.repeat(np.arange(len(lidar.elevation_deg)), len(azimuth))
    # −0.5 at the first azimuth of the sweep, 0.5 at its last.
    time = np.tile(np.linspace(-0.5, 0.5, len(azimuth)), len(lidar.elevation_deg))
    rise = np.zeros((len(laser), 3), dtype=np.float32)
    rise[:, 2] = lasers.height_m[laser]
    return moved_rays((directions, rise), laser, time, pose, motion)


def directions_of(azimuth_rad: F64, elevation_rad: F64) -> F32:
    """Return (R, 3) unit vectors of (R,) angles; x is ahead, y to the left."""
    flat = np.cos(elevation_rad)
    columns = [flat * np.cos(azimuth_rad), flat * np.sin(azimuth_rad), np.sin(elevation_rad)]
    return np.stack(columns, axis=1).astype(np.float32)


def moved_rays(
    own: tuple[F32, F32], laser: NDArray[np.int64], time: F64, pose: Pose, motion: Motion
) -> Rays:
    """Return rays in the world.

    Args:
        own: (R, 3) directions and (R, 3) origins in the sensor's axes.
        laser: (R,) the laser of each ray.
        time: (R,) from −0.5 to 0.5 of the sweep.
        pose: the sensor's pose at time 0.
        motion: its motion.
    """
    directions, rise = own
    rotation, position = pose.rotation(), np.asarray(pose.position, dtype=np.float32)
    seen_from = rise @ rotation.T + position
    seen_along = directions @ rotation.T
    if not motion.speed and not motion.yaw_rate:
        return Rays(seen_from, seen_along, laser, seen_from, seen_along)
    seconds = (time * motion.sweep_s).astype(np.float32)
    turn = seconds * motion.yaw_rate
    cos, sin = np.cos(turn), np.sin(turn)
    turned = directions.copy()
    turned[:, 0] = cos * directions[:, 0] - sin * directions[:, 1]
    turned[:, 1] = sin * directions[:, 0] + cos * directions[:, 1]
    true_along = turned @ rotation.T
    true_from = seen_from + (seconds * motion.speed)[:, None] * rotation[:, 0]
    if motion.is_removed:
        return Rays(true_from, true_along, laser, true_from, true_along)
    return Rays(true_from, true_along, laser, seen_from, seen_along)


def scan_with_lidar(
    caster: RayCaster, lidar: Lidar, pose: Pose, rng: Rng, motion: Motion = STANDING
) -> Capture:
    """Return the points of one sweep of a LiDAR.

    Args:
        caster: the scene.
        lidar: the sensor.
        pose: its pose in the middle of the sweep.
        rng: draws noise and lost returns.
        motion: its motion during the sweep.
    """
    return measure(caster, lidar, spinning_rays(lidar, pose, rng, motion), rng)


def measure(caster: RayCaster, lidar: Lidar, rays: Rays, rng: Rng) -> Capture:
    """Return the points that a LiDAR makes of the returns of its rays.

    Args:
        caster: the scene.
        lidar: the sensor.
        rays: its rays.
        rng: draws noise and lost returns.
    """
    returns = caster.cast(rays.origins, rays.directions, rng, max_returns=lidar.max_returns)
    if lidar.mixed:
        returns = _with_mixed_pixels(returns, rays.laser, lidar.mixed, rng)
    ray = returns.ray
    range_m = returns.range_m + rng.normal(0, lidar.noise_m, len(returns)).astype(np.float32)
    if lidar.lasers is not None:
        laser = rays.laser[ray]
        range_m = range_m + lidar.lasers.range_m[laser]
        returns = replace(returns, share=returns.share * lidar.lasers.gain[laser])
    xyz = rays.seen_from[ray] + rays.seen_along[ray] * range_m[:, None]
    capture = Capture.from_returns(xyz, returns)
    detected = _draw_detected(lidar, capture, rng)
    if lidar.lasers is not None:
        detected &= rng.random(len(capture)) >= lidar.lasers.lost[laser]
    return capture[detected]


def _with_mixed_pixels(
    returns: Returns, laser: NDArray[np.int64], probability: float, rng: Rng
) -> Returns:
    """Return returns of which some at edges lie between an object and what is behind it.

    The beam is wider than a line: at an edge it meets two surfaces, and its echo has a time
    between theirs.
    """
    nearest = np.full(len(laser), np.inf, dtype=np.float32)
    # Assigned from the last to the first hit, so that the first remains.
    nearest[returns.ray[::-1]] = returns.range_m[::-1]
    behind = np.full_like(nearest, np.inf)
    same = laser[1:] == laser[:-1]
    for step in (1, -1):
        neighbor = np.full_like(nearest, np.inf)
        if step > 0:
            neighbor[:-1] = np.where(same, nearest[1:], np.inf)
        else:
            neighbor[1:] = np.where(same, nearest[:-1], np.inf)
        behind = np.where(neighbor > nearest, np.minimum(behind, neighbor), behind)
    gap = (behind[returns.ray] - returns.range_m).astype(np.float32)
    drawn = rng.random(len(returns)) < probability
    mixes = drawn & (gap > 0.15) & (gap < 4) & (returns.range_m <= nearest[returns.ray])
    # Echoes of nearly equal range merge; of others the sensor mostly reports one or the other.
    depth = np.where(mixes, gap, 0) * rng.random(len(returns), dtype=np.float32)
    is_neither = mixes & (depth > 0.25)
    return replace(
        returns,
        range_m=returns.range_m + depth.astype(np.float32),
        label=np.where(is_neither, np.uint16(concept_index("unlabeled")), returns.label),
        share=np.where(mixes, returns.share * 0.6, returns.share).astype(np.float32),
    )


def _draw_detected(lidar: Lidar, capture: Capture, rng: Rng) -> NDArray[np.bool_]:
    """Return (P,) which points the LiDAR detects: fewer if far, slanting or dark."""
    range_m = capture.range_m
    # 0.3 is a usual reflectance; detection falls off more slowly than light does.
    strength = np.sqrt(np.clip(laser_signal(capture, rng) / 0.3, 0.001, 2))
    strength = strength * (lidar.max_range_m / np.maximum(range_m, 1)) ** 1.5
    probability = 0.985 * np.clip(strength / (0.35 + strength) * 1.25, 0, 1)
    in_range = (range_m < lidar.max_range_m) & (range_m > lidar.min_range_m)
    return np.asarray((rng.random(len(range_m)) < probability) & in_range)
