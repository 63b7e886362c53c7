"""Which rooms there are and what stands in them."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from weights.recipe.simulate import fixtures_room as fixtures
from weights.recipe.simulate.arrangements import GROUPS, thing
from weights.recipe.simulate.furniture_room import ROOM_THINGS
from weights.recipe.simulate.meshes import Model
from weights.recipe.simulate.primitives import Rng, Soup, join
from weights.recipe.simulate.rooms import Opening, Room

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Floor = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class RoomKind:
    """A kind of room from ``room_kinds.toml``: how often, its sizes in metres, its furniture."""

    weight: float
    wide: tuple[float, float]
    deep: tuple[float, float]
    high: tuple[float, float]
    walls: tuple[str, ...]
    middle: tuple[str, ...]


@lru_cache(maxsize=1)
def room_kinds() -> Mapping[str, RoomKind]:
    """Return the kinds of room by name."""
    text = Path(__file__).with_name("room_kinds.toml").read_text(encoding="utf-8")
    return {name: RoomKind(**row) for name, row in tomllib.loads(text).items()}


def _in_middle(room: Room, name: str, found: Mapping[str, Model]) -> None:
    rng = room.rng
    if name in GROUPS:
        GROUPS[name](room, found)
    elif name == "columns":
        for x in np.arange(2.5, room.wide - 1, float(rng.uniform(3, 6))):
            place = room.deep * float(rng.choice([0.3, 0.7]))
            room.put(fixtures.column(rng, room.high), float(x), place, 0.0)
    else:
        room.anywhere(thing(name, rng, found), solid=name != "rug")


def _at_wall(room: Room, name: str, found: Mapping[str, Model]) -> None:
    rng = room.rng
    if name != "desk+":
        room.against_wall(thing(name, rng, found))
    elif room.against_wall(ROOM_THINGS["desk"](rng)):
        room.anywhere(thing(str(rng.choice(["office chair", "chair"])), rng, found))


def _furnish(room: Room, name: str, found: Mapping[str, Model]) -> None:
    rng, kind = room.rng, room_kinds()[name]
    full = float(rng.uniform(0.6, 1.0))
    for piece in kind.walls:
        if rng.random() < full:
            _at_wall(room, piece, found)
    for piece in kind.middle:
        if rng.random() < full:
            _in_middle(room, piece, found)
    office = name in ("office", "meeting", "classroom", "corridor", "hall")
    for _ in range(int(rng.integers(0, 6))):
        room.hang(fixtures.wall_thing(rng, office))
    for _ in range(int(rng.poisson(2.5))):
        small = str(rng.choice(["box", "bag", "clothes", "trash bin", "stool", "chair"]))
        room.anywhere(ROOM_THINGS[small](rng))
    if rng.random() < 0.15:
        room.anywhere(fixtures.column(rng, room.high))
    room.add(fixtures.ceiling_things(rng, (room.wide, room.deep, room.high), office))


def _openings(
    rng: Rng, size: tuple[float, float], top: float, doors: list[Opening]
) -> list[Opening]:
    """Return doors and windows that do not meet; ``doors`` are given ones."""
    holes = list(doors)
    for _ in range(int(rng.integers(1, 4))):
        wall = int(rng.integers(4))
        long = size[wall % 2]
        kind = "door" if rng.random() < 0.35 or not holes else "window"
        wide = float(
            rng.uniform(0.75, 1.0) if kind == "door" else rng.uniform(0.7, min(3.0, long * 0.7))
        )
        start = float(rng.uniform(0.15, max(long - wide - 0.15, 0.16)))
        free = all(
            h.wall != wall or start > h.start + h.wide + 0.15 or start + wide < h.start - 0.15
            for h in holes
        )
        if free and start + wide < long:
            sill = 0.0 if kind == "door" else float(rng.choice([0.1, 0.8, 0.9, 1.1]))
            high = (
                float(rng.uniform(1.98, 2.15))
                if kind == "door"
                else float(rng.uniform(1.9, top - 0.15))
            )
            holes.append(Opening(wall, start, wide, sill, high, kind))
    return holes


def interior(
    rng: Rng, found: Mapping[str, Model], *, ceiling: bool
) -> tuple[Soup, list[Floor], str]:
    """Return one to three rooms in a row, their floors' rectangles (x0, x1, y0, y1) and kinds."""
    names = list(room_kinds())
    weight = np.array([room_kinds()[name].weight for name in names])
    chosen = rng.choice(names, int(rng.choice([1, 1, 2, 3])), p=weight / weight.sum())
    high = float(rng.uniform(*room_kinds()[str(chosen[0])].high))
    parts: list[Soup] = []
    floors: list[Floor] = []
    doors: list[Opening] = []
    x = 0.0
    for place, name in enumerate(chosen):
        kind = room_kinds()[str(name)]
        wide, deep = float(rng.uniform(*kind.wide)), float(rng.uniform(*kind.deep))
        # The last room's east door is a passage in this one's west wall, seen from inside.
        mirrored = [(deep - hole.start - hole.wide, hole) for hole in doors]
        links = [Opening(3, at, h.wide, 0.0, h.top, "passage") for at, h in mirrored if at > 0.1]
        start, gap = float(rng.uniform(0.3, 0.8)), float(rng.uniform(0.8, 1.0))
        doors = [Opening(1, start, gap, 0.0, 2.05, "door")] if place < len(chosen) - 1 else []
        holes = _openings(rng, (wide, deep), high, [*links, *doors])
        room = Room((wide, deep, high), rng, holes)
        _furnish(room, str(name), found)
        parts.append(room.finish(ceiling=ceiling).moved((x, 0, 0)))
        floors.append((x, x + wide, 0.0, deep))
        x += wide + 0.12
    return join(parts), floors, "+".join(str(name) for name in chosen)
