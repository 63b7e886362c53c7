"""One room: walls with doors and windows, and furniture placed without collisions.

A room covers [0, width] × [0, depth] metres of the floor. Walls are numbered 0 south (y = 0),
1 east, 2 north, 3 west. A position on a wall is in metres from the wall's left end, seen from
inside the room.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from weights.recipe.simulate.finishes import Finish, draw_finish
from weights.recipe.simulate.openings import Opening, door, window
from weights.recipe.simulate.primitives import F64, Mesh, Rng, box_between, merge, quads

# (x0, x1, y0, y1) in metres.
Rectangle = tuple[float, float, float, float]


class Place(NamedTuple):
    """Where a piece stands: its origin in metres and its yaw in radians."""

    x: float
    y: float
    yaw: float

    def beside(self, ahead: float, left: float, turn: float = 0.0) -> "Place":
        """Return a place at an offset in the piece's own frame, in metres, turned by ``turn``."""
        cos, sin = float(np.cos(self.yaw)), float(np.sin(self.yaw))
        return Place(
            self.x + ahead * cos - left * sin, self.y + ahead * sin + left * cos, self.yaw + turn
        )


@dataclass(frozen=True, slots=True)
class RoomStyle:
    """The surfaces of a room.

    Attributes:
        floor: finish of the floor.
        wall: finish of the walls.
        accent: finish of one wall, or None.
        tiled_to: height in metres up to which walls are tiled; 0 for none.
        ceiling: finish of the ceiling.
        public: whether doors are those of offices and corridors.
    """

    floor: Finish
    wall: Finish
    accent: Finish | None
    tiled_to: float
    ceiling: Finish
    public: bool


def draw_style(rng: Rng, floors: tuple[str, ...], *, wet: bool, public: bool) -> RoomStyle:
    """Return random surfaces of a room.

    Args:
        rng: draws them.
        floors: materials that its floor can have.
        wet: whether walls are mostly tiled.
        public: see `RoomStyle`.
    """
    walls = ["wall_paint"] * 6 + ["ceiling_paint"] * 3 + ["plaster", "brick", "wood", "concrete"]
    tiled = float(rng.choice([0.0, 1.2, 1.6, 3.0])) if wet else 0.0
    return RoomStyle(
        draw_finish(rng, *floors),
        draw_finish(rng, *walls),
        draw_finish(rng, "wall_paint", "wood", "brick") if rng.random() < 0.2 else None,
        tiled,
        draw_finish(rng, "ceiling_paint", "ceiling_paint", "wall_paint"),
        public,
    )


