"""What is fixed in rooms: kitchens, baths, things on walls, at windows and on ceilings."""

import numpy as np

from weights.recipe.simulate.furniture_room import cupboard
from weights.recipe.simulate.primitives import Rng, Soup, ball, box, join, loft, quads, slab, tube


def counter(rng: Rng) -> Soup:
    """Return a kitchen counter with cabinets below and above, a sink, a stove and an oven."""
    wide, deep, high = float(rng.uniform(1.6, 3.6)), 0.6, float(rng.uniform(0.86, 0.94))
    parts = [
        cupboard("cabinet", rng, (deep - 0.04, wide, high - 0.04)),
        box("counter", (deep, wide, 0.04), (0.01, 0, high - 0.04)),
    ]
    if rng.random() < 0.8:
        y = float(rng.uniform(-0.3, 0.3)) * wide
        rim = [
            slab("sink", (x0, y + y0, high), (x1, y + y1, high + 0.012))
            for x0, x1, y0, y1 in (
                (-0.22, 0.22, -0.28, -0.24),
                (-0.22, 0.22, 0.24, 0.28),
                (-0.22, -0.18, -0.28, 0.28),
                (0.18, 0.22, -0.28, 0.28),
            )
        ]
        # The basin stands on the board: what a scanner sees is its floor, lower than the rim.
        parts += [
            *rim,
            box("sink", (0.36, 0.48, 0.004), (0, y, high)),
            tube("sink", (-0.2, y, high), (-0.2, y, high + 0.28), 0.015),
            tube("sink", (-0.2, y, high + 0.28), (-0.02, y, high + 0.24), 0.012),
        ]
    if rng.random() < 0.6:
        parts.append(box("stove", (0.5, 0.58, 0.02), (0, -wide * 0.35, high)))
    if rng.random() < 0.5:
        parts.append(box("microwave", (0.35, 0.48, 0.28), (-0.05, wide * 0.38, high)))
    if rng.random() < 0.7:
        upper = cupboard("cabinet", rng, (0.34, wide * float(rng.uniform(0.5, 1)), 0.7))
        parts.append(upper.moved((-0.13, 0, high + 0.55)))
    names = ["bottle", "cup", "bowl", "clutter"]
    for _ in range(int(rng.integers(0, 6))):
        tall = float(rng.uniform(0.07, 0.3))
        y = float(rng.uniform(-0.48, 0.48)) * wide
        parts.append(
            tube(str(rng.choice(names)), (-0.15, y, high), (-0.15, y, high + tall), 0.05, sides=8)
        )
    return join(parts)


def refrigerator(rng: Rng) -> Soup:
    """Return a refrigerator with two doors."""
    wide, high = float(rng.uniform(0.55, 0.9)), float(rng.uniform(1.4, 1.95))
    split = high * float(rng.uniform(0.35, 0.7))
    parts = [
        box("refrigerator", (0.6, wide, high)),
        slab("refrigerator", (0.3, -wide / 2, 0.05), (0.33, wide / 2, split - 0.01)),
        slab("refrigerator", (0.3, -wide / 2, split + 0.01), (0.33, wide / 2, high)),
    ]
    parts += [
        slab("refrigerator", (0.33, wide * 0.38, z), (0.38, wide * 0.42, z + 0.3))
        for z in (split - 0.4, split + 0.05)
    ]
    return join(parts)


def toilet(rng: Rng) -> Soup:
    """Return a toilet with its cistern."""
    seat = float(rng.uniform(0.38, 0.43))
    bowl = [
        ball("toilet", (0.08, 0, seat * 0.62), (0.28, 0.19, seat * 0.38), 12),
        box("toilet", (0.35, 0.22, seat * 0.6), (-0.02, 0, 0)),
    ]
    rim = tube("toilet", (0.08, 0, seat - 0.02), (0.08, 0, seat + 0.02), 0.21, sides=12)
    return join([*bowl, rim, box("toilet", (0.18, 0.4, 0.36), (-0.25, 0, seat - 0.02))])


def bathtub(rng: Rng) -> Soup:
    """Return a bathtub, its length along y, at times with a shower curtain."""
    long, deep, high = (
        float(rng.uniform(1.5, 1.8)),
        float(rng.uniform(0.68, 0.8)),
        float(rng.uniform(0.5, 0.62)),
    )
    wall = 0.06
    parts = [
        slab("bathtub", (-deep / 2, s * long / 2, 0), (deep / 2, s * (long / 2 - wall), high))
        for s in (-1, 1)
    ]
    parts += [
        slab("bathtub", (s * deep / 2, -long / 2, 0), (s * (deep / 2 - wall), long / 2, high))
        for s in (-1, 1)
    ]
    parts.append(slab("bathtub", (-deep / 2, -long / 2, 0), (deep / 2, long / 2, 0.14)))
    if rng.random() < 0.5:
        parts.append(
            drape("shower curtain", rng, long * float(rng.uniform(0.3, 1)), (0.3, 1.95)).moved(
                (deep / 2, 0, 0), np.pi / 2
            )
        )
    return join(parts)


