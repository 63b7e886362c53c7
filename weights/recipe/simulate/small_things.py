"""Small things in rooms: screens, lamps, plants, boxes, bags, what lies about."""

import numpy as np

from weights.recipe.simulate.primitives import Rng, Soup, ball, box, join, quads, shards, tube


def litter(rng: Rng, area: tuple[float, float], high: float, count: int) -> Soup:
    """Return small things on a surface ``area`` metres in x and y."""
    names = ["book", "cup", "clutter", "clutter", "bottle", "bowl", "box"]
    parts = []
    for _ in range(count):
        x, y = (float(rng.uniform(-0.45, 0.45)) * side for side in area)
        name = str(rng.choice(names))
        if name in ("cup", "bottle", "bowl"):
            radius, tall = {"cup": (0.04, 0.1), "bottle": (0.04, 0.27), "bowl": (0.09, 0.07)}[name]
            parts.append(
                tube(name, (x, y, high), (x, y, high + tall), radius, tip=radius * 0.8, sides=8)
            )
        else:
            size = rng.uniform(0.05, 0.28, 3)
            parts.append(
                box(
                    name,
                    (float(size[0]), float(size[1]), float(size[2]) * 0.4),
                    (x, y, high),
                    yaw=float(rng.uniform(0, 3)),
                )
            )
    return join(parts)


def monitor(rng: Rng) -> Soup:
    """Return a computer screen on its foot."""
    wide = float(rng.uniform(0.42, 0.7))
    return join(
        [
            box("monitor", (0.04, wide, wide * 0.58), (0, 0, 0.12)),
            box("monitor", (0.03, 0.06, 0.2), (-0.03, 0, 0)),
            box("monitor", (0.18, 0.22, 0.015)),
        ]
    )


def laptop() -> Soup:
    """Return an open laptop."""
    lid = [[(-0.12, -0.17, 0.02), (-0.12, 0.17, 0.02), (-0.19, 0.17, 0.24), (-0.19, -0.17, 0.24)]]
    return join([box("laptop", (0.24, 0.34, 0.02)), quads("laptop", lid)])


def floor_lamp(rng: Rng) -> Soup:
    """Return a standing lamp."""
    tall = float(rng.uniform(1.3, 1.9))
    return join(
        [
            tube("lamp", (0, 0, 0), (0, 0, 0.03), 0.15, sides=10),
            tube("lamp", (0, 0, 0), (0, 0, tall), 0.015),
            tube("lamp", (0, 0, tall - 0.3), (0, 0, tall), 0.22, tip=0.14, sides=10),
        ]
    )


def table_lamp(rng: Rng) -> Soup:
    """Return a small lamp."""
    tall = float(rng.uniform(0.3, 0.55))
    return join(
        [
            tube("lamp", (0, 0, 0), (0, 0, tall), 0.03),
            tube("lamp", (0, 0, tall * 0.55), (0, 0, tall), 0.15, tip=0.1, sides=10),
        ]
    )


def potted_plant(rng: Rng) -> Soup:
    """Return a plant in its pot."""
    tall = float(rng.uniform(0.3, 1.8))
    pot = min(0.1 + tall * 0.1, 0.25)
    leaves = rng.normal(0, 1, (int(150 + 250 * tall), 3)) * [
        tall * 0.17,
        tall * 0.17,
        tall * 0.2,
    ] + [0, 0, pot * 2 + tall * 0.55]
    leaves[:, 2] = np.maximum(leaves[:, 2], pot * 1.6)
    stem = tube("plant", (0, 0, 0), (0, 0, tall * 0.7), 0.02)
    return join(
        [
            tube("plant", (0, 0, 0), (0, 0, pot * 1.8), pot * 0.8, tip=pot, sides=10),
            stem,
            shards("plant", leaves, float(rng.uniform(0.03, 0.1)), rng),
        ]
    )


def carton(rng: Rng) -> Soup:
    """Return a box or a few of them stacked."""
    parts, high = [], 0.0
    for _ in range(int(rng.integers(1, 4))):
        size = rng.uniform(0.2, 0.55, 3)
        parts.append(
            box(
                "box",
                (float(size[0]), float(size[1]), float(size[2])),
                (0, 0, high),
                yaw=float(rng.uniform(-0.3, 0.3)),
            )
        )
        high += float(size[2])
    return join(parts)


def trash_bin(rng: Rng) -> Soup:
    """Return a waste bin."""
    tall = float(rng.uniform(0.28, 0.7))
    return tube("trash bin", (0, 0, 0), (0, 0, tall), tall * 0.33, tip=tall * 0.4, sides=10)


def bag(rng: Rng) -> Soup:
    """Return a backpack or a bag on the floor."""
    return ball(str(rng.choice(["backpack", "bag"])), (0, 0, 0.2), (0.14, 0.18, 0.22), 10)


def heap(rng: Rng) -> Soup:
    """Return a heap of clothes or clutter."""
    name = str(rng.choice(["clothes", "clutter", "towel", "blanket"]))
    return join(
        ball(name, (float(x), float(y), 0.03), (0.2, 0.15, float(rng.uniform(0.05, 0.14))))
        for x, y in rng.normal(0, 0.12, (4, 2))
    )
