"""Indoor scenes: one to three furnished rooms in a row."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

import numpy as np

from weights.recipe.simulate import room_fixtures as fixtures
from weights.recipe.simulate.furniture import FURNITURE
from weights.recipe.simulate.mesh_catalogue import Catalogue, draw_from_catalogue
from weights.recipe.simulate.primitives import Mesh, Rng, box, merge
from weights.recipe.simulate.room import Opening, Rectangle, Room

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True, slots=True)
class RoomKind:
    """A kind of room from ``room_kinds.toml``.

    Attributes:
        weight: how often the kind is drawn, relative to the others.
        width: range of the extent along x in metres.
        depth: range of the extent along y in metres.
        height: range in metres.
        at_walls: furniture that stands at the walls, each piece with some probability.
        in_middle: furniture and groups of furniture that stand anywhere.
    """

    weight: float
    width: tuple[float, float]
    depth: tuple[float, float]
    height: tuple[float, float]
    at_walls: tuple[str, ...]
    in_middle: tuple[str, ...]


@lru_cache(maxsize=1)
def room_kinds() -> Mapping[str, RoomKind]:
    """Return the kinds of room by name."""
    text = Path(__file__).with_name("room_kinds.toml").read_text(encoding="utf-8")
    return {name: RoomKind(**row) for name, row in tomllib.loads(text).items()}


def draw_rooms(
    rng: Rng, catalogue: Catalogue, *, ceiling: bool
) -> tuple[Mesh, list[Rectangle], str]:
    """Return one to three rooms in a row along x.

    Args:
        rng: random generator of the scene.
        catalogue: ready-made meshes.
        ceiling: whether rooms have ceilings.

    Returns:
        The mesh, the floor (x0, x1, y0, y1) of each room in metres, and the kinds joined by "+".
    """
    names = list(room_kinds())
    weight = np.array([room_kinds()[name].weight for name in names])
    drawn = rng.choice(names, int(rng.choice([1, 1, 2, 3])), p=weight / weight.sum())
    height = float(rng.uniform(*room_kinds()[str(drawn[0])].height))
    parts: list[Mesh] = []
    floors: list[Rectangle] = []
    doors: list[Opening] = []
    x = 0.0
    for number, name in enumerate(drawn):
        kind = room_kinds()[str(name)]
        width, depth = float(rng.uniform(*kind.width)), float(rng.uniform(*kind.depth))
        # The door in the east wall of the room before is a passage in this room's west wall,
        # whose positions count from the other end.
        mirrored = [(depth - opening.start - opening.width, opening) for opening in doors]
        passages = [
            Opening(3, start, opening.width, 0.0, opening.top, "passage")
            for start, opening in mirrored
            if start > 0.1
        ]
        door_start, door_width = float(rng.uniform(0.3, 0.8)), float(rng.uniform(0.8, 1.0))
        is_last = number == len(drawn) - 1
        doors = [] if is_last else [Opening(1, door_start, door_width, 0.0, 2.05, "door")]
        openings = _draw_openings(rng, (width, depth), height, [*passages, *doors])
        room = Room((width, depth, height), rng, openings)
        _furnish(room, str(name), catalogue)
        parts.append(room.build(ceiling=ceiling).moved((x, 0, 0)))
        floors.append((x, x + width, 0.0, depth))
        x += width + 0.12
    return merge(parts), floors, "+".join(str(name) for name in drawn)


def _draw_openings(
    rng: Rng, size: tuple[float, float], height: float, doors: list[Opening]
) -> list[Opening]:
    """Return ``doors`` and up to three more doors and windows that do not overlap them.

    Args:
        rng: draws the openings.
        size: width and depth of the room in metres.
        height: height of the room in metres.
        doors: doors and passages to other rooms.
    """
    openings = list(doors)
    for _ in range(int(rng.integers(1, 4))):
        wall = int(rng.integers(4))
        length = size[wall % 2]
        is_door = rng.random() < 0.35 or not openings
        width = float(
            rng.uniform(0.75, 1.0) if is_door else rng.uniform(0.7, min(3.0, length * 0.7))
        )
        start = float(rng.uniform(0.15, max(length - width - 0.15, 0.16)))
        free = all(
            other.wall != wall
            or start > other.start + other.width + 0.15
            or start + width < other.start - 0.15
            for other in openings
        )
        if free and start + width < length:
            sill = 0.0 if is_door else float(rng.choice([0.1, 0.8, 0.9, 1.1]))
            top = float(rng.uniform(1.98, 2.15) if is_door else rng.uniform(1.9, height - 0.15))
            openings.append(Opening(wall, start, width, sill, top, "door" if is_door else "window"))
    return openings


def _furnish(room: Room, name: str, catalogue: Catalogue) -> None:
    """Place the furniture of a room of the kind ``name``."""
    rng, kind = room.rng, room_kinds()[name]
    fullness = float(rng.uniform(0.6, 1.0))
    for piece in kind.at_walls:
        if rng.random() < fullness:
            _place_at_wall(room, piece, catalogue)
    for piece in kind.in_middle:
        if rng.random() < fullness:
            _place_in_middle(room, piece, catalogue)
    is_office = name in ("office", "meeting", "classroom", "corridor", "hall")
    for _ in range(int(rng.integers(0, 6))):
        room.hang_on_wall(fixtures.wall_object(rng, is_office))
    for _ in range(int(rng.poisson(2.5))):
        piece = str(rng.choice(["box", "bag", "clothes", "trash bin", "stool", "chair"]))
        room.place_anywhere(FURNITURE[piece](rng))
    if rng.random() < 0.15:
        room.place_anywhere(fixtures.column(rng, room.height))
    room.add(fixtures.ceiling_fixtures(rng, (room.width, room.depth, room.height), is_office))


def _place_at_wall(room: Room, name: str, catalogue: Catalogue) -> None:
    """Place a piece at a wall; "desk+" is a desk with a chair somewhere in the room."""
    rng = room.rng
    if name != "desk+":
        room.place_at_wall(draw_piece(name, rng, catalogue))
    elif room.place_at_wall(FURNITURE["desk"](rng)):
        chair = str(rng.choice(["office chair", "chair"]))
        room.place_anywhere(draw_piece(chair, rng, catalogue))


def _place_in_middle(room: Room, name: str, catalogue: Catalogue) -> None:
    """Place a piece, a group of furniture or columns in the room."""
    rng = room.rng
    if name in _GROUPS:
        _GROUPS[name](room, catalogue)
    elif name == "columns":
        for x in np.arange(2.5, room.width - 1, float(rng.uniform(3, 6))):
            y = room.depth * float(rng.choice([0.3, 0.7]))
            room.place(fixtures.column(rng, room.height), float(x), y, 0.0)
    else:
        room.place_anywhere(draw_piece(name, rng, catalogue), keep_clear=name != "rug")


def draw_piece(name: str, rng: Rng, catalogue: Catalogue) -> Mesh:
    """Return a piece of furniture or a fixture: a third from the catalogue, else generated."""
    if rng.random() < 0.35:
        mesh = draw_from_catalogue(catalogue, name, rng)
        if mesh is not None:
            return mesh.moved(scale=float(rng.uniform(0.92, 1.08)))
    if name == "tv":
        return _television_on_stand(rng)
    if name == "printer":
        return box("printer", (0.55, 0.6, float(rng.uniform(0.5, 1.1))))
    if name == "ladder":
        return box("ladder", (0.1, 0.45, 2.0), taper=(1, 0.7))
    return _FIXTURES[name](rng) if name in _FIXTURES else FURNITURE[name](rng)


def _television_on_stand(rng: Rng) -> Mesh:
    width = float(rng.uniform(0.7, 1.4))
    return merge(
        [
            box("cabinet", (0.42, width * 1.3, 0.5)),
            box("television", (0.05, width, width * 0.57), (0, 0, 0.58)),
            box("television", (0.2, 0.4, 0.08), (0, 0, 0.5)),
        ]
    )


def _table_with_seats(room: Room, catalogue: Catalogue) -> None:
    """Place a table with chairs or stools on two sides."""
    rng = room.rng
    seat = str(rng.choice(["chair", "chair", "chair", "stool"]))
    table = draw_piece("table", rng, catalogue)
    x, y, yaw = (
        room.width * float(rng.uniform(0.3, 0.7)),
        room.depth * float(rng.uniform(0.3, 0.7)),
        float(rng.choice([0, np.pi / 2])),
    )
    if not room.place(table, x, y, yaw):
        return
    # (3,) half extents of the table in its own frame.
    half = np.abs(table.triangles).max(axis=(0, 1))
    for side in (1, -1):
        for along in np.arange(-half[1] + 0.3, half[1] - 0.1, 0.65):
            distance = side * (half[0] + float(rng.uniform(0.05, 0.45)))
            offset = np.array([distance, along]) @ np.array(
                [[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]]
            )
            turn = yaw + (np.pi if side > 0 else 0.0) + float(rng.normal(0, 0.25))
            if rng.random() < 0.85:
                room.place(
                    draw_piece(seat, rng, catalogue),
                    x + float(offset[0]),
                    y + float(offset[1]),
                    turn,
                    keep_clear=False,
                )


def _meeting_table(room: Room, catalogue: Catalogue) -> None:
    """Place one long table in the middle of the room, with chairs on both sides."""
    rng = room.rng
    length, width = room.depth * 0.5, float(rng.uniform(0.9, 1.5))
    concept, seat = (
        str(rng.choice(["table", "table", "desk"])),
        str(rng.choice(["chair", "office chair"])),
    )
    table = merge(
        [
            box(concept, (width, length, 0.04), (0, 0, 0.71)),
            box(concept, (width * 0.5, length * 0.7, 0.7)),
        ]
    )
    room.place(table, room.width / 2, room.depth / 2, 0.0)
    for side in (1, -1):
        for y in np.arange(-length / 2 + 0.4, length / 2, 0.75):
            x = room.width / 2 + side * (width / 2 + float(rng.uniform(0.05, 0.5)))
            room.place(
                draw_piece(seat, rng, catalogue),
                x,
                room.depth / 2 + float(y),
                np.pi * (side > 0) + float(rng.normal(0, 0.3)),
                keep_clear=False,
            )


def _rows_of_chairs(room: Room, catalogue: Catalogue) -> None:
    """Place rows of chairs, mostly with a desk in front of each."""
    rng = room.rng
    seat = str(rng.choice(["chair", "chair", "office chair"]))
    with_desks = rng.random() < 0.6
    for x in np.arange(1.5, room.width - 1.2, 1.6):
        for y in np.arange(1.0, room.depth - 0.8, 1.0):
            if with_desks:
                desk = box("desk", (0.5, 0.95, 0.03), (0, 0, 0.7))
                room.place(desk, float(x) + 0.5, float(y), 0.0, keep_clear=False)
            if rng.random() < 0.85:
                room.place(
                    draw_piece(seat, rng, catalogue),
                    float(x),
                    float(y),
                    float(rng.normal(0, 0.15)),
                    keep_clear=False,
                )


def _desk_islands(room: Room, catalogue: Catalogue) -> None:
    """Place pairs of desks face to face, with office chairs and partitions."""
    rng = room.rng
    for x in np.arange(2.2, room.width - 1.8, 3.2):
        for y in np.arange(1.6, room.depth - 1.2, 1.7):
            for side in (1, -1):
                desk_x = float(x) + side * 0.4
                if room.place(FURNITURE["desk"](rng), desk_x, float(y), np.pi * (side < 0)):
                    room.place(
                        draw_piece("office chair", rng, catalogue),
                        desk_x + side * 0.75,
                        float(y),
                        np.pi * (side > 0) + float(rng.normal(0, 0.5)),
                        keep_clear=False,
                    )
            if rng.random() < 0.5:
                room.add(fixtures.desk_partition(rng).moved((float(x), float(y), 0)))


_FIXTURES: Mapping[str, Callable[[Rng], Mesh]] = MappingProxyType(
    {
        "counter": fixtures.counter,
        "refrigerator": fixtures.refrigerator,
        "toilet": fixtures.toilet,
        "bathtub": fixtures.bathtub,
        "basin": fixtures.wash_basin,
        "washing machine": fixtures.washing_machine,
        "radiator": fixtures.radiator,
        "rug": fixtures.rug,
        "stairs": fixtures.stairs,
    }
)
_GROUPS: Mapping[str, Callable[[Room, Catalogue], None]] = MappingProxyType(
    {
        "table and seats": _table_with_seats,
        "meeting table": _meeting_table,
        "rows of chairs": _rows_of_chairs,
        "desk islands": _desk_islands,
    }
)
