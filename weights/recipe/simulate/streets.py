"""Street scenes: a plan, then lots, trees, vehicles, people and things along it."""

import numpy as np

from weights.recipe.simulate import furniture_street as things
from weights.recipe.simulate import people, plants, vehicles
from weights.recipe.simulate.buildings import building, draw_mass
from weights.recipe.simulate.layout import Plan
from weights.recipe.simulate.primitives import Rng, Soup
from weights.recipe.simulate.stage import Stage, along
from weights.recipe.simulate.styles import STYLES, Style, draw_plan, draw_style


def _strip_width(plan: Plan, side: int) -> float:
    return sum(band.wide for band in (plan.left if side > 0 else plan.right))


def _lots(stage: Stage, style: Style) -> None:
    """Line both sides with lots: a building, a yard, a driveway, a fence."""
    rng, plan = stage.rng, stage.plan
    (low, high), setback = style.lot
    for side in (1, -1):
        edge = plan.half_road + _strip_width(plan, side)
        s = -105.0
        while s < 105:
            wide = float(rng.uniform(low, high))
            middle = s + wide / 2
            s += wide
            if any(abs(middle - at) < wide / 2 + half + 4 for at, half in plan.crossings):
                continue
            back = edge + float(rng.uniform(*setback))
            if style.buildings and rng.random() < 0.9:
                _house(stage, style, (middle, side, back, wide))
            _yard(stage, style, (middle, side, edge, back, wide))


def _house(stage: Stage, style: Style, lot: tuple[float, int, float, float]) -> None:
    middle, side, back, wide = lot
    rng = stage.rng
    kind = str(rng.choice(style.buildings))
    tight = style.lot[1][1] < 3
    front = wide * float(rng.uniform(0.95, 1.0) if tight else rng.uniform(0.5, 0.8))
    body = building(draw_mass(rng, kind, min(front, 60.0)), rng, detail=True)
    stage.place(body, middle, side * back, 0.0 if side > 0 else np.pi, lift=-0.1)
    if rng.random() < 0.3 and not tight:
        shed = building(draw_mass(rng, "shed", float(rng.uniform(3, 6))), rng, detail=False)
        stage.place(shed, middle + wide * 0.35, side * (back + 12), float(rng.uniform(-0.2, 3)))
    if rng.random() < 0.5:
        far = building(draw_mass(rng, kind, front), rng, detail=False)
        stage.place(far, middle + float(rng.normal(0, 4)), side * (back + float(rng.uniform(24, 34))), np.pi * (side > 0))


def _yard(stage: Stage, style: Style, lot: tuple[float, int, float, float, float]) -> None:
    middle, side, edge, back, wide = lot
    rng, room = stage.rng, lot[3] - lot[2]
    for _ in range(int(rng.uniform(*style.yard_trees) + rng.random())):
        s, t = middle + float(rng.uniform(-0.5, 0.5)) * wide, edge + float(rng.uniform(0.5, max(room, 22)))
        inside = style.buildings and back - 1.5 < t < back + 14
        if not inside and not stage.on_road(s, side * t, 1.0):
            stage.tree(s, side * t, float(rng.uniform(3, 14)))
    if room > 4 and style.buildings and rng.random() < 0.6:
        _driveway(stage, (middle + wide * float(rng.choice([-0.38, 0.38])), side, edge, back))
    if room > 1.5 and rng.random() < 0.45:
        _front_border(stage, (middle, side, edge + 0.35, wide))
    for _ in range(int(rng.poisson(1.2 if style.buildings else 4))):
        s, t = middle + float(rng.uniform(-0.5, 0.5)) * wide, edge + float(rng.uniform(0.5, max(room, 1) if style.buildings else 20))
        if not stage.on_road(s, side * t, 1.0):
            stage.place(plants.bush(rng, float(rng.uniform(0.5, 2.2 if style.buildings else 3.5))), s, side * t)
    if rng.random() < 0.4 and style.buildings and room > 3:
        divider = things.fence(rng, 14.0)
        stage.place(divider, middle + wide / 2, side * (edge + 8 + room * 0.3), np.pi / 2)


def _driveway(stage: Stage, spot: tuple[float, int, float, float]) -> None:
    s, side, edge, back = spot
    rng = stage.rng
    t = sorted((side * (stage.plan.half_road + 0.3), side * (back + 4)))
    stage.patch((s - 1.5, s + 1.5, t[0], t[1]), str(rng.choice(["driveway", "driveway", "gravel"])))
    if rng.random() < 0.55 and back - edge > 5:
        car = vehicles.draw_vehicle(rng)
        if np.ptp(car.triangles[:, :, 0]) < 6:
            stage.place(car, s, side * (back - 3.0), float(rng.choice([-1, 1])) * np.pi / 2 + float(rng.normal(0, 0.03)))


