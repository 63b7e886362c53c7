"""The ground plan of a town: streets, and the blocks between them."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

import numpy as np

from weights.recipe.simulate.layout import Band, Plan, Relief
from weights.recipe.simulate.primitives import Rng

Span4 = tuple[float, float, float, float]


# For each kind of town: how likely each kind of block is.
TOWNS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "oldtown": {"perimeter": 7, "park": 2, "square": 1, "towers": 0.3},
        "suburb": {"houses": 8, "park": 2, "forest": 0.7, "field": 0.5, "hall": 0.5},
        "works": {"hall": 6, "field": 1.5, "lot": 2, "houses": 0.5},
        "highrise": {"towers": 5, "perimeter": 2, "park": 1, "lot": 1},
        "village": {"houses": 4, "field": 2, "forest": 3, "hall": 0.7},
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
    steep = float(rng.choice([0.02, 0.03, 0.12], p=[0.5, 0.35, 0.15]))
    slope = (0.0, 0.0) if flat else (float(rng.normal(0, steep)), float(rng.normal(0, steep)))
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
