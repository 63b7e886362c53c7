"""Towns, suburbs, works, fields and forests as an aircraft sees them, block by block."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

import numpy as np

from weights.recipe.simulate import furniture_street as things
from weights.recipe.simulate import plants, posts, vehicles
from weights.recipe.simulate.buildings import building, draw_mass
from weights.recipe.simulate.layout import Band, Plan, Relief
from weights.recipe.simulate.primitives import Rng, Soup, join
from weights.recipe.simulate.stage import Stage

Span4 = tuple[float, float, float, float]

# For each kind of town: how likely each kind of block is.
TOWNS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "oldtown": {"perimeter": 7, "park": 1, "square": 1, "towers": 0.3},
        "suburb": {"houses": 8, "park": 1, "field": 0.5, "hall": 0.5},
        "works": {"hall": 6, "field": 1.5, "lot": 2, "houses": 0.5},
        "highrise": {"towers": 5, "perimeter": 2, "park": 1, "lot": 1},
        "village": {"houses": 4, "field": 3, "forest": 2, "hall": 0.7},
        "forest": {"forest": 6, "field": 2, "houses": 0.4},
        "mixed": {
            "perimeter": 2,
            "houses": 2,
            "hall": 2,
            "towers": 1,
            "park": 2,
            "field": 1,
            "forest": 1,
        },
    }
)


@dataclass(frozen=True, slots=True)
class Block:
    """A block's rectangle in plan metres and what is there."""

    span: Span4
    kind: str

    def point(self, rng: Rng, margin: float = 1.0) -> tuple[float, float]:
        """Return a random place in the block."""
        s0, s1, t0, t1 = self.span
        return (
            float(rng.uniform(s0 + margin, max(s1 - margin, s0 + margin + 0.1))),
            float(rng.uniform(t0 + margin, max(t1 - margin, t0 + margin + 0.1))),
        )

    @property
    def area(self) -> float:
        """Square metres."""
        s0, s1, t0, t1 = self.span
        return (s1 - s0) * (t1 - t0)


def _cuts(rng: Rng, reach: float, low: float, high: float) -> list[tuple[float, float]]:
    """Return streets (place, half width) across ±reach, ``low`` to ``high`` metres apart."""
    cuts, at = [], -reach + float(rng.uniform(0, high))
    while at < reach - 10:
        cuts.append((at, float(rng.uniform(2.2, 6.5))))
        at += float(rng.uniform(low, high))
    return cuts


def town_plan(rng: Rng, kind: str, reach: float, flat: bool) -> tuple[Plan, list[Block]]:
    """Return the plan of a town of ±reach metres and its blocks."""
    spread = (45, 80) if kind in ("oldtown", "suburb", "mixed") else (70, 150)
    crossings, parallels = _cuts(rng, reach, *spread), _cuts(rng, reach, *spread)
    rise = float(rng.uniform(0.05, 0.15))
    walk = (Band(0.16, "curb", rise), Band(float(rng.uniform(1.2, 3.5)), "sidewalk", rise))
    verge = (Band(1.0, "gravel", 0.0),) if kind in ("forest", "village") else walk
    hilly = 0.0 if flat else float(rng.uniform(0, 6)) * (rng.random() < 0.6)
    wave, angle = 2 * np.pi / rng.uniform(60, 250, (3, 1)), rng.uniform(0, 6.28, (3, 1))
    waves = np.concatenate(
        [hilly * rng.uniform(0.2, 0.7, (3, 1)), wave * np.cos(angle), wave * np.sin(angle), angle],
        axis=1,
    )
    slope = (0.0, 0.0) if flat else (float(rng.normal(0, 0.03)), float(rng.normal(0, 0.03)))
    beyond = Band(1e3, str(rng.choice(["grass", "grass", "terrain"])), rise)
    main = parallels[len(parallels) // 2] if parallels else (0.0, 3.5)
    # The main road lies on t = 0, so the others move with it.
    others = tuple((at - main[0], half) for at, half in parallels if at != main[0])
    sway = (
        float(rng.uniform(0, 14)) * (rng.random() < 0.6),
        float(2 * np.pi / rng.uniform(150, 400)),
        float(angle[0, 0]),
    )
    plan = Plan(
        main[1],
        tuple(crossings),
        verge,
        verge,
        beyond,
        (),
        sway,
        Relief(waves, slope, float(rng.uniform(0.01, 0.06))),
        (reach + 15, reach + 15),
        parallels=others,
        grain=(1.0, 400.0),
    )
    strip = sum(band.wide for band in verge)
    kinds = TOWNS[kind]
    share = np.array(list(kinds.values()))
    blocks = [
        Block((s0, s1, t0, t1), str(rng.choice(list(kinds), p=share / share.sum())))
        for s0, s1 in _gaps(crossings, reach, strip)
        for t0, t1 in _gaps([(0.0, plan.half_road), *others], reach, strip)
    ]
    return plan, blocks


def _gaps(cuts: list[tuple[float, float]], reach: float, strip: float) -> list[tuple[float, float]]:
    edges = [(-reach - 10, 0.0), *sorted(cuts), (reach + 10, 0.0)]
    gaps = [(a + ha + strip, b - hb - strip) for (a, ha), (b, hb) in pairwise(edges)]
    return [gap for gap in gaps if gap[1] - gap[0] > 8]


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
    _trees(stage, block, int(stage.rng.uniform(0, 6)), (4, 14))


def _houses(stage: Stage, block: Block) -> None:
    rng = stage.rng
    _row(stage, block, "house", (3, 14), float(rng.uniform(3, 8)))
    _trees(stage, block, int(block.area / float(rng.uniform(120, 500))), (3, 15))
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
    _trees(stage, block, int(block.area / 250), (4, 15))
    _lot(stage, block, 0.3)


def _park(stage: Stage, block: Block) -> None:
    stage.patch(block.span, "grass")
    _trees(stage, block, int(block.area / float(stage.rng.uniform(60, 400))), (4, 20))


def _forest(stage: Stage, block: Block) -> None:
    stage.patch(block.span, str(stage.rng.choice(["terrain", "grass"])))
    _trees(stage, block, min(int(block.area / float(stage.rng.uniform(22, 60))), 400), (7, 24))


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
            if rng.random() < 0.08:
                stage.place(
                    posts.street_light(rng), float(s), at + side * (half + 0.7), -side * 1.57
                )
