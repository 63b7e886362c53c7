"""Towns, suburbs, works, fields and forests as an aircraft sees them, block by block."""

import numpy as np

from weights.recipe.simulate import furniture_street as things
from weights.recipe.simulate import plants, posts, vehicles
from weights.recipe.simulate.buildings import building, draw_mass
from weights.recipe.simulate.primitives import Rng, Soup, join
from weights.recipe.simulate.stage import Stage
from weights.recipe.simulate.town_plan import Block


def _row(stage: Stage, block: Block, kind: str, gap: tuple[float, float], setback: float) -> None:
    """Line the block's four sides with buildings, ``gap`` metres apart."""
    rng = stage.rng
    s0, s1, t0, t1 = block.span
    sides = [
        ((s0, s1), t0, 0.0),
        ((s0, s1), t1, np.pi),
        ((t0 + 14, t1 - 14), s0, -np.pi / 2),
        ((t0 + 14, t1 - 14), s1, np.pi / 2),
    ]
    for (start, end), line, turn in sides:
        at = start + float(rng.uniform(0, 2))
        while at < end - 6:
            wide = float(min(rng.uniform(7, 15), end - at))
            middle, inward = at + wide / 2, setback + float(rng.uniform(0, 1.5)) * (setback > 0)
            body = house(rng, kind, wide)
            if turn in (0.0, np.pi):
                stage.place(body, middle, line + inward * (1 if turn == 0 else -1), turn)
            else:
                stage.place(body, line + inward * (1 if turn < 0 else -1), middle, turn)
            at += wide + float(rng.uniform(*gap))


def house(rng: Rng, kind: str, wide: float) -> Soup:
    """Return a building with roofs named as roofs; at times with a wing behind it."""
    body = building(draw_mass(rng, kind, wide, "roof"), rng, detail=rng.random() < 0.5)
    if rng.random() < 0.3 and wide > 8:
        wing = building(draw_mass(rng, kind, wide * 0.5, "roof"), rng, detail=False)
        return join(
            [
                body,
                wing.moved(
                    (float(rng.uniform(-0.25, 0.25)) * wide, float(rng.uniform(5, 9)), 0),
                    np.pi / 2 * float(rng.integers(4)),
                ),
            ]
        )
    return body


