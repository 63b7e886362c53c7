"""One room: walls with doors and windows, and furniture placed without collisions.

A room covers [0, width] × [0, depth] metres of the floor. Walls are numbered 0 south (y = 0),
1 east, 2 north, 3 west. A position on a wall is in metres from the wall's left end, seen from
inside the room.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from weights.recipe.simulate.primitives import Mesh, Rng, box, box_between, merge, quads
from weights.recipe.simulate.room_fixtures import hanging_cloth

# (x0, x1, y0, y1) in metres.
Rectangle = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Opening:
    """A hole in a wall.

    Attributes:
        wall: number of the wall.
        start: position of its left edge on the wall in metres.
        width: metres.
        sill: height of its lower edge above the floor in metres.
        top: height of its upper edge above the floor in metres.
        kind: "door", "window", or "passage" (the other side of a neighbouring room's door).
    """

    wall: int
    start: float
    width: float
    sill: float
    top: float
    kind: str


class Room:
    """A room that furniture is placed in.

    Attributes:
        width: extent along x in metres.
        depth: extent along y in metres.
        height: metres.
        rng: random generator of the scene.
        openings: doors, windows and passages.
    """

    def __init__(self, size: tuple[float, float, float], rng: Rng, openings: list[Opening]) -> None:
        """Start with an empty room of (width, depth, height) metres."""
        self.width, self.depth, self.height = size
        self.rng = rng
        self.openings = openings
        self._objects: list[Mesh] = []
        self._occupied: list[Rectangle] = []
        # Nothing may stand right inside a door.
        for opening in openings:
            if opening.kind == "door":
                x, y, _ = self.wall_pose(opening.wall, opening.start + opening.width / 2)
                self._occupied.append((x - 0.5, x + 0.5, y - 0.5, y + 0.5))

    def wall_length(self, wall: int) -> float:
        """Return the length of a wall in metres."""
        return self.depth if wall % 2 else self.width

    def wall_pose(self, wall: int, position: float) -> tuple[float, float, float]:
        """Return x and y of a position on a wall, and the direction into the room in radians."""
        x, y = [
            (position, 0.0),
            (self.width, position),
            (self.width - position, self.depth),
            (0.0, self.depth - position),
        ][wall]
        return x, y, [np.pi / 2, np.pi, -np.pi / 2, 0.0][wall]

    def add(self, mesh: Mesh) -> None:
        """Add an object that is already in the room's coordinates, without collision checks."""
        self._objects.append(mesh)

    def place(self, mesh: Mesh, x: float, y: float, yaw: float, *, keep_clear: bool = True) -> bool:
        """Place an object if it fits into the room, and return whether it was placed.

        Args:
            mesh: the object in its own frame.
            x: metres.
            y: metres.
            yaw: radians.
            keep_clear: whether the object must not overlap objects placed this way before, nor
                later ones it; otherwise it may overlap anything, as chairs do under tables.
        """
        placed = mesh.moved((x, y, 0), yaw)
        corners = placed.triangles.reshape(-1, 3)
        (x0, y0), (x1, y1) = corners[:, :2].min(axis=0), corners[:, :2].max(axis=0)
        inside = x0 > -0.02 and y0 > -0.02 and x1 < self.width + 0.02 and y1 < self.depth + 0.02
        overlaps = any(x0 < b and x1 > a and y0 < d and y1 > c for a, b, c, d in self._occupied)
        if not inside or (overlaps and keep_clear):
            return False
        self._objects.append(placed)
        if keep_clear:
            self._occupied.append((float(x0), float(x1), float(y0), float(y1)))
        return True

    def place_at_wall(self, mesh: Mesh, tries: int = 40) -> bool:
        """Place an object with its back to a random wall, and return whether it was placed."""
        back = float(-mesh.triangles[..., 0].min())
        half_width = float(np.abs(mesh.triangles[..., 1]).max())
        top = float(mesh.triangles[..., 2].max())
        for _ in range(tries):
            wall, position = self._draw_wall_position(half_width)
            if self._is_before_opening(wall, position, half_width, top):
                continue
            x, y, yaw = self.wall_pose(wall, position)
            gap = back + float(self.rng.choice([0.0, 0.02, 0.08]))
            if self.place(mesh, x + gap * float(np.cos(yaw)), y + gap * float(np.sin(yaw)), yaw):
                return True
        return False

    def _draw_wall_position(self, half_width: float) -> tuple[int, float]:
        wall = int(self.rng.integers(4))
        last = max(self.wall_length(wall) - half_width, half_width + 0.01)
        return wall, float(self.rng.uniform(half_width, last))

    def _is_before_opening(self, wall: int, position: float, half_width: float, top: float) -> bool:
        """Return whether an object would hide a door, or more than half a metre of a window."""
        return any(
            opening.wall == wall
            and opening.sill < top - (0.5 if opening.kind == "window" else 0)
            and position + half_width > opening.start
            and position - half_width < opening.start + opening.width
            for opening in self.openings
        )

    def place_anywhere(self, mesh: Mesh, tries: int = 14, *, keep_clear: bool = True) -> bool:
        """Place an object at a random free spot on the floor; return whether it was placed."""
        for _ in range(tries):
            yaw = float(self.rng.choice([0, 0.5, 1, 1.5])) * np.pi + float(self.rng.normal(0, 0.1))
            x, y = float(self.rng.uniform(0, self.width)), float(self.rng.uniform(0, self.depth))
            if self.place(mesh, x, y, yaw, keep_clear=keep_clear):
                return True
        return False

    def hang_on_wall(self, mesh: Mesh) -> None:
        """Hang an object, whose back is at x = 0, on a wall beside the openings, if it fits."""
        half_width = float(np.abs(mesh.triangles[..., 1]).max())
        top = float(mesh.triangles[..., 2].max())
        for _ in range(8):
            wall, position = self._draw_wall_position(half_width)
            fits = half_width * 2 < self.wall_length(wall)
            if fits and not self._is_before_opening(wall, position, half_width, top):
                x, y, yaw = self.wall_pose(wall, position)
                self._objects.append(mesh.moved((x, y, 0), yaw))
                return

    def build(self, *, ceiling: bool) -> Mesh:
        """Return floor, walls and all objects as one mesh, with or without a ceiling."""
        w, d, h = self.width, self.depth, self.height
        parts = [quads("floor", [[(0, 0, 0), (w, 0, 0), (w, d, 0), (0, d, 0)]])]
        if ceiling:
            parts.append(quads("ceiling", [[(0, 0, h), (w, 0, h), (w, d, h), (0, d, h)]]))
        parts += [self._wall(wall) for wall in range(4)]
        return merge([part.painted(self.rng) for part in (*parts, *self._objects)])

    def _wall(self, wall: int) -> Mesh:
        """Return a wall with its doors and windows."""
        length = self.wall_length(wall)
        openings = [opening for opening in self.openings if opening.wall == wall]
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
                *(opening.sill for opening in openings),
                *(opening.top for opening in openings),
            ]
        )
        panels = []
        for x0, x1 in pairwise(x):
            for z0, z1 in pairwise(z):
                if not _is_in_opening(openings, (x0 + x1) / 2, (z0 + z1) / 2):
                    panels.append([(x0, 0, z0), (x1, 0, z0), (x1, 0, z1), (x0, 0, z1)])
        parts = [quads("indoor wall", panels)]
        parts += [
            door(opening, self.rng) if opening.kind == "door" else window(opening, self.rng)
            for opening in openings
        ]
        if self.rng.random() < 0.4:
            parts.append(_baseboard(openings, length))
        start_x, start_y, _ = self.wall_pose(wall, 0.0)
        return merge(parts).moved((start_x, start_y, 0), [0.0, np.pi / 2, np.pi, -np.pi / 2][wall])


