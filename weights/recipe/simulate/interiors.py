"""Which rooms there are and what stands in them."""

from collections.abc import Mapping

import numpy as np

from weights.recipe.simulate import fixtures_room as fixtures
from weights.recipe.simulate.furniture_room import ROOM_THINGS, monitor, pillow
from weights.recipe.simulate.meshes import Model, pick
from weights.recipe.simulate.primitives import Rng, Soup, box, join
from weights.recipe.simulate.rooms import Opening, Room

# Width, depth, height in metres; what may stand at the walls and in the middle, with counts.
ROOMS: dict[
    str, tuple[tuple[float, float], tuple[float, float], tuple[float, float], list[str], list[str]]
] = {
    "bedroom": (
        (2.8, 5),
        (2.8, 5),
        (2.4, 2.9),
        [
            "bed",
            "wardrobe",
            "desk+",
            "nightstand",
            "nightstand",
            "cabinet",
            "bookshelf",
            "chair",
            "bag",
            "clothes",
            "lamp",
            "box",
            "bag",
            "armchair",
            "radiator",
        ],
        ["rug", "clothes", "box", "bag"],
    ),
    "living": (
        (3.5, 7),
        (3.5, 7),
        (2.4, 3.1),
        [
            "sofa",
            "sofa",
            "bookshelf",
            "cabinet",
            "tv",
            "armchair",
            "armchair",
            "plant",
            "lamp",
            "box",
            "radiator",
            "bookshelf",
            "cabinet",
            "plant",
            "chair",
            "bag",
            "chair",
        ],
        ["set", "table", "rug", "armchair", "stool"],
    ),
    "kitchen": (
        (2.2, 5),
        (2.4, 5),
        (2.4, 2.9),
        [
            "counter",
            "counter",
            "refrigerator",
            "cabinet",
            "washing machine",
            "trash bin",
            "chair",
            "box",
            "cabinet",
            "bag",
        ],
        ["set", "stool"],
    ),
    "bathroom": (
        (1.7, 3.2),
        (1.8, 3.2),
        (2.3, 2.7),
        [
            "bathtub",
            "toilet",
            "basin",
            "washing machine",
            "trash bin",
            "cabinet",
            "clothes",
            "radiator",
            "box",
        ],
        ["rug", "clothes"],
    ),
    "office": (
        (2.8, 9),
        (3, 9),
        (2.6, 3.4),
        [
            "desk+",
            "desk+",
            "bookshelf",
            "cabinet",
            "desk+",
            "desk+",
            "sofa",
            "bookshelf",
            "cabinet",
            "chair",
            "chair",
            "table",
            "plant",
            "trash bin",
            "box",
            "bag",
            "radiator",
            "printer",
            "box",
            "desk+",
            "desk+",
        ],
        ["desks", "set", "office chair", "office chair"],
    ),
    "meeting": (
        (3.5, 9),
        (3.5, 7),
        (2.6, 3.4),
        [
            "cabinet",
            "plant",
            "bookshelf",
            "trash bin",
            "tv",
            "chair",
            "chair",
            "chair",
            "sofa",
            "box",
            "table",
        ],
        ["meeting"],
    ),
    "classroom": (
        (6, 12),
        (5, 9),
        (2.8, 3.6),
        ["cabinet", "bookshelf", "trash bin", "box", "radiator"],
        ["rows"],
    ),
    "corridor": (
        (1.5, 3),
        (6, 20),
        (2.4, 3.4),
        [
            "cabinet",
            "bookshelf",
            "trash bin",
            "plant",
            "box",
            "chair",
            "chair",
            "radiator",
            "stairs",
            "sofa",
            "table",
        ],
        [],
    ),
    "hall": (
        (8, 18),
        (8, 16),
        (3.2, 6),
        [
            "sofa",
            "sofa",
            "plant",
            "plant",
            "cabinet",
            "stairs",
            "table",
            "counter",
            "trash bin",
            "bookshelf",
        ],
        ["columns", "set", "set", "rows"],
    ),
    "storage": (
        (2, 5),
        (2, 6),
        (2.4, 3.2),
        [
            "bookshelf",
            "bookshelf",
            "bookshelf",
            "box",
            "box",
            "box",
            "cabinet",
            "ladder",
            "washing machine",
            "bag",
        ],
        ["box", "box", "stool"],
    ),
    "study": (
        (2.4, 4),
        (2.6, 4.5),
        (2.4, 3.0),
        [
            "desk+",
            "bookshelf",
            "sofa",
            "bookshelf",
            "cabinet",
            "armchair",
            "desk+",
            "table",
            "plant",
            "trash bin",
            "lamp",
            "bag",
            "chair",
            "box",
            "box",
        ],
        ["rug", "office chair"],
    ),
}


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