def _trees(stage: Stage, block: Block, count: int, tall: tuple[float, float]) -> None:
    for _ in range(count):
        stage.tree(*block.point(stage.rng), float(stage.rng.uniform(*tall)))
    for _ in range(count // 2):
        body = plants.bush(stage.rng, float(stage.rng.uniform(0.6, 3)))
        stage.place(body, *block.point(stage.rng))


def _perimeter(stage: Stage, block: Block) -> None:
    _row(stage, block, str(stage.rng.choice(["terrace", "block", "terrace"])), (0, 0.4), 0.0)
    stage.patch(block.span, str(stage.rng.choice(["sidewalk", "grass", "terrain"])))
    _trees(stage, block, int(stage.rng.uniform(0, 14)), (4, 16))


def _houses(stage: Stage, block: Block) -> None:
    rng = stage.rng
    _row(stage, block, "house", (3, 14), float(rng.uniform(3, 8)))
    _trees(stage, block, int(block.area / float(rng.uniform(70, 350))), (3, 16))
    for _ in range(int(block.area / 500)):
        s, t = block.point(rng)
        edge = (
            plants.hedge(rng, 10, float(rng.uniform(0.8, 2)))
            if rng.random() < 0.5
            else things.fence(rng, 12)
        )
        stage.place(edge, s, t, float(rng.choice([0, np.pi / 2])))
        if rng.random() < 0.5:
            stage.place(
                house(rng, "shed", float(rng.uniform(3, 6))),
                *block.point(rng, 4),
                float(rng.choice([0, 1.57])),
            )
        if rng.random() < 0.6:
            stage.place(vehicles.draw_vehicle(rng), *block.point(rng), float(rng.choice([0, 1.57])))


def _hall(stage: Stage, block: Block) -> None:
    rng = stage.rng
    s0, s1, t0, t1 = block.span
    wide, deep = (s1 - s0) * float(rng.uniform(0.3, 0.7)), (t1 - t0) * float(rng.uniform(0.25, 0.6))
    mass = draw_mass(rng, "hall", wide, "roof")
    body = building(
        type(mass)(wide, deep, mass.floors, mass.floor_m, mass.roof, roof_concept="roof"),
        rng,
        detail=False,
    )
    stage.place(body, (s0 + s1) / 2, t0 + float(rng.uniform(0.1, 0.9)) * (t1 - t0 - deep))
    stage.patch(block.span, str(rng.choice(["parking", "parking", "grass", "gravel"])))
    _lot(stage, block, 0.35)
    _trees(stage, block, int(rng.uniform(0, 10)), (3, 10))


def _lot(stage: Stage, block: Block, share: float = 0.6) -> None:
    rng = stage.rng
    s0, s1, t0, t1 = block.span
    for t in np.arange(t0 + 4, min(t1 - 4, t0 + 60), 12.0)[: int(rng.integers(1, 4))]:
        for s in np.arange(s0 + 3, s1 - 3, 2.8):
            if rng.random() < share:
                stage.place(vehicles.draw_vehicle(rng), float(s), float(t), np.pi / 2)


def _towers(stage: Stage, block: Block) -> None:
    rng = stage.rng
    for _ in range(int(np.clip(block.area / 2500, 1, 4))):
        stage.place(
            house(rng, "tower", float(rng.uniform(14, 32))),
            *block.point(rng, 12),
            float(rng.choice([0, 1.57, 0.5])),
        )
    _trees(stage, block, int(block.area / float(rng.uniform(80, 400))), (4, 18))
    _lot(stage, block, 0.3)


def _park(stage: Stage, block: Block) -> None:
    stage.patch(block.span, "grass")
    _trees(stage, block, int(block.area / float(stage.rng.uniform(60, 400))), (4, 20))


def _forest(stage: Stage, block: Block) -> None:
    stage.patch(block.span, str(stage.rng.choice(["terrain", "grass"])))
    _trees(stage, block, min(int(block.area / float(stage.rng.uniform(22, 60))), 260), (7, 24))


def _field(stage: Stage, block: Block) -> None:
    stage.patch(block.span, str(stage.rng.choice(["grass", "grass", "terrain"])))
    s0, s1, t0, _ = block.span
    if stage.rng.random() < 0.5:
        for s in np.arange(s0, s1, 4.0):
            stage.place(
                plants.bush(stage.rng, float(stage.rng.uniform(1.5, 4))),
                float(s),
                t0 + float(stage.rng.normal(1, 0.5)),
            )
    _trees(stage, block, int(stage.rng.uniform(0, 5)), (4, 16))


def _square(stage: Stage, block: Block) -> None:
    stage.patch(block.span, "sidewalk")
    _trees(stage, block, int(stage.rng.uniform(0, 14)), (4, 10))
    if stage.rng.random() < 0.6:
        stage.place(house(stage.rng, "block", 18.0), *block.point(stage.rng, 12))


def fill(stage: Stage, blocks: list[Block]) -> None:
    """Build every block and let cars stand and drive on the streets."""
    makers = {
        "perimeter": _perimeter,
        "houses": _houses,
        "hall": _hall,
        "lot": _lot,
        "towers": _towers,
        "park": _park,
        "forest": _forest,
        "field": _field,
        "square": _square,
    }
    for block in blocks:
        makers[block.kind](stage, block)
    rng, plan = stage.rng, stage.plan
    lines = [(0.0, plan.half_road), *plan.parallels]
    planted, tall = float(rng.choice([0.0, 0.1, 0.6])), float(rng.uniform(5, 13))
    busy = float(rng.uniform(0.02, 0.5))
    for at, half in lines:
        for s in np.arange(-plan.reach[0], plan.reach[0], 7.0):
            side = float(rng.choice([-1, 1]))
            if rng.random() < busy:
                stage.place(
                    vehicles.draw_vehicle(rng),
                    float(s),
                    at + side * (half - 1.2),
                    np.pi * (side > 0),
                )
            if rng.random() < planted:
                stage.tree(float(s), at + side * (half + 1.2), tall)
            if rng.random() < 0.08:
                stage.place(
                    posts.street_light(rng), float(s), at + side * (half + 0.7), -side * 1.57
                )
