"""Lots along a street: a building, a yard with trees and bushes, a driveway, a border."""

import numpy as np

from weights.recipe.simulate import furniture_street as things
from weights.recipe.simulate import plants
from weights.recipe.simulate.buildings import building, draw_mass
from weights.recipe.simulate.population import strip_width
from weights.recipe.simulate.stage import Stage
from weights.recipe.simulate.styles import Style


def lots(stage: Stage, style: Style) -> None:
    """Line both sides with lots: a building, a yard, a driveway, a fence."""
    rng, plan = stage.rng, stage.plan
    (low, high), setback = style.lot
    built = float(rng.choice([0.35, 0.9, 0.95]))
    for side in (1, -1):
        edge = plan.half_road + strip_width(plan, side)
        s = -105.0
        while s < 105:
            wide = float(rng.uniform(low, high))
            middle = s + wide / 2
            s += wide
            if any(abs(middle - at) < wide / 2 + half + 4 for at, half in plan.crossings):
                continue
            back = edge + float(rng.uniform(*setback))
            if style.buildings and rng.random() < built:
                _house(stage, style, (middle, side, back, wide))
            _yard(stage, style, (middle, side, edge, back, wide))


def _house(stage: Stage, style: Style, lot: tuple[float, int, float, float]) -> None:
    middle, side, back, wide = lot
    rng = stage.rng
    kind = str(rng.choice(style.buildings))
    tight = style.lot[1][1] < 3
    front = wide * float(rng.uniform(0.95, 1.0) if tight else rng.uniform(0.5, 0.8))
    ready = stage.model("building") if rng.random() < 0.12 and wide > 14 else None
    if ready is not None:
        stage.place(ready, middle, side * (back + 8), float(rng.choice([0, 0.5, 1, 1.5])) * np.pi)
        return
    body = building(draw_mass(rng, kind, min(front, 60.0)), rng, detail=True)
    skew = 0.0 if tight or rng.random() < 0.7 else float(rng.normal(0, 0.2))
    stage.place(body, middle, side * back, (0.0 if side > 0 else np.pi) + skew, lift=-0.1)
    if rng.random() < 0.3 and not tight:
        shed = building(draw_mass(rng, "shed", float(rng.uniform(3, 6))), rng, detail=False)
        stage.place(shed, middle + wide * 0.35, side * (back + 12), float(rng.uniform(-0.2, 3)))
    if rng.random() < 0.5:
        far = building(draw_mass(rng, kind, front), rng, detail=False)
        stage.place(
            far,
            middle + float(rng.normal(0, 4)),
            side * (back + float(rng.uniform(24, 34))),
            np.pi * (side > 0),
        )


def _yard(stage: Stage, style: Style, lot: tuple[float, int, float, float, float]) -> None:
    middle, side, edge, back, wide = lot
    rng, room = stage.rng, lot[3] - lot[2]
    for _ in range(int(rng.uniform(*style.yard_trees) + rng.random())):
        s, t = (
            middle + float(rng.uniform(-0.5, 0.5)) * wide,
            edge + float(rng.uniform(0.5, max(room, 22))),
        )
        inside = style.buildings and back - 1.5 < t < back + 14
        if not inside and not stage.on_road(s, side * t, 1.0):
            stage.tree(s, side * t, float(rng.uniform(3, 14)))
    if room > 4 and style.buildings and rng.random() < 0.6:
        _driveway(stage, (middle + wide * float(rng.choice([-0.38, 0.38])), side, edge, back))
    if room > 1.5 and rng.random() < 0.45:
        _front_border(stage, (middle, side, edge + 0.35, wide))
    for _ in range(int(rng.poisson(1.2 if style.buildings else 4))):
        s, t = (
            middle + float(rng.uniform(-0.5, 0.5)) * wide,
            edge + float(rng.uniform(0.5, max(room, 1) if style.buildings else 20)),
        )
        if not stage.on_road(s, side * t, 1.0):
            stage.place(
                plants.bush(rng, float(rng.uniform(0.5, 2.2 if style.buildings else 3.5))),
                s,
                side * t,
            )
    if rng.random() < 0.4 and style.buildings and room > 3:
        divider = things.fence(rng, 14.0)
        stage.place(divider, middle + wide / 2, side * (edge + 8 + room * 0.3), np.pi / 2)


def _driveway(stage: Stage, spot: tuple[float, int, float, float]) -> None:
    s, side, edge, back = spot
    rng = stage.rng
    t = sorted((side * (stage.plan.half_road + 0.3), side * (back + 4)))
    stage.patch((s - 1.5, s + 1.5, t[0], t[1]), str(rng.choice(["driveway", "driveway", "gravel"])))
    if rng.random() < 0.55 and back - edge > 5:
        car = stage.vehicle(parked=True)
        if np.ptp(car.triangles[:, :, 0]) < 6:
            stage.place(
                car,
                s,
                side * (back - 3.0),
                float(rng.choice([-1, 1])) * np.pi / 2 + float(rng.normal(0, 0.03)),
            )


def _front_border(stage: Stage, spot: tuple[float, int, float, float]) -> None:
    middle, side, edge, wide = spot
    rng, long = stage.rng, spot[3] * 0.7
    hedge = rng.random() < 0.45
    body = plants.hedge(rng, long, float(rng.uniform(0.6, 2))) if hedge else things.fence(rng, long)
    # Long straight bodies would leave a bent road's edge, so they go in short pieces there.
    stage.place(body, middle - wide * 0.1, side * edge)
