"""Kinds of street, from empty trails to downtown, as ranges to draw from."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from weights.recipe.simulate.layout import Band, Plan, Relief
from weights.recipe.simulate.primitives import Rng

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Style:
    """What a kind of street has, and how much of it.

    Attributes:
        weight: how often it is drawn.
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

    weight: float
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


@lru_cache(maxsize=1)
def styles() -> Mapping[str, Style]:
    """Return the kinds of street in ``street_kinds.toml`` by name."""
    text = Path(__file__).with_name("street_kinds.toml").read_text(encoding="utf-8")
    return {name: Style(**row) for name, row in tomllib.loads(text).items()}


def draw_style(rng: Rng) -> str:
    """Return a kind of street, as often as it matters for labelling."""
    weight = np.array([style.weight for style in styles().values()])
    return str(rng.choice(list(styles()), p=weight / weight.sum()))


def draw_plan(rng: Rng, name: str) -> Plan:
    """Return the ground plan of a street of the kind ``name``."""
    style = styles()[name]
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
