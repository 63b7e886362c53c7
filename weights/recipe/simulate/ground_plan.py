"""The ground plan of a street or town: which surface is where, its height, and how roads bend.

A plan has straight axes in metres: s along the main road and t to its left. The world follows
from it as x = s, y = t + bend(s), z = terrain(x, y) + rise(s, t), where bend shifts the whole plan
sideways and rise is the height of curbs, ditches and banks above the terrain.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weights.recipe.simulate.concepts import concept_index, concept_names
from weights.recipe.simulate.materials import material_index, material_of_concept
from weights.recipe.simulate.primitives import F64, U16, Mesh, Rng, labelled_mesh
from weights.recipe.simulate.waters import Water

_CORNER_RADIUS_M = 5.0
# Patches of these surfaces are ellipses within their bounds.
_ROUND = ("puddle", "mud", "sand")


@dataclass(frozen=True, slots=True)
class Strip:
    """A strip of ground along a road, such as a curb or a sidewalk.

    Attributes:
        width: metres.
        concept: the surface.
        rise: height above the road's edge in metres.
    """

    width: float
    concept: str
    rise: float


@dataclass(frozen=True, slots=True)
class Patch:
    """A rectangle of the plan with another surface.

    Attributes:
        bounds: (s0, s1, t0, t1) in metres; of puddles, mud and sand the ellipse inside.
        concept: the surface.
    """

    bounds: tuple[float, float, float, float]
    concept: str


@dataclass(frozen=True, slots=True)
class Terrain:
    """The height of the land: a slope and a sum of sine waves.

    Attributes:
        waves: (W, 4) float64: amplitude in metres, wave numbers along x and y in rad/m, phase.
        slope: rise per metre along x and y.
        roughness_m: standard deviation of the height of unpaved ground in metres.
    """

    waves: F64
    slope: tuple[float, float]
    roughness_m: float

    def height(self, x: F64, y: F64) -> F64:
        """Return the height of the bare land in metres, in the shape of ``x``."""
        z = self.slope[0] * x + self.slope[1] * y
        for amplitude, kx, ky, phase in self.waves:
            z = z + amplitude * np.sin(kx * x + ky * y + phase)
        return np.asarray(z)


@dataclass(frozen=True, slots=True)
class GroundPlan:
    """Roads, the strips beside them, and the land; the module's docstring defines the axes.

    Attributes:
        half_width: half the width of the main road, which lies on t = 0, in metres.
        crossings: (s, half width) in metres of each road that crosses the main road.
        left: strips on the left of roads, from the edge outwards.
        right: strips on the right of roads.
        beyond: the ground beyond the strips.
        patches: rectangles with other surfaces; later ones cover earlier ones.
        bend: amplitude in metres, wave number in rad/m and phase of the main road's bends.
        terrain: the height of the land.
        half_size: the plan reaches to ±half_size along s and t, in metres.
        surface: the concept of the roads' surface.
        parallels: (t, half width) in metres of each road parallel to the main road.
        grid: spacing in metres of the ground mesh, and up to which distance it stays that fine.
        bank: slope of the land left and right beyond the strips, up to 9 m from them.
        waters: lakes and rivers; roads cross them on bridges.
        deck_m: how far bridges reach beyond the edge of their road.
        arch_m: how much higher bridges are in their middle than at the shores.
    """

    half_width: float
    crossings: tuple[tuple[float, float], ...]
    left: tuple[Strip, ...]
    right: tuple[Strip, ...]
    beyond: Strip
    patches: tuple[Patch, ...]
    bend: tuple[float, float, float]
    terrain: Terrain
    half_size: tuple[float, float]
    surface: str = "road"
    parallels: tuple[tuple[float, float], ...] = ()
    grid: tuple[float, float] = (0.35, 24.0)
    bank: tuple[float, float] = (0.0, 0.0)
    waters: tuple[Water, ...] = ()
    deck_m: float = 1.5
    arch_m: float = 0.0

    def bend_at(self, s: F64) -> F64:
        """Return how far the plan is shifted to the left at ``s``, in metres."""
        amplitude, number, phase = self.bend
        return np.asarray(amplitude * (np.sin(number * s + phase) - np.sin(phase)))

    def heading(self, s: float) -> float:
        """Return the direction of the main road at ``s`` in radians."""
        amplitude, number, phase = self.bend
        return float(np.arctan(amplitude * number * np.cos(number * s + phase)))

    def road_distance(self, s: F64, t: F64) -> F64:
        """Return the metres to the edge of the nearest road, negative on a road.

        The corners between the main road and crossing roads are rounded.
        """
        distance = np.abs(t) - self.half_width
        for center, half in self.parallels:
            distance = np.minimum(distance, np.abs(t - center) - half)
        for center, half in self.crossings:
            other = np.abs(s - center) - half
            radius = _CORNER_RADIUS_M
            corner = (distance > 0) & (other > 0) & (distance < radius) & (other < radius)
            fillet = radius - np.hypot(radius - distance, radius - other)
            distance = np.where(corner, fillet, np.minimum(distance, other))
        return distance

    def surface_at(self, s: F64, t: F64) -> tuple[U16, F64]:
        """Return the concept and the rise in metres at points of the plan.

        Args:
            s: metres along the main road, any shape.
            t: metres to its left, of the same shape.
        """
        distance = self.road_distance(s, t)
        label = np.full(s.shape, concept_index(self.surface), dtype=np.uint16)
        # Roads are cambered: they rise by 2 % towards the middle.
        rise = 0.02 * np.clip(-distance, 0, 6)
        for strips, side in ((self.left, t >= 0), (self.right, t < 0)):
            start = 0.0
            for strip in (*strips, self.beyond):
                inside = side & (distance > start)
                label[inside] = concept_index(strip.concept)
                rise[inside] = strip.rise
                start += strip.width
            slope = self.bank[0] if strips is self.left else self.bank[1]
            # `start` includes the width of `beyond`; the bank begins where `beyond` begins.
            outside = np.clip(distance - start + self.beyond.width, 0, 9)
            rise += np.where(side, slope * outside, 0.0)
        for patch in self.patches:
            inside = self._is_covered(patch, s, t, distance)
            label[inside] = concept_index(patch.concept)
            if patch.concept == "driveway":
                rise[inside] = np.minimum(rise[inside], 0.03 + 0.02 * distance[inside])
            if patch.concept in ("puddle", "mud"):
                rise[inside] -= 0.04
        for water in self.waters:
            self._flood(water, (s, t), distance, (label, rise))
        return label, rise

    def _flood(
        self, water: Water, at: tuple[F64, F64], road_m: F64, surface: tuple[U16, F64]
    ) -> None:
        """Write water, its banks and bridges into the surface's labels and heights.

        Args:
            water: the water.
            at: s and t of the points.
            road_m: distance of the points from the nearest road in metres.
            surface: label and rise of the points, which are changed.
        """
        (s, t), (label, rise) = at, surface
        shore_m = water.distance(s, t)
        land_m = self.terrain.height(s, t + self.bend_at(s))
        bank = (shore_m > 0) & (shore_m < water.bank_m)
        # Roads run on embankments.
        on_road = np.clip(1 - (road_m - self.deck_m) / 5, 0, 1)
        height = water.bank_height(shore_m, land_m + rise) - land_m
        rise[bank] = (on_road * rise + (1 - on_road) * height)[bank]
        label[bank & (on_road < 0.5) & (water.bank_m > 0.5)] = concept_index(water.shore)
        deck, wet = (shore_m < 0.6) & (road_m < self.deck_m), shore_m < 0
        label[deck], label[wet & ~deck] = concept_index("bridge"), concept_index("water")
        rise[deck] += self.arch_m * (1 - np.exp(np.minimum(shore_m, 0)[deck] / 8))
        rise[wet & ~deck] = (water.level_m - land_m)[wet & ~deck]

    def water_distance(self, s: float, t: float) -> float:
        """Return the metres to the nearest shore, negative on water, also where bridges are."""
        at = np.array([s]), np.array([t])
        return min((float(water.distance(*at)[0]) for water in self.waters), default=np.inf)

    def _is_covered(self, patch: Patch, s: F64, t: F64, distance: F64) -> NDArray[np.bool_]:
        """Return where a patch covers points (s, t) at some distance from the nearest road."""
        s0, s1, t0, t1 = patch.bounds
        inside = (s > s0) & (s < s1) & (t > t0) & (t < t1)
        if patch.concept in _ROUND:
            across = (2 * s - s0 - s1) / (s1 - s0), (2 * t - t0 - t1) / (t1 - t0)
            inside &= across[0] ** 2 + across[1] ** 2 < 1
        is_paved = self.surface == "road"
        return np.asarray(inside & (distance > 0) if is_paved else inside)

    def world_point(self, s: float, t: float) -> tuple[float, float, float]:
        """Return x, y, z in metres of the ground at a point of the plan."""
        s_, t_ = np.array([s]), np.array([t])
        x, y = s_, t_ + self.bend_at(s_)
        z = self.terrain.height(x, y) + self.surface_at(s_, t_)[1]
        return float(x[0]), float(y[0]), float(z[0])

    def mesh(self, rng: Rng) -> Mesh:
        """Return the ground as labelled triangles; ``rng`` draws its roughness."""
        s_lines, t_lines = self._grid_lines()
        s, t = np.meshgrid(s_lines, t_lines, indexing="ij")
        label, rise = self.surface_at(s, t)
        x, y = s, t + self.bend_at(s)
        roughness = np.where(_is_unpaved(label), self.terrain.roughness_m, 0.004)
        z = self.terrain.height(x, y) + rise + rng.normal(0, 1, s.shape) * roughness
        corners = np.stack([x, y, z], axis=-1).astype(np.float32)
        middle_s = (s[:-1, :-1] + s[1:, 1:]) / 2
        middle_t = (t[:-1, :-1] + t[1:, 1:]) / 2
        cell_label, _ = self.surface_at(middle_s, middle_t)
        # (S - 1, T - 1) grid cells with corners a, b, c, d, two triangles each.
        a, b, c, d = corners[:-1, :-1], corners[1:, :-1], corners[1:, 1:], corners[:-1, 1:]
        lower = np.stack([a, b, c], axis=2).reshape(-1, 3, 3)
        upper = np.stack([a, c, d], axis=2).reshape(-1, 3, 3)
        triangles = np.concatenate([lower, upper])
        label = np.tile(cell_label.reshape(-1), 2)
        for water in self.waters:
            # Water is level up to its shore; what slopes there is the bank.
            inside = np.tile((water.distance(middle_s, middle_t) < 0).reshape(-1), 2)
            triangles[inside & (label == concept_index("water")), :, 2] = water.level_m
        ground = labelled_mesh("road", triangles)
        material = material_of_concept()[label]
        if self.waters:
            material[label == concept_index("water")] = material_index("open_water")
        return replace(ground, label=label, material=material)

    def _grid_lines(self) -> tuple[F64, F64]:
        """Return the grid lines of the ground mesh in s and t, doubled where surfaces change."""
        far_s, far_t = self.half_size
        s, t = _graded(far_s, *self.grid), _graded(far_t, self.grid[0], self.grid[1] * 0.75)
        s_edges, t_edges = [], []
        for strips, side in ((self.left, 1.0), (self.right, -1.0)):
            starts = np.cumsum([0.0, *(strip.width for strip in strips)])
            t_edges += [side * (self.half_width + start) for start in starts]
            for center, half in self.parallels:
                t_edges += [center + side * (half + start) for start in starts]
            for center, half in self.crossings:
                s_edges += [center + sign * (half + start) for start in starts for sign in (-1, 1)]
        for patch in self.patches:
            s_edges += patch.bounds[:2]
            t_edges += patch.bounds[2:]
        return _with_edges(s, s_edges), _with_edges(t, t_edges)


def _is_unpaved(label: U16) -> NDArray[np.bool_]:
    unpaved = {"grass", "terrain", "gravel", "mud", "sand"}
    table = np.array([name in unpaved for name in concept_names()])
    return np.asarray(table[label])


def _graded(far: float, step: float, fine: float) -> F64:
    """Return sorted grid lines from −far to far: ``step`` apart up to ±fine, then ever wider."""
    inner = np.arange(0, min(fine, far), step)
    steps = step * 1.07 ** np.arange(1, 200)
    outer = fine + np.cumsum(np.minimum(steps, 3.0))
    half = np.concatenate([inner, outer[outer < far], [far]])
    return np.concatenate([-half[:0:-1], half])


def _with_edges(lines: F64, edges: ArrayLike) -> F64:
    """Return sorted grid lines with a pair 2 cm apart at each edge and no line close to it.

    The pair makes steps such as curbs nearly vertical, and surfaces change at the right place.
    """
    edge = np.unique(np.round(np.asarray(edges, dtype=np.float64), 3))
    edge = edge[np.abs(edge) < np.abs(lines).max() - 1]
    if len(edge):
        # (lines, edges) distances.
        distance = np.abs(lines[:, None] - edge[None, :]).min(axis=1)
        lines = lines[distance > 0.06]
    return np.unique(np.concatenate([lines, edge - 0.01, edge + 0.01]))
