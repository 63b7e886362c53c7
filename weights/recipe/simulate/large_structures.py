"""Large structures that surveys from the air show: farms, tanks, turbines, cranes, and railways.

Each stands on the origin in its own frame.
"""

import numpy as np

from weights.recipe.simulate import vehicles
from weights.recipe.simulate.gardens import long_greenhouse
from weights.recipe.simulate.primitives import Mesh, Rng, box, box_between, loft, merge, quads, tube
from weights.recipe.simulate.street_furniture import heap, shipping_container


def silo(rng: Rng) -> Mesh:
    """Return one to four upright cylinders with conical roofs."""
    radius, height = float(rng.uniform(1.5, 4)), float(rng.uniform(6, 22))
    parts = []
    for k in range(int(rng.integers(1, 5))):
        foot, top = np.array([2.2 * radius * k, 0, -1]), np.array([2.2 * radius * k, 0, height])
        roof = top + [0, 0, radius * 0.5]
        parts.append(tube("silo", foot, top, radius, sides=16))
        parts.append(tube("silo", top, roof, radius, end_radius=0.2, sides=16))
    return merge(parts)


def barn(rng: Rng) -> Mesh:
    """Return a long building with a ridge, all "barn"."""
    length, half = float(rng.uniform(12, 45)), float(rng.uniform(4, 11))
    eaves, rise = float(rng.uniform(2.5, 5)), half * float(rng.uniform(0.3, 0.9))
    profile = np.array([[-half, -1], [-half, eaves], [0, eaves + rise], [half, eaves], [half, -1]])
    ring = np.concatenate([np.zeros((5, 1)), profile], axis=1)
    ends = ring + [-length / 2, 0, 0], ring + [length / 2, 0, 0]
    gables = [np.stack([e[0], e[1], e[3], e[4]]) for e in ends]
    tops = [np.stack([e[1], e[2], e[3], e[3]]) for e in ends]
    walls = loft("barn", np.stack(ends), closed=False)
    return merge([walls, quads("barn", [*gables, *tops])]).made_of("wood")


def wind_turbine(rng: Rng) -> Mesh:
    """Return a tower with a rotor of three blades."""
    height, blade = float(rng.uniform(40, 110)), float(rng.uniform(18, 45))
    hub, phase = np.array([3.0, 0, height]), float(rng.uniform(0, 2.1))
    parts = [
        tube("wind turbine", (0, 0, -1), (0, 0, height), 2.2, end_radius=1.2, sides=12),
        box("wind turbine", (9, 3, 3.2), (-1, 0, height - 1.5)),
    ]
    for angle in phase + np.arange(3) * 2 * np.pi / 3:
        tip = hub + blade * np.array([0, np.cos(angle), np.sin(angle)])
        parts.append(tube("wind turbine", hub, tip, 0.9, end_radius=0.15, sides=5))
    return merge(parts)


def water_tower(rng: Rng) -> Mesh:
    """Return a tank on a column."""
    height, radius = float(rng.uniform(14, 32)), float(rng.uniform(3, 7))
    neck, waist = (0.0, 0.0, height), (0.0, 0.0, height + radius * 0.7)
    top = (0.0, 0.0, height + radius * 1.6)
    return merge(
        [
            tube("water tower", (0, 0, -1), neck, radius * 0.25, sides=12),
            tube("water tower", neck, waist, radius * 0.3, end_radius=radius, sides=16),
            tube("water tower", waist, top, radius, end_radius=radius * 0.6, sides=16),
        ]
    )


def tower_crane(rng: Rng) -> Mesh:
    """Return a tower crane: a lattice mast and jib."""
    height, jib = float(rng.uniform(20, 50)), float(rng.uniform(20, 45))
    parts = []
    for x, y in ((-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)):
        parts.append(tube("crane", (x, y, 0), (x, y, height), 0.1, sides=4))
    for z in np.arange(0, height - 2, 2.0):
        parts.append(tube("crane", (-0.8, -0.8, z), (0.8, -0.8, z + 2), 0.06, sides=3))
        parts.append(tube("crane", (0.8, 0.8, z), (-0.8, 0.8, z + 2), 0.06, sides=3))
    for y, z in ((-0.6, 0.0), (0.6, 0.0), (0.0, 1.2)):
        parts.append(tube("crane", (-12, y, height + z), (jib, y, height + z), 0.1, sides=4))
    for x in np.arange(-12, jib - 2, 2.0):
        parts.append(tube("crane", (x, -0.6, height), (x + 1, 0, height + 1.2), 0.06, sides=3))
        parts.append(tube("crane", (x + 1, 0, height + 1.2), (x + 2, 0.6, height), 0.06, sides=3))
    parts.append(box("crane", (3, 1.6, 2), (-11, 0, height - 1.8)))
    return merge(parts)


