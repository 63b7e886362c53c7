"""Aerial scans: a town or a landscape swept by a scanner in an aircraft."""

from dataclasses import dataclass

import numpy as np

from weights.recipe.simulate.caster import Caster
from weights.recipe.simulate.concepts import concept_index
from weights.recipe.simulate.driving import Scan
from weights.recipe.simulate.landmarks import pylons, river, viaduct
from weights.recipe.simulate.primitives import F32, U8, Rng
from weights.recipe.simulate.stage import Stage
from weights.recipe.simulate.town import fill
from weights.recipe.simulate.town_plan import TOWNS, town_plan


@dataclass(frozen=True, slots=True)
class Flight:
    """One pass of the aircraft.

    Attributes:
        height_m: above the ground.
        offset_m: of the flight line from the scene's middle, across.
        heading: of the flight, radians.
        density: pulses per square metre.
        echoes: the most returns of a pulse.
    """

    height_m: float
    offset_m: float
    heading: float
    density: float
    echoes: int


def sweep(caster: Caster, flight: Flight, reach: float, rng: Rng) -> tuple[F32, U8]:
    """Return points (P, 3) and labels (P,) of a pass over the square of ±reach metres."""
    apart = 1 / np.sqrt(flight.density)
    squeeze = float(rng.uniform(0.6, 1.6))
    across = np.arange(-reach, reach, apart * squeeze)
    forward = np.arange(-reach, reach, apart / squeeze)
    u, v = np.meshgrid(across, forward, indexing="ij")
    # A swinging mirror draws slanted lines on the ground.
    v = v + u * float(rng.choice([0.0, 0.15, -0.3]))
    u, v = (side + rng.normal(0, 0.12 * apart, side.shape) for side in (u, v))
    cos, sin = np.cos(flight.heading), np.sin(flight.heading)
    aim = np.stack(
        [cos * v.ravel() - sin * u.ravel(), sin * v.ravel() + cos * u.ravel(), np.zeros(u.size)],
        axis=1,
    )
    aim = aim[np.abs(aim[:, :2]).max(axis=1) < reach]
    along = aim[:, 0] * cos + aim[:, 1] * sin
    above = np.array([-sin, cos]) * flight.offset_m
    origin = np.stack(
        [cos * along + above[0], sin * along + above[1], np.full(len(aim), flight.height_m)], axis=1
    )
    way = aim - origin
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    # Rays start near the roofs: single precision would lose centimetres over the whole flight.
    start = (origin + way * ((flight.height_m - 130) / -way[:, 2:])).astype(np.float32)
    directions = way.astype(np.float32)
    hits = caster.cast(start, directions, rng, echoes=flight.echoes, passes=9)
    range_m = hits.range_m + rng.normal(0, 0.015, len(hits.ray))
    xyz = start[hits.ray] + directions[hits.ray] * range_m[:, None].astype(np.float32)
    xyz[:, :2] += rng.normal(0, 1e-4 * flight.height_m, (len(xyz), 2))
    return xyz.astype(np.float32), hits.label


def aerial_scan(rng: Rng) -> Scan:
    """Return points (N, 3) in metres, labels (N,) and the flight's description."""
    kind = str(rng.choice(list(TOWNS)))
    density = float(np.exp(rng.uniform(np.log(1.5), np.log(32))))
    reach = float(np.clip(0.5 * np.sqrt(115_000 / density), 34, 140))
    wet = rng.random() < 0.3
    plan, blocks = town_plan(rng, kind, reach, wet)
    stage = Stage(plan, (1e6, 1e6), rng)
    if wet:
        river(stage, float(rng.uniform(-0.6, 0.6)) * reach, float(rng.uniform(5, 30)))
    fill(stage, blocks)
    if rng.random() < 0.25:
        pylons(stage, float(rng.uniform(0, 3.1)))
    if not wet and rng.random() < 0.08:
        viaduct(stage)
    caster = Caster(stage.finish())
    height, heading = float(rng.uniform(300, 1500)), float(rng.uniform(0, 6.28))
    passes = int(rng.choice([1, 1, 2]))
    echoes = int(rng.choice([2, 4, 5]))
    found = [
        sweep(
            caster,
            Flight(
                height, float(rng.uniform(-0.36, 0.36)) * height, heading, density / passes, echoes
            ),
            reach,
            rng,
        )
        for _ in range(passes)
    ]
    xyz = np.concatenate([points for points, _ in found])
    label = np.concatenate([labels for _, labels in found])
    shine = float(rng.choice([0.02, 0.2, 0.8]))
    kept = (label != concept_index("water")) | (rng.random(len(label)) < shine)
    return xyz[kept], label[kept], f"{kind}/aerial {density:.0f}/m2 x{passes} {height:.0f}m"