def _seats(room: Room, found: Mapping[str, Model], name: str) -> None:
    """Put a table with seats about it; ``name`` is the kind of seat."""
    rng = room.rng
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


def _meeting(room: Room, found: Mapping[str, Model]) -> None:
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


def _rows(room: Room, found: Mapping[str, Model]) -> None:
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


def _desk_islands(room: Room, found: Mapping[str, Model]) -> None:
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


def _in_middle(room: Room, name: str, found: Mapping[str, Model]) -> None:
    rng = room.rng
    if name in ("set", "meeting", "rows", "desks"):
        maker = {"meeting": _meeting, "rows": _rows, "desks": _desk_islands}.get(name)
        if maker is None:
            _seats(room, found, str(rng.choice(["chair", "chair", "chair", "stool"])))
        else:
            maker(room, found)
    elif name == "columns":
        for x in np.arange(2.5, room.wide - 1, float(rng.uniform(3, 6))):
            room.put(
                fixtures.column(rng, room.high),
                float(x),
                room.deep * float(rng.choice([0.3, 0.7])),
                0.0,
            )
    else:
        room.anywhere(thing(name, rng, found), solid=name != "rug")


def _furnish(room: Room, kind: str, found: Mapping[str, Model]) -> None:
    rng = room.rng
    _, _, _, walls, middle = ROOMS[kind]
    full = float(rng.uniform(0.6, 1.0))
    for name in walls:
        if rng.random() > full:
            continue
        if name != "desk+":
            room.against_wall(thing(name, rng, found))
        elif room.against_wall(ROOM_THINGS["desk"](rng)):
            room.anywhere(thing(str(rng.choice(["office chair", "chair"])), rng, found))
    for name in middle:
        if rng.random() < full:
            _in_middle(room, name, found)
    office = kind in ("office", "meeting", "classroom", "corridor", "hall")
    for _ in range(int(rng.integers(0, 6))):
        room.hang(fixtures.wall_thing(rng, office))
    for _ in range(int(rng.poisson(2.5))):
        room.anywhere(
            ROOM_THINGS[str(rng.choice(["box", "bag", "clothes", "trash bin", "stool", "chair"]))](
                rng
            )
        )
    if rng.random() < 0.15:
        room.anywhere(fixtures.column(rng, room.high))
    if kind == "bedroom":
        room.anywhere(pillow(rng))
    if kind == "office" and rng.random() < 0.3:
        room.anywhere(monitor(rng))
    room.add(fixtures.ceiling_things(rng, (room.wide, room.deep, room.high), office))


def _openings(
    rng: Rng, size: tuple[float, float], top: float, doors: list[Opening]
) -> list[Opening]:
    """Return doors and windows that do not meet; ``doors`` are given ones."""
    holes = list(doors)
    for _ in range(int(rng.integers(1, 5))):
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
) -> tuple[Soup, list[tuple[float, float, float, float]], str]:
    """Return one to three rooms in a row, their floors' rectangles (x0, x1, y0, y1) and kinds."""
    weight = np.array([4, 4, 3.5, 3, 5, 2, 1.5, 2, 1.5, 1.5, 2.5])
    count = int(rng.choice([1, 1, 2, 3]))
    parts, floors, kinds, x, top = [], [], [], 0.0, 0.0
    shared: list[Opening] = []
    for k in range(count):
        kind = str(rng.choice(list(ROOMS), p=weight / weight.sum()))
        spans = ROOMS[kind][:3]
        wide, deep = float(rng.uniform(*spans[0])), float(rng.uniform(*spans[1]))
        top = top or float(rng.uniform(*spans[2]))
        links = [
            Opening(3, deep - hole.start - hole.wide, hole.wide, 0.0, hole.top, "passage")
            for hole in shared
        ]
        links = [link for link in links if link.start > 0.1]
        shared = (
            [
                Opening(
                    1, float(rng.uniform(0.3, 0.8)), float(rng.uniform(0.8, 1.0)), 0.0, 2.05, "door"
                )
            ]
            if k < count - 1
            else []
        )
        room = Room((wide, deep, top), rng, _openings(rng, (wide, deep), top, [*links, *shared]))
        _furnish(room, kind, found)
        parts.append(room.finish(ceiling=ceiling).moved((x, 0, 0)))
        floors.append((x, x + wide, 0.0, deep))
        kinds.append(kind)
        x += wide + 0.12
    return join(parts), floors, "+".join(kinds)
