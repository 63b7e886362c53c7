"""Profile scanners on vehicles and tripods: lasers that turn in one plane while they move."""

from dataclasses import dataclass

import numpy as np

from weights.recipe.simulate.captures import Capture
from weights.recipe.simulate.lidars import Lidar, Rays, measure
from weights.recipe.simulate.primitives import F64, Rng
from weights.recipe.simulate.ray_casting import RayCaster


@dataclass(frozen=True, slots=True)
class ProfileScanner:
    """A laser that turns in a plane across the direction of driving.

    Attributes:
        height_m: height above the road.
        skew_deg: angle between its plane and the plane across the road; two scanners often
            stand at 45° and −45°, so that they see into doorways from both sides.
        step_deg: angle between measurements.
        spacing_m: distance driven between two profiles.
        lowest_deg: where its field of view begins: 0 looks to the left, 90 up, 180 to the right.
        highest_deg: where it ends.
        lidar: range, noise and so on; its angles are not used.
    """

    height_m: float
    skew_deg: float
    step_deg: float
    spacing_m: float
    lowest_deg: float
    highest_deg: float
    lidar: Lidar


def draw_profile_scanner(rng: Rng, spacing_m: float, distance_m: float) -> ProfileScanner:
    """Return a random scanner whose points are about ``spacing_m`` apart at ``distance_m``."""
    lidar = Lidar(
        "profile",
        np.zeros(1, dtype=np.float32),
        (0.0, 1.0),
        1.0,
        float(np.exp(rng.uniform(np.log(0.002), np.log(0.025)))),
        float(rng.uniform(60, 150)),
        0.5,
        float(rng.choice([0.0, rng.uniform(0, 0.4)])),
        int(rng.choice([1, 1, 4])),
    )
    step_deg = float(np.degrees(spacing_m / distance_m) * rng.uniform(0.6, 1.3))
    lowest_deg = float(rng.uniform(-75, -40))
    return ProfileScanner(
        float(rng.uniform(1.8, 3.0)),
        float(rng.choice([0, 0, 45, -45, 30, -30])),
        float(np.clip(step_deg, 0.05, 1.0)),
        spacing_m * float(rng.uniform(0.6, 1.5)),
        lowest_deg,
        180 - lowest_deg,
        lidar,
    )


def scan_along_path(
    caster: RayCaster, scanner: ProfileScanner, path: F64, rng: Rng, *, max_rays: int = 600_000
) -> Capture:
    """Return the points of a scanner that is driven along a path.

    Args:
        caster: the scene.
        scanner: the scanner; with more than ``max_rays`` rays its profiles are farther apart.
        path: (N, 3) points of the ground along the way in metres.
        rng: draws noise, and the errors of the vehicle's position.
        max_rays: highest number of rays.
    """
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path[:, :2], axis=0), axis=1))])
    angle_deg = np.arange(scanner.lowest_deg, scanner.highest_deg, scanner.step_deg)
    spacing_m = max(scanner.spacing_m, float(along[-1]) * len(angle_deg) / max_rays)
    stops = np.arange(0, along[-1], spacing_m)
    position = np.stack([np.interp(stops, along, path[:, k]) for k in range(3)], axis=1)
    # A vehicle's direction follows its path over a few metres.
    ahead = np.stack(
        [
            np.interp(stops + 2, along, path[:, k]) - np.interp(stops - 2, along, path[:, k])
            for k in range(2)
        ],
        axis=1,
    )
    heading = np.arctan2(ahead[:, 1], ahead[:, 0]) + np.radians(scanner.skew_deg)
    # The vehicle sways, and its position is known to a centimetre or two.
    sway = _smooth_noise(rng, len(stops), 12) * 0.006
    drift = np.stack([_smooth_noise(rng, len(stops), 60) for _ in range(3)], axis=1)
    angle = np.radians(angle_deg)[None, :] + sway[:, None]
    across = np.stack([-np.sin(heading), np.cos(heading)], axis=1)
    # (profiles, angles, 3):
    directions = np.concatenate(
        [
            np.cos(angle)[..., None] * across[:, None, :],
            np.sin(angle)[..., None],
        ],
        axis=2,
    ).astype(np.float32)
    origins = position + [0, 0, scanner.height_m]
    shape = directions.shape
    origin = np.broadcast_to(origins[:, None, :], shape).reshape(-1, 3).astype(np.float32)
    error = drift * float(rng.uniform(0, 0.01))
    seen = np.broadcast_to((origins + error)[:, None, :], shape).reshape(-1, 3).astype(np.float32)
    rows = np.repeat(np.arange(shape[0]), shape[1])
    flat = directions.reshape(-1, 3)
    return measure(caster, scanner.lidar, Rays(origin, flat, rows, seen, flat), rng)


def _smooth_noise(rng: Rng, count: int, length: int) -> F64:
    """Return (count,) noise of about unit deviation that varies over ``length`` values."""
    knots = rng.normal(0, 1, max(count // length, 1) + 3)
    return np.asarray(np.interp(np.arange(count) / length, np.arange(len(knots)), knots))
