"""Rays against triangles: what is hit, how far away, at what angle."""

from dataclasses import dataclass

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray

from weights.recipe.simulate.primitives import F32, U8, Rng, Soup


@dataclass(frozen=True, slots=True)
class Hits:
    """The returns of a bundle of rays; one ray can have several.

    Attributes:
        ray: (P,) which ray.
        range_m: (P,) distance along it.
        label: (P,) concept of what was hit.
        cosine: (P,) of the angle between the ray and the surface's normal.
    """

    ray: NDArray[np.int64]
    range_m: F32
    label: U8
    cosine: F32


class Caster:
    """A scene ready to be looked at; builds the search tree once."""

    def __init__(self, scene: Soup) -> None:
        self._scene = scene
        self._embree = EmbreeScene()
        # The mesh registers itself with the scene and must outlive it.
        self._mesh = TriangleMesh(self._embree, np.ascontiguousarray(scene.triangles))

    def first(self, origins: F32, directions: F32) -> tuple[NDArray[np.int64], F32, F32]:
        """Return (R,) triangle met (-1 none), range in metres, cosine of incidence."""
        met = self._embree.run(
            np.ascontiguousarray(origins, dtype=np.float32),
            np.ascontiguousarray(directions, dtype=np.float32),
            output=True,
        )
        triangle = met["primID"].astype(np.int64)
        normal = met["Ng"]
        length = np.linalg.norm(normal, axis=1) + 1e-12
        cosine = np.abs(np.einsum("ij,ij->i", normal, directions)) / length
        return triangle, met["tfar"].astype(np.float32), cosine.astype(np.float32)

    def cast(
        self, origins: F32, directions: F32, rng: Rng, *, echoes: int = 1, passes: int = 4
    ) -> Hits:
        """Follow rays through glass and leaves until they have come back ``echoes`` times.

        Args:
            origins: (R, 3) metres.
            directions: (R, 3) unit length.
            rng: decides where a half-solid triangle sends the ray back.
            echoes: the most returns of one ray.
            passes: the most triangles a ray may meet.
        """
        alive = np.arange(len(origins))
        travelled = np.zeros(len(origins), dtype=np.float32)
        returned = np.zeros(len(origins), dtype=np.int64)
        found: list[tuple[NDArray[np.int64], F32, U8, F32]] = []
        for _ in range(passes):
            start = origins[alive] + directions[alive] * travelled[alive, None]
            triangle, range_m, cosine = self.first(start, directions[alive])
            hit = triangle >= 0
            alive, triangle, range_m, cosine = (
                alive[hit],
                triangle[hit],
                range_m[hit],
                cosine[hit],
            )
            if not len(alive):
                break
            total = travelled[alive] + range_m
            solid = self._scene.solid[triangle]
            back = rng.random(len(alive)) < solid
            found.append(
                (alive[back], total[back], self._scene.label[triangle[back]], cosine[back])
            )
            returned[alive[back]] += 1
            travelled[alive] = total + 0.02
            # Only a half-solid thing lets part of the beam through after it has answered.
            more = (solid < 1) & (returned[alive] < echoes)
            alive = alive[more]
        return _collect(found)


def _collect(found: list[tuple[NDArray[np.int64], F32, U8, F32]]) -> Hits:
    if not found:
        nothing = np.zeros(0, dtype=np.float32)
        return Hits(np.zeros(0, np.int64), nothing, np.zeros(0, np.uint8), nothing)
    ray, range_m, label, cosine = (np.concatenate(column) for column in zip(*found, strict=True))
    return Hits(ray, range_m, label, cosine)