def _front_border(stage: Stage, spot: tuple[float, int, float, float]) -> None:
    middle, side, edge, wide = spot
    rng, long = stage.rng, spot[3] * 0.7
    hedge = rng.random() < 0.45
    body = plants.hedge(rng, long, float(rng.uniform(0.6, 2))) if hedge else things.fence(rng, long)
    # Long straight bodies would leave a bent road's edge, so they go in short pieces there.
    stage.place(body, middle - wide * 0.1, side * edge)


def _parked(stage: Stage, style: Style) -> None:
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
                stage.place(vehicles.draw_vehicle(rng), float(s), t, turn)


def _traffic(stage: Stage, style: Style) -> None:
    rng, plan = stage.rng, stage.plan
    lanes = max(int(plan.half_road / 3.3), 1)
    for _ in range(int(rng.uniform(*style.traffic) * 2)):
        side = int(rng.choice([1, -1]))
        t = side * plan.half_road * (float(rng.integers(lanes)) + 0.45) / lanes
        s = float(rng.uniform(-100, 100))
        if not stage.clear_of_ego(s, t, 7):
            continue
        draw = rng.random()
        if draw < 0.82:
            stage.place(vehicles.draw_vehicle(rng, parked=False), s, t, np.pi * (side > 0))
        elif draw < 0.92:
            stage.place(people.cyclist(rng), s, side * (plan.half_road - 1.0), np.pi * (side > 0))
        else:
            stage.place(people.biker(rng), s, t, np.pi * (side > 0))
    for at, half in plan.crossings:
        if rng.random() < 0.6 and abs(at - stage.ego[0]) > 8:
            t = float(rng.choice([-1, 1])) * (plan.half_road + float(rng.uniform(5, 30)))
            stage.place(vehicles.draw_vehicle(rng, parked=False), at + half * 0.5, t, np.pi / 2)


def _walkers(stage: Stage, style: Style) -> None:
    rng, plan = stage.rng, stage.plan
    for _ in range(int(rng.uniform(*style.people) * 2)):
        side = int(rng.choice([1, -1]))
        off = float(rng.uniform(0.4, max(_strip_width(plan, side), 2.0)))
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


def _posts(stage: Stage) -> None:
    """Set lights, signs, signals and poles with wires along both edges."""
    rng, plan = stage.rng, stage.plan
    lit = float(rng.uniform(18, 45))
    side = int(rng.choice([1, -1]))
    both = rng.random() < 0.5
    for s in along(rng, lit):
        for way in (1, -1) if both else (side,):
            stage.place(things.street_light(rng), float(s), way * (plan.half_road + 0.7), -way * np.pi / 2)
    if rng.random() < 0.4:
        _wire_line(stage, -side * (plan.half_road + 1.2))
    for at, half in plan.crossings:
        for way, turn in ((1, 0.0), (-1, np.pi)):
            post = things.traffic_light(rng) if rng.random() < 0.5 else things.traffic_sign(rng)
            stage.place(post, at + way * (half + 1.2), -way * (plan.half_road + 1.0), turn)


def _wire_line(stage: Stage, t: float) -> None:
    rng, tall = stage.rng, float(stage.rng.uniform(7, 10))
    tops = []
    for s in np.arange(-100, 101, 32.0):
        stage.place(things.tube("pole", (0, 0, 0), (0, 0, tall), 0.14), float(s), t)
        stage.place(things.box("pole", (0.12, 2.2, 0.12)), float(s), t, lift=tall - 0.5)
        x, y, z = stage.plan.ground_at(float(s), t)
        tops.append((x, y, z + tall - 0.3))
    for a, b in zip(tops[:-1], tops[1:], strict=True):
        stage.add(things.wires(a, b, float(rng.uniform(0.3, 1.0))))


def _scatter(stage: Stage, style: Style) -> None:
    rng, plan = stage.rng, stage.plan
    kinds = list(things.FURNITURE)
    weight = np.array([4, 2, 1.5, 1.5, 1, 0.5, 1.5, 1, 0.7, 1.5, 0.7, 0.5, 5])
    for _ in range(int(rng.uniform(*style.things) * 2)):
        side = int(rng.choice([1, -1]))
        kind = str(rng.choice(kinds, p=weight / weight.sum()))
        s = float(rng.normal(stage.ego[0], 40))
        t = side * (plan.half_road + float(rng.uniform(0.4, 1.2) if rng.random() < 0.6 else rng.uniform(1.2, 6)))
        if stage.clear_of_ego(s, t, 2.5) and not stage.on_road(s, t, 0.2):
            stage.place(things.FURNITURE[kind](rng), s, t, -side * np.pi / 2 if kind != "sign" else np.pi * (side > 0))
    for _ in range(int(rng.poisson(style.people[1] / 8))):
        s, t = float(rng.normal(stage.ego[0], 30)), float(rng.choice([-1, 1])) * (plan.half_road + 1.0)
        for k in range(int(rng.integers(1, 6))):
            body = vehicles.bicycle() if rng.random() < 0.7 else vehicles.motorcycle(rng)
            stage.place(body, s + 0.6 * k, t, np.pi / 2 + float(rng.normal(0, 0.1)))


