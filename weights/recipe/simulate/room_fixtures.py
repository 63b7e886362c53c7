"""Fixtures of rooms: kitchens, bathrooms, stairs, columns, and objects on walls and ceilings.

A fixture stands on z = 0 and faces +x, with its back towards −x. Width is along y, depth along x.
"""

import numpy as np

from weights.recipe.simulate.furniture import box_with_doors
from weights.recipe.simulate.primitives import (
    Mesh,
    Rng,
    box,
    box_between,
    ellipsoid,
    loft,
    merge,
    quads,
    tube,
)


def counter(rng: Rng) -> Mesh:
    """Return a kitchen counter on cabinets, mostly with a sink, a stove, a microwave, cabinets."""
    width, depth, height = float(rng.uniform(1.6, 3.6)), 0.6, float(rng.uniform(0.86, 0.94))
    parts = [
        box_with_doors("cabinet", rng, (depth - 0.04, width, height - 0.04)),
        box("counter", (depth, width, 0.04), (0.01, 0, height - 0.04)),
    ]
    if rng.random() < 0.8:
        y = float(rng.uniform(-0.3, 0.3)) * width
        rim = [
            box_between("sink", (x0, y + y0, height), (x1, y + y1, height + 0.012))
            for x0, x1, y0, y1 in (
                (-0.22, 0.22, -0.28, -0.24),
                (-0.22, 0.22, 0.24, 0.28),
                (-0.22, -0.18, -0.28, 0.28),
                (0.18, 0.22, -0.28, 0.28),
            )
        ]
        # The basin is not cut into the counter: its floor lies on the counter, below the rim.
        parts += [
            *rim,
            box("sink", (0.36, 0.48, 0.004), (0, y, height)),
            tube("sink", (-0.2, y, height), (-0.2, y, height + 0.28), 0.015),
            tube("sink", (-0.2, y, height + 0.28), (-0.02, y, height + 0.24), 0.012),
        ]
    if rng.random() < 0.6:
        parts.append(box("stove", (0.5, 0.58, 0.02), (0, -width * 0.35, height)))
    if rng.random() < 0.5:
        parts.append(box("microwave", (0.35, 0.48, 0.28), (-0.05, width * 0.38, height)))
    if rng.random() < 0.7:
        upper = box_with_doors("cabinet", rng, (0.34, width * float(rng.uniform(0.5, 1)), 0.7))
        parts.append(upper.moved((-0.13, 0, height + 0.55)))
    concepts = ["bottle", "cup", "bowl", "clutter"]
    for _ in range(int(rng.integers(0, 6))):
        object_height = float(rng.uniform(0.07, 0.3))
        y = float(rng.uniform(-0.48, 0.48)) * width
        parts.append(
            tube(
                str(rng.choice(concepts)),
                (-0.15, y, height),
                (-0.15, y, height + object_height),
                0.05,
                sides=8,
            )
        )
    return merge(parts)


def refrigerator(rng: Rng) -> Mesh:
    """Return a refrigerator with two doors."""
    width, height = float(rng.uniform(0.55, 0.9)), float(rng.uniform(1.4, 1.95))
    door_gap = height * float(rng.uniform(0.35, 0.7))
    parts = [
        box("refrigerator", (0.6, width, height)),
        box_between("refrigerator", (0.3, -width / 2, 0.05), (0.33, width / 2, door_gap - 0.01)),
        box_between("refrigerator", (0.3, -width / 2, door_gap + 0.01), (0.33, width / 2, height)),
    ]
    parts += [
        box_between("refrigerator", (0.33, width * 0.38, z), (0.38, width * 0.42, z + 0.3))
        for z in (door_gap - 0.4, door_gap + 0.05)
    ]
    return merge(parts)


