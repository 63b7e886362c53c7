"""What crosses a whole scene: power lines, rivers with their bridges, viaducts."""

from itertools import pairwise

import numpy as np

from weights.recipe.simulate.primitives import Point3, Soup, box, join, slab, tube
from weights.recipe.simulate.stage import Stage
from weights.recipe.simulate.vehicles import draw_vehicle


def pylons(stage: Stage, angle: float) -> None:
    """Lead a high-voltage line across the scene."""
    rng, far = stage.rng, stage.plan.reach[0]
    tall, step = float(rng.uniform(18, 40)), float(rng.uniform(60, 140))
    off, tops = float(rng.uniform(-0.5, 0.5)) * far, []
    for at in np.arange(-far, far + step, step):
        s = float(np.cos(angle) * at - np.sin(angle) * off)
        t = float(np.sin(angle) * at + np.cos(angle) * off)
        x, y, z = stage.plan.ground_at(s, t)
        stage.add(_pylon(tall).moved((x, y, z), angle))
        tops.append((x, y, z))
    for a, b in pairwise(tops):
        for up, out in ((0.95, 0.0), (0.75, 4.0), (0.75, -4.0), (0.6, 5.0), (0.6, -5.0)):
            shift = np.array([-np.sin(angle) * out, np.cos(angle) * out, up * tall])
            start, end = (tuple(float(v) for v in np.asarray(p) + shift) for p in (a, b))
            stage.add(_wire(start, end, step * 0.03))


def _wire(start: tuple[float, ...], end: tuple[float, ...], sag: float) -> Soup:
    share = np.linspace(0, 1, 13)[:, None]
    line = np.asarray(start) * (1 - share) + np.asarray(end) * share
    line[:, 2] -= 4 * sag * share[:, 0] * (1 - share[:, 0])
    return join(tube("power line", line[i], line[i + 1], 0.05, sides=3) for i in range(12))


def _pylon(tall: float) -> Soup:
    name = "transmission tower"
    feet = [(-2.5, -2.5), (2.5, -2.5), (2.5, 2.5), (-2.5, 2.5)]
    parts = [tube(name, (x, y, 0), (x * 0.1, y * 0.1, tall), 0.12, sides=4) for x, y in feet]
    levels = np.linspace(0, 0.95, 8)
    for low, high in pairwise(levels):
        for (ax, ay), (bx, by) in zip(feet, feet[1:] + feet[:1], strict=True):
            p: Point3 = (ax * (1 - 0.9 * low), ay * (1 - 0.9 * low), tall * low)
            parts.append(
                tube(
                    name,
                    p,
                    (bx * (1 - 0.9 * high), by * (1 - 0.9 * high), tall * high),
                    0.07,
                    sides=4,
                )
            )
    parts += [
        box(name, (0.5, wide, 0.5), (0, 0, tall * up)) for up, wide in ((0.75, 8.5), (0.6, 10.5))
    ]
    return join(parts)


def river(stage: Stage, at: float, half: float) -> None:
    """Let water cross the plan along t, with bridges where roads meet it."""
    far = stage.plan.reach[1]
    stage.patch((at - half, at + half, -far, far), "water")
    stage.patch((at - half, at + half, -far, far), "bridge")
    for line, wide in ((0.0, stage.plan.half_road), *stage.plan.parallels):
        for side in (-1, 1):
            rail = slab("bridge", (-half, -0.15, 0.0), (half, 0.15, 1.0))
            stage.place(rail, at, line + side * (wide + 1.2))


def viaduct(stage: Stage) -> None:
    """Carry a road over the scene on pillars."""
    rng, far = stage.rng, stage.plan.reach[0]
    high, half, t = (
        float(rng.uniform(5, 9)),
        float(rng.uniform(4, 10)),
        float(rng.uniform(-0.4, 0.4)) * far,
    )
    deck = [slab("bridge", (-far, -half, high - 1), (far, half, high))]
    deck += [
        slab("bridge", (-far, s * half - 0.15, high), (far, s * half + 0.15, high + 0.9))
        for s in (-1, 1)
    ]
    deck += [
        box("bridge", (1.5, half, high + 2), (float(x), 0, -3)) for x in np.arange(-far, far, 25)
    ]
    deck += [
        draw_vehicle(rng, parked=False).moved(
            (float(x), float(rng.choice([-0.5, 0.5])) * half, high)
        )
        for x in rng.uniform(-far, far, 10)
    ]
    stage.add(
        join(deck).moved((0, t, stage.plan.ground_at(0, t)[2]), float(rng.choice([0.0, 0.4, 1.57])))
    )
