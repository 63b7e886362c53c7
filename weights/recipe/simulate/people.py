"""People: standing, walking, sitting, riding, alone or with what they carry."""

import numpy as np

from weights.recipe.simulate.primitives import (
    Point3,
    Rng,
    Soup,
    ball,
    box,
    fan,
    join,
    loft,
    ring,
    tube,
)
from weights.recipe.simulate.two_wheelers import bicycle, motorcycle


def _torso(concept: str, low: float, high: float, wide: float, lean: float) -> Soup:
    angle = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    levels = np.linspace(low, high, 4)
    girth = np.array([0.95, 0.85, 1.05, 0.55]) * wide / 2
    rings = np.stack(
        [
            np.stack(
                [0.58 * g * np.cos(angle) + lean * (z - low), g * np.sin(angle), np.full(8, z)],
                axis=1,
            )
            for z, g in zip(levels, girth, strict=True)
        ]
    )
    return join([loft(concept, rings), fan(concept, rings[0]), fan(concept, rings[-1])])


def person(rng: Rng, concept: str = "person", *, stride: float | None = None) -> Soup:
    """Return someone on foot, 1.0–1.95 m tall, facing +x; ``stride`` is the legs' angle."""
    tall = float(
        rng.choice([rng.uniform(1.55, 1.95), rng.uniform(1.55, 1.9), rng.uniform(1.0, 1.5)])
    )
    swing = float(rng.uniform(0, 0.5)) if stride is None else stride
    hip, neck, wide = 0.5 * tall, 0.83 * tall, tall * float(rng.uniform(0.24, 0.31))
    parts = [_torso(concept, hip - 0.05, neck, wide, float(rng.uniform(-0.02, 0.08)))]
    for side in (-1.0, 1.0):
        foot = (side * np.sin(swing) * hip * 0.9, side * 0.09, 0.06)
        knee = (side * np.sin(swing) * hip * 0.5 + 0.04, side * 0.1, hip * 0.52)
        parts.append(tube(concept, (0, side * 0.09, hip), knee, 0.085 * tall / 1.7, tip=0.06))
        parts.append(tube(concept, knee, foot, 0.06, tip=0.045))
        parts.append(box(concept, (0.26, 0.1, 0.08), (foot[0] + 0.05, foot[1], 0.0)))
        parts.append(_arm(concept, rng, side, (wide, neck), swing))
    parts.append(ball(concept, (0.03, 0, tall * 0.93), (0.1, 0.085, tall * 0.07)))
    return join([*parts, *_carried(concept, rng, hip, neck)])


def _arm(concept: str, rng: Rng, side: float, trunk: tuple[float, float], swing: float) -> Soup:
    wide, neck = trunk
    shoulder = (0.0, side * wide * 0.5, neck - 0.06)
    ahead = -side * swing * 0.5 + float(rng.choice([0.0, 0.0, 0.25]))
    elbow = (ahead * 0.4, side * wide * 0.62, neck - 0.32)
    hand = (ahead + 0.05, side * wide * 0.6, neck - 0.32 - (0.26 if ahead < 0.2 else 0.02))
    return join([tube(concept, shoulder, elbow, 0.05), tube(concept, elbow, hand, 0.04)])


def _carried(concept: str, rng: Rng, hip: float, neck: float) -> list[Soup]:
    draw = rng.random()
    if draw < 0.15:
        return [box(concept, (0.18, 0.3, 0.45), (-0.22, 0, neck - 0.5))]
    if draw < 0.25:
        return [box(concept, (0.3, 0.12, 0.3), (0, 0.34, hip - 0.35))]
    if draw < 0.29:
        return [
            tube(concept, (0.1, 0.2, neck - 0.1), (0.1, 0.1, neck + 0.5), 0.015),
            tube(concept, (0.1, 0.1, neck + 0.35), (0.1, 0.1, neck + 0.6), 0.5, tip=0.03, sides=8),
        ]
    return []


def seated(rng: Rng, concept: str, seat: float, lean: float) -> Soup:
    """Return someone sitting at height ``seat`` metres, leaning forward by ``lean``."""
    neck = seat + float(rng.uniform(0.5, 0.6))
    reach = lean * (neck - seat)
    parts = [_torso(concept, seat, neck, float(rng.uniform(0.38, 0.5)), lean)]
    for side in (-1.0, 1.0):
        knee: Point3 = (0.42, side * 0.14, seat - 0.05)
        parts += [
            tube(concept, (0, side * 0.1, seat + 0.06), knee, 0.085, tip=0.06),
            tube(concept, knee, (0.3, side * 0.14, max(seat - 0.5, 0.1)), 0.06),
            tube(
                concept,
                (reach, side * 0.2, neck - 0.06),
                (reach + 0.35, side * 0.24, neck - 0.28),
                0.045,
            ),
        ]
    return join([*parts, ball(concept, (reach + 0.06, 0, neck + 0.16), (0.12, 0.1, 0.14))])


def cyclist(rng: Rng) -> Soup:
    """Return a bicycle with its rider, two concepts."""
    return join([bicycle(), seated(rng, "bicyclist", 0.88, 0.45).moved((-0.15, 0, 0))])


def biker(rng: Rng) -> Soup:
    """Return a motorcycle with its rider, two concepts."""
    return join([motorcycle(rng), seated(rng, "motorcyclist", 0.8, 0.25).moved((-0.2, 0, 0))])


def group(rng: Rng, count: int, spread: float) -> Soup:
    """Return several people within ``spread`` metres, facing anywhere."""
    folk = []
    for _ in range(count):
        x, y = rng.normal(0, spread / 2, 2)
        folk.append(person(rng).moved((float(x), float(y), 0), float(rng.uniform(0, 6.28))))
    return join(folk)


def stroller(rng: Rng) -> Soup:
    """Return a pushchair with whoever pushes it."""
    frame = [
        box("stroller", (0.7, 0.42, 0.45), (0, 0, 0.45), taper=(0.8, 1)),
        tube("stroller", (-0.3, 0, 0.7), (-0.65, 0, 1.0), 0.02),
    ]
    wheels = [
        ring("stroller", (x, y, 0.13), 0.11, 0.03, sides=8)
        for x in (0.3, -0.3)
        for y in (0.25, -0.25)
    ]
    return join([*frame, *wheels, person(rng).moved((-0.95, 0, 0))])
