"""Vehicles from a few measures: cars, vans, pickups, trucks, buses, two-wheelers, machines."""

import numpy as np

from weights.recipe.simulate.heavy import bus, semi, small_trailer, truck, wheels
from weights.recipe.simulate.primitives import (
    Rng,
    Soup,
    box,
    fan,
    join,
    loft,
    quads,
    slab,
    tube,
)

# Length, width and height in metres, then the roof line: fractions of length, fractions of height.
_BODIES = {
    "sedan": (
        (4.3, 5.0),
        (1.72, 1.9),
        (1.38, 1.5),
        [0, 0.04, 0.27, 0.44, 0.56, 0.70, 0.86, 0.97, 1],
        [0.5, 0.6, 0.69, 0.97, 1, 0.97, 0.74, 0.71, 0.5],
    ),
    "hatch": (
        (3.5, 4.4),
        (1.62, 1.82),
        (1.44, 1.58),
        [0, 0.04, 0.24, 0.42, 0.6, 0.88, 0.97, 1],
        [0.45, 0.58, 0.68, 0.97, 1, 0.95, 0.68, 0.45],
    ),
    "wagon": (
        (4.4, 5.0),
        (1.75, 1.9),
        (1.42, 1.55),
        [0, 0.04, 0.26, 0.42, 0.55, 0.90, 0.98, 1],
        [0.48, 0.6, 0.68, 0.97, 1, 0.96, 0.66, 0.45],
    ),
    "suv": (
        (4.3, 5.1),
        (1.82, 2.02),
        (1.62, 1.9),
        [0, 0.03, 0.25, 0.38, 0.5, 0.92, 0.985, 1],
        [0.45, 0.6, 0.66, 0.96, 1, 0.97, 0.64, 0.4],
    ),
    "coupe": (
        (4.1, 4.8),
        (1.75, 1.95),
        (1.2, 1.38),
        [0, 0.04, 0.33, 0.52, 0.62, 0.9, 1],
        [0.42, 0.58, 0.7, 0.98, 1, 0.75, 0.55],
    ),
    "minivan": (
        (4.5, 5.2),
        (1.8, 2.0),
        (1.7, 1.95),
        [0, 0.03, 0.16, 0.36, 0.5, 0.95, 0.99, 1],
        [0.4, 0.5, 0.6, 0.96, 1, 0.97, 0.6, 0.35],
    ),
    "cargo": (
        (4.9, 7.0),
        (1.95, 2.1),
        (2.1, 2.8),
        [0, 0.03, 0.12, 0.26, 0.36, 0.98, 0.995, 1],
        [0.3, 0.42, 0.5, 0.93, 1, 1, 0.6, 0.25],
    ),
    "pickup": (
        (5.1, 6.0),
        (1.85, 2.05),
        (1.72, 1.98),
        [0, 0.03, 0.24, 0.35, 0.44, 0.56, 0.62, 0.63],
        [0.45, 0.6, 0.66, 0.97, 1, 0.98, 0.66, 0.64],
    ),
}


def _lower_body(concept: str, length: float, width: float, top: "np.ndarray", low: float) -> Soup:
    """Return the tub; ``top`` (S, 2) holds its upper edge as x and z."""
    x, z = top[:, 0], top[:, 1]
    along = np.clip(np.abs(x / length) * 2, 0, 1)
    half = width / 2 * (1 - 0.14 * along**6)
    floor = low + 0.12 * np.clip(along - 0.85, 0, 1) / 0.15
    mid = (floor + z) / 2
    ring_y = [-0.9, -1.0, -0.97, -0.86, 0.86, 0.97, 1.0, 0.9]
    ring_z = [floor, mid, z - 0.06, z, z, z - 0.06, mid, floor]
    rings = np.stack(
        [np.stack([x, half * y, level], axis=1) for y, level in zip(ring_y, ring_z, strict=True)], 1
    )
    return join([loft(concept, rings), fan(concept, rings[0]), fan(concept, rings[-1])])


def _cabin(concept: str, x: "np.ndarray", z: "np.ndarray", belt: float, width: float) -> Soup:
    """Return roof, pillars and panes over the stretch where the roof line is above the belt."""
    foot, head = width / 2 * 0.96, width / 2 * 0.80
    parts = []
    for i in range(len(x) - 1):
        share = [(max(zz, belt) - belt) / max(z.max() - belt, 0.1) for zz in (z[i], z[i + 1])]
        top = [foot + (head - foot) * s for s in share]
        a, b = (x[i], max(z[i], belt)), (x[i + 1], max(z[i + 1], belt))
        steep = abs(b[1] - a[1]) > 0.25 * abs(b[0] - a[0])
        roof = [
            [
                (a[0], -top[0], a[1]),
                (a[0], top[0], a[1]),
                (b[0], top[1], b[1]),
                (b[0], -top[1], b[1]),
            ]
        ]
        parts.append(quads(concept, roof, 0.3 if steep else 1.0))
        for side in (-1.0, 1.0):
            pane = [
                [
                    (a[0], side * foot, belt),
                    (a[0], side * top[0], a[1]),
                    (b[0], side * top[1], b[1]),
                    (b[0], side * foot, belt),
                ]
            ]
            parts.append(quads(concept, pane, 0.35))
            if i:
                parts.append(
                    tube(
                        concept,
                        (a[0], side * foot, belt),
                        (a[0], side * top[0], a[1]),
                        0.05,
                        sides=4,
                    )
                )
    return join(parts)


