"""Lakes and rivers: their outlines in the plan, their flat surface and their banks."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from weights.recipe.simulate.primitives import F64, Rng


@dataclass(frozen=True, slots=True)
class Lake:
    """A closed outline around a point: a circle whose radius varies with the direction.

    Attributes:
        center: (s, t) in metres.
        radius_m: mean radius.
        stretch: the outline is this much longer along `angle` than across.
        angle: direction of the longer axis in radians.
        waves: (W, 3) float64: amplitude as a share of the radius, number of waves around the
            outline, phase.
    """

    center: tuple[float, float]
    radius_m: float
    stretch: float
    angle: float
    waves: F64

    def distance(self, s: F64, t: F64) -> F64:
        """Return about the metres to the shore, negative inside, in the shape of ``s``."""
        ds, dt = s - self.center[0], t - self.center[1]
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        u = (cos * ds + sin * dt) / np.sqrt(self.stretch)
        v = (cos * dt - sin * ds) * np.sqrt(self.stretch)
        direction = np.arctan2(v, u)
        radius = np.ones_like(direction)
        for amplitude, number, phase in self.waves:
            radius = radius + amplitude * np.sin(number * direction + phase)
        return np.asarray(np.hypot(u, v) - self.radius_m * np.maximum(radius, 0.15))


@dataclass(frozen=True, slots=True)
class River:
    """A band across the plan whose middle line and width vary.

    Attributes:
        angle: direction in radians: 0 flows along s, π/2 along t.
        offset_m: distance of its middle line from the origin, to the left of its direction.
        half_width_m: mean half width.
        bends: (W, 3) float64 of the middle line: amplitude in metres, rad/m, phase.
        widening: share by which its width varies.
    """

    angle: float
    offset_m: float
    half_width_m: float
    bends: F64
    widening: float

    def distance(self, s: F64, t: F64) -> F64:
        """Return about the metres to the shore, negative inside, in the shape of ``s``."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        along, across = cos * s + sin * t, cos * t - sin * s - self.offset_m
        tilt = np.zeros_like(along)
        for amplitude, number, phase in self.bends:
            across = across - amplitude * np.sin(number * along + phase)
            tilt = tilt + amplitude * number * np.cos(number * along + phase)
        half = self.half_width_m * (1 + self.widening * np.sin(0.031 * along + self.offset_m))
        # Measured across the river, not across the plan.
        return np.asarray(np.abs(across) / np.sqrt(1 + tilt**2) - half)


@dataclass(frozen=True, slots=True)
class Water:
    """A flat surface of water with banks.

    Attributes:
        outlines: the water is where any of these is.
        islands: where any of these is, there is land.
        level_m: z of the surface.
        bank_m: width of the bank, over which the land falls to the shore; under 0.5 m it is a
            quay wall.
        edge_m: height of the shore above the water.
        shore: the ground of the bank.
    """

    outlines: tuple[Lake | River, ...]
    islands: tuple[Lake, ...]
    level_m: float
    bank_m: float
    edge_m: float
    shore: str

    def distance(self, s: F64, t: F64) -> F64:
        """Return about the metres to the shore, negative on water, in the shape of ``s``."""
        distance = np.min([outline.distance(s, t) for outline in self.outlines], axis=0)
        for island in self.islands:
            distance = np.maximum(distance, -island.distance(s, t))
        return np.asarray(distance)

    def bank_height(self, distance: F64, land_m: F64) -> F64:
        """Return z of the bank in metres.

        Args:
            distance: metres to the shore, at least 0 on land.
            land_m: z of the land if there were no water, in the same shape.
        """
        share = np.clip(distance / self.bank_m, 0, 1)
        share = share * share * (3 - 2 * share)
        edge = self.level_m + self.edge_m
        return np.asarray(edge + share * (land_m - edge))


