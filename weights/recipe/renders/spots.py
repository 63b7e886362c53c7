"""The places of a scene that a camera's rays meet, with all that paints need to know of them."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from weights.recipe.simulate.concepts import concept_index
from weights.recipe.simulate.primitives import F32, U8, Rng, Soup
from weights.recipe.simulate.stage import Stage

Ints = NDArray[np.int64]
DRAWS = 8


@dataclass(frozen=True, slots=True)
class Spots:
    """n places on surfaces.

    Attributes:
        xyz: (n, 3) metres in the world.
        normal: (n, 3) of unit length, toward the viewer.
        concept: (n,) of the triangle that was met.
        triangle: (n,) its number.
        solid: (n,) the chance that it holds a laser up: below 1 for panes, nets and leaves.
        draws: (n, 8) numbers in 0…1 that belong to the body.
        low: (n, 3) the lower corner of the body's box.
        high: (n, 3) its upper corner.
        range_m: (n,) from the viewer.
        plan: (n, 2) along and across the main road, metres.
    """

    xyz: F32
    normal: F32
    concept: U8
    triangle: Ints
    solid: F32
    draws: F32
    low: F32
    high: F32
    range_m: F32
    plan: F32

    def __len__(self) -> int:
        return len(self.xyz)

    def __getitem__(self, keep: NDArray[np.bool_]) -> Spots:
        return Spots(*(getattr(self, field.name)[keep] for field in fields(self)))

    @property
    def along(self) -> F32:
        """(n,) metres along the surface's horizontal direction."""
        flat = np.hypot(self.normal[:, 0], self.normal[:, 1]) + 1e-6
        turned = self.xyz[:, 1] * self.normal[:, 0] - self.xyz[:, 0] * self.normal[:, 1]
        return np.asarray(turned / flat)

    @property
    def above(self) -> F32:
        """(n,) metres above the body's lowest point."""
        return np.asarray(self.xyz[:, 2] - self.low[:, 2])

    def fine(self, size_m: float) -> F32:
        """(n,) 1 where a pattern of ``size_m`` is well resolved, falling to 0 where it blurs."""
        return np.asarray(np.clip(2.0 - self.range_m * np.float32(0.006 / size_m), 0, 1))


class Surfaces:
    """What is known of a finished scene's triangles and bodies."""

    def __init__(self, scene: Soup, stage: Stage, rng: Rng) -> None:
        self._scene, self._stage = scene, stage
        self._body = stage.body_of_triangle(scene)
        starts = np.flatnonzero(np.diff(self._body, prepend=-1))
        bodies = self._body[starts]
        count = int(self._body.max()) + 1
        self._low = np.zeros((count, 3), dtype=np.float32)
        self._high = np.zeros((count, 3), dtype=np.float32)
        self._low[bodies] = np.minimum.reduceat(scene.triangles.min(axis=1), starts)
        self._high[bodies] = np.maximum.reduceat(scene.triangles.max(axis=1), starts)
        self._draws = rng.random((count, DRAWS), dtype=np.float32)
        a, b, c = scene.triangles.transpose(1, 0, 2)
        normal = np.cross(b - a, c - a)
        self._normal = normal / (np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12)

    def spots(self, origin: F32, directions: F32, triangle: Ints, range_m: F32) -> Spots:
        """The places where rays from ``origin`` (3,) met triangles, one for each ray."""
        body = self._body[triangle]
        xyz = origin + directions * range_m[:, None]
        normal = self._normal[triangle]
        away = np.einsum("ij,ij->i", normal, directions) > 0
        s = xyz[:, 0].astype(np.float64)
        across = xyz[:, 1] - self._stage.plan.sway_at(s)
        return Spots(
            xyz,
            np.where(away[:, None], -normal, normal).astype(np.float32),
            self._scene.label[triangle],
            triangle,
            self._scene.solid[triangle],
            self._draws[body],
            self._low[body],
            self._high[body],
            range_m,
            np.stack([s, across], axis=1).astype(np.float32),
        )

    def concept_of(self, triangle: Ints) -> U8:
        """(n,) the concept of triangles; any for -1."""
        return np.asarray(self._scene.label[triangle])

    def is_net(self, triangle: Ints) -> NDArray[np.bool_]:
        """(n,) whether these are nets of fences, to be looked through."""
        net = (self._scene.label == concept_index("fence")) & (self._scene.solid < 1)
        return np.asarray(net[triangle] & (triangle >= 0))
