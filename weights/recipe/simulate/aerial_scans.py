"""Scans of towns and landscapes from the air."""

from dataclasses import replace

import numpy as np

from weights.recipe.simulate.aircraft import FlightLine, scan_from_aircraft
from weights.recipe.simulate.captures import Capture, joined
from weights.recipe.simulate.concepts import concept_index
from weights.recipe.simulate.labelled_scan import Scan, finished
from weights.recipe.simulate.primitives import F32, Rng
from weights.recipe.simulate.radiometry import draw_camera, draw_laser_response
from weights.recipe.simulate.ray_casting import RayCaster
from weights.recipe.simulate.town_scene import TOWN_KINDS, draw_town


def aerial_scan(rng: Rng) -> Scan:
    """Return a scan of a random town or landscape from an aircraft."""
    kind = str(rng.choice(list(TOWN_KINDS)))
    density = float(np.exp(rng.uniform(np.log(1.5), np.log(60))))
    # About 115,000 pulses, whatever their density.
    half_size = float(np.clip(0.5 * np.sqrt(115_000 / density), 30, 140))
    caster = RayCaster(draw_town(rng, kind, half_size))
    height_m, heading = float(rng.uniform(300, 1500)), float(rng.uniform(0, 6.28))
    line_count = int(rng.choice([1, 1, 2]))
    max_returns = int(rng.choice([2, 4, 5]))
    parts = []
    for _ in range(line_count):
        offset_m = float(rng.uniform(-0.36, 0.36)) * height_m
        line = FlightLine(height_m, offset_m, heading, density / line_count, max_returns)
        parts.append(scan_from_aircraft(caster, line, half_size, rng))
    capture = joined(parts)
    capture = with_water_returns(capture, rng)
    description = f"{kind}/aerial {density:.0f}/m2 x{line_count} {height_m:.0f}m"
    response = draw_laser_response(rng, airborne=True)
    camera = draw_camera(rng) if rng.random() < 0.5 else None
    return finished(capture, description, rng, response=response, camera=camera, caster=caster)


def with_water_returns(capture: Capture, rng: Rng) -> Capture:
    """Return a capture without most points on water, as water mirrors most pulses away.

    How many come back depends on the wind, on how steeply the laser looks down, and on the
    receiver: none, all, those near the vertical, or those in patches where wind ruffles the
    surface. Some come from below the surface.

    Args:
        capture: points of a scene whose water returns every pulse.
        rng: draws how the water is.
    """
    water = np.flatnonzero(capture.label == concept_index("water"))
    if not len(water):
        return capture
    style = str(rng.choice(["none", "few", "all", "vertical", "vertical", "patches", "patches"]))
    cosine = np.clip(capture.cosine[water], 0, 1)
    share = {"none": 0.0, "few": float(rng.uniform(0.01, 0.3)), "all": 1.0}.get(style, 1.0)
    share *= float(rng.uniform(0.6, 1.0))
    returned = np.full(len(water), share)
    if style in ("vertical", "patches"):
        # Degrees from the direction in which most comes back; with patches, hardly any limit.
        tilt_deg = np.degrees(np.arccos(cosine))
        width_deg = float(rng.uniform(1.5, 8) if style == "vertical" else rng.uniform(10, 40))
        returned *= np.exp(-((tilt_deg / width_deg) ** 2))
    if style == "patches":
        xy = capture.xyz[water, :2] - capture.xyz[water[:1], :2]
        returned *= _patches(xy, rng)
    kept = np.ones(len(capture), dtype=np.bool_)
    kept[water] = rng.random(len(water)) < returned
    # From the light of deep water to that of glitter.
    share_of_light = capture.share.copy()
    light = float(np.exp(rng.uniform(-3.5, 0))) * np.exp(rng.normal(0, 0.3, len(water)))
    share_of_light[water] *= np.minimum(light, 1).astype(np.float32)
    sunk = np.zeros(len(capture), dtype=np.float32)
    if rng.random() < 0.4:
        depth_m = float(np.exp(rng.uniform(-3.5, 0.2)))
        below = rng.random(len(water)) < float(rng.uniform(0.05, 0.6))
        sunk[water] = np.where(below, rng.exponential(depth_m, len(water)), 0)
    xyz = capture.xyz - np.stack([0 * sunk, 0 * sunk, sunk], axis=1)
    return replace(capture, xyz=xyz.astype(np.float32), share=share_of_light)[kept]


def _patches(xy: F32, rng: Rng) -> F32:
    """Return (P,) shares in 0…1 that vary over tens of metres, with sharp borders."""
    wave = rng.normal(0, 1, (2, 6)) * 2 * np.pi / rng.uniform(30, 300, 6)
    field = np.sin(xy @ wave.astype(np.float32) + rng.uniform(0, 6.28, 6)).sum(axis=1)
    return np.asarray(1 / (1 + np.exp(-4 * (field - rng.uniform(-1, 1.5)))), dtype=np.float32)
