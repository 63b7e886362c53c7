"""Scans of towns and landscapes from the air."""

import numpy as np

from weights.recipe.simulate.aircraft import FlightLine, scan_from_aircraft
from weights.recipe.simulate.captures import joined
from weights.recipe.simulate.concepts import concept_index
from weights.recipe.simulate.labelled_scan import Scan, finished
from weights.recipe.simulate.primitives import Rng
from weights.recipe.simulate.radiometry import draw_camera, draw_laser_response
from weights.recipe.simulate.ray_casting import RayCaster
from weights.recipe.simulate.town_scene import TOWN_KINDS, draw_town


def aerial_scan(rng: Rng) -> Scan:
    """Return a scan of a random town or landscape from an aircraft."""
    kind = str(rng.choice(list(TOWN_KINDS)))
    density = float(np.exp(rng.uniform(np.log(1.5), np.log(32))))
    # About 115,000 pulses, whatever their density.
    half_size = float(np.clip(0.5 * np.sqrt(115_000 / density), 34, 140))
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
    # Water reflects most pulses away from the aircraft.
    returned = float(rng.choice([0.02, 0.2, 0.8]))
    is_water = capture.label == concept_index("water")
    capture = capture[~is_water | (rng.random(len(capture)) < returned)]
    description = f"{kind}/aerial {density:.0f}/m2 x{line_count} {height_m:.0f}m"
    response = draw_laser_response(rng, airborne=True)
    camera = draw_camera(rng) if rng.random() < 0.5 else None
    return finished(capture, description, rng, response=response, camera=camera, caster=caster)
