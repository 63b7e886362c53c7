"""Triangle meshes with a concept per triangle, and the primitive shapes that objects consist of.

Triangles are made of the material of their concept, unless `Mesh.made_of` gives them another, and
have no colour until `Mesh.painted` gives them one of that material's palette.

Every shape is built in its own frame: x forward, y left, z up, in metres, with the ground at
z = 0.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weights.recipe.simulate.concepts import concept_index
from weights.recipe.simulate.materials import (
    draw_color,
    material_index,
    material_of_concept,
    to_srgb,
)

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]
U16 = NDArray[np.uint16]
Rng = np.random.Generator
Point3 = tuple[float, float, float]

# A unit cube on the origin: rows 0 to 3 are the lower corners, rows 4 to 7 the upper ones.
_BOX_CORNERS = np.array(
    [
        [x, y, z]
        for z in (0.0, 1.0)
        for x, y in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))
    ],
    dtype=np.float32,
)
# The six faces, four rows of _BOX_CORNERS each, and two triangles of each face.
_BOX_QUADS = np.array(
    [[0, 1, 2, 3], [4, 5, 6, 7], [0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7]]
)
_BOX_TRIANGLES = np.concatenate([_BOX_QUADS[:, [0, 1, 2]], _BOX_QUADS[:, [0, 2, 3]]])


@dataclass(frozen=True, slots=True)
class Mesh:
    """Unconnected triangles, each with a concept, an opacity, a material and a colour.

    Attributes:
        triangles: (T, 3, 3) float32, the corners of each triangle in metres.
        label: (T,) uint16, the concept of each triangle, an index into ``concept_names()``.
        opacity: (T,) float32 in 0…1, the share of the triangle's area that is there: a ray that
            meets it passes through the holes of leaves or wire mesh otherwise. What then happens
            at its material is another matter: glass lets light through, too.
        material: (T,) uint8, an index into ``material_names()``.
        color: (T, 3) uint8 sRGB; (0, 0, 0) has not been painted.
    """

    triangles: F32
    label: U16
    opacity: F32
    material: U8
    color: U8

    def moved(
        self, position: Point3 = (0.0, 0.0, 0.0), yaw: float = 0.0, scale: float = 1.0
    ) -> "Mesh":
        """Return a copy that is scaled, rotated about z, then translated.

        Args:
            position: where the origin moves to, in metres.
            yaw: rotation about z in radians, counterclockwise seen from above.
            scale: factor of all lengths.
        """
        shift = np.asarray(position, dtype=np.float32)
        if yaw == 0 and scale == 1:
            return replace(self, triangles=self.triangles + shift)
        cos, sin = np.cos(yaw) * scale, np.sin(yaw) * scale
        # Corners are row vectors, so this is the transpose of the usual rotation matrix.
        rotation = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, scale]], dtype=np.float32)
        triangles = self.triangles @ rotation + shift
        return Mesh(triangles, self.label, self.opacity, self.material, self.color)

    def transformed(self, matrix: ArrayLike) -> "Mesh":
        """Return a copy whose corners are multiplied by a (3, 3) matrix, as column vectors."""
        corners = self.triangles @ np.asarray(matrix, dtype=np.float32).T
        return replace(self, triangles=np.asarray(corners, dtype=np.float32))

    def __getitem__(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> "Mesh":
        return Mesh(
            self.triangles[rows],
            self.label[rows],
            self.opacity[rows],
            self.material[rows],
            self.color[rows],
        )

    def made_of(self, material: str, color: ArrayLike | None = None) -> "Mesh":
        """Return a copy whose triangles are all of one material.

        Args:
            material: a name of ``materials.toml``.
            color: (3,) linear red, green and blue in 0…1; None leaves that to `painted`.
        """
        count = len(self.label)
        made = _constant(material_index(material), "uint8", count)
        if color is None:
            paint = _unpainted(count)
        else:
            paint = np.tile(_visible(np.asarray(color, dtype=np.float32)), (count, 1))
        return Mesh(self.triangles, self.label, self.opacity, made, paint)

    def named(self, concept: str) -> "Mesh":
        """Return a copy whose triangles all have one concept; material and colour stay."""
        return replace(self, label=np.full(len(self.label), concept_index(concept), np.uint16))

    def painted(self, rng: Rng) -> "Mesh":
        """Return a copy in which all triangles have a colour.

        Triangles of one concept and material get one colour, as the parts of an object do.
        """
        bare = np.flatnonzero(~self.color.any(axis=1))
        if not len(bare):
            return self
        key = self.label[bare].astype(np.int64) * 256 + self.material[bare]
        groups, group_of_bare = np.unique(key, return_inverse=True)
        drawn = np.stack([_visible(draw_color(int(group) % 256, rng)) for group in groups])
        color = self.color.copy()
        color[bare] = drawn[group_of_bare]
        return replace(self, color=color)


def _visible(linear: F32) -> U8:
    """Return (3,) sRGB of a linear colour; never (0, 0, 0), which stands for "not painted"."""
    return np.maximum(to_srgb(linear), 1)


def labelled_mesh(concept: str, triangles: ArrayLike, opacity: float = 1.0) -> Mesh:
    """Return a mesh of (T, 3, 3) triangles that all have one concept and one opacity."""
    corners = np.asarray(triangles, dtype=np.float32).reshape(-1, 3, 3)
    count, index = len(corners), concept_index(concept)
    return Mesh(
        corners,
        _constant(index, "uint16", count),
        _constant(opacity, "float32", count),
        _constant(int(material_of_concept()[index]), "uint8", count),
        _unpainted(count),
    )


# Most meshes are parts of a few triangles, whose constant columns are parts of these.
_FEW = 256


@lru_cache(maxsize=4096)
def _few(value: float, dtype: str) -> NDArray[Any]:
    array = np.full(_FEW, value, dtype=dtype)
    array.flags.writeable = False
    return array


def _constant(value: float, dtype: str, count: int) -> NDArray[Any]:
    """Return (count,) equal values, which must not be written to."""
    return _few(value, dtype)[:count] if count <= _FEW else np.full(count, value, dtype=dtype)


def _unpainted(count: int) -> U8:
    """Return (count, 3) zeros, which must not be written to."""
    return _NO_COLOR[:count] if count <= _FEW else np.zeros((count, 3), dtype=np.uint8)


_NO_COLOR = np.zeros((_FEW, 3), dtype=np.uint8)
_NO_COLOR.flags.writeable = False


def merge(meshes: Iterable[Mesh]) -> Mesh:
    """Return one mesh with all triangles of several meshes, in the given order."""
    parts = list(meshes)
    if not parts:
        return labelled_mesh("clutter", np.zeros((0, 3, 3)))
    return Mesh(
        np.concatenate([part.triangles for part in parts]),
        np.concatenate([part.label for part in parts]),
        np.concatenate([part.opacity for part in parts]),
        np.concatenate([part.material for part in parts]),
        np.concatenate([part.color for part in parts]),
    )


def instanced(mesh: Mesh, positions: ArrayLike) -> Mesh:
    """Return copies of a mesh, one moved to each of (P, 3) positions in metres."""
    shift = np.asarray(positions, dtype=np.float32).reshape(-1, 1, 1, 3)
    count = len(shift)
    return Mesh(
        (mesh.triangles[None] + shift).reshape(-1, 3, 3),
        np.tile(mesh.label, count),
        np.tile(mesh.opacity, count),
        np.tile(mesh.material, count),
        np.tile(mesh.color, (count, 1)),
    )


def quads(concept: str, corners: ArrayLike, opacity: float = 1.0) -> Mesh:
    """Return quadrilaterals, (Q, 4, 3) corners in order around each, as 2 Q triangles."""
    four = np.asarray(corners, dtype=np.float32).reshape(-1, 4, 3)
    triangles = np.concatenate([four[:, [0, 1, 2]], four[:, [0, 2, 3]]])
    return labelled_mesh(concept, triangles, opacity)


def box(
    concept: str,
    size: Point3,
    position: Point3 = (0.0, 0.0, 0.0),
    *,
    yaw: float = 0.0,
    taper: tuple[float, float] = (1.0, 1.0),
    opacity: float = 1.0,
) -> Mesh:
    """Return a box that stands on a point.

    Args:
        concept: the concept of all its triangles.
        size: extent along x, y and z in metres.
        position: the middle of the underside in metres.
        yaw: rotation about z in radians.
        taper: factors by which the top is narrower than the underside, along x and y.
        opacity: probability that a ray is reflected.
    """
    corners = _BOX_CORNERS
    if taper != (1.0, 1.0):
        corners = corners.copy()
        corners[4:, :2] *= np.asarray(taper, dtype=np.float32)
    sized = corners * np.asarray(size, dtype=np.float32)
    if not yaw:
        sized += np.asarray(position, dtype=np.float32)
        return labelled_mesh(concept, sized[_BOX_TRIANGLES], opacity)
    return labelled_mesh(concept, sized[_BOX_TRIANGLES], opacity).moved(position, yaw)


def box_between(concept: str, corner: Point3, opposite: Point3, opacity: float = 1.0) -> Mesh:
    """Return the axis-parallel box between two opposite corners."""
    (ax, ay, az), (bx, by, bz) = corner, opposite
    position = ((ax + bx) / 2, (ay + by) / 2, min(az, bz))
    size = (abs(bx - ax), abs(by - ay), abs(bz - az))
    return box(concept, size, position, opacity=opacity)


def loft(concept: str, rings: ArrayLike, *, closed: bool = True, opacity: float = 1.0) -> Mesh:
    """Return the surface through a sequence of cross sections.

    Args:
        concept: the concept of all its triangles.
        rings: (R, k, 3), R cross sections of k corners each.
        closed: whether the last corner of a cross section is connected to its first.
        opacity: probability that a ray is reflected.
    """
    sections = np.asarray(rings, dtype=np.float32)
    if closed:
        sections = np.concatenate([sections, sections[:, :1]], axis=1)
    # One quadrilateral between neighbouring corners of neighbouring cross sections.
    a, b = sections[:-1, :-1], sections[:-1, 1:]
    c, d = sections[1:, 1:], sections[1:, :-1]
    return quads(concept, np.stack([a, b, c, d], axis=2).reshape(-1, 4, 3), opacity)


def fan(concept: str, ring: ArrayLike, opacity: float = 1.0) -> Mesh:
    """Return a star-shaped polygon, (k, 3) corners, as triangles around its mean corner."""
    corners = np.asarray(ring, dtype=np.float32)
    middle = np.broadcast_to(corners.mean(axis=0), corners.shape)
    triangles = np.stack([middle, corners, np.roll(corners, -1, axis=0)], axis=1)
    return labelled_mesh(concept, triangles, opacity)


def tube(
    concept: str,
    start: Iterable[float],
    end: Iterable[float],
    radius: float,
    *,
    end_radius: float | None = None,
    sides: int = 6,
) -> Mesh:
    """Return a capped cylinder or cone between two points.

    Args:
        concept: the concept of all its triangles.
        start: (3,) metres.
        end: (3,) metres.
        radius: radius in metres at ``start``.
        end_radius: radius in metres at ``end``; None is the same as ``radius``.
        sides: number of faces around the axis.
    """
    (px, py, pz), (qx, qy, qz) = map(float, start), map(float, end)
    x, y, z = qx - px, qy - py, qz - pz
    length = sqrt(x * x + y * y + z * z)
    x, y, z = (x / length, y / length, z / length) if length > 1e-6 else (0.0, 0.0, 1.0)
    # The cross product of the axis with z, or with x where the axis is nearly upright, and the
    # cross product of the axis with that: two directions across the axis.
    sx, sy, sz = (y, -x, 0.0) if abs(z) < 0.9 else (0.0, z, -y)
    norm = sqrt(sx * sx + sy * sy + sz * sz)
    sx, sy, sz = sx / norm, sy / norm, sz / norm
    across = np.array([[sx, sy, sz], [y * sz - z * sy, z * sx - x * sz, x * sy - y * sx]])
    circle, triangles = _tube_pattern(sides)
    ring = circle @ across
    corners = np.empty((2 * sides + 2, 3))
    corners[:sides] = ring * radius
    corners[sides:-2] = ring * (radius if end_radius is None else end_radius)
    corners[:sides] += (px, py, pz)
    corners[sides:-2] += (qx, qy, qz)
    corners[-2], corners[-1] = (px, py, pz), (qx, qy, qz)
    return labelled_mesh(concept, corners.astype(np.float32)[triangles])


@lru_cache(maxsize=32)
def _tube_pattern(sides: int) -> tuple[F64, NDArray[np.int64]]:
    """Return (sides, 2) points of a circle, and the (T, 3) corners of a capped tube.

    The corners are rows of the first ring, the second ring, and the middles of both.
    """
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    first, following = np.arange(sides), np.roll(np.arange(sides), -1)
    second, third = first + sides, following + sides
    middle, far_middle = np.full(sides, 2 * sides), np.full(sides, 2 * sides + 1)
    faces = ((first, following, third), (first, third, second))
    caps = ((middle, first, following), (far_middle, second, third))
    triangles = np.concatenate([np.stack(corners, axis=1) for corners in (*faces, *caps)])
    return np.stack([np.cos(angle), np.sin(angle)], axis=1), triangles


def polyline_tube(concept: str, points: ArrayLike, radius: float, sides: int = 4) -> Mesh:
    """Return tubes of one radius along a polyline of (P, 3) points."""
    line = np.asarray(points, dtype=np.float64)
    return merge(
        tube(concept, line[i], line[i + 1], radius, sides=sides) for i in range(len(line) - 1)
    )


def ellipsoid(concept: str, center: ArrayLike, half_axes: Sequence[float], sides: int = 8) -> Mesh:
    """Return an ellipsoid with ``sides`` faces around z; ``half_axes`` are along x, y and z."""
    polar = np.linspace(0, np.pi, max(4, sides // 2 + 1))
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    x = np.sin(polar)[:, None] * np.cos(angle)
    y = np.sin(polar)[:, None] * np.sin(angle)
    z = np.broadcast_to(np.cos(polar)[:, None], x.shape)
    sphere = np.stack([x, y, z], axis=-1)
    return loft(concept, sphere * np.asarray(half_axes) + np.asarray(center))


def torus(
    concept: str, center: Point3, radius: float, tube_radius: float, *, sides: int = 12
) -> Mesh:
    """Return an upright torus in the x–z plane, such as the rim of a bicycle wheel."""
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    tube_angle = np.linspace(0, 2 * np.pi, 4, endpoint=False)
    distance = radius + tube_radius * np.cos(tube_angle)
    x = np.cos(angle)[:, None] * distance
    z = np.sin(angle)[:, None] * distance
    y = np.broadcast_to(tube_radius * np.sin(tube_angle), x.shape)
    rings = np.stack([x, y, z], axis=-1) + np.asarray(center)
    return loft(concept, np.concatenate([rings, rings[:1]]))


def random_triangles(
    concept: str, centers: ArrayLike, size: float | F32, rng: Rng, opacity: float = 1.0
) -> Mesh:
    """Return one small triangle in a random pose at each of (T, 3) centers, such as leaves.

    Args:
        concept: the concept of all triangles.
        centers: (T, 3) metres.
        size: distance of the corners from the center in metres, one or (T,).
        rng: random generator of the poses.
        opacity: probability that a ray is reflected.
    """
    middle = np.asarray(centers, dtype=np.float32).reshape(-1, 1, 3)
    corners = rng.normal(size=(len(middle), 3, 3)).astype(np.float32)
    corners -= corners.mean(axis=1, keepdims=True)
    corners /= np.linalg.norm(corners, axis=2, keepdims=True) + 1e-6
    scaled = corners * np.asarray(size, dtype=np.float32).reshape(-1, 1, 1)
    return labelled_mesh(concept, middle + scaled, opacity)