def toilet(rng: Rng) -> Mesh:
    """Return a toilet with a cistern."""
    seat_height = float(rng.uniform(0.38, 0.43))
    bowl = [
        ellipsoid("toilet", (0.08, 0, seat_height * 0.62), (0.28, 0.19, seat_height * 0.38), 12),
        box("toilet", (0.35, 0.22, seat_height * 0.6), (-0.02, 0, 0)),
    ]
    rim = tube(
        "toilet", (0.08, 0, seat_height - 0.02), (0.08, 0, seat_height + 0.02), 0.21, sides=12
    )
    return merge([*bowl, rim, box("toilet", (0.18, 0.4, 0.36), (-0.25, 0, seat_height - 0.02))])


def bathtub(rng: Rng) -> Mesh:
    """Return a bathtub with its length along y, half of them with a shower curtain."""
    length, depth, height = (
        float(rng.uniform(1.5, 1.8)),
        float(rng.uniform(0.68, 0.8)),
        float(rng.uniform(0.5, 0.62)),
    )
    thickness = 0.06
    parts = [
        box_between(
            "bathtub",
            (-depth / 2, s * length / 2, 0),
            (depth / 2, s * (length / 2 - thickness), height),
        )
        for s in (-1, 1)
    ]
    parts += [
        box_between(
            "bathtub",
            (s * depth / 2, -length / 2, 0),
            (s * (depth / 2 - thickness), length / 2, height),
        )
        for s in (-1, 1)
    ]
    parts.append(
        box_between("bathtub", (-depth / 2, -length / 2, 0), (depth / 2, length / 2, 0.14))
    )
    if rng.random() < 0.5:
        parts.append(
            hanging_cloth(
                "shower curtain", rng, length * float(rng.uniform(0.3, 1)), (0.3, 1.95)
            ).moved((depth / 2, 0, 0), np.pi / 2)
        )
    return merge(parts)


def wash_basin(rng: Rng) -> Mesh:
    """Return a wash basin on a pedestal or a cabinet, mostly with a mirror above."""
    height = float(rng.uniform(0.78, 0.88))
    lower = (
        box("sink", (0.18, 0.2, height - 0.1), (-0.1, 0, 0))
        if rng.random() < 0.5
        else box_with_doors("cabinet", rng, (0.42, 0.6, height - 0.12))
    )
    rim = tube("sink", (0, 0, height - 0.14), (0, 0, height), 0.16, end_radius=0.26, sides=12)
    parts = [lower, rim, tube("sink", (-0.2, 0, height), (-0.2, 0, height + 0.15), 0.015)]
    if rng.random() < 0.7:
        parts.append(box_between("mirror", (-0.25, -0.3, height + 0.3), (-0.23, 0.3, height + 1.0)))
    return merge(parts)


def washing_machine(rng: Rng) -> Mesh:
    """Return a washing machine or a dryer."""
    door = tube("washing machine", (0.28, 0, 0.42), (0.33, 0, 0.42), 0.18, sides=12)
    return merge([box("washing machine", (0.58, 0.6, float(rng.uniform(0.82, 0.88)))), door])


def hanging_cloth(concept: str, rng: Rng, width: float, z_range: tuple[float, float]) -> Mesh:
    """Return a hanging cloth with folds, ``width`` metres along x.

    Args:
        concept: the concept of all triangles.
        rng: draws the folds.
        width: metres.
        z_range: heights of the lower and the upper edge in metres.
    """
    x = np.linspace(-width / 2, width / 2, max(int(width * 22), 8))
    wave = 0.04 * np.sin(x * float(rng.uniform(30, 60))) + 0.01 * rng.normal(size=len(x))
    edges = [
        np.stack([x, wave * factor, np.full(len(x), z)], axis=1)
        for factor, z in ((1.2, z_range[0]), (0.9, z_range[1]))
    ]
    return loft(concept, np.stack(edges), closed=False)


