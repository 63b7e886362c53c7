"""Surface points that a camera's rays hit, with all that materials need to color them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from weights.recipe.simulate.concepts import concept_index
from weights.recipe.simulate.materials import material_names
from weights.recipe.simulate.primitives import F32, U16, Mesh, Rng
from weights.recipe.simulate.scene_builder import SceneBuilder

Ints = NDArray[np.int64]
RANDOM_NUMBERS = 8


@dataclass(frozen=True, slots=True)
class SurfacePoints:
    """n points on surfaces.

    Attributes:
        xyz: (n, 3) float32, world metres.
        normal: (n, 3) float32 unit vectors, towards the viewer.
        concept: (n,) uint16, of the triangle that was hit.
        triangle: (n,) int64, its index in the scene.
        is_pane: (n,) whether its material is glass.
        random: (n, 8) float32 in 0…1, the random numbers of the point's object.
        low: (n, 3) float32, lower corner of the object's bounding box in metres.
        high: (n, 3) float32, its upper corner.
        range_m: (n,) float32, distance from the viewer.
        plan: (n, 2) float32, metres along the main road and to its left.
    """

    xyz: F32
    normal: F32
    concept: U16
    triangle: Ints
    is_pane: NDArray[np.bool_]
    random: F32
    low: F32
    high: F32
    range_m: F32
    plan: F32

    def __len__(self) -> int:
        return len(self.xyz)

    def __getitem__(self, keep: NDArray[np.bool_]) -> SurfacePoints:
        return SurfacePoints(*(getattr(self, field.name)[keep] for field in fields(self)))

    @property
    def along(self) -> F32:
        """(n,) metres along the horizontal direction of the surface."""
        horizontal = np.hypot(self.normal[:, 0], self.normal[:, 1]) + 1e-6
        turned = self.xyz[:, 1] * self.normal[:, 0] - self.xyz[:, 0] * self.normal[:, 1]
        return np.asarray(turned / horizontal)

    @property
    def above(self) -> F32:
        """(n,) metres above the lowest point of the object."""
        return np.asarray(self.xyz[:, 2] - self.low[:, 2])

    def resolution(self, size_m: float) -> F32:
        """Return (n,) 1 where the image resolves a texture of ``size_m``, down to 0 far away."""
        return np.asarray(np.clip(2.0 - self.range_m * np.float32(0.006 / size_m), 0, 1))


@lru_cache(maxsize=1)
def _is_glass() -> NDArray[np.bool_]:
    """Return (materials,) whether a material is a kind of glass."""
    return np.array(["glass" in name for name in material_names()])


class Surfaces:
    """The triangles of a finished scene with their objects, bounding boxes and normals."""

    def __init__(self, scene: Mesh, builder: SceneBuilder, rng: Rng) -> None:
        """Collect what is known of the triangles.

        Args:
            scene: the mesh that ``builder`` built.
            builder: the scene's builder.
            rng: draws the random numbers of each object.
        """
        self._scene, self._builder = scene, builder
        self._object = builder.object_of_triangle(scene)
        # The triangles of an object follow each other: `starts` is the first one of each object.
        starts = np.flatnonzero(np.diff(self._object, prepend=-1))
        objects = self._object[starts]
        count = int(self._object.max()) + 1
        self._low = np.zeros((count, 3), dtype=np.float32)
        self._high = np.zeros((count, 3), dtype=np.float32)
        self._low[objects] = np.minimum.reduceat(scene.triangles.min(axis=1), starts)
        self._high[objects] = np.maximum.reduceat(scene.triangles.max(axis=1), starts)
        self._random = rng.random((count, RANDOM_NUMBERS), dtype=np.float32)
        a, b, c = scene.triangles.transpose(1, 0, 2)
        normal = np.cross(b - a, c - a)
        self._normal = normal / (np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12)

    def points(self, origin: F32, directions: F32, triangle: Ints, range_m: F32) -> SurfacePoints:
        """Return the points where n rays hit triangles.

        Args:
            origin: (3,) metres.
            directions: (n, 3) unit vectors.
            triangle: (n,) the triangle that each ray hits.
            range_m: (n,) metres along each ray.
        """
        object_of_point = self._object[triangle]
        xyz = origin + directions * range_m[:, None]
        normal = self._normal[triangle]
        faces_away = np.einsum("ij,ij->i", normal, directions) > 0
        s = xyz[:, 0].astype(np.float64)
        t = xyz[:, 1] - self._builder.plan.bend_at(s)
        return SurfacePoints(
            xyz,
            np.where(faces_away[:, None], -normal, normal).astype(np.float32),
            self._scene.label[triangle],
            triangle,
            _is_glass()[self._scene.material[triangle]],
            self._random[object_of_point],
            self._low[object_of_point],
            self._high[object_of_point],
            range_m,
            np.stack([s, t], axis=1).astype(np.float32),
        )

    def concept_of(self, triangle: Ints) -> U16:
        """Return (n,) the concepts of triangles; for −1 the result has no meaning."""
        return np.asarray(self._scene.label[triangle])

    def is_wire_mesh(self, triangle: Ints) -> NDArray[np.bool_]:
        """Return (n,) whether triangles are wire mesh of fences, which rays partly pass."""
        wire_mesh = (self._scene.label == concept_index("fence")) & (self._scene.opacity < 1)
        return np.asarray(wire_mesh[triangle] & (triangle >= 0))
