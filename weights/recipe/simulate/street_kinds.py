"""Kinds of street, from trails to downtown, and ground plans drawn from their ranges."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from weights.recipe.simulate.ground_plan import GroundPlan, Strip, Terrain
from weights.recipe.simulate.primitives import Rng

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class StreetKind:
    """What a kind of street has, as ranges (least, most) that each scene draws from.

    Attributes:
        weight: how often the kind is drawn, relative to the others.
        half_width: half the road's width in metres.
        roadside: possible layouts of the strips beside the road: paved, verge, open, track.
        land: possible surfaces beyond the strips.
        buildings: kinds of building for `buildings.draw_shape`; empty for none.
        lot: width of a lot, and setback of its building from the strips, in metres.
        tree_spacing: metres between the trees along the road; below 5 there are none.
        yard_trees: trees per lot.
        parked: share of the parking spaces along the road that are taken.
        traffic: vehicles per 100 m of street.
        people: persons or groups per 100 m of street.
        furniture: pieces of street furniture per 100 m of street.
        hills: amplitude of the terrain in metres.
        grass: length of grass in metres.
        crossings: the highest number of crossing roads.
        borders: share of the lots that have a hedge, a fence or a wall around them.
    """

    weight: float
    half_width: Range
    roadside: tuple[str, ...]
    land: tuple[str, ...]
    buildings: tuple[str, ...]
    lot: tuple[Range, Range]
    tree_spacing: Range
    yard_trees: Range
    parked: Range
    traffic: Range
    people: Range
    furniture: Range
    hills: Range
    grass: Range
    crossings: int
    borders: Range


@lru_cache(maxsize=1)
def street_kinds() -> Mapping[str, StreetKind]:
    """Return the kinds of street in ``street_kinds.toml`` by name."""
    text = Path(__file__).with_name("street_kinds.toml").read_text(encoding="utf-8")
    return {name: StreetKind(**row) for name, row in tomllib.loads(text).items()}


def draw_street_kind(rng: Rng) -> str:
    """Return the name of a random kind of street, drawn by the kinds' weights."""
    weight = np.array([kind.weight for kind in street_kinds().values()])
    return str(rng.choice(list(street_kinds()), p=weight / weight.sum()))


def draw_street_plan(rng: Rng, name: str) -> GroundPlan:
    """Return a random ground plan of a street of the kind ``name``."""
    kind = street_kinds()[name]
    crossings: list[tuple[float, float]] = []
    for _ in range(int(rng.integers(0, kind.crossings + 1))):
        center = float(rng.uniform(-60, 60))
        if all(abs(center - other) > 40 for other, _ in crossings):
            crossings.append((center, float(rng.uniform(2.5, 6))))
    beyond = Strip(1e3, str(rng.choice(kind.land)), float(rng.uniform(0.02, 0.2)))
    roadside = str(rng.choice(kind.roadside))
    terrain = _draw_terrain(rng, name, kind)
    bend_m = float(rng.uniform(0, 12)) * (rng.random() < 0.5)
    surface = (
        str(rng.choice(["terrain", "terrain", "gravel", "grass", "road"]))
        if name == "trail"
        else "road"
    )
    steepest = 0.3 if kind.buildings else 0.45
    banks = rng.uniform(-0.5 * steepest, steepest, 2) * (rng.random(2) < 0.35)
    bank = (float(banks[0]), float(banks[1])) if kind.lot[1][1] > 4 else (0.0, 0.0)
    return GroundPlan(
        float(rng.uniform(*kind.half_width)),
        tuple(crossings),
        _draw_strips(rng, roadside),
        _draw_strips(rng, roadside),
        beyond,
        (),
        (bend_m, float(2 * np.pi / rng.uniform(140, 420)), float(rng.uniform(0, 6.28))),
        terrain,
        (115.0, 75.0),
        surface,
        bank=bank,
    )


def _draw_terrain(rng: Rng, name: str, kind: StreetKind) -> Terrain:
    unpaved = name in ("trail", "rural")
    hills_m = float(rng.uniform(*kind.hills)) * (rng.random() < 0.6)
    wave_number = 2 * np.pi / rng.uniform(90, 320, (3, 1))
    direction = rng.uniform(0, 2 * np.pi, (3, 1))
    waves = np.concatenate(
        [
            hills_m * rng.uniform(0.2, 0.6, (3, 1)),
            wave_number * np.cos(direction),
            wave_number * np.sin(direction),
            rng.uniform(0, 6, (3, 1)),
        ],
        axis=1,
    )
    bumps = np.array([[0.05 + 0.1 * rng.random() * unpaved, 0.5, 0.4, 0.0]])
    slope = rng.normal(0, 0.015, 2) + rng.normal(0, 0.04, 2) * (rng.random() < 0.25)
    return Terrain(
        np.concatenate([waves, bumps if unpaved else bumps * 0]),
        (float(slope[0]), float(slope[1])),
        float(rng.uniform(0.01, 0.03 + 0.04 * unpaved)),
    )


def _draw_strips(rng: Rng, roadside: str) -> tuple[Strip, ...]:
    """Return the strips on one side of a road, from its edge outwards."""
    rise = float(rng.uniform(0.07, 0.2))
    # All are drawn, whether or not the layout uses them.
    curb, sidewalk = (
        Strip(0.16, "curb", rise),
        Strip(float(rng.uniform(1.2, 5.0)), "sidewalk", rise + 0.01),
    )
    verge = Strip(
        float(rng.uniform(0.8, 3.5)), str(rng.choice(["grass", "grass", "terrain"])), rise + 0.02
    )
    parking = Strip(float(rng.uniform(2.0, 2.5)), "parking", 0.0)
    if roadside == "track":
        edge = Strip(float(rng.uniform(0.4, 2)), str(rng.choice(["terrain", "grass"])), 0.03)
        return (edge,)
    if roadside == "open":
        ditch = Strip(float(rng.uniform(0.5, 2)), "grass", -float(rng.uniform(0.1, 0.7)))
        shoulder = Strip(
            float(rng.uniform(0.3, 1.5)), str(rng.choice(["gravel", "terrain", "grass"])), 0.0
        )
        return (shoulder, ditch) if rng.random() < 0.5 else (shoulder,)
    strips = [curb, sidewalk]
    if roadside == "verge":
        strips = [curb, verge, sidewalk] if rng.random() < 0.75 else [curb, verge]
    elif rng.random() < 0.3:
        strips.append(verge)
    if rng.random() < 0.25:
        strips.insert(0, parking)
    return tuple(strips)
