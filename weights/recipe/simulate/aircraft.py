"""Airborne sensors."""

from dataclasses import dataclass

import numpy as np

from weights.recipe.simulate.captures import Capture
from weights.recipe.simulate.primitives import Rng
from weights.recipe.simulate.ray_casting import RayCaster


@dataclass(frozen=True, slots=True)
class FlightLine:
    """One pass of an aircraft with a laser scanner.

    Attributes:
        height_m: height above z = 0.
        offset_m: distance of the line from the scene's middle, to its left.
        heading: direction of flight in radians.
        pulse_density: pulses per square metre.
        max_returns: the highest number of returns of a pulse.
    """

    height_m: float
    offset_m: float
    heading: float
    pulse_density: float
    max_returns: int


def scan_from_aircraft(caster: RayCaster, line: FlightLine, half_size: float, rng: Rng) -> Capture:
    """Return the points of one flight line over a square.

    Args:
        caster: the scene.
        line: the flight line.
        half_size: the square reaches to ±half_size metres in x and y.
        rng: draws the scan pattern and noise.
    """
    spacing = 1 / np.sqrt(line.pulse_density)
    squeeze = float(rng.uniform(0.6, 1.6))
    across = np.arange(-half_size, half_size, spacing * squeeze)
    forward = np.arange(-half_size, half_size, spacing / squeeze)
    u, v = np.meshgrid(across, forward, indexing="ij")
    # An oscillating mirror scans lines that are not perpendicular to the flight.
    v = v + u * float(rng.choice([0.0, 0.15, -0.3]))
    u, v = (grid + rng.normal(0, 0.12 * spacing, grid.shape) for grid in (u, v))
    cos, sin = np.cos(line.heading), np.sin(line.heading)
    # (R, 3) targets on z = 0, of which those inside the square are kept.
    target = np.stack(
        [cos * v.ravel() - sin * u.ravel(), sin * v.ravel() + cos * u.ravel(), np.zeros(u.size)],
        axis=1,
    )
    target = target[np.abs(target[:, :2]).max(axis=1) < half_size]
    # A pulse leaves the aircraft when it is abreast of the target.
    along = target[:, 0] * cos + target[:, 1] * sin
    offset = np.array([-sin, cos]) * line.offset_m
    origin = np.stack(
        [cos * along + offset[0], sin * along + offset[1], np.full(len(target), line.height_m)],
        axis=1,
    )
    direction = target - origin
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    # Rays start 130 m above the ground: over the whole flight height, float32 would lose
    # centimetres.
    start = (origin + direction * ((line.height_m - 130) / -direction[:, 2:])).astype(np.float32)
    directions = direction.astype(np.float32)
    returns = caster.cast(start, directions, rng, max_returns=line.max_returns, max_hits=9)
    range_m = returns.range_m + rng.normal(0, 0.015, len(returns)).astype(np.float32)
    xyz = start[returns.ray] + directions[returns.ray] * range_m[:, None]
    # Horizontal errors grow with the height.
    xyz[:, :2] += rng.normal(0, 1e-4 * line.height_m, (len(xyz), 2)).astype(np.float32)
    return Capture.from_returns(xyz, returns)