def draw_outlines(
    rng: Rng, kind: str, half_size: float
) -> tuple[tuple[Lake | River, ...], tuple[Lake, ...]]:
    """Return random outlines of water and of islands.

    Args:
        rng: draws them.
        kind: "lake", "ponds", "river", "canal" or "shore", which is the edge of a sea or lake.
        half_size: the plan reaches to ±half_size metres.
    """
    if kind == "lake":
        lake = _draw_lake(rng, half_size, float(rng.uniform(0.25, 0.75)) * half_size)
        if rng.random() < 0.4:
            at = rng.normal(0, 0.35 * lake.radius_m, 2) + np.asarray(lake.center)
            size = lake.radius_m * float(rng.uniform(0.1, 0.35))
            return (lake,), (_lake_at(rng, (float(at[0]), float(at[1])), size),)
        return (lake,), ()
    if kind == "ponds":
        count = int(rng.integers(2, 7))
        sizes = half_size * rng.uniform(0.06, 0.3, count)
        return tuple(_draw_lake(rng, half_size, float(size)) for size in sizes), ()
    if kind == "shore":
        side = float(rng.uniform(0.3, 1.1)) * half_size
        band = _draw_river(rng, half_size, 3 * half_size, True)
        return (_moved(band, side + 3 * half_size),), ()
    if kind == "canal":
        half = float(rng.uniform(3, 16))
        river = _draw_river(rng, half_size, half, rng.random() < 0.3)
        return (river,), ()
    return (_draw_river(rng, half_size, float(np.exp(rng.uniform(0.7, 3.6))), True),), ()


def _moved(river: River, offset_m: float) -> River:
    return River(river.angle, offset_m, river.half_width_m, river.bends, 0.0)


def _lake_at(rng: Rng, center: tuple[float, float], radius_m: float) -> Lake:
    count = 6
    waves = np.stack(
        [
            rng.normal(0, 0.22, count) / np.arange(1, count + 1) ** 0.7,
            np.arange(1, count + 1).astype(np.float64),
            rng.uniform(0, 6.28, count),
        ],
        axis=1,
    )
    stretch, angle = float(rng.uniform(1, 2.6)), float(rng.uniform(0, 3.14))
    return Lake(center, radius_m, stretch, angle, waves)


def _draw_lake(rng: Rng, half_size: float, radius_m: float) -> Lake:
    where = rng.uniform(-0.9, 0.9, 2) * half_size
    return _lake_at(rng, (float(where[0]), float(where[1])), radius_m)


def _draw_river(rng: Rng, half_size: float, half_width_m: float, is_bent: bool) -> River:
    length_m = rng.uniform(0.8, 4, 2) * half_size + 40
    amplitude = length_m * rng.uniform(0, 0.08, 2) * is_bent
    bends = np.stack([amplitude, 2 * np.pi / length_m, rng.uniform(0, 6.28, 2)], axis=1)
    angle = float(rng.choice([0, np.pi / 2]) + rng.normal(0, 0.25))
    offset_m = float(rng.uniform(-0.6, 0.6)) * half_size
    widening = float(rng.uniform(0, 0.35)) * is_bent
    return River(angle, offset_m, half_width_m, bends, widening)


def draw_water(rng: Rng, kind: str, half_size: float, land_m: Callable[[F64, F64], F64]) -> Water:
    """Return water of a random outline, a little below the lowest land at its shore.

    Args:
        rng: draws it.
        kind: see `draw_outlines`.
        half_size: the plan reaches to ±half_size metres.
        land_m: returns z of the land at (s, t).
    """
    outlines, islands = draw_outlines(rng, kind, half_size)
    is_quay = kind == "canal" and rng.random() < 0.7
    edge_m = float(rng.uniform(0.4, 2.5) if is_quay else rng.uniform(0.02, 0.4))
    bank_m = 0.12 if is_quay else float(np.exp(rng.uniform(0.7, 3.2)))
    shore = "grass" if is_quay else str(rng.choice(["grass", "grass", "terrain", "gravel", "sand"]))
    # Where the shore is, to a few metres.
    grid = np.linspace(-half_size, half_size, 80)
    s, t = np.meshgrid(grid, grid)
    bare = Water(outlines, islands, 0.0, bank_m, edge_m, shore)
    near = np.abs(bare.distance(s, t)) < half_size / 25
    height = land_m(s[near], t[near]) if near.any() else land_m(s, t)
    fall_m = edge_m + (0.0 if is_quay else float(rng.uniform(0.1, 2.5)))
    level_m = float(np.quantile(height, 0.1)) - fall_m
    return Water(outlines, islands, level_m, bank_m, edge_m, shore)
