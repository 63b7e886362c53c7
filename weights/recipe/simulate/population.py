"""Who and what moves or stands along a street: vehicles, people, things, road works."""

import numpy as np

from weights.recipe.simulate import furniture_street as things
from weights.recipe.simulate import people, plants, two_wheelers
from weights.recipe.simulate.heavy import machine
from weights.recipe.simulate.layout import Plan
from weights.recipe.simulate.stage import Stage, along
from weights.recipe.simulate.styles import Style


def strip_width(plan: Plan, side: int) -> float:
    """Return the metres of strips beside the road on the left (1) or right (-1)."""
    return sum(band.wide for band in (plan.left if side > 0 else plan.right))


def parked(stage: Stage, style: Style) -> None:
    """Park vehicles along both edges."""
    rng, plan = stage.rng, stage.plan
    for side in (1, -1):
        share = float(rng.uniform(*style.parked)) * (rng.random() < 0.8)
        bands = plan.left if side > 0 else plan.right
        inner = bands[0].wide / 2 if bands and bands[0].concept == "parking" else -1.15
        for s in along(rng, float(rng.uniform(5.8, 7.5))):
            if rng.random() > share or any(abs(s - at) < half + 8 for at, half in plan.crossings):
                continue
            t = side * (plan.half_road + inner + float(rng.normal(0, 0.12)))
            if stage.clear_of_ego(float(s), t, 2.6 if abs(t - stage.ego[1]) > 2.4 else 8):
                turn = np.pi * (side > 0) + float(rng.normal(0, 0.03))
                stage.place(stage.vehicle(parked=True), float(s), t, turn)


def traffic(stage: Stage, style: Style) -> None:
    """Let vehicles and riders drive on the lanes and wait at crossings."""
    rng, plan = stage.rng, stage.plan
    lanes = max(int(plan.half_road / 3.3), 1)
    for _ in range(int(rng.uniform(*style.traffic) * 2)):
        side = int(rng.choice([1, -1]))
        t = side * plan.half_road * (float(rng.integers(lanes)) + 0.45) / lanes
        s = float(stage.ego[0] + rng.normal(0, 38))
        if not stage.clear_of_ego(s, t, 7):
            continue
        draw = rng.random()
        rider = people.cyclist(rng) if draw < 0.92 else people.biker(rng)
        body = stage.vehicle(parked=False) if draw < 0.82 else rider
        stage.place(body, s, t, np.pi * (side > 0))
    _at_crossings(stage, style)


def _at_crossings(stage: Stage, style: Style) -> None:
    rng, plan = stage.rng, stage.plan
    for at, half in plan.crossings:
        for t in np.arange(plan.half_road + 4, 45, 6.5):
            for side in (1, -1):
                if rng.random() < min(0.06 * style.traffic[1], 0.6):
                    turn = side * np.pi / 2
                    stage.place(stage.vehicle(parked=False), at + side * half * 0.5, side * t, turn)


def walkers(stage: Stage, style: Style) -> None:
    """Let people walk on the pavements and, seldom, on the road."""
    rng, plan = stage.rng, stage.plan
    for _ in range(int(rng.uniform(*style.people) * 2)):
        side = int(rng.choice([1, -1]))
        off = float(rng.uniform(0.4, max(strip_width(plan, side), 2.0)))
        s, t = float(rng.normal(stage.ego[0], 35)), side * (plan.half_road + off)
        if rng.random() < 0.08:
            t = float(rng.uniform(-1, 1)) * plan.half_road
        if not stage.clear_of_ego(s, t, 2.5):
            continue
        draw, turn = rng.random(), float(rng.choice([0, np.pi]) + rng.normal(0, 0.4))
        if draw < 0.72:
            stage.place(people.person(rng), s, t, turn)
        elif draw < 0.9:
            stage.place(people.group(rng, int(rng.integers(2, 5)), 1.2), s, t, turn)
        else:
            stage.place(people.stroller(rng) if draw < 0.95 else people.cyclist(rng), s, t, turn)


def scatter(stage: Stage, style: Style) -> None:
    """Set street furniture, parked bicycles and motorcycles down."""
    rng, plan = stage.rng, stage.plan
    kinds = list(things.FURNITURE)
    weight = np.array([4, 2, 1.5, 1.5, 1, 0.5, 1.5, 1, 0.7, 1.5, 0.7, 0.5, 5, 1, 1])
    for _ in range(int(rng.uniform(*style.things) * 2)):
        side = int(rng.choice([1, -1]))
        kind = str(rng.choice(kinds, p=weight / weight.sum()))
        s = float(rng.normal(stage.ego[0], 40))
        t = side * (
            plan.half_road
            + float(rng.uniform(0.4, 1.2) if rng.random() < 0.6 else rng.uniform(1.2, 6))
        )
        if stage.clear_of_ego(s, t, 2.5) and not stage.on_road(s, t, 0.2):
            stage.place(
                stage.thing(kind),
                s,
                t,
                -side * np.pi / 2 if kind != "sign" else np.pi * (side > 0),
            )
    for _ in range(int(rng.poisson(style.people[1] / 8))):
        s, t = (
            float(rng.normal(stage.ego[0], 30)),
            float(rng.choice([-1, 1])) * (plan.half_road + 1.0),
        )
        for k in range(int(rng.integers(1, 6))):
            body = two_wheelers.bicycle() if rng.random() < 0.7 else two_wheelers.motorcycle(rng)
            stage.place(body, s + 0.6 * k, t, np.pi / 2 + float(rng.normal(0, 0.1)))


def works(stage: Stage) -> None:
    """Put a road works site beside the lane: cones, barriers, machines, heaps."""
    rng, plan = stage.rng, stage.plan
    start, side = (
        stage.ego[0] + float(rng.uniform(8, 30)) * float(rng.choice([-1, 1])),
        float(rng.choice([-1, 1])),
    )
    t = side * plan.half_road * 0.55
    for k in range(int(rng.integers(4, 14))):
        body = things.cone(rng) if rng.random() < 0.6 else things.barrel(rng)
        stage.place(body, start + 2.2 * k, t + float(rng.normal(0, 0.15)))
    for k in range(int(rng.integers(0, 6))):
        stage.place(things.barrier(rng), start + 3.1 * k, t + side * 1.0)
    if rng.random() < 0.6:
        stage.place(machine(rng), start + 12, side * (plan.half_road + 4), float(rng.uniform(0, 6)))
    stage.place(
        plants.rock(rng, float(rng.uniform(2, 5)), "terrain"),
        start + 6,
        side * (plan.half_road + 3),
    )
