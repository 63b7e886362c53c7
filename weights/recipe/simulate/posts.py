"""Posts along streets and what they carry: lamps, signs, signals, wires; they face +x."""

import numpy as np

from weights.recipe.simulate.primitives import (
    Rng,
    Soup,
    ball,
    box,
    join,
    path_tube,
    quads,
    slab,
    tube,
)


def street_light(rng: Rng) -> Soup:
    """Return a lamp on a mast, with or without an arm toward +x."""
    tall, name = float(rng.uniform(4, 11)), "street light"
    mast = tube(name, (0, 0, 0), (0, 0, tall), float(rng.uniform(0.06, 0.11)), tip=0.05)
    if rng.random() < 0.3:
        return join([mast, ball(name, (0, 0, tall + 0.2), (0.25, 0.25, 0.3))])
    out = float(rng.uniform(0.8, 3))
    arm = path_tube(name, [(0, 0, tall), (out * 0.5, 0, tall + 0.35), (out, 0, tall + 0.4)], 0.04)
    return join([mast, arm, box(name, (0.7, 0.3, 0.12), (out + 0.2, 0, tall + 0.35))])


def pole(rng: Rng) -> Soup:
    """Return a plain post: bollard, utility pole or flagpole."""
    tall = float(rng.choice([0.9, 1.1, 3.0, rng.uniform(6, 11)]))
    thick = 0.08 if tall < 4 else float(rng.uniform(0.1, 0.17))
    parts = [tube("pole", (0, 0, 0), (0, 0, tall), thick, tip=thick * 0.8)]
    if tall > 5 and rng.random() < 0.6:
        parts += [box("pole", (0.12, 2.2, 0.12), (0, 0, tall - h)) for h in (0.5, 1.3)]
        if rng.random() < 0.4:
            parts.append(tube("pole", (0.35, 0, tall - 2.6), (0.35, 0, tall - 1.7), 0.25))
    return join(parts)


def traffic_sign(rng: Rng) -> Soup:
    """Return a sign of some shape on its post."""
    name, size = "traffic sign", float(rng.uniform(0.25, 0.45))
    foot = float(rng.uniform(1.6, 2.6))
    sides = int(rng.choice([3, 4, 8, 16]))
    plate = _plate(size, sides)
    parts = [
        tube("pole", (0, 0, 0), (0, 0, foot + size), 0.035),
        plate.moved((-0.05, 0, foot + size)),
    ]
    if rng.random() < 0.3:
        parts.append(box(name, (0.02, 0.6, 0.25), (-0.05, 0, foot - 0.3)))
    if rng.random() < 0.15:
        wide = float(rng.uniform(1, 3))
        parts = [
            tube("pole", (0, s * wide * 0.4, 0), (0, s * wide * 0.4, 3.2), 0.05) for s in (-1, 1)
        ]
        parts.append(box(name, (0.04, wide, float(rng.uniform(0.8, 2))), (-0.06, 0, 1.4)))
    return join(parts)


def _plate(size: float, sides: int) -> Soup:
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False) + np.pi / sides
    rim = np.stack([np.zeros(sides), size * np.sin(angle), size * np.cos(angle)], axis=1)
    return quads(
        "traffic sign",
        np.stack([np.zeros_like(rim), rim, np.roll(rim, -1, 0), np.zeros_like(rim)], 1),
    )


def traffic_light(rng: Rng) -> Soup:
    """Return a signal on a post or hung from an arm over the road (toward +y)."""
    name, parts = "traffic light", [tube("pole", (0, 0, 0), (0, 0, 3.4), 0.07)]
    head = box(name, (0.25, 0.32, 0.95), (-0.15, 0, 0))
    parts.append(head.moved((0, 0, 2.3)))
    if rng.random() < 0.5:
        out = float(rng.uniform(3, 8))
        parts += [
            tube("pole", (0, 0, 0), (0, 0, 6), 0.11),
            tube("pole", (0, 0, 5.8), (0, out, 6.1), 0.07),
            head.moved((0, out, 5.3)),
            head.moved((0, out * 0.55, 5.2)),
        ]
    return join(parts)


def gantry(rng: Rng, span: float) -> Soup:
    """Return a sign bridge over a road of ``span`` metres along y."""
    tall = float(rng.uniform(6, 7.5))
    legs = [tube("pole", (0, s * span / 2, 0), (0, s * span / 2, tall), 0.2) for s in (-1, 1)]
    beam = [
        slab("pole", (-0.3, -span / 2, tall - 0.5 * k), (0.3, span / 2, tall - 0.5 * k + 0.12))
        for k in (0, 2)
    ]
    boards = [
        box("traffic sign", (0.1, 3.0, 2.2), (-0.4, float(y), tall - 1.4))
        for y in rng.uniform(-span / 3, span / 3, 2)
    ]
    return join([*legs, *beam, *boards])


def wires(start: tuple[float, float, float], end: tuple[float, float, float], sag: float) -> Soup:
    """Return three sagging wires between two crossarms."""
    share = np.linspace(0, 1, 9)
    line = np.asarray(start) + share[:, None] * (np.asarray(end) - np.asarray(start))
    line[:, 2] -= 4 * sag * share * (1 - share)
    across = np.cross(np.asarray(end) - np.asarray(start), [0, 0, 1.0])
    across /= np.linalg.norm(across) + 1e-9
    return join(
        path_tube("power line", line + across * off, 0.02, sides=3) for off in (-0.9, 0, 0.9)
    )
