"""Labelled triangles and the simple bodies that everything is made of.

Bodies stand in their own frame: x forward, y left, z up, metres, z = 0 on the ground.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weights.recipe.simulate.concepts import concept_index

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]
Rng = np.random.Generator
Point3 = tuple[float, float, float]

_BOX_CORNERS = np.array(
    [
        [x, y, z]
        for z in (-0.5, 0.5)
        for x, y in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))
    ],
    dtype=np.float32,
)
_BOX_QUADS = np.array(
    [[0, 1, 2, 3], [4, 5, 6, 7], [0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7]]
)


@dataclass(frozen=True, slots=True)
class Soup:
    """Triangles without connection, each with its concept.

    Attributes:
        triangles: (T, 3, 3) corners in metres.
        label: (T,) position in the table of concepts.
        solid: (T,) chance that a ray that meets the triangle comes back; else it flies on.
    """

    triangles: F32
    label: U8
    solid: F32

    def moved(self, at: Point3 = (0.0, 0.0, 0.0), yaw: float = 0.0, scale: float = 1.0) -> "Soup":
        """Return a copy scaled, turned about z by ``yaw`` radians, then shifted to ``at``."""
        cos, sin = np.cos(yaw) * scale, np.sin(yaw) * scale
        turn = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, scale]], dtype=np.float32)
        placed = self.triangles @ turn + np.asarray(at, dtype=np.float32)
        return Soup(placed, self.label, self.solid)


def soup(concept: str, triangles: ArrayLike, solid: float = 1.0) -> Soup:
    """Label (T, 3, 3) triangles with one concept."""
    corners = np.asarray(triangles, dtype=np.float32).reshape(-1, 3, 3)
    label = np.full(len(corners), concept_index(concept), dtype=np.uint8)
    return Soup(corners, label, np.full(len(corners), solid, dtype=np.float32))


def join(soups: Iterable[Soup]) -> Soup:
    """Return all triangles of several soups as one."""
    parts = list(soups)
    if not parts:
        return soup("clutter", np.zeros((0, 3, 3)))
    return Soup(
        np.concatenate([part.triangles for part in parts]),
        np.concatenate([part.label for part in parts]),
        np.concatenate([part.solid for part in parts]),
    )


def quads(concept: str, corners: ArrayLike, solid: float = 1.0) -> Soup:
    """Return two triangles for each of (Q, 4, 3) quadrilaterals."""
    four = np.asarray(corners, dtype=np.float32).reshape(-1, 4, 3)
    return soup(concept, np.concatenate([four[:, [0, 1, 2]], four[:, [0, 2, 3]]]), solid)


def box(
    concept: str,
    size: Point3,
    at: Point3 = (0.0, 0.0, 0.0),
    *,
    yaw: float = 0.0,
    taper: tuple[float, float] = (1.0, 1.0),
    solid: float = 1.0,
) -> Soup:
    """Return a box standing on ``at`` (middle of its underside); ``taper`` shrinks its top."""
    corners = _BOX_CORNERS.copy()
    corners[4:, 0] *= taper[0]
    corners[4:, 1] *= taper[1]
    corners[:, 2] += 0.5
    body = quads(concept, (corners * np.asarray(size, dtype=np.float32))[_BOX_QUADS], solid)
    return body.moved(at, yaw)


def slab(concept: str, low: Point3, high: Point3, solid: float = 1.0) -> Soup:
    """Return the axis-parallel box between two corners."""
    a, b = np.asarray(low), np.asarray(high)
    middle = (a + b) / 2
    at = (float(middle[0]), float(middle[1]), float(min(a[2], b[2])))
    size = np.abs(b - a)
    return box(concept, (float(size[0]), float(size[1]), float(size[2])), at, solid=solid)


def loft(concept: str, rings: ArrayLike, *, closed: bool = True, solid: float = 1.0) -> Soup:
    """Return the skin over R rings of k points, (R, k, 3); ``closed`` joins last to first."""
    stations = np.asarray(rings, dtype=np.float32)
    if closed:
        stations = np.concatenate([stations, stations[:, :1]], axis=1)
    a, b = stations[:-1, :-1], stations[:-1, 1:]
    c, d = stations[1:, 1:], stations[1:, :-1]
    return quads(concept, np.stack([a, b, c, d], axis=2).reshape(-1, 4, 3), solid)


def fan(concept: str, ring: ArrayLike, solid: float = 1.0) -> Soup:
    """Return a star-shaped polygon, (k, 3), as triangles about its mean."""
    corners = np.asarray(ring, dtype=np.float32)
    middle = np.broadcast_to(corners.mean(axis=0), corners.shape)
    return soup(concept, np.stack([middle, corners, np.roll(corners, -1, axis=0)], axis=1), solid)


def tube(
    concept: str,
    start: ArrayLike,
    end: ArrayLike,
    radius: float,
    *,
    tip: float = -1.0,
    sides: int = 6,
) -> Soup:
    """Return a capped round rod between two points; ``tip`` is the radius at its end."""
    p, q = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
    length = float(np.linalg.norm(q - p))
    axis = (q - p) / length if length > 1e-6 else np.array([0.0, 0.0, 1.0])
    side = np.cross(axis, [0.0, 0.0, 1.0] if abs(axis[2]) < 0.9 else [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    up = np.cross(axis, side)
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    ring = np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * up
    tip_radius = radius if tip < 0 else tip
    rings = np.stack([p + ring * radius, q + ring * tip_radius])
    return join([loft(concept, rings), fan(concept, rings[0]), fan(concept, rings[1])])


def path_tube(concept: str, points: ArrayLike, radius: float, sides: int = 4) -> Soup:
    """Return a rod along a polyline of (P, 3) points."""
    line = np.asarray(points, dtype=np.float64)
    return join(
        tube(concept, line[i], line[i + 1], radius, sides=sides) for i in range(len(line) - 1)
    )


def ball(concept: str, at: ArrayLike, radii: Sequence[float], sides: int = 8) -> Soup:
    """Return an ellipsoid about ``at`` with three half axes."""
    polar = np.linspace(0, np.pi, max(4, sides // 2 + 1))
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    x = np.sin(polar)[:, None] * np.cos(angle)
    y = np.sin(polar)[:, None] * np.sin(angle)
    z = np.broadcast_to(np.cos(polar)[:, None], x.shape)
    return loft(concept, np.stack([x, y, z], axis=-1) * np.asarray(radii) + np.asarray(at))


def ring(concept: str, at: Point3, radius: float, thick: float, *, sides: int = 12) -> Soup:
    """Return a wheel rim: a torus standing in the x–z plane about ``at``."""
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    cross = np.linspace(0, 2 * np.pi, 4, endpoint=False)
    far = radius + thick * np.cos(cross)
    x = np.cos(angle)[:, None] * far
    z = np.sin(angle)[:, None] * far
    y = np.broadcast_to(thick * np.sin(cross), x.shape)
    stations = np.stack([x, y, z], axis=-1) + np.asarray(at)
    return loft(concept, np.concatenate([stations, stations[:1]]))


def shards(
    concept: str, centres: ArrayLike, size: float | F32, rng: Rng, solid: float = 1.0
) -> Soup:
    """Return one small triangle of random pose at each of (T, 3) centres: leaves, stones."""
    middle = np.asarray(centres, dtype=np.float32).reshape(-1, 1, 3)
    corners = rng.normal(size=(len(middle), 3, 3)).astype(np.float32)
    corners -= corners.mean(axis=1, keepdims=True)
    corners /= np.linalg.norm(corners, axis=2, keepdims=True) + 1e-6
    return soup(
        concept, middle + corners * np.asarray(size, dtype=np.float32).reshape(-1, 1, 1), solid
    )