def storage_tanks(rng: Rng) -> Mesh:
    """Return a group of broad cylindrical tanks."""
    radius, height = float(rng.uniform(3, 9)), float(rng.uniform(5, 14))
    parts = []
    for k in range(int(rng.integers(1, 5))):
        x, y = 2.5 * radius * (k % 2), 2.5 * radius * (k // 2)
        parts.append(tube("silo", (x, y, -1), (x, y, height), radius, sides=24))
    return merge(parts)


def greenhouses(rng: Rng, size: tuple[float, float]) -> Mesh:
    """Return rows of greenhouses that fill a rectangle, x by y metres, around the origin."""
    half, wall = float(rng.uniform(2.5, 6)), float(rng.uniform(1.5, 4))
    gap = float(rng.choice([0.0, 0.0, 1.5]))
    house = long_greenhouse(rng, size[0], half, wall).painted(rng)
    rows = np.arange(-size[1] / 2 + half, size[1] / 2 - half + 0.1, 2 * half + gap)
    return merge(house.moved((0.0, float(y), 0.0)) for y in rows)


def container_yard(rng: Rng) -> Mesh:
    """Return stacks of shipping containers."""
    parts = []
    for row in range(int(rng.integers(1, 5))):
        for column in range(int(rng.integers(1, 6))):
            stack = shipping_container(rng)
            for level in range(int(rng.integers(0, 4))):
                painted = stack.painted(rng)
                parts.append(painted.moved((13.0 * column, 3.0 * row, 2.6 * level)))
    return merge([*parts, shipping_container(rng)])


def heaps(rng: Rng) -> Mesh:
    """Return a few large heaps of earth, gravel or salt."""
    return merge(
        heap(rng).moved((float(x), float(y), 0.0), 0.0, float(rng.uniform(1.5, 4)))
        for x, y in rng.normal(0, 9, (int(rng.integers(1, 5)), 2))
    )


def railway(rng: Rng, length: float) -> Mesh:
    """Return one to four tracks along x, ``length`` metres, with masts and mostly a train."""
    count, has_wire = int(rng.integers(1, 5)), rng.random() < 0.6
    half = 2.25 * count
    top, foot = 0.5, half + 1.2
    bed = [
        (-length / 2, -foot, -0.5), (-length / 2, -half, top),
        (-length / 2, half, top), (-length / 2, foot, -0.5),
    ]  # fmt: skip
    other_end = [(-x, y, z) for x, y, z in bed]
    parts = [loft("railway track", [bed, other_end], closed=False)]
    for k in range(count):
        y = 4.5 * (k - (count - 1) / 2)
        for side in (-0.72, 0.72):
            low, high = (
                (-length / 2, y + side - 0.04, top),
                (length / 2, y + side + 0.04, top + 0.2),
            )
            parts.append(box_between("railway track", low, high).made_of("steel"))
        if has_wire:
            start, end = (-length / 2, y, 6.0), (length / 2, y, 6.0)
            parts.append(tube("power line", start, end, 0.03, sides=3))
        if rng.random() < 0.4:
            parts.append(_train(rng, length).moved((0.0, y, top + 0.2)))
    if has_wire:
        for x in np.arange(-length / 2, length / 2, 45.0):
            parts.append(tube("pole", (x, half + 0.8, 0), (x, half + 0.8, 7.5), 0.15, sides=5))
            parts.append(box("pole", (0.12, 2 * half, 0.12), (x, 0.4, 6.9)))
    return merge(parts)


def _train(rng: Rng, length: float) -> Mesh:
    """Return a passenger or goods train along x, at most ``length`` metres."""
    car = float(rng.uniform(12, 26))
    count = int(np.clip(rng.integers(2, 9), 1, max(length / car - 1, 1)))
    is_goods = rng.random() < 0.5
    parts = []
    for k in range(count):
        x = car * (k - count / 2)
        height = float(rng.uniform(1.2, 3.6)) if is_goods else 3.6
        body = box("train", (car - 0.8, 2.9, height), (x, 0, 0.9), taper=(1.0, 0.85))
        bogies = box("train", (car * 0.8, 2.0, 0.9), (x, 0, 0.0))
        parts += [body.painted(rng) if is_goods else body, bogies]
    return merge(parts)


def farm(rng: Rng) -> Mesh:
    """Return barns with silos and a tractor around a yard."""
    parts = [barn(rng).painted(rng)]
    if rng.random() < 0.7:
        parts.append(barn(rng).painted(rng).moved((0.0, 26.0, 0.0), float(rng.choice([0, 1.57]))))
    if rng.random() < 0.6:
        parts.append(silo(rng).painted(rng).moved((8.0, 15.0, 0.0)))
    if rng.random() < 0.5:
        parts.append(vehicles.tractor(rng).painted(rng).moved((-8.0, 14.0, 0.0)))
    return merge(parts)