class Room:
    """A room that furniture is placed in.

    Attributes:
        width: extent along x in metres.
        depth: extent along y in metres.
        height: metres.
        rng: random generator of the scene.
        openings: doors, windows, passages and gaps.
        style: its surfaces.
        knee_m: height of the ceiling at y = 0 under a roof; `height` for a flat ceiling.
    """

    def __init__(
        self,
        size: tuple[float, float, float],
        rng: Rng,
        openings: list[Opening],
        style: RoomStyle,
        *,
        knee_m: float | None = None,
    ) -> None:
        """Start with an empty room of (width, depth, height) metres."""
        self.width, self.depth, self.height = size
        self.rng = rng
        self.openings = openings
        self.style = style
        self.knee_m = self.height if knee_m is None else knee_m
        self._objects: list[Mesh] = []
        self._occupied: list[Rectangle] = []
        # (wall, start, end, low, high) of what hangs on walls.
        self._hanging: list[tuple[int, float, float, float, float]] = []
        # Nothing may stand right inside a door.
        for opening in openings:
            if opening.kind != "window":
                x, y, _ = self.wall_pose(opening.wall, opening.start + opening.width / 2)
                reach = max(opening.width / 2, 0.5)
                self._occupied.append((x - reach, x + reach, y - reach, y + reach))

    def wall_length(self, wall: int) -> float:
        """Return the length of a wall in metres."""
        return self.depth if wall % 2 else self.width

    def wall_pose(self, wall: int, position: float) -> Place:
        """Return a position on a wall and the direction into the room."""
        x, y = [
            (position, 0.0),
            (self.width, position),
            (self.width - position, self.depth),
            (0.0, self.depth - position),
        ][wall]
        return Place(x, y, [np.pi / 2, np.pi, -np.pi / 2, 0.0][wall])

    def add(self, mesh: Mesh) -> None:
        """Add an object that is already in the room's coordinates, without collision checks."""
        self._objects.append(mesh.painted(self.rng))

    def occupy(self, rectangle: Rectangle) -> None:
        """Keep furniture out of a part of the floor."""
        self._occupied.append(rectangle)

    def place(self, mesh: Mesh, place: Place, *, keep_clear: bool = True) -> bool:
        """Place an object if it fits into the room, and return whether it was placed.

        Args:
            mesh: the object in its own frame.
            place: where.
            keep_clear: whether the object must not overlap objects placed this way before, nor
                later ones it; otherwise it may overlap anything, as chairs do under tables.
        """
        placed = mesh.moved((place.x, place.y, 0), place.yaw)
        corners = placed.triangles.reshape(-1, 3)
        if not len(corners):
            return False
        (x0, y0, _), (x1, y1, _) = corners.min(axis=0), corners.max(axis=0)
        inside = x0 > -0.03 and y0 > -0.03 and x1 < self.width + 0.03 and y1 < self.depth + 0.03
        overlaps = any(
            x0 < b - 0.01 and x1 > a + 0.01 and y0 < d - 0.01 and y1 > c + 0.01
            for a, b, c, d in self._occupied
        )
        ceiling = self._ceiling_at(corners[:, 1].astype(np.float64))
        below_roof = bool((corners[:, 2] < ceiling - 0.02).all())
        if not inside or not below_roof or (overlaps and keep_clear):
            return False
        self.add(placed)
        if keep_clear:
            self._occupied.append((float(x0), float(x1), float(y0), float(y1)))
        return True

    def _ceiling_at(self, y: F64) -> F64:
        """Return the height of the ceiling at positions y; a roof rises to 60 % of the depth."""
        rise = np.clip(np.asarray(y) / (0.6 * self.depth), 0, 1)
        return np.asarray(self.knee_m + (self.height - self.knee_m) * rise)

    def place_at_wall(
        self, mesh: Mesh, tries: int = 30, *, wall: int | None = None, corner: bool = False
    ) -> Place | None:
        """Place an object with its back to a wall, and return where, or None.

        Args:
            mesh: the object in its own frame.
            tries: number of random positions to try.
            wall: the wall; None is any.
            corner: whether the object stands in a corner of the room.
        """
        corners = mesh.triangles.reshape(-1, 3)
        if not len(corners):
            return None
        back = float(-corners[:, 0].min())
        low, high = float(corners[:, 1].min()), float(corners[:, 1].max())
        top = float(corners[:, 2].max())
        for _ in range(tries):
            number = int(self.rng.integers(4)) if wall is None else wall
            length = self.wall_length(number)
            # An object that faces the room has its left side, +y, towards the wall's left end.
            first, last = high, length + low
            if last < first:
                continue
            position = float(self.rng.uniform(first, last))
            if corner or self.rng.random() < 0.25:
                position = float(self.rng.choice([first + 0.01, last - 0.01]))
            span = (position - high, position - low)
            if self._hides_opening(number, span, top) or self._meets_hanging(
                number, span, (0, top)
            ):
                continue
            pose = self.wall_pose(number, position)
            gap = back + float(self.rng.choice([0.0, 0.01, 0.03, 0.08]))
            place = pose.beside(gap, 0.0)
            if self.place(mesh, place):
                return place
        return None

    def _hides_opening(self, wall: int, span: tuple[float, float], top: float) -> bool:
        """Return whether an object would hide a door, or more than half a metre of a window."""
        return any(
            opening.wall == wall
            and opening.sill < top - (0.5 if opening.kind == "window" else 0)
            and span[1] > opening.start - 0.05
            and span[0] < opening.start + opening.width + 0.05
            for opening in self.openings
        )

    def _meets_hanging(
        self, wall: int, span: tuple[float, float], heights: tuple[float, float]
    ) -> bool:
        return any(
            other == wall
            and span[1] > start
            and span[0] < end
            and heights[1] > low
            and heights[0] < high
            for other, start, end, low, high in self._hanging
        )

    def place_anywhere(
        self, mesh: Mesh, tries: int = 14, *, keep_clear: bool = True
    ) -> Place | None:
        """Place an object at a random free spot on the floor; return where, or None."""
        for _ in range(tries):
            yaw = float(self.rng.choice([0, 0.5, 1, 1.5])) * np.pi + float(self.rng.normal(0, 0.12))
            place = Place(
                float(self.rng.uniform(0, self.width)), float(self.rng.uniform(0, self.depth)), yaw
            )
            if self.place(mesh, place, keep_clear=keep_clear):
                return place
        return None

    def hang_on_wall(self, mesh: Mesh, tries: int = 8, *, wall: int | None = None) -> Place | None:
        """Hang an object, whose back is at x = 0, on a wall beside the openings, if it fits."""
        corners = mesh.triangles.reshape(-1, 3)
        if not len(corners):
            return None
        half_width = float(np.abs(corners[:, 1]).max())
        low, high = float(corners[:, 2].min()), float(corners[:, 2].max())
        for _ in range(tries):
            number = int(self.rng.integers(4)) if wall is None else wall
            length = self.wall_length(number)
            if length < 2 * half_width + 0.1:
                continue
            position = float(self.rng.uniform(half_width + 0.03, length - half_width - 0.03))
            span = (position - half_width, position + half_width)
            blocked = any(
                opening.wall == number
                and span[1] > opening.start - 0.08
                and span[0] < opening.start + opening.width + 0.08
                and high > opening.sill
                and low < opening.top
                for opening in self.openings
            )
            pose = self.wall_pose(number, position)
            point = pose.beside(0.15, 0.0)
            fits = high < float(self._ceiling_at(np.array([point.y]))[0]) - 0.02
            if blocked or not fits or self._meets_hanging(number, span, (low, high)):
                continue
            if low < 0.9 and self._is_occupied(point.x, point.y):
                continue
            self.add(mesh.moved((pose.x, pose.y, 0), pose.yaw))
            self._hanging.append((number, *span, low, high))
            return pose
        return None

    def _is_occupied(self, x: float, y: float) -> bool:
        return any(a < x < b and c < y < d for a, b, c, d in self._occupied)

    def build(self, *, ceiling: bool) -> Mesh:
        """Return floor, walls and all objects as one mesh, with or without a ceiling."""
        w, d, h, style = self.width, self.depth, self.height, self.style
        parts = [style.floor.on(quads("floor", [[(0, 0, 0), (w, 0, 0), (w, d, 0), (0, d, 0)]]))]
        if ceiling:
            run, knee = 0.6 * d, self.knee_m
            planes = [
                [(0, 0, knee), (w, 0, knee), (w, run, h), (0, run, h)],
                [(0, run, h), (w, run, h), (w, d, h), (0, d, h)],
            ]
            parts.append(style.ceiling.on(quads("ceiling", planes)))
        accent = int(self.rng.integers(4))
        skirting = (
            draw_finish(self.rng, "ceiling_paint", "wood") if self.rng.random() < 0.6 else None
        )
        parts += [self._wall(wall, accent == wall, skirting) for wall in range(4)]
        return merge([*(part.painted(self.rng) for part in parts), *self._objects])

    def _filling(self, opening: Opening, finish: Finish) -> Mesh:
        """Return the door, window or jambs of an opening in a wall with a finish."""
        if opening.kind == "door":
            return door(opening, self.rng, public=self.style.public).painted(self.rng)
        if opening.kind == "window":
            return window(opening, self.rng).painted(self.rng)
        return finish.on(_jamb(opening)) if opening.kind == "gap" else merge([])

    def _wall(self, wall: int, is_accent: bool, skirting: Finish | None) -> Mesh:
        """Return a wall with its doors and windows."""
        length, style = self.wall_length(wall), self.style
        openings = [opening for opening in self.openings if opening.wall == wall]
        finish = style.accent if is_accent and style.accent is not None else style.wall
        tiles = draw_finish(
            np.random.default_rng(int(style.wall.color[0] * 1e6)), "tile", "ceramic"
        )
        # The wall is built along x with the room on +y, as a grid of panels whose lines are the
        # edges of all openings, without the panels inside openings.
        x = np.unique(
            [
                0.0,
                length,
                *(opening.start for opening in openings),
                *(opening.start + opening.width for opening in openings),
            ]
        )
        z = np.unique(
            [
                0.0,
                self.height,
                min(style.tiled_to, self.height),
                *(opening.sill for opening in openings),
                *(opening.top for opening in openings),
            ]
        )
        panels: dict[bool, list[list[tuple[float, float, float]]]] = {False: [], True: []}
        for x0, x1 in pairwise(x):
            for z0, z1 in pairwise(z):
                if not _is_in_opening(openings, (x0 + x1) / 2, (z0 + z1) / 2):
                    corners = [(x0, 0.0, z0), (x1, 0.0, z0), (x1, 0.0, z1), (x0, 0.0, z1)]
                    panels[bool(z1 <= style.tiled_to)].append(corners)
        parts = [
            surface.on(quads("indoor wall", panels[is_tiled]))
            for is_tiled, surface in ((False, finish), (True, tiles))
            if panels[is_tiled]
        ]
        parts += [self._filling(opening, finish) for opening in openings]
        if skirting is not None:
            parts.append(skirting.on(_baseboard(openings, length)))
        start = self.wall_pose(wall, 0.0)
        turn = [0.0, np.pi / 2, np.pi, -np.pi / 2][wall]
        return merge(parts).moved((start.x, start.y, 0), float(turn))


def _jamb(opening: Opening) -> Mesh:
    """Return the inner faces of a gap in a wall that is 0.12 m thick."""
    a, b, top = opening.start, opening.start + opening.width, opening.top
    faces = [[(x, -0.12, 0), (x, 0, 0), (x, 0, top), (x, -0.12, top)] for x in (a, b)]
    faces.append([(a, -0.12, top), (b, -0.12, top), (b, 0, top), (a, 0, top)])
    return quads("indoor wall", faces)


def _baseboard(openings: list[Opening], length: float) -> Mesh:
    """Return baseboards along a wall of ``length`` metres, between its doors."""
    doors = sorted(
        (opening.start, opening.start + opening.width) for opening in openings if opening.sill < 0.1
    )
    starts, ends = [0.0, *(end for _, end in doors)], [*(start for start, _ in doors), length]
    return merge(
        box_between("indoor wall", (a, 0, 0), (b, 0.014, 0.08))
        for a, b in zip(starts, ends, strict=True)
        if b > a
    )


def _is_in_opening(openings: list[Opening], x: float, z: float) -> bool:
    return any(
        opening.start < x < opening.start + opening.width and opening.sill < z < opening.top
        for opening in openings
    )


Furnisher = Callable[[Room], None]