def basin(rng: Rng) -> Soup:
    """Return a wash basin on a pedestal or a cupboard, mostly with a mirror above."""
    high = float(rng.uniform(0.78, 0.88))
    lower = (
        box("sink", (0.18, 0.2, high - 0.1), (-0.1, 0, 0))
        if rng.random() < 0.5
        else cupboard("cabinet", rng, (0.42, 0.6, high - 0.12))
    )
    rim = tube("sink", (0, 0, high - 0.14), (0, 0, high), 0.16, tip=0.26, sides=12)
    parts = [lower, rim, tube("sink", (-0.2, 0, high), (-0.2, 0, high + 0.15), 0.015)]
    if rng.random() < 0.7:
        parts.append(slab("mirror", (-0.25, -0.3, high + 0.3), (-0.23, 0.3, high + 1.0)))
    return join(parts)


def washing_machine(rng: Rng) -> Soup:
    """Return a washing machine or a dryer."""
    door = tube("washing machine", (0.28, 0, 0.42), (0.33, 0, 0.42), 0.18, sides=12)
    return join([box("washing machine", (0.58, 0.6, float(rng.uniform(0.82, 0.88)))), door])


def drape(name: str, rng: Rng, wide: float, span: tuple[float, float]) -> Soup:
    """Return folded cloth hung along x from height ``span[1]`` down to ``span[0]``."""
    x = np.linspace(-wide / 2, wide / 2, max(int(wide * 22), 8))
    wave = 0.04 * np.sin(x * float(rng.uniform(30, 60))) + 0.01 * rng.normal(size=len(x))
    rows = [
        np.stack([x, wave * s, np.full(len(x), z)], axis=1)
        for s, z in ((1.2, span[0]), (0.9, span[1]))
    ]
    return loft(name, np.stack(rows), closed=False)


def wall_thing(rng: Rng, office: bool) -> Soup:
    """Return what hangs on a wall, its back at x = 0, facing +x, at its own height."""
    name = str(
        rng.choice(
            ["whiteboard", "picture", "picture", "television"]
            if office
            else ["picture", "picture", "picture", "mirror", "television"]
        )
    )
    low, high = {
        "whiteboard": (1.0, 3.5),
        "picture": (0.25, 1.2),
        "television": (0.8, 1.6),
        "mirror": (0.4, 1.0),
    }[name]
    wide = float(rng.uniform(low, high))
    tall = (
        float(np.clip(wide * rng.uniform(0.5, 1.3), 0.2, 1.25))
        if name != "television"
        else wide * 0.57
    )
    foot = 1.55 - tall / 2 + float(rng.uniform(-0.2, 0.2)) if name != "whiteboard" else 0.9
    return slab(
        name, (0, -wide / 2, foot), (float(rng.uniform(0.015, 0.06)), wide / 2, foot + tall)
    )


def radiator(rng: Rng) -> Soup:
    """Return a ribbed radiator."""
    wide = float(rng.uniform(0.6, 1.8))
    ribs = [
        box("radiator", (0.1, 0.045, 0.55), (0, float(y), 0.12))
        for y in np.arange(-wide / 2, wide / 2, 0.06)
    ]
    return join(ribs)


def ceiling_things(rng: Rng, size: tuple[float, float, float], office: bool) -> Soup:
    """Return lamps, beams and vents under a ceiling of width, depth and height."""
    wide, deep, high = size
    parts = []
    if office:
        for x in np.arange(1.2, wide - 0.6, 2.4):
            for y in np.arange(1.0, deep - 0.6, 2.4):
                parts.append(
                    box(
                        "lamp",
                        (0.6, 1.2 if rng.random() < 0.7 else 0.6, 0.06),
                        (float(x), float(y), high - 0.05),
                    )
                )
    elif rng.random() < 0.8:
        drop = float(rng.uniform(0.05, 0.9))
        parts += [
            tube("lamp", (wide / 2, deep / 2, high - drop), (wide / 2, deep / 2, high), 0.01),
            ball("lamp", (wide / 2, deep / 2, high - drop), (0.25, 0.25, 0.1)),
        ]
    if rng.random() < 0.3:
        drop, thick = float(rng.uniform(0.15, 0.5)), float(rng.uniform(0.15, 0.5))
        for x in np.arange(1.5, wide, float(rng.uniform(2.5, 6))):
            parts.append(slab("beam", (float(x), 0, high - drop), (float(x) + thick, deep, high)))
    return join(parts)


def column(rng: Rng, high: float) -> Soup:
    """Return a pillar from floor to ceiling."""
    thick = float(rng.uniform(0.25, 0.7))
    if rng.random() < 0.4:
        return tube("column", (0, 0, 0), (0, 0, high), thick / 2, sides=14)
    return box("column", (thick, thick * float(rng.uniform(0.7, 1.4)), high))


def rug(rng: Rng) -> Soup:
    """Return a rug."""
    return box("rug", (float(rng.uniform(0.8, 2.5)), float(rng.uniform(0.6, 3)), 0.015))


def stairs(rng: Rng) -> Soup:
    """Return a flight of steps rising toward −x."""
    wide, count = float(rng.uniform(0.9, 1.6)), int(rng.integers(6, 15))
    return join(
        box("stairs", (0.28, wide, 0.17 * (k + 1)), (-0.28 * k + 0.14 * count, 0, 0))
        for k in range(count)
    )


def partition(rng: Rng) -> Soup:
    """Return an office screen between desks, along y."""
    return quads(
        "indoor wall", [[(0, -0.9, 0.05), (0, 0.9, 0.05), (0, 0.9, 1.4), (0, -0.9, 1.4)]], 1.0
    )
