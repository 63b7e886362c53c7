"""What stands along streets: poles, lights, signs, barriers, bins, benches, wires.

Every body stands on the origin and faces +x unless it says otherwise.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from weights.recipe.simulate.posts import traffic_sign
from weights.recipe.simulate.primitives import (
    Rng,
    Soup,
    ball,
    box,
    join,
    quads,
    slab,
    tube,
)


def fence(rng: Rng, long: float) -> Soup:
    """Return a fence or a garden wall along x, ``long`` metres."""
    style = str(rng.choice(["slats", "boards", "mesh", "rails", "wall", "iron"]))
    high = float(rng.uniform(0.8, 2.1))
    posts = [
        box("fence", (0.1, 0.1, high), (float(x), 0, 0))
        for x in np.arange(-long / 2, long / 2 + 0.1, 2.4)
    ]
    half = long / 2
    if style == "wall":
        return join(
            [
                slab("wall", (-half, -0.12, -0.4), (half, 0.12, high)),
                slab("wall", (-half, -0.17, high), (half, 0.17, high + 0.06)),
            ]
        )
    if style == "mesh":
        net = [[(-half, 0, 0), (half, 0, 0), (half, 0, high), (-half, 0, high)]]
        return join([*posts, quads("fence", net, 0.3)])
    rails = [
        slab("fence", (-half, -0.03, z), (half, 0.03, z + 0.08)) for z in (0.25 * high, 0.85 * high)
    ]
    if style == "rails":
        return join([*posts, *rails])
    step = {"slats": 0.16, "boards": 0.2, "iron": 0.13}[style]
    wide = {"slats": 0.09, "boards": 0.19, "iron": 0.02}[style]
    x = np.arange(-half, half, step)
    feet = np.zeros(len(x))
    rim = [(x, feet + 0.05), (x + wide, feet + 0.05), (x + wide, feet + high), (x, feet + high)]
    slats = np.stack([np.stack([a, feet + 0.05, b], axis=1) for a, b in rim], axis=1)
    return join([*posts, *rails, quads("fence", slats)])


def guard_rail(long: float) -> Soup:
    """Return a steel crash barrier along x."""
    half = long / 2
    posts = [
        box("guard rail", (0.1, 0.12, 0.7), (float(x), 0.1, 0)) for x in np.arange(-half, half, 2.0)
    ]
    bands = [
        slab("guard rail", (-half, -0.03 * k, 0.45 + 0.13 * k), (half, 0.05, 0.57 + 0.13 * k))
        for k in (0, 1)
    ]
    return join([*posts, *bands])


def barrier(rng: Rng, long: float = 3.0) -> Soup:
    """Return a jersey barrier or a plank on trestles, along x."""
    if rng.random() < 0.6:
        return box("barrier", (long, 0.6, 0.85), taper=(1, 0.35))
    plank = [slab("barrier", (-1, -0.02, z), (1, 0.02, z + 0.2)) for z in (0.55, 0.85)]
    return join(
        [
            *plank,
            *(
                tube("barrier", (s * 0.9, d, 0), (s * 0.9, 0, 1.05), 0.03)
                for s in (-1, 1)
                for d in (-0.3, 0.3)
            ),
        ]
    )


def cone(rng: Rng) -> Soup:
    """Return a traffic cone."""
    tall = float(rng.uniform(0.45, 1.0))
    return join(
        [
            tube("traffic cone", (0, 0, 0.03), (0, 0, tall), tall * 0.2, tip=0.03, sides=10),
            box("traffic cone", (tall * 0.5, tall * 0.5, 0.04)),
        ]
    )


def barrel(rng: Rng) -> Soup:
    """Return a drum."""
    tall = float(rng.uniform(0.8, 1.1))
    return tube("barrel", (0, 0, 0), (0, 0, tall), 0.3, tip=0.26, sides=12)


def trash_can(rng: Rng) -> Soup:
    """Return a litter bin or a wheelie bin."""
    if rng.random() < 0.5:
        return tube(
            "trash can",
            (0, 0, 0),
            (0, 0, float(rng.uniform(0.8, 1.1))),
            float(rng.uniform(0.2, 0.35)),
            sides=10,
        )
    bin_ = box("trash can", (0.5, 0.45, 0.95), taper=(1.25, 1.2))
    return join([bin_, box("trash can", (0.7, 0.6, 0.08), (0, 0, 0.95))])


def dumpster(rng: Rng) -> Soup:
    """Return a large container for waste."""
    return box(
        "dumpster",
        (float(rng.uniform(1.4, 2.2)), float(rng.uniform(1.2, 4)), float(rng.uniform(1.1, 1.6))),
        (0, 0, 0.1),
        taper=(1.15, 1.0),
    )


def bench(rng: Rng) -> Soup:
    """Return a bench, with a back or without."""
    long = float(rng.uniform(1.2, 2.2))
    parts = [slab("bench", (-0.2, -long / 2, 0.42), (0.25, long / 2, 0.47))]
    parts += [box("bench", (0.4, 0.08, 0.43), (0, s * long * 0.42, 0)) for s in (-1, 1)]
    if rng.random() < 0.7:
        parts.append(slab("bench", (-0.26, -long / 2, 0.55), (-0.2, long / 2, 0.9)))
    return join(parts)


def mailbox(rng: Rng) -> Soup:
    """Return a letter box on a post, or a pillar box."""
    if rng.random() < 0.5:
        return join(
            [box("mailbox", (0.1, 0.1, 1.0)), box("mailbox", (0.5, 0.2, 0.25), (0, 0, 1.0))]
        )
    return box("mailbox", (0.5, 0.55, 1.3), taper=(0.9, 0.9))


def hydrant(rng: Rng) -> Soup:
    """Return a fire hydrant."""
    tall = float(rng.uniform(0.6, 0.85))
    return join(
        [
            tube("fire hydrant", (0, 0, 0), (0, 0, tall), 0.13, sides=8),
            ball("fire hydrant", (0, 0, tall), (0.15, 0.15, 0.12)),
            tube("fire hydrant", (0, -0.24, tall * 0.65), (0, 0.24, tall * 0.65), 0.07),
        ]
    )


def planter(rng: Rng) -> Soup:
    """Return a trough; what grows in it is planted by the caller."""
    return box(
        "planter",
        (float(rng.uniform(0.6, 1.2)), float(rng.uniform(0.6, 2.5)), 0.6),
        taper=(1.1, 1.05),
    )


def bus_stop(rng: Rng) -> Soup:
    """Return a shelter open toward +x, with a bench."""
    long, name = float(rng.uniform(2.5, 5)), "bus stop"
    half = long / 2
    back = [[(-0.7, -half, 0.2), (-0.7, half, 0.2), (-0.7, half, 2.3), (-0.7, -half, 2.3)]]
    ends = [
        [(-0.7, s * half, 0.2), (0.5, s * half, 0.2), (0.5, s * half, 2.3), (-0.7, s * half, 2.3)]
        for s in (-1, 1)
    ]
    posts = [
        tube(name, (x, s * half, 0), (x, s * half, 2.5), 0.05) for x in (-0.7, 0.5) for s in (-1, 1)
    ]
    return join(
        [
            quads(name, back + ends, 0.4),
            slab(name, (-0.8, -half - 0.1, 2.4), (0.8, half + 0.1, 2.52)),
            *posts,
            bench(rng).moved((-0.35, 0, 0)),
        ]
    )


def billboard(rng: Rng) -> Soup:
    """Return an advertising board."""
    wide, foot = float(rng.uniform(1.2, 6)), float(rng.uniform(0.3, 4))
    return join(
        [
            box("pole", (0.2, 0.2, foot + 0.5)),
            box("billboard", (0.2, wide, wide * 0.6), (0, 0, foot)),
        ]
    )


def cabinet_box(rng: Rng) -> Soup:
    """Return a utility cabinet on the pavement."""
    return box("box", (0.4, float(rng.uniform(0.6, 1.5)), float(rng.uniform(0.9, 1.5))))


def terrace(rng: Rng) -> Soup:
    """Return a café table with chairs and perhaps a parasol."""
    parts = [
        tube("table", (0, 0, 0.7), (0, 0, 0.74), 0.4, sides=12),
        tube("table", (0, 0, 0), (0, 0, 0.7), 0.04),
    ]
    for angle in rng.uniform(0, 6.28, int(rng.integers(1, 5))):
        seat = join(
            [
                box("chair", (0.42, 0.42, 0.04), (0, 0, 0.43)),
                slab("chair", (-0.22, -0.2, 0.43), (-0.18, 0.2, 0.85)),
                *(
                    tube("chair", (x, y, 0), (x, y, 0.43), 0.02, sides=4)
                    for x in (-0.18, 0.18)
                    for y in (-0.18, 0.18)
                ),
            ]
        )
        spot = (0.75 * float(np.cos(angle)), 0.75 * float(np.sin(angle)), 0.0)
        parts.append(seat.moved(spot, float(angle) + np.pi))
    if rng.random() < 0.4:
        parts += [
            tube("clutter", (0, 0, 0), (0, 0, 2.5), 0.03),
            tube("clutter", (0, 0, 2.1), (0, 0, 2.6), 1.4, tip=0.05, sides=8),
        ]
    return join(parts)


def heap(rng: Rng) -> Soup:
    """Return pallets, crates, a kiosk or other things that have no better name."""
    parts = []
    for _ in range(int(rng.integers(1, 7))):
        size = rng.uniform(0.2, 1.3, 3)
        at = (float(rng.normal(0, 0.6)), float(rng.normal(0, 0.6)), 0.0)
        body = box("clutter", (float(size[0]), float(size[1]), float(size[2])), at)
        parts.append(body.moved(yaw=float(rng.uniform(0, 3))))
    if rng.random() < 0.15:
        parts.append(box("clutter", (2.0, 2.4, 2.6), (0, 0, 0), taper=(1.0, 0.95)))
    return join(parts)


FURNITURE: Mapping[str, Callable[[Rng], Soup]] = MappingProxyType(
    {
        "trash can": trash_can,
        "bench": bench,
        "mailbox": mailbox,
        "hydrant": hydrant,
        "cone": cone,
        "barrel": barrel,
        "planter": planter,
        "bus stop": bus_stop,
        "billboard": billboard,
        "cabinet": cabinet_box,
        "dumpster": dumpster,
        "barrier": barrier,
        "sign": traffic_sign,
        "terrace": terrace,
        "heap": heap,
    }
)
