"""Heavy vehicles: lorries, buses, trailers, building machines; they face +x."""

import numpy as np

from weights.recipe.simulate.primitives import Point3, Rng, Soup, box, join, slab, tube


def wheels(concept: str, spots: list[tuple[float, float]], radius: float, wide: float) -> Soup:
    """Return wheels of one radius at (x, y) spots, ``wide`` metres across."""
    return join(
        tube(concept, (x, y - wide / 2, radius), (x, y + wide / 2, radius), radius, sides=10)
        for x, y in spots
    )


def truck(rng: Rng) -> Soup:
    """Return a lorry with a box, a flat bed, a tank or a tipper."""
    cab_long, width = float(rng.uniform(1.6, 2.2)), float(rng.uniform(2.1, 2.5))
    load_long, cab_high = float(rng.uniform(3.5, 7.5)), float(rng.uniform(2.2, 3.0))
    deck = float(rng.uniform(0.8, 1.2))
    start = load_long / 2
    parts = [cab("truck", rng, (cab_long, width, cab_high), start + 0.15)]
    style = rng.choice(["box", "box", "flat", "tank", "tipper"])
    high = float(rng.uniform(1.9, 2.8))
    if style == "box":
        parts.append(box("truck", (load_long, width, high), (0, 0, deck)))
    elif style == "tank":
        parts.append(tube("truck", (-start, 0, deck + 1), (start, 0, deck + 1), 1.05, sides=12))
    elif style == "tipper":
        parts.append(box("truck", (load_long, width * 0.85, 1.3), (0, 0, deck), taper=(1.08, 1.15)))
    parts.append(box("truck", (load_long, width, 0.15), (0, 0, deck - 0.15)))
    parts.append(box("truck", (load_long + cab_long, 0.9, 0.3), (cab_long / 2, 0, 0.5)))
    spots = [
        (x, s * (width / 2 - 0.18))
        for x in (start + cab_long * 0.5, -start * 0.55, -start * 0.8)
        for s in (-1, 1)
    ]
    parts.append(wheels("truck", spots, 0.48, 0.3))
    return join(parts)


def cab(concept: str, rng: Rng, size: Point3, start: float) -> Soup:
    """Return a driver's cab of length, width, height whose back is at x = ``start``."""
    long, wide, high = size
    belt = high * 0.58
    nose = float(rng.choice([0.0, 0.0, 0.9]))
    parts = [
        slab(concept, (start, -wide / 2, 0.45), (start + long, wide / 2, belt)),
        box(
            concept,
            (long, wide, high - belt),
            (start + long / 2, 0, belt),
            taper=(0.9, 0.92),
            solid=0.5,
        ),
        slab(concept, (start, -wide * 0.45, high - 0.1), (start + long * 0.9, wide * 0.45, high)),
        slab(concept, (start, -wide / 2, belt), (start + 0.1, wide / 2, high)),
    ]
    if nose:
        parts.append(
            slab(
                concept,
                (start + long, -wide * 0.4, 0.5),
                (start + long + nose, wide * 0.4, belt * 0.95),
            )
        )
    return join(parts)


def semi(rng: Rng) -> Soup:
    """Return a tractor with a long trailer; the two are different concepts."""
    long, width, high = float(rng.uniform(9, 13.6)), 2.5, float(rng.uniform(2.4, 2.9))
    back, front = -long / 2, long / 2
    tractor = cab("truck", rng, (2.2, 2.5, float(rng.uniform(3.0, 3.9))), front + 0.3)
    frame = box("truck", (4.5, 0.9, 0.4), (front - 0.3, 0, 0.6))
    body = box("trailer", (long, width, high), (0, 0, 1.15))
    if rng.random() < 0.25:
        body = box("trailer", (long, width, 0.25), (0, 0, 1.15))
    axles = [(back + at, s * 1.05) for at in (0.9, 2.2, 3.5) for s in (-1, 1)]
    lorry = [(front + 1.6, 1.05), (front + 1.6, -1.05), (front - 1.2, 1.05), (front - 1.2, -1.05)]
    return join(
        [
            tractor,
            frame,
            body,
            wheels("trailer", axles, 0.5, 0.4),
            wheels("truck", lorry, 0.5, 0.4),
        ]
    )


