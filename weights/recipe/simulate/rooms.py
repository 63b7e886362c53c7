"""Rooms: walls with doors and windows, and a place for every piece without collisions.

A room spans [0, wide] × [0, deep] metres. Walls are numbered 0 south (y = 0), 1 east, 2 north,
3 west; a place on a wall is metres from its left end, seen from inside.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from weights.recipe.simulate.fixtures_room import drape
from weights.recipe.simulate.primitives import Rng, Soup, box, join, quads, slab

Rect = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Opening:
    """A hole in a wall: start and width along it, sill and top above the floor (metres)."""

    wall: int
    start: float
    wide: float
    sill: float
    top: float
    kind: str


class Room:
    """A room while it is being furnished."""

    def __init__(self, size: tuple[float, float, float], rng: Rng, openings: list[Opening]) -> None:
        self.wide, self.deep, self.high = size
        self.rng = rng
        self.openings = openings
        self._bodies: list[Soup] = []
        self._taken: list[Rect] = []
        for hole in openings:
            if hole.kind == "door":
                x, y, _ = self.on_wall(hole.wall, hole.start + hole.wide / 2)
                self._taken.append((x - 0.5, x + 0.5, y - 0.5, y + 0.5))

    def length(self, wall: int) -> float:
        """Return a wall's length in metres."""
        return self.deep if wall % 2 else self.wide

    def on_wall(self, wall: int, along: float) -> tuple[float, float, float]:
        """Return the point on a wall and the direction into the room (radians)."""
        x, y = [
            (along, 0.0),
            (self.wide, along),
            (self.wide - along, self.deep),
            (0.0, self.deep - along),
        ][wall]
        return x, y, [np.pi / 2, np.pi, -np.pi / 2, 0.0][wall]

    def add(self, body: Soup) -> None:
        """Add a body where it is, whatever it meets."""
        self._bodies.append(body)

    def put(self, body: Soup, x: float, y: float, yaw: float, *, solid: bool = True) -> bool:
        """Set a body down if its footprint is free; ``solid`` bodies keep others away."""
        placed = body.moved((x, y, 0), yaw)
        corners = placed.triangles.reshape(-1, 3)
        (x0, y0), (x1, y1) = corners[:, :2].min(axis=0), corners[:, :2].max(axis=0)
        inside = x0 > -0.02 and y0 > -0.02 and x1 < self.wide + 0.02 and y1 < self.deep + 0.02
        clash = any(x0 < b and x1 > a and y0 < d and y1 > c for a, b, c, d in self._taken)
        if not inside or (clash and solid):
            return False
        self._bodies.append(placed)
        if solid:
            self._taken.append((float(x0), float(x1), float(y0), float(y1)))
        return True

    def against_wall(self, body: Soup, tries: int = 40) -> bool:
        """Put a body with its back to some wall; return whether a place was found."""
        back = float(-body.triangles[..., 0].min())
        half = float(np.abs(body.triangles[..., 1]).max())
        top = float(body.triangles[..., 2].max())
        for _ in range(tries):
            wall = int(self.rng.integers(4))
            along = float(self.rng.uniform(half, max(self.length(wall) - half, half + 0.01)))
            if self._before_opening(wall, along, half, top):
                continue
            x, y, yaw = self.on_wall(wall, along)
            off = back + float(self.rng.choice([0.0, 0.02, 0.08]))
            if self.put(body, x + off * float(np.cos(yaw)), y + off * float(np.sin(yaw)), yaw):
                return True
        return False

    def _before_opening(self, wall: int, along: float, half: float, top: float) -> bool:
        return any(
            hole.wall == wall
            and hole.sill < top - (0.5 if hole.kind == "window" else 0)
            and along + half > hole.start
            and along - half < hole.start + hole.wide
            for hole in self.openings
        )

    def anywhere(self, body: Soup, tries: int = 14, *, solid: bool = True) -> bool:
        """Put a body anywhere free on the floor, turned anyhow."""
        for _ in range(tries):
            yaw = float(self.rng.choice([0, 0.5, 1, 1.5])) * np.pi + float(self.rng.normal(0, 0.1))
            x, y = float(self.rng.uniform(0, self.wide)), float(self.rng.uniform(0, self.deep))
            if self.put(body, x, y, yaw, solid=solid):
                return True
        return False

    def hang(self, body: Soup) -> None:
        """Hang a body (its back at x = 0) on a wall, away from openings."""
        half, top = float(np.abs(body.triangles[..., 1]).max()), float(body.triangles[..., 2].max())
        for _ in range(8):
            wall = int(self.rng.integers(4))
            along = float(self.rng.uniform(half, max(self.length(wall) - half, half + 0.01)))
            if half * 2 < self.length(wall) and not self._before_opening(wall, along, half, top):
                x, y, yaw = self.on_wall(wall, along)
                self._bodies.append(body.moved((x, y, 0), yaw))
                return

    def finish(self, *, ceiling: bool) -> Soup:
        """Return walls, floor, the ceiling if wanted, and all bodies."""
        w, d, h = self.wide, self.deep, self.high
        parts = [quads("floor", [[(0, 0, 0), (w, 0, 0), (w, d, 0), (0, d, 0)]])]
        if ceiling:
            parts.append(quads("ceiling", [[(0, 0, h), (w, 0, h), (w, d, h), (0, d, h)]]))
        parts += [self._wall(wall) for wall in range(4)]
        return join([*parts, *self._bodies])

    def _wall(self, wall: int) -> Soup:
        """Return a wall with its holes; along its length is x, into the room is +y."""
        long = self.length(wall)
        holes = [hole for hole in self.openings if hole.wall == wall]
        x = np.unique(
            [
                0.0,
                long,
                *(hole.start for hole in holes),
                *(hole.start + hole.wide for hole in holes),
            ]
        )
        z = np.unique(
            [0.0, self.high, *(hole.sill for hole in holes), *(hole.top for hole in holes)]
        )
        panels = []
        for x0, x1 in pairwise(x):
            for z0, z1 in pairwise(z):
                if not _in_hole(holes, (x0 + x1) / 2, (z0 + z1) / 2):
                    panels.append([(x0, 0, z0), (x1, 0, z0), (x1, 0, z1), (x0, 0, z1)])
        parts = [quads("indoor wall", panels)]
        parts += [
            door(hole, self.rng) if hole.kind == "door" else window(hole, self.rng)
            for hole in holes
        ]
        if self.rng.random() < 0.4:
            parts.append(_skirting(holes, long))
        at = self.on_wall(wall, 0.0)
        return join(parts).moved((at[0], at[1], 0), [0.0, np.pi / 2, np.pi, -np.pi / 2][wall])


