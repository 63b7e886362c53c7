"""Ray casting against a mesh with Embree: which triangle is hit, at what range and angle."""

from dataclasses import dataclass

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray

from weights.recipe.simulate.primitives import F32, U8, Mesh, Rng


@dataclass(frozen=True, slots=True)
class Returns:
    """P returns of R rays; one ray can have several returns.

    Attributes:
        ray: (P,) int64, the ray of each return, an index below R.
        range_m: (P,) float32, metres along the ray.
        label: (P,) uint8, the concept of the triangle that was hit.
        cosine: (P,) float32 in 0…1, of the angle between the ray and the triangle's normal.
    """

    ray: NDArray[np.int64]
    range_m: F32
    label: U8
    cosine: F32


class RayCaster:
    """A mesh with Embree's search tree, which is built once."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._embree = EmbreeScene()
        # Embree keeps a pointer to this object and not a reference, so it must stay alive.
        self._embree_mesh = TriangleMesh(self._embree, np.ascontiguousarray(mesh.triangles))

    def first_hit(self, origins: F32, directions: F32) -> tuple[NDArray[np.int64], F32, F32]:
        """Return the nearest triangle that each ray meets, whatever the triangle's opacity.

        Args:
            origins: (R, 3) metres.
            directions: (R, 3) of unit length.

        Returns:
            (R,) triangle (-1: none), (R,) range in metres, (R,) cosine of incidence in 0…1.
        """
        result = self._embree.run(
            np.ascontiguousarray(origins, dtype=np.float32),
            np.ascontiguousarray(directions, dtype=np.float32),
            output=True,
        )
        triangle = result["primID"].astype(np.int64)
        normal = result["Ng"]
        length = np.linalg.norm(normal, axis=1) + 1e-12
        cosine = np.abs(np.einsum("ij,ij->i", normal, directions)) / length
        return triangle, result["tfar"].astype(np.float32), cosine.astype(np.float32)

    def cast(
        self,
        origins: F32,
        directions: F32,
        rng: Rng,
        *,
        max_returns: int = 1,
        max_hits: int = 4,
    ) -> Returns:
        """Follow rays through partly transparent triangles and return their reflections.

        Args:
            origins: (R, 3) metres.
            directions: (R, 3) of unit length.
            rng: draws whether a triangle reflects the ray, with its opacity as probability.
            max_returns: a ray ends after this many reflections.
            max_hits: a ray ends after it has met this many triangles.
        """
        # `active` holds the rays that go on; the other two arrays have one entry per ray, (R,).
        active = np.arange(len(origins))
        travelled_m = np.zeros(len(origins), dtype=np.float32)
        returns = np.zeros(len(origins), dtype=np.int64)
        parts: list[tuple[NDArray[np.int64], F32, U8, F32]] = []
        for _ in range(max_hits):
            start = origins[active] + directions[active] * travelled_m[active, None]
            triangle, range_m, cosine = self.first_hit(start, directions[active])
            hit = triangle >= 0
            active, triangle, range_m, cosine = (
                active[hit],
                triangle[hit],
                range_m[hit],
                cosine[hit],
            )
            if not len(active):
                break
            total_m = travelled_m[active] + range_m
            opacity = self._mesh.opacity[triangle]
            reflected = rng.random(len(active)) < opacity
            parts.append(
                (
                    active[reflected],
                    total_m[reflected],
                    self._mesh.label[triangle[reflected]],
                    cosine[reflected],
                )
            )
            returns[active[reflected]] += 1
            # Start 2 cm behind the triangle, or the ray would meet it again.
            travelled_m[active] = total_m + 0.02
            # Only a partly transparent triangle lets a part of the beam through.
            active = active[(opacity < 1) & (returns[active] < max_returns)]
        return _merged(parts)


def _merged(parts: list[tuple[NDArray[np.int64], F32, U8, F32]]) -> Returns:
    if not parts:
        none = np.zeros(0, dtype=np.float32)
        return Returns(np.zeros(0, np.int64), none, np.zeros(0, np.uint8), none)
    ray, range_m, label, cosine = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Returns(ray, range_m, label, cosine)