def _works(stage: Stage) -> None:
    """Put a road works site beside the lane: cones, barriers, machines, heaps."""
    rng, plan = stage.rng, stage.plan
    start, side = stage.ego[0] + float(rng.uniform(8, 30)) * float(rng.choice([-1, 1])), float(rng.choice([-1, 1]))
    t = side * plan.half_road * 0.55
    for k in range(int(rng.integers(4, 14))):
        body = things.cone(rng) if rng.random() < 0.6 else things.barrel(rng)
        stage.place(body, start + 2.2 * k, t + float(rng.normal(0, 0.15)))
    for k in range(int(rng.integers(0, 6))):
        stage.place(things.barrier(rng), start + 3.1 * k, t + side * 1.0)
    if rng.random() < 0.6:
        stage.place(vehicles.machine(rng), start + 12, side * (plan.half_road + 4), float(rng.uniform(0, 6)))
    stage.place(plants.rock(rng, float(rng.uniform(2, 5)), "terrain"), start + 6, side * (plan.half_road + 3))


def _avenue(stage: Stage, style: Style) -> None:
    step = float(stage.rng.uniform(*style.street_trees))
    if step < 5:
        return
    tall = float(stage.rng.uniform(4, 12))
    for side in (1, -1):
        for s in along(stage.rng, step):
            t = side * (stage.plan.half_road + float(stage.rng.uniform(0.9, 1.4)))
            if stage.rng.random() < 0.85 and not stage.on_road(float(s), t, 0.5):
                stage.tree(float(s), t, tall)


def _wild(stage: Stage) -> None:
    """Fill a trail's sides with forest edges, scrub, rocks and logs."""
    rng, plan = stage.rng, stage.plan
    for _ in range(int(rng.uniform(5, 130))):
        s, t = float(rng.uniform(-70, 70)), float(rng.choice([-1, 1])) * (plan.half_road + float(rng.gamma(2.0, 9.0)) + 1)
        stage.tree(s, t, float(rng.uniform(2.5, 15)))
    for _ in range(int(rng.uniform(10, 90))):
        s, t = float(rng.normal(stage.ego[0], 25)), float(rng.choice([-1, 1])) * (plan.half_road + float(rng.gamma(1.5, 5.0)) + 0.8)
        stage.place(plants.bush(rng, float(rng.uniform(0.6, 4.0))), s, t)
    for _ in range(int(rng.poisson(4))):
        s, t = float(rng.normal(stage.ego[0], 15)), float(rng.choice([-1, 1])) * (plan.half_road + float(rng.uniform(1, 9)))
        stage.place(plants.rock(rng, float(rng.uniform(0.3, 1.6))) if rng.random() < 0.6 else plants.log(rng), s, t, float(rng.uniform(0, 6)))
    if rng.random() < 0.35:
        stage.place(things.fence(rng, 40.0), stage.ego[0], float(rng.choice([-1, 1])) * (plan.half_road + 5))
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
                stage.place(things.barrier(rng, 8.0) if solid else things.guard_rail(8.0), float(s), at)
    if rng.random() < 0.4:
        for s in np.arange(-100, 100, 6.0):
            stage.place(things.box("wall", (6.1, 0.3, 3.5)), float(s), plan.half_road + 5)
    if rng.random() < 0.5:
        stage.place(things.gantry(rng, 2 * plan.half_road + 3), stage.ego[0] + float(rng.uniform(15, 60)), 0.0)


def street(rng: Rng) -> tuple[Soup, Stage, str]:
    """Return a street scene, its stage (with the sensor's place) and its style's name."""
    name = draw_style(rng)
    style, plan = STYLES[name], draw_plan(rng, name)
    lane = -float(rng.uniform(0.3, 0.7)) * plan.half_road if name != "trail" else float(rng.normal(0, 0.5))
    stage = Stage(plan, (float(rng.uniform(-30, 30)), lane), rng)
    _lots(stage, style)
    if name == "trail":
        _wild(stage)
    else:
        _avenue(stage, style)
        _posts(stage)
        _parked(stage, style)
        if rng.random() < 0.15:
            _works(stage)
    if name == "highway":
        _motorway(stage)
    _traffic(stage, style)
    _walkers(stage, style)
    _scatter(stage, style)
    stage.grass(float(rng.uniform(*style.grass)), 30000 if name == "trail" else 12000)
    return stage.finish(), stage, name
