"""Street furniture: lamps, poles, signs, signals, wires, fences, barriers, bins, benches.

A piece stands on the origin and faces +x, unless its function says otherwise. Signs and signals
face −x, towards traffic that drives along +x.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from weights.recipe.simulate.primitives import (
    Mesh,
    Rng,
    box,
    box_between,
    ellipsoid,
    merge,
    polyline_tube,
    quads,
    tube,
)


def street_light(rng: Rng) -> Mesh:
    """Return a lamp on a mast, with or without an arm along +x."""
    height, concept = float(rng.uniform(4, 11)), "street light"
    mast = tube(concept, (0, 0, 0), (0, 0, height), float(rng.uniform(0.06, 0.11)), end_radius=0.05)
    if rng.random() < 0.3:
        return merge([mast, ellipsoid(concept, (0, 0, height + 0.2), (0.25, 0.25, 0.3))])
    arm_length = float(rng.uniform(0.8, 3))
    arm = polyline_tube(
        concept,
        [(0, 0, height), (arm_length * 0.5, 0, height + 0.35), (arm_length, 0, height + 0.4)],
        0.04,
    )
    return merge([mast, arm, box(concept, (0.7, 0.3, 0.12), (arm_length + 0.2, 0, height + 0.35))])


def traffic_sign(rng: Rng) -> Mesh:
    """Return a traffic sign on its post, or a wide one on two posts."""
    concept, size = "traffic sign", float(rng.uniform(0.25, 0.45))
    lower_edge = float(rng.uniform(1.6, 2.6))
    sides = int(rng.choice([3, 4, 8, 16]))
    plate = _plate(size, sides)
    parts = [
        tube("pole", (0, 0, 0), (0, 0, lower_edge + size), 0.035),
        plate.moved((-0.05, 0, lower_edge + size)),
    ]
    if rng.random() < 0.3:
        parts.append(box(concept, (0.02, 0.6, 0.25), (-0.05, 0, lower_edge - 0.3)))
    if rng.random() < 0.15:
        width = float(rng.uniform(1, 3))
        parts = [
            tube("pole", (0, s * width * 0.4, 0), (0, s * width * 0.4, 3.2), 0.05) for s in (-1, 1)
        ]
        parts.append(box(concept, (0.04, width, float(rng.uniform(0.8, 2))), (-0.06, 0, 1.4)))
    return merge(parts)


def _plate(size: float, sides: int) -> Mesh:
    """Return a regular polygon of ``sides`` corners with radius ``size`` metres, facing −x."""
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False) + np.pi / sides
    rim = np.stack([np.zeros(sides), size * np.sin(angle), size * np.cos(angle)], axis=1)
    return quads(
        "traffic sign",
        np.stack([np.zeros_like(rim), rim, np.roll(rim, -1, 0), np.zeros_like(rim)], 1),
    )


def traffic_light(rng: Rng) -> Mesh:
    """Return a traffic light on a post, at times with more on an arm along +y, over the road."""
    concept, parts = "traffic light", [tube("pole", (0, 0, 0), (0, 0, 3.4), 0.07)]
    head = box(concept, (0.25, 0.32, 0.95), (-0.15, 0, 0))
    parts.append(head.moved((0, 0, 2.3)))
    if rng.random() < 0.5:
        arm_length = float(rng.uniform(3, 8))
        parts += [
            tube("pole", (0, 0, 0), (0, 0, 6), 0.11),
            tube("pole", (0, 0, 5.8), (0, arm_length, 6.1), 0.07),
            head.moved((0, arm_length, 5.3)),
            head.moved((0, arm_length * 0.55, 5.2)),
        ]
    return merge(parts)


def sign_gantry(rng: Rng, span: float) -> Mesh:
    """Return a gantry with two signs, ``span`` metres wide along y."""
    height = float(rng.uniform(6, 7.5))
    legs = [tube("pole", (0, s * span / 2, 0), (0, s * span / 2, height), 0.2) for s in (-1, 1)]
    beam = [
        box_between(
            "pole", (-0.3, -span / 2, height - 0.5 * k), (0.3, span / 2, height - 0.5 * k + 0.12)
        )
        for k in (0, 2)
    ]
    boards = [
        box("traffic sign", (0.1, 3.0, 2.2), (-0.4, float(y), height - 1.4))
        for y in rng.uniform(-span / 3, span / 3, 2)
    ]
    return merge([*legs, *beam, *boards])


def wires(start: tuple[float, float, float], end: tuple[float, float, float], sag: float) -> Mesh:
    """Return three wires, 0.9 m apart, that sag by ``sag`` metres between two crossarms.

    Args:
        start: middle of the first crossarm in metres.
        end: middle of the second.
        sag: metres.
    """
    fraction = np.linspace(0, 1, 9)
    line = np.asarray(start) + fraction[:, None] * (np.asarray(end) - np.asarray(start))
    line[:, 2] -= 4 * sag * fraction * (1 - fraction)
    across = np.cross(np.asarray(end) - np.asarray(start), [0, 0, 1.0])
    across /= np.linalg.norm(across) + 1e-9
    return merge(
        polyline_tube("power line", line + across * offset, 0.02, sides=3)
        for offset in (-0.9, 0, 0.9)
    )


def fence(rng: Rng, length: float) -> Mesh:
    """Return a fence ("fence") or a garden wall ("wall") along x, ``length`` metres long."""
    style = str(rng.choice(["slats", "boards", "mesh", "rails", "wall", "iron"]))
    height = float(rng.uniform(0.8, 2.1))
    posts = [
        box("fence", (0.1, 0.1, height), (float(x), 0, 0))
        for x in np.arange(-length / 2, length / 2 + 0.1, 2.4)
    ]
    half_length = length / 2
    if style == "wall":
        return merge(
            [
                box_between("wall", (-half_length, -0.12, -0.4), (half_length, 0.12, height)),
                box_between(
                    "wall", (-half_length, -0.17, height), (half_length, 0.17, height + 0.06)
                ),
            ]
        )
    if style == "mesh":
        mesh = [
            [
                (-half_length, 0, 0),
                (half_length, 0, 0),
                (half_length, 0, height),
                (-half_length, 0, height),
            ]
        ]
        return merge([*posts, quads("fence", mesh, 0.3)])
    rails = [
        box_between("fence", (-half_length, -0.03, z), (half_length, 0.03, z + 0.08))
        for z in (0.25 * height, 0.85 * height)
    ]
    if style == "rails":
        return merge([*posts, *rails])
    step = {"slats": 0.16, "boards": 0.2, "iron": 0.13}[style]
    width = {"slats": 0.09, "boards": 0.19, "iron": 0.02}[style]
    x = np.arange(-half_length, half_length, step)
    zero = np.zeros(len(x))
    corners = [
        (x, zero + 0.05),
        (x + width, zero + 0.05),
        (x + width, zero + height),
        (x, zero + height),
    ]
    # (slats, 4 corners, 3): one upright quadrilateral per slat.
    slats = np.stack([np.stack([a, zero + 0.05, b], axis=1) for a, b in corners], axis=1)
    return merge([*posts, *rails, quads("fence", slats)])


def guard_rail(length: float) -> Mesh:
    """Return a steel crash barrier along x, ``length`` metres long."""
    half_length = length / 2
    posts = [
        box("guard rail", (0.1, 0.12, 0.7), (float(x), 0.1, 0))
        for x in np.arange(-half_length, half_length, 2.0)
    ]
    bands = [
        box_between(
            "guard rail",
            (-half_length, -0.03 * k, 0.45 + 0.13 * k),
            (half_length, 0.05, 0.57 + 0.13 * k),
        )
        for k in (0, 1)
    ]
    return merge([*posts, *bands])


def road_barrier(rng: Rng, length: float = 3.0) -> Mesh:
    """Return a concrete barrier of ``length`` metres or planks on trestles, along x."""
    if rng.random() < 0.6:
        return box("barrier", (length, 0.6, 0.85), taper=(1, 0.35))
    plank = [box_between("barrier", (-1, -0.02, z), (1, 0.02, z + 0.2)) for z in (0.55, 0.85)]
    return merge(
        [
            *plank,
            *(
                tube("barrier", (s * 0.9, y, 0), (s * 0.9, 0, 1.05), 0.03)
                for s in (-1, 1)
                for y in (-0.3, 0.3)
            ),
        ]
    )


def traffic_cone(rng: Rng) -> Mesh:
    """Return a traffic cone."""
    height = float(rng.uniform(0.45, 1.0))
    return merge(
        [
            tube(
                "traffic cone",
                (0, 0, 0.03),
                (0, 0, height),
                height * 0.2,
                end_radius=0.03,
                sides=10,
            ),
            box("traffic cone", (height * 0.5, height * 0.5, 0.04)),
        ]
    )


def barrel(rng: Rng) -> Mesh:
    """Return an upright barrel."""
    height = float(rng.uniform(0.8, 1.1))
    return tube("barrel", (0, 0, 0), (0, 0, height), 0.3, end_radius=0.26, sides=12)


def trash_can(rng: Rng) -> Mesh:
    """Return a round litter bin or a wheeled bin."""
    if rng.random() < 0.5:
        return tube(
            "trash can",
            (0, 0, 0),
            (0, 0, float(rng.uniform(0.8, 1.1))),
            float(rng.uniform(0.2, 0.35)),
            sides=10,
        )
    body = box("trash can", (0.5, 0.45, 0.95), taper=(1.25, 1.2))
    return merge([body, box("trash can", (0.7, 0.6, 0.08), (0, 0, 0.95))])


def dumpster(rng: Rng) -> Mesh:
    """Return a large waste container."""
    return box(
        "dumpster",
        (float(rng.uniform(1.4, 2.2)), float(rng.uniform(1.2, 4)), float(rng.uniform(1.1, 1.6))),
        (0, 0, 0.1),
        taper=(1.15, 1.0),
    )


def bench(rng: Rng) -> Mesh:
    """Return a bench, with or without a backrest."""
    length = float(rng.uniform(1.2, 2.2))
    parts = [box_between("bench", (-0.2, -length / 2, 0.42), (0.25, length / 2, 0.47))]
    parts += [box("bench", (0.4, 0.08, 0.43), (0, s * length * 0.42, 0)) for s in (-1, 1)]
    if rng.random() < 0.7:
        parts.append(box_between("bench", (-0.26, -length / 2, 0.55), (-0.2, length / 2, 0.9)))
    return merge(parts)


def mailbox(rng: Rng) -> Mesh:
    """Return a mailbox on a post, or a public one."""
    if rng.random() < 0.5:
        return merge(
            [box("mailbox", (0.1, 0.1, 1.0)), box("mailbox", (0.5, 0.2, 0.25), (0, 0, 1.0))]
        )
    return box("mailbox", (0.5, 0.55, 1.3), taper=(0.9, 0.9))


def fire_hydrant(rng: Rng) -> Mesh:
    """Return a fire hydrant."""
    height = float(rng.uniform(0.6, 0.85))
    return merge(
        [
            tube("fire hydrant", (0, 0, 0), (0, 0, height), 0.13, sides=8),
            ellipsoid("fire hydrant", (0, 0, height), (0.15, 0.15, 0.12)),
            tube("fire hydrant", (0, -0.24, height * 0.65), (0, 0.24, height * 0.65), 0.07),
        ]
    )


def planter(rng: Rng) -> Mesh:
    """Return a planter without plants."""
    return box(
        "planter",
        (float(rng.uniform(0.6, 1.2)), float(rng.uniform(0.6, 2.5)), 0.6),
        taper=(1.1, 1.05),
    )


def bus_stop(rng: Rng) -> Mesh:
    """Return a bus shelter that is open towards +x, with a bench."""
    length, concept = float(rng.uniform(2.5, 5)), "bus stop"
    half_length = length / 2
    back = [
        [
            (-0.7, -half_length, 0.2),
            (-0.7, half_length, 0.2),
            (-0.7, half_length, 2.3),
            (-0.7, -half_length, 2.3),
        ]
    ]
    ends = [
        [
            (-0.7, s * half_length, 0.2),
            (0.5, s * half_length, 0.2),
            (0.5, s * half_length, 2.3),
            (-0.7, s * half_length, 2.3),
        ]
        for s in (-1, 1)
    ]
    posts = [
        tube(concept, (x, s * half_length, 0), (x, s * half_length, 2.5), 0.05)
        for x in (-0.7, 0.5)
        for s in (-1, 1)
    ]
    return merge(
        [
            quads(concept, back + ends, 0.4),
            box_between(concept, (-0.8, -half_length - 0.1, 2.4), (0.8, half_length + 0.1, 2.52)),
            *posts,
            bench(rng).moved((-0.35, 0, 0)),
        ]
    )


def billboard(rng: Rng) -> Mesh:
    """Return a billboard on a post."""
    width, lower_edge = float(rng.uniform(1.2, 6)), float(rng.uniform(0.3, 4))
    return merge(
        [
            box("pole", (0.2, 0.2, lower_edge + 0.5)),
            box("billboard", (0.2, width, width * 0.6), (0, 0, lower_edge)),
        ]
    )


def utility_cabinet(rng: Rng) -> Mesh:
    """Return a utility cabinet, whose concept is "box"."""
    return box("box", (0.4, float(rng.uniform(0.6, 1.5)), float(rng.uniform(0.9, 1.5))))


def cafe_table(rng: Rng) -> Mesh:
    """Return a café table with chairs, at times with a parasol ("clutter")."""
    parts = [
        tube("table", (0, 0, 0.7), (0, 0, 0.74), 0.4, sides=12),
        tube("table", (0, 0, 0), (0, 0, 0.7), 0.04),
    ]
    for angle in rng.uniform(0, 6.28, int(rng.integers(1, 5))):
        chair = merge(
            [
                box("chair", (0.42, 0.42, 0.04), (0, 0, 0.43)),
                box_between("chair", (-0.22, -0.2, 0.43), (-0.18, 0.2, 0.85)),
                *(
                    tube("chair", (x, y, 0), (x, y, 0.43), 0.02, sides=4)
                    for x in (-0.18, 0.18)
                    for y in (-0.18, 0.18)
                ),
            ]
        )
        position = (0.75 * float(np.cos(angle)), 0.75 * float(np.sin(angle)), 0.0)
        parts.append(chair.moved(position, float(angle) + np.pi))
    if rng.random() < 0.4:
        parts += [
            tube("clutter", (0, 0, 0), (0, 0, 2.5), 0.03),
            tube("clutter", (0, 0, 2.1), (0, 0, 2.6), 1.4, end_radius=0.05, sides=8),
        ]
    return merge(parts)


def clutter_pile(rng: Rng) -> Mesh:
    """Return a pile of crates, at times with a kiosk, all of the concept "clutter"."""
    parts = []
    for _ in range(int(rng.integers(1, 7))):
        size = rng.uniform(0.2, 1.3, 3)
        position = (float(rng.normal(0, 0.6)), float(rng.normal(0, 0.6)), 0.0)
        body = box("clutter", (float(size[0]), float(size[1]), float(size[2])), position)
        parts.append(body.moved(yaw=float(rng.uniform(0, 3))))
    if rng.random() < 0.15:
        parts.append(box("clutter", (2.0, 2.4, 2.6), (0, 0, 0), taper=(1.0, 0.95)))
    return merge(parts)


# A key that is also a concept can be replaced by a catalogue mesh of that concept.
STREET_FURNITURE: Mapping[str, Callable[[Rng], Mesh]] = MappingProxyType(
    {
        "trash can": trash_can,
        "bench": bench,
        "mailbox": mailbox,
        "fire hydrant": fire_hydrant,
        "traffic cone": traffic_cone,
        "barrel": barrel,
        "planter": planter,
        "bus stop": bus_stop,
        "billboard": billboard,
        "cabinet": utility_cabinet,
        "dumpster": dumpster,
        "barrier": road_barrier,
        "traffic sign": traffic_sign,
        "café table": cafe_table,
        "clutter pile": clutter_pile,
    }
)
