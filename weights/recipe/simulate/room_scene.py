"""Indoor scenes: furnished rooms that join through doors, and what is seen through openings."""

from dataclasses import dataclass

import numpy as np

from weights.recipe.simulate.finishes import draw_finish
from weights.recipe.simulate.floor_plan import PlannedRoom, draw_floor_plan, room_kinds
from weights.recipe.simulate.furnishing import Furnisher
from weights.recipe.simulate.openings import Opening
from weights.recipe.simulate.pieces import PieceCatalogue
from weights.recipe.simulate.primitives import (
    Mesh,
    Rng,
    box,
    box_between,
    ellipsoid,
    merge,
    quads,
    tube,
)
from weights.recipe.simulate.room import Rectangle, Room, draw_style
from weights.recipe.simulate.wall_objects import ceiling_objects, stairs


@dataclass(frozen=True, slots=True)
class RoomScene:
    """Rooms as one mesh, and what scanners need to know of them.

    Attributes:
        mesh: all triangles.
        floors: (x0, x1, y0, y1) of each room in metres.
        kinds: the kinds of the rooms, joined by "+".
        height: height of the rooms in metres.
        lamps: (x, y, z) of lamps that give light.
        windows: (x, y, z, direction) of windows: their middle, and the direction into the room in
            radians.
    """

    mesh: Mesh
    floors: list[Rectangle]
    kinds: str
    height: float
    lamps: list[tuple[float, float, float]]
    windows: list[tuple[float, float, float, float]]


def draw_rooms(rng: Rng, pieces: PieceCatalogue, *, ceiling: bool) -> RoomScene:
    """Return one to six furnished rooms.

    Args:
        rng: random generator of the scene.
        pieces: ready-made pieces.
        ceiling: whether rooms have ceilings.
    """
    plan = draw_floor_plan(rng, 2.5)
    height = max(float(rng.uniform(*room_kinds()[room.kind].height)) for room in plan)
    furnisher = Furnisher(rng, pieces)
    parts: list[Mesh] = []
    lamps: list[tuple[float, float, float]] = []
    windows: list[tuple[float, float, float, float]] = []
    for planned in plan:
        kind = room_kinds()[planned.kind]
        style = draw_style(rng, tuple(kind.floors), wet=kind.wet, public=kind.public)
        # Rooms under a roof have a ceiling that slopes towards one wall, without openings in it.
        knee = None
        is_home = kind.lights == "single"
        blank = all(opening.wall != 0 for opening in planned.openings)
        if is_home and blank and rng.random() < 0.12:
            knee = float(rng.uniform(0.9, 1.7))
        room = Room((*planned.size, height), rng, planned.openings, style, knee_m=knee)
        furnisher.furnish(room, kind)
        if planned.kind in ("corridor", "living", "lounge") and rng.random() < 0.12:
            room.place_at_wall(stairs(rng))
        overhead, spots = ceiling_objects(rng, (*planned.size, height), kind.lights)
        if knee is None:
            room.add(overhead)
        x0, _, y0, _ = planned.floor
        parts.append(room.build(ceiling=ceiling).moved((x0, y0, 0)))
        lamps += [(x + x0, y + y0, z) for x, y, z in spots]
        windows += _windows(room, x0, y0)
        parts += [
            _space_behind(rng, room, opening).moved((x0, y0, 0))
            for opening in planned.openings
            if opening.kind == "door" and opening.outside == "space"
        ]
    if windows:
        parts.append(_outdoors(rng, windows, plan))
    kinds = "+".join(room.kind for room in plan)
    floors = [room.floor for room in plan]
    return RoomScene(merge(parts), floors, kinds, height, lamps, windows)


def _windows(room: Room, x0: float, y0: float) -> list[tuple[float, float, float, float]]:
    found = []
    for opening in room.openings:
        if opening.kind == "window":
            pose = room.wall_pose(opening.wall, opening.start + opening.width / 2)
            z = (opening.sill + opening.top) / 2
            found.append((pose.x + x0, pose.y + y0, z, float(pose.yaw)))
    return found


