"""Street scenes: a plan, then lots, trees, vehicles, people and things along it."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from weights.recipe.simulate import furniture_street as things
from weights.recipe.simulate import plants, posts
from weights.recipe.simulate.buildings import building, draw_mass
from weights.recipe.simulate.lots import lots
from weights.recipe.simulate.meshes import Model
from weights.recipe.simulate.population import parked, scatter, traffic, walkers, works
from weights.recipe.simulate.primitives import Rng, Soup, box, tube
from weights.recipe.simulate.stage import Stage, along
from weights.recipe.simulate.styles import Style, draw_plan, draw_style, styles


def _posts(stage: Stage) -> None:
    """Set lights, signs, signals and poles with wires along both edges."""
    rng, plan = stage.rng, stage.plan
    lit = float(rng.uniform(18, 45))
    side = int(rng.choice([1, -1]))
    both = rng.random() < 0.5
    for s in along(rng, lit):
        for way in (1, -1) if both else (side,):
            stage.place(
                posts.street_light(rng), float(s), way * (plan.half_road + 0.7), -way * np.pi / 2
            )
    if rng.random() < 0.4:
        _wire_line(stage, -side * (plan.half_road + 1.2))
    for at, half in plan.crossings:
        for way, turn in ((1, 0.0), (-1, np.pi)):
            post = posts.traffic_light(rng) if rng.random() < 0.5 else posts.traffic_sign(rng)
            stage.place(post, at + way * (half + 1.2), -way * (plan.half_road + 1.0), turn)


def _wire_line(stage: Stage, t: float) -> None:
    rng, tall = stage.rng, float(stage.rng.uniform(7, 10))
    tops = []
    for s in np.arange(-100, 101, 32.0):
        stage.place(tube("pole", (0, 0, 0), (0, 0, tall), 0.14), float(s), t)
        stage.place(box("pole", (0.12, 2.2, 0.12)), float(s), t, lift=tall - 0.5)
        x, y, z = stage.plan.ground_at(float(s), t)
        tops.append((x, y, z + tall - 0.3))
    for a, b in pairwise(tops):
        stage.add(posts.wires(a, b, float(rng.uniform(0.3, 1.0))))


def _avenue(stage: Stage, style: Style) -> None:
    step = float(stage.rng.uniform(*style.street_trees))
    if step < 5:
        return
    tall = float(stage.rng.uniform(4, 14))
    for side in (1, -1):
        for s in along(stage.rng, step):
            t = side * (stage.plan.half_road + float(stage.rng.uniform(0.9, 1.4)))
            if stage.rng.random() < 0.85 and not stage.on_road(float(s), t, 0.5):
                stage.tree(float(s), t, tall)


def _wild(stage: Stage) -> None:
    """Fill a trail's sides with forest edges, scrub, rocks and logs."""
    rng, plan = stage.rng, stage.plan
    for _ in range(int(rng.uniform(5, 130))):
        s, t = (
            float(rng.uniform(-70, 70)),
            float(rng.choice([-1, 1])) * (plan.half_road + float(rng.gamma(2.0, 9.0)) + 1),
        )
        stage.tree(s, t, float(rng.uniform(2.5, 15)))
    for _ in range(int(rng.uniform(10, 90))):
        s, t = (
            float(rng.normal(stage.ego[0], 25)),
            float(rng.choice([-1, 1])) * (plan.half_road + float(rng.gamma(1.5, 5.0)) + 0.8),
        )
        stage.place(plants.bush(rng, float(rng.uniform(0.6, 4.0))), s, t)
    for _ in range(int(rng.poisson(4))):
        s, t = (
            float(rng.normal(stage.ego[0], 15)),
            float(rng.choice([-1, 1])) * (plan.half_road + float(rng.uniform(1, 9))),
        )
        stage.place(
            plants.rock(rng, float(rng.uniform(0.3, 1.6)))
            if rng.random() < 0.6
            else plants.log(rng),
            s,
            t,
            float(rng.uniform(0, 6)),
        )
    if rng.random() < 0.35:
        stage.place(
            things.fence(rng, 40.0), stage.ego[0], float(rng.choice([-1, 1])) * (plan.half_road + 5)
        )
    if rng.random() < 0.2:
        for k in range(5):
            stage.place(things.barrier(rng), stage.ego[0] + 6 + 3.1 * k, plan.half_road + 2)
    if rng.random() < 0.3:
        body = building(draw_mass(rng, str(rng.choice(["shed", "hall"])), 12.0), rng)
        stage.place(body, stage.ego[0] + float(rng.uniform(-30, 30)), plan.half_road + 18)


def _motorway(stage: Stage) -> None:
    rng, plan = stage.rng, stage.plan
    rails = rng.random(3) < [0.6, 0.6, 0.7]
    for at, wanted in zip((plan.half_road + 0.5, -plan.half_road - 0.5, 0.0), rails, strict=True):
        solid = at == 0.0 and rng.random() < 0.5
        for s in np.arange(-100, 100, 8.0):
            if wanted:
                stage.place(
                    things.barrier(rng, 8.0) if solid else things.guard_rail(8.0), float(s), at
                )
    if rng.random() < 0.4:
        for s in np.arange(-100, 100, 6.0):
            stage.place(box("wall", (6.1, 0.3, 3.5)), float(s), plan.half_road + 5)
    if rng.random() < 0.5:
        stage.place(
            posts.gantry(rng, 2 * plan.half_road + 3),
            stage.ego[0] + float(rng.uniform(15, 60)),
            0.0,
        )


def street(
    rng: Rng, found: Mapping[str, Model], name: str | None = None
) -> tuple[Soup, Stage, str]:
    """Return a street scene, its stage (with the sensor's place) and its style's name.

    Args:
        rng: draws everything.
        found: ready-made models.
        name: the style; None draws one.
    """
    name = draw_style(rng) if name is None else name
    style, plan = styles()[name], draw_plan(rng, name)
    lane = (
        -float(rng.uniform(0.3, 0.7)) * plan.half_road
        if name != "trail"
        else float(rng.normal(0, 0.5))
    )
    start = float(rng.uniform(-30, 30))
    if plan.crossings and rng.random() < 0.4:
        start = float(np.clip(plan.crossings[0][0] + rng.normal(0, 9), -50, 50))
    stage = Stage(plan, (start, lane), rng, found)
    lots(stage, style)
    if name == "trail":
        _wild(stage)
    else:
        _avenue(stage, style)
        _posts(stage)
        parked(stage, style)
        if rng.random() < 0.15:
            works(stage)
    if name == "highway":
        _motorway(stage)
    traffic(stage, style)
    walkers(stage, style)
    scatter(stage, style)
    stage.grass(float(rng.uniform(*style.grass)), 30000 if name == "trail" else 12000)
    return stage.finish(), stage, name