def _baseboard(openings: list[Opening], length: float) -> Mesh:
    """Return baseboards along a wall of ``length`` metres, between its doors."""
    doors = sorted(
        (opening.start, opening.start + opening.width)
        for opening in openings
        if opening.kind != "window"
    )
    starts, ends = [0.0, *(end for _, end in doors)], [*(start for start, _ in doors), length]
    return merge(
        box_between("indoor wall", (a, 0, 0), (b, 0.015, 0.08))
        for a, b in zip(starts, ends, strict=True)
        if b > a
    )


def _is_in_opening(openings: list[Opening], x: float, z: float) -> bool:
    return any(
        opening.start < x < opening.start + opening.width and opening.sill < z < opening.top
        for opening in openings
    )


def door(opening: Opening, rng: Rng) -> Mesh:
    """Return a door frame, mostly with a door that is closed or open at some angle."""
    a, b, top = opening.start, opening.start + opening.width, opening.top
    parts = [box_between("door", (x - 0.04, -0.12, 0), (x + 0.04, 0.03, top)) for x in (a, b)]
    parts.append(box_between("door", (a, -0.12, top - 0.04), (b, 0.03, top + 0.04)))
    leaf = merge(
        [
            box_between("door", (0, -0.04, 0.01), (opening.width, 0, top)),
            box("door", (0.12, 0.12, 0.03), (opening.width - 0.1, 0, 1.0)),
        ]
    )
    angle = float(rng.choice([0.0, 0.0, 0.0, rng.uniform(0.2, 1.9)]))
    if rng.random() < 0.85:
        parts.append(leaf.moved((a, -0.05 if angle == 0 else 0.0, 0), angle))
    return merge(parts)


def window(opening: Opening, rng: Rng) -> Mesh:
    """Return a recessed window pane with bars, at times with curtains."""
    a, b, z0, z1 = opening.start, opening.start + opening.width, opening.sill, opening.top
    back = -float(rng.uniform(0.03, 0.25))
    pane = quads(
        "window",
        [[(a, back, z0), (b, back, z0), (b, back, z1), (a, back, z1)]],
        float(rng.choice([0.1, 0.4, 0.9])),
    )
    sides = [[(x, back, z0), (x, 0, z0), (x, 0, z1), (x, back, z1)] for x in (a, b)]
    sills = [[(a, back, z), (b, back, z), (b, 0, z), (a, 0, z)] for z in (z0, z1)]
    bars = [
        box_between("window", (x - 0.03, back - 0.02, z0), (x + 0.03, back + 0.04, z1))
        for x in np.linspace(a, b, max(int(opening.width / 0.8) + 1, 2))
    ]
    bars += [
        box_between("window", (a, back - 0.02, z - 0.03), (b, back + 0.04, z + 0.03))
        for z in (z0, z1)
    ]
    parts = [pane, quads("window", sides + sills), *bars]
    if rng.random() < 0.45:
        lower_edge = float(rng.choice([0.05, max(z0 - 0.1, 0.05)]))
        for x in (a, b):
            width = opening.width * float(rng.uniform(0.2, 0.5))
            z_range = (lower_edge, min(z1 + 0.2, z1 * 1.1))
            parts.append(hanging_cloth("curtain", rng, width, z_range).moved((x, 0.08, 0)))
    return merge(parts)