def _space_behind(rng: Rng, room: Room, opening: Opening) -> Mesh:
    """Return a bare piece of another room behind a door, in the room's frame."""
    pose = room.wall_pose(opening.wall, opening.start + opening.width / 2)
    reach, half = float(rng.uniform(0.9, 3.0)), opening.width / 2 + float(rng.uniform(0.2, 1.5))
    # x points away from the room; the wall between is 0.12 m thick.
    a, b, h = 0.12, 0.12 + reach, room.height
    floor = draw_finish(rng, "parquet", "tile", "carpet", "concrete")
    wall = draw_finish(rng, "wall_paint", "ceiling_paint")
    sides = [
        [(b, -half, 0), (b, half, 0), (b, half, h), (b, -half, h)],
        *([(a, y, 0), (b, y, 0), (b, y, h), (a, y, h)] for y in (-half, half)),
        [(a, -half, 0), (a, -opening.width / 2, 0), (a, -opening.width / 2, h), (a, -half, h)],
        [(a, opening.width / 2, 0), (a, half, 0), (a, half, h), (a, opening.width / 2, h)],
    ]
    space = merge(
        [
            floor.on(
                quads(
                    "floor",
                    [[(a - 0.12, -half, 0), (b, -half, 0), (b, half, 0), (a - 0.12, half, 0)]],
                )
            ),
            wall.on(quads("indoor wall", sides)),
            wall.on(quads("ceiling", [[(a, -half, h), (b, -half, h), (b, half, h), (a, half, h)]])),
        ]
    )
    return space.moved((pose.x, pose.y, 0), float(pose.yaw + np.pi))


def _outdoors(
    rng: Rng, windows: list[tuple[float, float, float, float]], plan: list[PlannedRoom]
) -> Mesh:
    """Return the ground, houses, a balcony and trees that are seen through windows."""
    storey = float(rng.choice([0.3, 0.3, 3.0, 6.0, 15.0]))
    ground_kind = str(rng.choice(["grass", "road", "sidewalk"]))
    x0, x1 = min(room.floor[0] for room in plan), max(room.floor[1] for room in plan)
    y0, y1 = min(room.floor[2] for room in plan), max(room.floor[3] for room in plan)
    size = 60.0
    strips = [
        (x0 - size, x0 - 0.4, y0 - size, y1 + size),
        (x1 + 0.4, x1 + size, y0 - size, y1 + size),
        (x0 - 0.4, x1 + 0.4, y0 - size, y0 - 0.4),
        (x0 - 0.4, x1 + 0.4, y1 + 0.4, y1 + size),
    ]
    # The ground lies around the rooms, not under them.
    ground = quads(
        ground_kind,
        [
            [(a, c, -storey), (b, c, -storey), (b, d, -storey), (a, d, -storey)]
            for a, b, c, d in strips
        ],
    )
    parts = [ground]
    for x, y, _, direction in windows:
        away = direction + np.pi
        ahead = np.array([np.cos(away), np.sin(away)])
        if rng.random() < 0.6:
            reach = float(rng.uniform(5, 25))
            spot = np.array([x, y]) + ahead * (reach + 4)
            house = box(
                "building", (8, float(rng.uniform(8, 25)), float(rng.uniform(5, 18)) + storey)
            )
            parts.append(house.moved((float(spot[0]), float(spot[1]), -storey), float(away)))
        if rng.random() < 0.5:
            spot = np.array([x, y]) + ahead * float(rng.uniform(2.5, 8)) + rng.normal(0, 1, 2)
            tall = float(rng.uniform(3, 9))
            crown = ellipsoid(
                "tree crown", (0, 0, tall * 0.65), (tall * 0.25, tall * 0.25, tall * 0.35)
            )
            trunk = tube("tree trunk", (0, 0, 0), (0, 0, tall * 0.5), 0.15)
            parts.append(merge([crown, trunk]).moved((float(spot[0]), float(spot[1]), -storey)))
        if rng.random() < 0.2:
            spot = np.array([x, y]) + ahead * 0.75
            slab = box_between("floor", (-0.6, -1.6, -0.1), (0.6, 1.6, -0.02))
            rail = box_between("railing", (0.55, -1.6, -0.02), (0.6, 1.6, 0.95))
            parts.append(
                merge([slab, rail]).moved((float(spot[0]), float(spot[1]), 0), float(away))
            )
    return merge(part.painted(rng) for part in parts)