def wall_object(rng: Rng, is_office: bool) -> Mesh:
    """Return a picture, mirror, television or whiteboard with its back at x = 0.

    Its z is the height above the floor at which it hangs.
    """
    concept = str(
        rng.choice(
            ["whiteboard", "picture", "picture", "television"]
            if is_office
            else ["picture", "picture", "picture", "mirror", "television"]
        )
    )
    narrowest, widest = {
        "whiteboard": (1.0, 3.5),
        "picture": (0.25, 1.2),
        "television": (0.8, 1.6),
        "mirror": (0.4, 1.0),
    }[concept]
    width = float(rng.uniform(narrowest, widest))
    height = (
        float(np.clip(width * rng.uniform(0.5, 1.3), 0.2, 1.25))
        if concept != "television"
        else width * 0.57
    )
    lower_edge = (
        1.55 - height / 2 + float(rng.uniform(-0.2, 0.2)) if concept != "whiteboard" else 0.9
    )
    return box_between(
        concept,
        (0, -width / 2, lower_edge),
        (float(rng.uniform(0.015, 0.06)), width / 2, lower_edge + height),
    )


def radiator(rng: Rng) -> Mesh:
    """Return a radiator of vertical ribs."""
    width = float(rng.uniform(0.6, 1.8))
    ribs = [
        box("radiator", (0.1, 0.045, 0.55), (0, float(y), 0.12))
        for y in np.arange(-width / 2, width / 2, 0.06)
    ]
    return merge(ribs)


def ceiling_fixtures(rng: Rng, size: tuple[float, float, float], is_office: bool) -> Mesh:
    """Return lamps and beams under a ceiling.

    Args:
        rng: draws them.
        size: width, depth and height of the room in metres.
        is_office: whether lamps form a grid; otherwise one hangs in the middle.
    """
    width, depth, height = size
    parts = []
    if is_office:
        for x in np.arange(1.2, width - 0.6, 2.4):
            for y in np.arange(1.0, depth - 0.6, 2.4):
                parts.append(
                    box(
                        "lamp",
                        (0.6, 1.2 if rng.random() < 0.7 else 0.6, 0.06),
                        (float(x), float(y), height - 0.05),
                    )
                )
    elif rng.random() < 0.8:
        drop = float(rng.uniform(0.05, 0.9))
        parts += [
            tube(
                "lamp", (width / 2, depth / 2, height - drop), (width / 2, depth / 2, height), 0.01
            ),
            ellipsoid("lamp", (width / 2, depth / 2, height - drop), (0.25, 0.25, 0.1)),
        ]
    if rng.random() < 0.3:
        drop, beam_width = float(rng.uniform(0.15, 0.5)), float(rng.uniform(0.15, 0.5))
        for x in np.arange(1.5, width, float(rng.uniform(2.5, 6))):
            parts.append(
                box_between(
                    "beam", (float(x), 0, height - drop), (float(x) + beam_width, depth, height)
                )
            )
    return merge(parts)


def column(rng: Rng, height: float) -> Mesh:
    """Return a column of ``height`` metres, round or rectangular."""
    thickness = float(rng.uniform(0.25, 0.7))
    if rng.random() < 0.4:
        return tube("column", (0, 0, 0), (0, 0, height), thickness / 2, sides=14)
    return box("column", (thickness, thickness * float(rng.uniform(0.7, 1.4)), height))


def rug(rng: Rng) -> Mesh:
    """Return a rectangular rug."""
    return box("rug", (float(rng.uniform(0.8, 2.5)), float(rng.uniform(0.6, 3)), 0.015))


def stairs(rng: Rng) -> Mesh:
    """Return a flight of stairs that rises towards −x."""
    width, count = float(rng.uniform(0.9, 1.6)), int(rng.integers(6, 15))
    return merge(
        box("stairs", (0.28, width, 0.17 * (k + 1)), (-0.28 * k + 0.14 * count, 0, 0))
        for k in range(count)
    )


def desk_partition(rng: Rng) -> Mesh:
    """Return a partition between desks, along y, whose concept is "indoor wall"."""
    return quads(
        "indoor wall", [[(0, -0.9, 0.05), (0, 0.9, 0.05), (0, 0.9, 1.4), (0, -0.9, 1.4)]], 1.0
    )