def car_body(rng: Rng, body: str, concept: str) -> Soup:
    """Return a passenger car, van or pickup; its middle stands on the origin, facing +x."""
    long, wide, high, fractions, levels = _BODIES[body]
    length, width, height = (float(rng.uniform(*span)) for span in (long, wide, high))
    x = (0.5 - np.array(fractions)) * length
    z = np.array(levels) * height + rng.normal(0, 0.01, len(levels))
    belt = height * (0.5 if body == "cargo" else 0.64)
    low = float(rng.uniform(0.16, 0.3))
    top = np.stack([x, np.minimum(z, belt + 0.04)], axis=1)
    parts = [_cabin(concept, x, z, belt, width)]
    if body == "pickup":
        bed = [[(-0.13 - 0.37 * f) * length, belt - 0.06] for f in (0.02, 0.98, 1.0)]
        top = np.concatenate([top[:-1], np.array(bed) * [1, 1]])
        inner = slab(
            concept,
            (-0.48 * length, -width * 0.4, belt - 0.04),
            (-0.16 * length, width * 0.4, belt - 0.03),
        )
        parts += [inner, _bed_rails(concept, length, width, belt, rng)]
    if body == "cargo":
        parts.append(_cargo_walls(concept, x, z, belt, width))
    parts.append(_lower_body(concept, length, width, top, low))
    radius = float(rng.uniform(0.29, 0.36)) * (1.12 if body in ("suv", "pickup", "cargo") else 1.0)
    axle, track = length * float(rng.uniform(0.28, 0.32)), width / 2 - 0.08
    parts.append(
        wheels(concept, [(s * axle, t * track) for s in (-1, 1) for t in (-1, 1)], radius, 0.22)
    )
    parts.append(_interior(concept, length, width, belt))
    mirror = [
        box(concept, (0.1, 0.2, 0.14), (length * 0.17, s * (width / 2 + 0.08), belt))
        for s in (-1, 1)
    ]
    return join(parts + mirror)


def _bed_rails(concept: str, length: float, width: float, belt: float, rng: Rng) -> Soup:
    rail = float(rng.uniform(0.12, 0.3))
    back, front, half = -0.5 * length, -0.14 * length, width / 2 * 0.97
    sides = [
        slab(concept, (back, s * half, belt - 0.1), (front, s * (half - 0.07), belt + rail))
        for s in (-1, 1)
    ]
    gate = slab(concept, (back, -half, belt - 0.1), (back + 0.07, half, belt + rail))
    load = [box(concept, (length * 0.3, width * 0.8, rail + 0.3), (-0.32 * length, 0, belt))]
    return join([*sides, gate, *(load if rng.random() < 0.25 else [])])


def _cargo_walls(concept: str, x: "np.ndarray", z: "np.ndarray", belt: float, width: float) -> Soup:
    back, front, top = float(x.min()) + 0.03, float(x[4]) - 0.3, float(z.max()) - 0.02
    return box(
        concept,
        (front - back, width * 0.95, top - belt),
        ((front + back) / 2, 0, belt),
        taper=(1, 0.88),
    )


def _interior(concept: str, length: float, width: float, belt: float) -> Soup:
    seats = [
        box(concept, (0.25, 0.5, 0.75), (at * length, side * width * 0.22, belt - 0.45))
        for at in (0.0, -0.2)
        for side in (-1, 1)
    ]
    return join([*seats, box(concept, (0.3, width * 0.75, 0.12), (length * 0.2, 0, belt - 0.12))])


def draw_vehicle(rng: Rng, *, parked: bool = True) -> Soup:
    """Return a vehicle as streets have them: mostly cars, at times something rarer."""
    draw = rng.random()
    if draw < 0.74:
        return car_body(
            rng, str(rng.choice(["sedan", "hatch", "wagon", "suv", "suv", "coupe", "sedan"])), "car"
        )
    if draw < 0.83:
        return car_body(rng, str(rng.choice(["minivan", "cargo"])), "van")
    if draw < 0.90:
        return car_body(rng, "pickup", "pickup truck")
    rare = [truck, truck, truck, bus, semi, small_trailer if parked else bus]
    return rare[int(rng.integers(len(rare)))](rng)
