"""Ray casting against a mesh with Embree: which triangle is hit, at what range and angle.

Light that meets a surface goes through its holes, through the pane, is mirrored, or comes back.
"""

from dataclasses import dataclass, fields

import numpy as np
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray

from weights.recipe.simulate.concepts import concept_index
from weights.recipe.simulate.embree_geometry import add_triangles
from weights.recipe.simulate.materials import material_table
from weights.recipe.simulate.primitives import F32, U8, U16, Mesh, Rng

# Light goes to the mirrored thing and back, so it is mirrored twice: a surface that mirrors a
# smaller share than this shows itself rather than what it mirrors.
_LEAST_MIRRORED_SHARE = 0.3
# A mirror returns the light itself where it is met within about 8° of its normal.
_FLASH_COSINE = 0.99


@dataclass(frozen=True, slots=True)
class Returns:
    """P returns of R rays; one ray can have several returns.

    Attributes:
        ray: (P,) int64, the ray of each return, an index below R.
        range_m: (P,) float32, metres along the ray; light that was mirrored seems to come from
            behind the mirror.
        label: (P,) uint16, the concept of the triangle that was hit; "unlabeled" for what is seen
            in a mirror.
        cosine: (P,) float32 in 0…1, of the angle between the light and the triangle's normal.
        normal: (P, 3) float32, the triangle's unit normal, towards the light.
        material: (P,) uint8, an index into ``material_names()``.
        color: (P, 3) uint8 sRGB of the triangle.
        share: (P,) float32, the share of the light that panes and mirrors on the way leave;
            a mirror that is met head-on returns more than a white wall, so it can be above 1.
    """

    ray: NDArray[np.int64]
    range_m: F32
    label: U16
    cosine: F32
    normal: F32
    material: U8
    color: U8
    share: F32

    def __len__(self) -> int:
        return len(self.ray)

    def __getitem__(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> "Returns":
        return Returns(*(getattr(self, field.name)[rows] for field in fields(self)))


class RayCaster:
    """A mesh with Embree's search tree, which is built once."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._embree = EmbreeScene()
        # Embree keeps pointers to these objects and not references, so they must stay alive.
        self._embree_geometry = add_triangles(self._embree, mesh.triangles)

    def first_hit(self, origins: F32, directions: F32) -> tuple[NDArray[np.int64], F32, F32]:
        """Return the nearest triangle that each ray meets, whatever the triangle's opacity.

        Args:
            origins: (R, 3) metres.
            directions: (R, 3) of unit length.

        Returns:
            (R,) triangle (-1: none), (R,) range in metres, (R,) cosine of incidence in 0…1.
        """
        triangle, range_m, normal = self._intersect(origins, directions)
        cosine = np.abs(np.einsum("ij,ij->i", normal, directions))
        return triangle, range_m, cosine.astype(np.float32)

    def is_shaded(self, points: F32, to_light: F32) -> NDArray[np.bool_]:
        """Return (P,) whether something opaque stands between points and a distant light.

        Args:
            points: (P, 3) metres, a little in front of their surfaces.
            to_light: (3,) unit vector.
        """
        directions = np.broadcast_to(to_light, points.shape)
        triangle, _, _ = self._intersect(points, directions)
        passes = material_table().passes[self._mesh.material[triangle]]
        return np.asarray((triangle >= 0) & (passes == 0))

    def _intersect(self, origins: F32, directions: F32) -> tuple[NDArray[np.int64], F32, F32]:
        """Return (R,) triangle or −1, (R,) range and (R, 3) unit normal of the nearest hit."""
        result = self._embree.run(
            np.ascontiguousarray(origins, dtype=np.float32),
            np.ascontiguousarray(directions, dtype=np.float32),
            output=True,
        )
        normal = result["Ng"]
        normal = normal / (np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12)
        triangle = result["primID"].astype(np.int64)
        return triangle, result["tfar"].astype(np.float32), normal.astype(np.float32)

    def cast(
        self,
        origins: F32,
        directions: F32,
        rng: Rng,
        *,
        max_returns: int = 1,
        max_hits: int = 5,
    ) -> Returns:
        """Follow rays through holes and panes and off mirrors, and return their reflections.

        Args:
            origins: (R, 3) metres.
            directions: (R, 3) of unit length.
            rng: draws what happens to a ray where it meets a triangle: with the triangle's
                opacity as probability it meets the material, otherwise it goes through a hole.
            max_returns: a ray ends after this many reflections.
            max_hits: a ray ends after it has met this many triangles.
        """
        table, unlabeled = material_table(), np.uint16(concept_index("unlabeled"))
        # `active` holds the rays that go on, with where they are and where they go; `travelled_m`,
        # `share`, `returns` and `is_mirrored` have one entry per ray, (R,).
        active = np.arange(len(origins))
        start, heading = np.asarray(origins, np.float32), np.asarray(directions, np.float32)
        travelled_m = np.zeros(len(origins), dtype=np.float32)
        share = np.ones(len(origins), dtype=np.float32)
        returns = np.zeros(len(origins), dtype=np.int64)
        is_mirrored = np.zeros(len(origins), dtype=np.bool_)
        parts: list[Returns] = []
        for _ in range(max_hits):
            triangle, range_m, normal = self._intersect(start, heading)
            hit = triangle >= 0
            active, triangle, range_m, normal = (
                active[hit],
                triangle[hit],
                range_m[hit],
                normal[hit],
            )
            start, heading = start[hit], heading[hit]
            if not len(active):
                break
            facing = np.einsum("ij,ij->i", normal, heading)
            normal = np.where(facing[:, None] > 0, -normal, normal)
            cosine = np.minimum(np.abs(facing), 1)
            total_m = travelled_m[active] + range_m
            material, opacity = self._mesh.material[triangle], self._mesh.opacity[triangle]
            fate = _draw_fate(material, opacity, cosine, rng)
            rows = np.flatnonzero(fate.reflects)
            light = share[active] * np.where(fate.flashes, 2.0, 1 - fate.mirror)
            label = self._mesh.label[triangle[rows]]
            parts.append(
                Returns(
                    active[rows],
                    total_m[rows],
                    np.where(is_mirrored[active[rows]], unlabeled, label),
                    cosine[rows].astype(np.float32),
                    normal[rows],
                    material[rows],
                    self._mesh.color[triangle[rows]],
                    light[rows].astype(np.float32),
                )
            )
            returns[active[rows]] += 1
            # Light passes panes and mirrors on its way there and back.
            share[active[fate.passes]] *= table.passes[material[fate.passes]] ** 2
            share[active[fate.mirrors]] *= fate.mirror[fate.mirrors] ** 2
            is_mirrored[active[fate.mirrors]] = True
            where = start + heading * range_m[:, None]
            heading = np.where(
                fate.mirrors[:, None], heading + 2 * normal * cosine[:, None], heading
            ).astype(np.float32)
            # Start 2 cm behind the triangle, or the ray would meet it again.
            start = (where + heading * 0.02).astype(np.float32)
            travelled_m[active] = total_m + 0.02
            # What is opaque ends the ray; a leaf or a wire that reflects it leaves some light.
            ends = fate.reflects & (opacity >= 1) & (table.passes[material] == 0)
            goes_on = ~ends & (returns[active] < max_returns)
            active, start, heading = active[goes_on], start[goes_on], heading[goes_on]
        return _merged(parts)


@dataclass(frozen=True, slots=True)
class _Fate:
    """What happens to H rays at the surfaces that they meet.

    Attributes:
        mirror: (H,) float32, the share of the light that the surface mirrors at this angle.
        flashes: (H,) the ray meets a mirror head-on and comes back whole.
        mirrors: (H,) the ray goes on where the surface mirrors it to.
        passes: (H,) the ray goes through the material.
        reflects: (H,) the sensor sees the surface. Rays with none of these go through a hole.
    """

    mirror: F32
    flashes: NDArray[np.bool_]
    mirrors: NDArray[np.bool_]
    passes: NDArray[np.bool_]
    reflects: NDArray[np.bool_]


def _draw_fate(material: U8, opacity: F32, cosine: F32, rng: Rng) -> _Fate:
    """Draw what happens to rays that meet (H,) materials of some opacity at some angle."""
    table = material_table()
    # Schlick's approximation of Fresnel's equations, for surfaces that mirror at all.
    mirror = table.mirror[material]
    mirror = np.where(mirror > 0, mirror + (1 - mirror) * (1 - cosine) ** 5, 0).astype(np.float32)
    draw = rng.random((2, len(material)))
    meets = draw[0] < opacity
    shows_mirrored = mirror > _LEAST_MIRRORED_SHARE
    flashes = meets & (cosine > _FLASH_COSINE) & shows_mirrored
    mirrors = meets & ~flashes & shows_mirrored & (draw[1] < mirror)
    passes = meets & ~flashes & ~mirrors & (draw[1] < table.passes[material])
    return _Fate(mirror, flashes, mirrors, passes, meets & ~mirrors & ~passes)


def _merged(parts: list[Returns]) -> Returns:
    if not parts:
        none = np.zeros(0, dtype=np.float32)
        no_bytes = np.zeros(0, np.uint8)
        return Returns(
            np.zeros(0, np.int64),
            none,
            np.zeros(0, np.uint16),
            none,
            np.zeros((0, 3), np.float32),
            no_bytes,
            np.zeros((0, 3), np.uint8),
            none,
        )
    return Returns(
        *(
            np.concatenate([getattr(part, field.name) for part in parts])
            for field in fields(Returns)
        )
    )
