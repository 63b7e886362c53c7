"""Floor plans: which rooms a building has, where they are, and the doors and windows between."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from weights.recipe.simulate.openings import Opening
from weights.recipe.simulate.primitives import Rng
from weights.recipe.simulate.room import Rectangle

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Rooms beside each other are this far apart: the thickness of a wall.
WALL_M = 0.12


@dataclass(frozen=True, slots=True)
class RoomKind:
    """A kind of room from ``room_kinds.toml``, which explains the fields.

    Attributes:
        weight: how often the kind is drawn, relative to the others of a building.
        width: range of the extent along x in metres, for a room alone.
        depth: range of the extent along y in metres.
        height: range in metres.
        floors: materials of the floor.
        at_walls: pieces and groups at the walls.
        in_middle: pieces and groups that stand anywhere.
        on_walls: what hangs on the walls.
        scattered: pieces of which a few lie about.
        lights: style of the lamps: "single", "grid" or "hall".
        windows: highest number of windows.
        wet: whether walls are tiled.
        public: whether its doors are those of offices.
    """

    weight: float
    width: tuple[float, float]
    depth: tuple[float, float]
    height: tuple[float, float]
    floors: tuple[str, ...]
    at_walls: tuple[str, ...] = ()
    in_middle: tuple[str, ...] = ()
    on_walls: tuple[str, ...] = ()
    scattered: tuple[str, ...] = ()
    lights: str = "single"
    windows: int = 3
    wet: bool = False
    public: bool = False


@lru_cache(maxsize=1)
def _tables() -> dict[str, Any]:
    text = Path(__file__).with_name("room_kinds.toml").read_text(encoding="utf-8")
    tables: dict[str, Any] = tomllib.loads(text)
    return tables


@lru_cache(maxsize=1)
def room_kinds() -> Mapping[str, RoomKind]:
    """Return the kinds of room by name."""
    return {name: RoomKind(**row) for name, row in _tables()["room"].items()}


def receptacles() -> Mapping[str, Mapping[str, float]]:
    """Return for each piece of furniture how probably each small object stands on it."""
    table: Mapping[str, Mapping[str, float]] = _tables()["receptacle"]
    return table


@dataclass
class PlannedRoom:
    """A room of a floor plan.

    Attributes:
        kind: a name of `room_kinds`.
        floor: (x0, x1, y0, y1) metres.
        openings: its doors, windows, passages and gaps.
    """

    kind: str
    floor: Rectangle
    openings: list[Opening] = field(default_factory=list)

    @property
    def size(self) -> tuple[float, float]:
        """Width and depth in metres."""
        x0, x1, y0, y1 = self.floor
        return x1 - x0, y1 - y0


def draw_floor_plan(rng: Rng, height: float) -> list[PlannedRoom]:
    """Return one room, or two to six that join through doors.

    Args:
        rng: draws the plan.
        height: height of the rooms in metres.
    """
    buildings = _tables()["building"]
    names = list(buildings)
    weight = np.array([buildings[name]["weight"] for name in names])
    building = buildings[str(rng.choice(names, p=weight / weight.sum()))]
    kinds = [str(kind) for kind in building["rooms"]]
    form = str(rng.choice(["one", "several", "corridor"], p=[0.55, 0.3, 0.15]))
    if form == "one":
        kind = _draw_kind(rng, kinds, None)
        row = room_kinds()[kind]
        # Small rooms are more frequent than large ones.
        share = rng.random(2) ** 1.4
        width = row.width[0] + (row.width[1] - row.width[0]) * float(share[0])
        depth = row.depth[0] + (row.depth[1] - row.depth[0]) * float(share[1])
        if rng.random() < 0.5:
            width, depth = depth, width
        rooms = [PlannedRoom(kind, (0.0, width, 0.0, depth))]
    else:
        rooms = _divided(rng, kinds, form == "corridor")
    _join(rng, rooms)
    for room in rooms:
        _add_outer_openings(rng, room, rooms, height)
    return rooms


def _draw_kind(rng: Rng, kinds: list[str], size: tuple[float, float] | None) -> str:
    """Return a kind whose usual extents are near a size, or any kind if there is no size."""
    table = room_kinds()
    weight = np.array([table[kind].weight for kind in kinds])
    if size is not None:
        short, long = sorted(size)
        fits = []
        for kind in kinds:
            row = table[kind]
            low, high = sorted((row.width, row.depth))
            fits.append(
                low[0] * 0.8 < short < low[1] * 1.15 and high[0] * 0.8 < long < high[1] * 1.2
            )
        if any(fits):
            weight = weight * np.array(fits)
    return str(rng.choice(kinds, p=weight / weight.sum()))


def _divided(rng: Rng, kinds: list[str], has_corridor: bool) -> list[PlannedRoom]:
    """Return rooms that fill a rectangle, with or without a corridor through it."""
    count = int(rng.integers(2, 5))
    area = sum(_usual_area(rng, kinds) for _ in range(count))
    area = float(np.clip(area, 16, 150))
    width = float(np.sqrt(area) * rng.uniform(0.8, 1.6))
    depth = area / width
    if not has_corridor:
        floors = _split(rng, (0.0, width, 0.0, depth), count)
        corridor: list[PlannedRoom] = []
    else:
        wide = float(rng.uniform(1.2, 2.4))
        width = max(width, 5.0)
        lower = float(np.clip(depth * rng.uniform(0.35, 0.6), 2.4, 6.0))
        upper = float(np.clip(depth - lower, 2.4, 6.0))
        start = lower + WALL_M
        corridor = [PlannedRoom("corridor", (0.0, width, start, start + wide))]
        above = start + wide + WALL_M
        floors = _split(rng, (0.0, width, 0.0, lower), max(count // 2, 1))
        if rng.random() < 0.7:
            floors += _split(rng, (0.0, width, above, above + upper), max(count - count // 2, 1))
    rooms = []
    used: set[str] = set()
    for floor in floors:
        size = (floor[1] - floor[0], floor[3] - floor[2])
        # A flat has one kitchen, and seldom two rooms of any other kind.
        left = [kind for kind in kinds if kind not in used and kind != "corridor"] or kinds
        kind = _draw_kind(rng, left, size)
        if rng.random() < 0.8:
            used.add(kind)
        rooms.append(PlannedRoom(kind, floor))
    return [*corridor, *rooms]


def _usual_area(rng: Rng, kinds: list[str]) -> float:
    row = room_kinds()[str(rng.choice(kinds))]
    return float(np.mean(row.width) * np.mean(row.depth))


def _split(rng: Rng, floor: Rectangle, count: int) -> list[Rectangle]:
    """Return ``count`` rectangles that fill one, walls left out; fewer if they were too small."""
    x0, x1, y0, y1 = floor
    along_x = x1 - x0 > y1 - y0
    length = x1 - x0 if along_x else y1 - y0
    if count < 2 or length < 4.0:
        return [floor]
    first = count // 2
    cut = length * float(np.clip(first / count + rng.normal(0, 0.09), 0.3, 0.7))
    if along_x:
        parts = [(x0, x0 + cut, y0, y1), (x0 + cut + WALL_M, x1, y0, y1)]
    else:
        parts = [(x0, x1, y0, y0 + cut), (x0, x1, y0 + cut + WALL_M, y1)]
    return _split(rng, parts[0], first) + _split(rng, parts[1], count - first)


def _shared_wall(a: Rectangle, b: Rectangle) -> tuple[int, float, float] | None:
    """Return the wall of ``a`` that ``b`` adjoins, and the shared span along x or y; or None."""
    candidates = [
        (1, a[1], b[0], max(a[2], b[2]), min(a[3], b[3])),
        (3, b[1], a[0], max(a[2], b[2]), min(a[3], b[3])),
        (2, a[3], b[2], max(a[0], b[0]), min(a[1], b[1])),
        (0, b[3], a[2], max(a[0], b[0]), min(a[1], b[1])),
    ]
    for wall, edge, other, low, high in candidates:
        if abs(other - edge - WALL_M) < 0.02 and high - low > 0.3:
            return wall, low, high
    return None


def _wall_position(floor: Rectangle, wall: int, low: float, high: float) -> float:
    """Return the start on a wall of a span along x or y."""
    x0, x1, y0, y1 = floor
    return [low - x0, low - y0, x1 - high, y1 - high][wall]


def _join(rng: Rng, rooms: list[PlannedRoom]) -> None:
    """Add doors so that all rooms that adjoin are connected, and a few more."""
    pairs = [(i, j) for i in range(len(rooms)) for j in range(i + 1, len(rooms))]
    group = list(range(len(rooms)))
    for number in rng.permutation(len(pairs)):
        i, j = pairs[int(number)]
        shared = _shared_wall(rooms[i].floor, rooms[j].floor)
        if shared is None or (group[i] == group[j] and rng.random() < 0.75):
            continue
        wall, low, high = shared
        width = float(rng.uniform(0.75, 1.0))
        if high - low < width + 0.3:
            continue
        is_open = rng.random() < 0.15 and high - low > 2.0
        if is_open:
            width = float(rng.uniform(1.0, min(high - low - 0.3, 3.5)))
        start = float(rng.uniform(low + 0.12, high - width - 0.12))
        if rng.random() < 0.6:
            start = float(rng.choice([low + 0.15, high - width - 0.15]))
        top = float(rng.uniform(1.98, 2.12)) if not is_open else float(rng.uniform(2.0, 2.4))
        own = _wall_position(rooms[i].floor, wall, start, start + width)
        other_wall = (wall + 2) % 4
        others = _wall_position(rooms[j].floor, other_wall, start, start + width)
        kind = "gap" if is_open else "door"
        rooms[i].openings.append(Opening(wall, own, width, 0.0, top, kind, "room"))
        rooms[j].openings.append(Opening(other_wall, others, width, 0.0, top, "passage", "room"))
        old, new = group[j], group[i]
        group = [new if entry == old else entry for entry in group]


def _add_outer_openings(
    rng: Rng, room: PlannedRoom, rooms: list[PlannedRoom], height: float
) -> None:
    """Add windows and doors to the walls of a room that adjoin no other room."""
    kind = room_kinds()[room.kind]
    inner = {
        shared[0]
        for other in rooms
        if other is not room and (shared := _shared_wall(room.floor, other.floor)) is not None
    }
    outer = [wall for wall in range(4) if wall not in inner]
    if not outer:
        return
    has_door = any(opening.kind != "window" for opening in room.openings)
    wanted = ["door"] if not has_door or rng.random() < 0.25 else []
    wanted += ["window"] * int(rng.integers(0, kind.windows + 1))
    # Most rooms have their windows on one wall.
    main = int(rng.choice(outer))
    for name in wanted:
        wall = main if name == "window" and rng.random() < 0.75 else int(rng.choice(outer))
        length = room.size[wall % 2]
        if name == "door":
            width = float(rng.uniform(0.78, 1.05))
            if kind.public and rng.random() < 0.3:
                width = float(rng.uniform(1.5, 1.9))
            sill, top = 0.0, float(rng.uniform(2.0, 2.15))
        else:
            width = float(rng.uniform(0.5, max(min(3.2, length * 0.8), 0.6)))
            sill = float(rng.choice([0.05, 0.5, 0.8, 0.9, 0.9, 1.1, 1.4]))
            top = float(rng.uniform(max(1.8, sill + 0.6), height - 0.1))
        if length < width + 0.3:
            continue
        start = float(rng.uniform(0.12, length - width - 0.12))
        free = all(
            other.wall != wall
            or start > other.start + other.width + 0.18
            or start + width < other.start - 0.18
            for other in room.openings
        )
        if free:
            outside = "space" if name == "door" else "outdoors"
            room.openings.append(Opening(wall, start, width, sill, top, name, outside))
