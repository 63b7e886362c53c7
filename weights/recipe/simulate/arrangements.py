"""Furniture that stands in groups: tables with their seats, rows, islands of desks."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from weights.recipe.simulate import fixtures_room as fixtures
from weights.recipe.simulate.furniture_room import ROOM_THINGS
from weights.recipe.simulate.meshes import Model, pick
from weights.recipe.simulate.primitives import Rng, Soup, box, join
from weights.recipe.simulate.rooms import Room


def thing(name: str, rng: Rng, found: Mapping[str, Model]) -> Soup:
    """Return a body by name: a model of that concept, else one made from measures."""
    made = {
        "counter": fixtures.counter,
        "refrigerator": fixtures.refrigerator,
        "toilet": fixtures.toilet,
        "bathtub": fixtures.bathtub,
        "basin": fixtures.basin,
        "washing machine": fixtures.washing_machine,
        "radiator": fixtures.radiator,
        "rug": fixtures.rug,
        "stairs": fixtures.stairs,
    }
    if rng.random() < 0.35:
        body = pick(found, name, rng)
        if body is not None:
            return body.moved(scale=float(rng.uniform(0.92, 1.08)))
    if name == "tv":
        return _tv_set(rng)
    if name == "printer":
        return box("printer", (0.55, 0.6, float(rng.uniform(0.5, 1.1))))
    if name == "ladder":
        return box("ladder", (0.1, 0.45, 2.0), taper=(1, 0.7))
    return made[name](rng) if name in made else ROOM_THINGS[name](rng)


def _tv_set(rng: Rng) -> Soup:
    wide = float(rng.uniform(0.7, 1.4))
    stand = box("cabinet", (0.42, wide * 1.3, 0.5))
    return join(
        [
            stand,
            box("television", (0.05, wide, wide * 0.57), (0, 0, 0.58)),
            box("television", (0.2, 0.4, 0.08), (0, 0, 0.5)),
        ]
    )


def seats(room: Room, found: Mapping[str, Model]) -> None:
    """Put a table with seats about it."""
    rng = room.rng
    name = str(rng.choice(["chair", "chair", "chair", "stool"]))
    top = thing("table", rng, found)
    x, y, yaw = (
        room.wide * float(rng.uniform(0.3, 0.7)),
        room.deep * float(rng.uniform(0.3, 0.7)),
        float(rng.choice([0, np.pi / 2])),
    )
    if not room.put(top, x, y, yaw):
        return
    half = np.abs(top.triangles).max(axis=(0, 1))
    for side in (1, -1):
        for along in np.arange(-half[1] + 0.3, half[1] - 0.1, 0.65):
            off = side * (half[0] + float(rng.uniform(0.05, 0.45)))
            at = np.array([off, along]) @ np.array(
                [[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]]
            )
            turn = yaw + (np.pi if side > 0 else 0.0) + float(rng.normal(0, 0.25))
            if rng.random() < 0.85:
                room.put(
                    thing(name, rng, found), x + float(at[0]), y + float(at[1]), turn, solid=False
                )


def meeting(room: Room, found: Mapping[str, Model]) -> None:
    """Put one long table with chairs on both sides."""
    rng = room.rng
    long, wide = room.deep * 0.5, float(rng.uniform(0.9, 1.5))
    name, seat = (
        str(rng.choice(["table", "table", "desk"])),
        str(rng.choice(["chair", "office chair"])),
    )
    room.put(
        join(
            [box(name, (wide, long, 0.04), (0, 0, 0.71)), box(name, (wide * 0.5, long * 0.7, 0.7))]
        ),
        room.wide / 2,
        room.deep / 2,
        0.0,
    )
    for side in (1, -1):
        for y in np.arange(-long / 2 + 0.4, long / 2, 0.75):
            x = room.wide / 2 + side * (wide / 2 + float(rng.uniform(0.05, 0.5)))
            room.put(
                thing(seat, rng, found),
                x,
                room.deep / 2 + float(y),
                np.pi * (side > 0) + float(rng.normal(0, 0.3)),
                solid=False,
            )


def rows(room: Room, found: Mapping[str, Model]) -> None:
    """Put rows of chairs, with or without desks before them."""
    rng = room.rng
    seat = str(rng.choice(["chair", "chair", "office chair"]))
    with_desks = rng.random() < 0.6
    for x in np.arange(1.5, room.wide - 1.2, 1.6):
        for y in np.arange(1.0, room.deep - 0.8, 1.0):
            if with_desks:
                room.put(
                    box("desk", (0.5, 0.95, 0.03), (0, 0, 0.7)),
                    float(x) + 0.5,
                    float(y),
                    0.0,
                    solid=False,
                )
            if rng.random() < 0.85:
                room.put(
                    thing(seat, rng, found),
                    float(x),
                    float(y),
                    float(rng.normal(0, 0.15)),
                    solid=False,
                )


def desk_islands(room: Room, found: Mapping[str, Model]) -> None:
    """Put pairs of desks face to face, with swivel chairs and screens between."""
    rng = room.rng
    for x in np.arange(2.2, room.wide - 1.8, 3.2):
        for y in np.arange(1.6, room.deep - 1.2, 1.7):
            for side in (1, -1):
                at = float(x) + side * 0.4
                if room.put(ROOM_THINGS["desk"](rng), at, float(y), np.pi * (side < 0)):
                    room.put(
                        thing("office chair", rng, found),
                        at + side * 0.75,
                        float(y),
                        np.pi * (side > 0) + float(rng.normal(0, 0.5)),
                        solid=False,
                    )
            if rng.random() < 0.5:
                room.add(fixtures.partition(rng).moved((float(x), float(y), 0)))


GROUPS: Mapping[str, Callable[[Room, Mapping[str, Model]], None]] = MappingProxyType(
    {"set": seats, "meeting": meeting, "rows": rows, "desks": desk_islands}
)