def bus(rng: Rng) -> Soup:
    """Return a city bus or coach with panes."""
    long, width, high = float(rng.uniform(8.5, 13)), 2.5, float(rng.uniform(2.9, 3.8))
    belt = float(rng.uniform(1.2, 1.6))
    parts = [
        slab("bus", (-long / 2, -width / 2, 0.3), (long / 2, width / 2, belt)),
        box("bus", (long, width, high - belt - 0.45), (0, 0, belt), taper=(0.99, 0.97), solid=0.4),
        box("bus", (long * 0.99, width * 0.96, 0.45), (0, 0, high - 0.45), taper=(0.97, 0.88)),
    ]
    for x in np.arange(-long / 2, long / 2 + 0.1, 1.5):
        parts += [
            box("bus", (0.12, 0.05, high - belt), (float(x), s * width / 2 * 0.99, belt))
            for s in (-1, 1)
        ]
    parts += [
        box("bus", (0.45, 1.8, 0.7), (float(x), 0, 0.9))
        for x in np.arange(-long / 2 + 1, long / 2 - 1, 0.9)
    ]
    spots = [(x, s * 1.1) for x in (long * 0.3, -long * 0.27) for s in (-1, 1)]
    return join([*parts, wheels("bus", spots, 0.48, 0.3)])


def small_trailer(rng: Rng) -> Soup:
    """Return a car trailer, a caravan or a boat on its trailer."""
    style = rng.choice(["open", "box", "caravan"])
    long, high = float(rng.uniform(2, 5)), {"open": 0.5, "box": 1.6, "caravan": 2.0}[str(style)]
    parts = [
        box(
            "trailer",
            (long, 1.8, high),
            (0, 0, 0.55),
            taper=(0.92 if style == "caravan" else 1.0, 0.97),
        ),
        tube("trailer", (long / 2, 0, 0.5), (long / 2 + 1.3, 0, 0.5), 0.06),
        wheels("trailer", [(0, 0.95), (0, -0.95)], 0.3, 0.2),
    ]
    return join(parts)


def machine(rng: Rng) -> Soup:
    """Return an excavator, a wheel loader or a roller."""
    name = "construction vehicle"
    style = rng.choice(["excavator", "loader", "roller"])
    house = [
        box(name, (1.6, 1.3, 1.6), (0.2, 0.4, 1.2), taper=(0.85, 0.9), solid=0.7),
        box(name, (2.8, 2.4, 0.9), (-0.6, 0, 1.0)),
    ]
    if style == "excavator":
        lift, out = float(rng.uniform(3, 5)), float(rng.uniform(2.5, 4.5))
        boom = [
            tube(name, (0.6, 0, 1.6), (out, 0, lift), 0.25),
            tube(name, (out, 0, lift), (out + 1.8, 0, 1.2), 0.2),
            box(name, (0.9, 1.0, 0.9), (out + 1.6, 0, 0.5), taper=(0.6, 1)),
        ]
        tracks = [box(name, (3.6, 0.55, 0.85), (0, s * 1.15, 0.0), taper=(1.1, 1)) for s in (-1, 1)]
        return join([*house, *boom, *tracks])
    if style == "loader":
        arms = [tube(name, (0.8, s * 0.8, 1.5), (3.0, s * 0.8, 0.7), 0.13) for s in (-1, 1)]
        scoop = box(name, (1.0, 2.6, 1.0), (3.4, 0, 0.1), taper=(0.5, 1))
        spots = [(x, s * 1.1) for x in (1.3, -1.4) for s in (-1, 1)]
        return join([*house, *arms, scoop, wheels(name, spots, 0.75, 0.5)])
    drums = [tube(name, (x, -0.9, 0.65), (x, 0.9, 0.65), 0.65, sides=14) for x in (1.6, -1.5)]
    return join([*house, *drums])