def _skirting(holes: list[Opening], long: float) -> Soup:
    doors = sorted((hole.start, hole.start + hole.wide) for hole in holes if hole.kind != "window")
    starts, ends = [0.0, *(end for _, end in doors)], [*(start for start, _ in doors), long]
    return join(
        slab("indoor wall", (a, 0, 0), (b, 0.015, 0.08))
        for a, b in zip(starts, ends, strict=True)
        if b > a
    )


def _in_hole(holes: list[Opening], x: float, z: float) -> bool:
    return any(h.start < x < h.start + h.wide and h.sill < z < h.top for h in holes)


def door(hole: Opening, rng: Rng) -> Soup:
    """Return a frame and a leaf, shut, ajar or wide open; a passage has only a frame."""
    a, b, t = hole.start, hole.start + hole.wide, hole.top
    parts = [slab("door", (x - 0.04, -0.12, 0), (x + 0.04, 0.03, t)) for x in (a, b)]
    parts.append(slab("door", (a, -0.12, t - 0.04), (b, 0.03, t + 0.04)))
    leaf = join(
        [
            slab("door", (0, -0.04, 0.01), (hole.wide, 0, t)),
            box("door", (0.12, 0.12, 0.03), (hole.wide - 0.1, 0, 1.0)),
        ]
    )
    swing = float(rng.choice([0.0, 0.0, 0.0, rng.uniform(0.2, 1.9)]))
    if rng.random() < 0.85:
        parts.append(leaf.moved((a, -0.05 if swing == 0 else 0.0, 0), swing))
    return join(parts)


def window(hole: Opening, rng: Rng) -> Soup:
    """Return a pane set back in its wall, its bars and sill, and perhaps a curtain or a blind."""
    a, b, z0, z1 = hole.start, hole.start + hole.wide, hole.sill, hole.top
    back = -float(rng.uniform(0.03, 0.25))
    pane = quads(
        "window",
        [[(a, back, z0), (b, back, z0), (b, back, z1), (a, back, z1)]],
        float(rng.choice([0.1, 0.4, 0.9])),
    )
    sides = [[(x, back, z0), (x, 0, z0), (x, 0, z1), (x, back, z1)] for x in (a, b)]
    shelves = [[(a, back, z), (b, back, z), (b, 0, z), (a, 0, z)] for z in (z0, z1)]
    bars = [
        slab("window", (x - 0.03, back - 0.02, z0), (x + 0.03, back + 0.04, z1))
        for x in np.linspace(a, b, max(int(hole.wide / 0.8) + 1, 2))
    ]
    bars += [
        slab("window", (a, back - 0.02, z - 0.03), (b, back + 0.04, z + 0.03)) for z in (z0, z1)
    ]
    parts = [pane, quads("window", sides + shelves), *bars]
    if rng.random() < 0.45:
        low = float(rng.choice([0.05, max(z0 - 0.1, 0.05)]))
        for side in (a, b):
            cloth = drape(
                "curtain",
                rng,
                hole.wide * float(rng.uniform(0.2, 0.5)),
                (low, min(z1 + 0.2, z1 * 1.1)),
            )
            parts.append(cloth.moved((side, 0.08, 0)))
    return join(parts)
