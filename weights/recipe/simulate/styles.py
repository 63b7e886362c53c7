"""Kinds of street, from empty trails to downtown, as ranges to draw from."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from weights.recipe.simulate.layout import Band, Plan, Relief
from weights.recipe.simulate.primitives import Rng

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Style:
    """What a kind of street has, and how much of it.

    Attributes:
        half_road: metres from the middle to the edge.
        side: the strips beside the road, one of: paved, verge, open, track.
        beyond: surfaces beyond the strips.
        buildings: kinds for :func:`buildings.draw_mass`; empty for none.
        lot: width of a lot, setback of its building (metres).
        street_trees: metres between trees on the strip, 0 for none.
        yard_trees: trees per lot.
        parked: share of roadside slots taken.
        traffic, people, things: per 100 m of street.
        hills: amplitude of the land in metres.
        grass: length of grass in metres.
        crossings: the most crossing roads.
    """

    half_road: Span
    side: tuple[str, ...]
    beyond: tuple[str, ...]
    buildings: tuple[str, ...]
    lot: tuple[Span, Span]
    street_trees: Span
    yard_trees: Span
    parked: Span
    traffic: Span
    people: Span
    things: Span
    hills: Span
    grass: Span
    crossings: int


STYLES: Mapping[str, Style] = MappingProxyType(
    {
        "residential": Style(
            (3, 5.5),
            ("paved", "paved", "verge"),
            ("grass", "grass", "terrain"),
            ("house", "house", "house", "terrace"),
            ((12, 24), (3, 10)),
            (0, 18),
            (0, 4),
            (0.1, 0.8),
            (0, 4),
            (0, 5),
            (4, 14),
            (0, 3),
            (0.03, 0.2),
            2,
        ),
        "suburb": Style(
            (3.5, 7),
            ("verge", "paved", "verge"),
            ("grass", "grass", "grass", "parking"),
            ("house", "house", "hall", "block"),
            ((18, 36), (5, 16)),
            (0, 22),
            (1, 6),
            (0.0, 0.4),
            (0, 5),
            (0, 3),
            (3, 10),
            (0, 5),
            (0.03, 0.3),
            2,
        ),
        "downtown": Style(
            (4, 10),
            ("paved",),
            ("sidewalk", "sidewalk", "parking"),
            ("block", "block", "terrace", "tower"),
            ((12, 40), (0, 2.5)),
            (0, 20),
            (0, 0.4),
            (0.3, 1.0),
            (1, 12),
            (4, 45),
            (10, 35),
            (0, 2),
            (0.03, 0.1),
            2,
        ),
        "oldtown": Style(
            (2.5, 4.5),
            ("paved",),
            ("sidewalk", "grass"),
            ("terrace", "terrace", "house"),
            ((7, 14), (0, 1)),
            (0, 30),
            (0, 1),
            (0.1, 0.9),
            (0, 4),
            (2, 25),
            (5, 25),
            (0, 5),
            (0.03, 0.1),
            2,
        ),
        "commercial": Style(
            (5, 11),
            ("paved", "verge"),
            ("parking", "parking", "grass"),
            ("hall", "hall", "block"),
            ((30, 60), (10, 35)),
            (0, 30),
            (0, 2),
            (0.0, 0.2),
            (2, 14),
            (0, 8),
            (5, 18),
            (0, 2),
            (0.03, 0.2),
            2,
        ),
        "highway": Style(
            (7, 17),
            ("verge", "open"),
            ("grass", "terrain"),
            ("hall",),
            ((60, 150), (20, 40)),
            (0, 0),
            (1, 10),
            (0, 0),
            (3, 18),
            (0, 0),
            (1, 4),
            (0, 6),
            (0.05, 0.5),
            0,
        ),
        "rural": Style(
            (2.5, 4.5),
            ("open", "verge"),
            ("grass", "terrain", "grass"),
            ("house", "hall", "shed"),
            ((50, 140), (8, 30)),
            (0, 40),
            (1, 16),
            (0, 0.03),
            (0, 3),
            (0, 1),
            (0, 5),
            (0, 9),
            (0.08, 0.7),
            1,
        ),
        "campus": Style(
            (2.5, 4.5),
            ("paved", "verge"),
            ("grass", "grass", "sidewalk"),
            ("block", "hall", "block"),
            ((30, 60), (6, 25)),
            (6, 20),
            (1, 8),
            (0, 0.3),
            (0, 2),
            (3, 30),
            (5, 20),
            (0, 3),
            (0.03, 0.15),
            2,
        ),
        "trail": Style(
            (1.2, 2.8),
            ("track",),
            ("grass", "grass", "terrain"),
            (),
            ((30, 80), (5, 20)),
            (0, 0),
            (4, 22),
            (0, 0),
            (0, 0.7),
            (0, 4),
            (0, 1.5),
            (1, 5),
            (0.15, 1.1),
            0,
        ),
    }
)


def draw_style(rng: Rng) -> str:
    """Return a kind of street, as often as it matters for labelling."""
    names = list(STYLES)
    weight = np.array([5, 4, 5, 2.5, 3, 2, 2.5, 2, 4.5])
    return str(rng.choice(names, p=weight / weight.sum()))


def draw_plan(rng: Rng, name: str) -> Plan:
    """Return the ground plan of a street of the kind ``name``."""
    style = STYLES[name]
    crossings: list[tuple[float, float]] = []
    for _ in range(int(rng.integers(0, style.crossings + 1))):
        at = float(rng.uniform(-60, 60))
        if all(abs(at - other) > 40 for other, _ in crossings):
            crossings.append((at, float(rng.uniform(2.5, 6))))
    beyond = Band(1e3, str(rng.choice(style.beyond)), float(rng.uniform(0.02, 0.2)))
    side = str(rng.choice(style.side))
    hilly = float(rng.uniform(*style.hills)) * (rng.random() < 0.6)
    wave = 2 * np.pi / rng.uniform(90, 320, (3, 1))
    angle = rng.uniform(0, 2 * np.pi, (3, 1))
    waves = np.concatenate(
        [
            hilly * rng.uniform(0.2, 0.6, (3, 1)),
            wave * np.cos(angle),
            wave * np.sin(angle),
            rng.uniform(0, 6, (3, 1)),
        ],
        axis=1,
    )
    small = np.array([[0.05 + 0.1 * rng.random() * (name in ("trail", "rural")), 0.5, 0.4, 0.0]])
    slope = rng.normal(0, 0.015, 2) + rng.normal(0, 0.04, 2) * (rng.random() < 0.25)
    relief = Relief(
        np.concatenate([waves, small if name in ("trail", "rural") else small * 0]),
        (float(slope[0]), float(slope[1])),
        float(rng.uniform(0.01, 0.03 + 0.04 * (name in ("trail", "rural")))),
    )
    bend = float(rng.uniform(0, 12)) * (rng.random() < 0.5)
    track = (
        str(rng.choice(["terrain", "terrain", "gravel", "grass", "road"]))
        if name == "trail"
        else "road"
    )
    steep = 0.3 if style.buildings else 0.45
    banks = rng.uniform(-0.5 * steep, steep, 2) * (rng.random(2) < 0.35)
    bank = (float(banks[0]), float(banks[1])) if style.lot[1][1] > 4 else (0.0, 0.0)
    return Plan(
        float(rng.uniform(*style.half_road)),
        tuple(crossings),
        _strips(rng, side),
        _strips(rng, side),
        beyond,
        (),
        (bend, float(2 * np.pi / rng.uniform(140, 420)), float(rng.uniform(0, 6.28))),
        relief,
        (115.0, 75.0),
        track,
        bank=bank,
    )


def _strips(rng: Rng, side: str) -> tuple[Band, ...]:
    rise = float(rng.uniform(0.07, 0.2))
    curb, walk = (
        Band(0.16, "curb", rise),
        Band(float(rng.uniform(1.2, 4.5)), "sidewalk", rise + 0.01),
    )
    green = Band(
        float(rng.uniform(0.8, 3.5)), str(rng.choice(["grass", "grass", "terrain"])), rise + 0.02
    )
    lane = Band(float(rng.uniform(2.0, 2.5)), "parking", 0.0)
    if side == "track":
        edge = Band(float(rng.uniform(0.4, 2)), str(rng.choice(["terrain", "grass"])), 0.03)
        return (edge,)
    if side == "open":
        ditch = Band(float(rng.uniform(0.5, 2)), "grass", -float(rng.uniform(0.1, 0.7)))
        shoulder = Band(
            float(rng.uniform(0.3, 1.5)), str(rng.choice(["gravel", "terrain", "grass"])), 0.0
        )
        return (shoulder, ditch) if rng.random() < 0.5 else (shoulder,)
    strips = [curb, walk]
    if side == "verge":
        strips = [curb, green, walk] if rng.random() < 0.6 else [curb, green]
    elif rng.random() < 0.3:
        strips.append(green)
    if rng.random() < 0.25:
        strips.insert(0, lane)
    return tuple(strips)
