"""The ground plan of a street scene: which surface is where, how high, and how it bends.

A plan is drawn on straight axes, s along the main road and t to its left, both in metres.
``Plan.world`` bends it: x = s, y = t + sway(s), z = hills(x, y) + profile(s, t).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weights.recipe.simulate.concepts import concept_index, concept_names
from weights.recipe.simulate.primitives import Rng, Soup

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Band:
    """A strip beside the road: how wide, of what, how much above the road (metres)."""

    wide: float
    concept: str
    rise: float


@dataclass(frozen=True, slots=True)
class Patch:
    """A rectangle of another surface: (s0, s1, t0, t1) metres."""

    span: tuple[float, float, float, float]
    concept: str


@dataclass(frozen=True, slots=True)
class Relief:
    """Waves: (W, 4) rows of amplitude m, wave numbers along x and y in rad/m, phase."""

    waves: F64
    slope: tuple[float, float]
    rough_m: float

    def hills(self, x: F64, y: F64) -> F64:
        """Return the height of the bare land in metres, of the shape of ``x``."""
        z = self.slope[0] * x + self.slope[1] * y
        for amplitude, kx, ky, phase in self.waves:
            z = z + amplitude * np.sin(kx * x + ky * y + phase)
        return np.asarray(z)


@dataclass(frozen=True, slots=True)
class Plan:
    """A street's ground plan; see the module's head for its axes."""

    half_road: float
    crossings: tuple[tuple[float, float], ...]
    left: tuple[Band, ...]
    right: tuple[Band, ...]
    beyond: Band
    patches: tuple[Patch, ...]
    sway: tuple[float, float, float]
    relief: Relief
    reach: tuple[float, float]
    track: str = "road"
    parallels: tuple[tuple[float, float], ...] = ()
    grain: tuple[float, float] = (0.35, 24.0)
    bank: tuple[float, float] = (0.0, 0.0)

    def sway_at(self, s: F64) -> F64:
        """Return how far the road has bent to the left at s."""
        size, number, phase = self.sway
        return np.asarray(size * (np.sin(number * s + phase) - np.sin(phase)))

    def heading(self, s: float) -> float:
        """Return the main road's direction at s in radians."""
        size, number, phase = self.sway
        return float(np.arctan(size * number * np.cos(number * s + phase)))

    def distance(self, s: F64, t: F64) -> F64:
        """Return metres to the nearest road's edge, negative on the road; corners are rounded."""
        near = np.abs(t) - self.half_road
        for at, half in self.parallels:
            near = np.minimum(near, np.abs(t - at) - half)
        for at, half in self.crossings:
            other = np.abs(s - at) - half
            radius = 5.0
            corner = (near > 0) & (other > 0) & (near < radius) & (other < radius)
            fillet = radius - np.hypot(radius - near, radius - other)
            near = np.where(corner, fillet, np.minimum(near, other))
        return near

    def surface(self, s: F64, t: F64) -> tuple[NDArray[np.uint8], F64]:
        """Return concept and height above the land at plan points."""
        away = self.distance(s, t)
        label = np.full(s.shape, concept_index(self.track), dtype=np.uint8)
        rise = 0.02 * np.clip(-away, 0, 6)
        for bands, side in ((self.left, t >= 0), (self.right, t < 0)):
            start = 0.0
            for band in (*bands, self.beyond):
                inside = side & (away > start)
                label[inside] = concept_index(band.concept)
                rise[inside] = band.rise
                start += band.wide
            slope = self.bank[0] if bands is self.left else self.bank[1]
            rise += np.where(side, slope * np.clip(away - start + self.beyond.wide, 0, 9), 0.0)
        for patch in self.patches:
            s0, s1, t0, t1 = patch.span
            inside = (s > s0) & (s < s1) & (t > t0) & (t < t1)
            inside &= (away < 1.5) if patch.concept == "bridge" else (away > 0)
            label[inside] = concept_index(patch.concept)
            if patch.concept == "driveway":
                rise[inside] = np.minimum(rise[inside], 0.03 + 0.02 * away[inside])
            if patch.concept == "water":
                rise[inside] = -1.5
        return label, rise

    def ground_at(self, s: float, t: float) -> tuple[float, float, float]:
        """Return the world point of a plan point, on the ground."""
        s_, t_ = np.array([s]), np.array([t])
        x, y = s_, t_ + self.sway_at(s_)
        z = self.relief.hills(x, y) + self.surface(s_, t_)[1]
        return float(x[0]), float(y[0]), float(z[0])

    def _lines(self) -> tuple[F64, F64]:
        """Return grid lines in s and t: fine in the middle, doubled at every edge."""
        far_s, far_t = self.reach
        s, t = _graded(far_s, *self.grain), _graded(far_t, self.grain[0], self.grain[1] * 0.75)
        s_edges, t_edges = [], []
        for bands, side in ((self.left, 1.0), (self.right, -1.0)):
            starts = np.cumsum([0.0, *(band.wide for band in bands)])
            t_edges += [side * (self.half_road + start) for start in starts]
            for at, half in self.crossings:
                s_edges += [at + turn * (half + start) for start in starts for turn in (-1, 1)]
        for patch in self.patches:
            s_edges += patch.span[:2]
            t_edges += patch.span[2:]
        return _with_edges(s, s_edges), _with_edges(t, t_edges)

    def mesh(self, rng: Rng) -> Soup:
        """Return the ground as labelled triangles, rough where it is not paved."""
        s_lines, t_lines = self._lines()
        s, t = np.meshgrid(s_lines, t_lines, indexing="ij")
        label, rise = self.surface(s, t)
        soft = _is_soft(label)
        x, y = s, t + self.sway_at(s)
        rough = rng.normal(0, 1, s.shape) * np.where(soft, self.relief.rough_m, 0.004)
        z = self.relief.hills(x, y) + rise + rough
        grid = np.stack([x, y, z], axis=-1).astype(np.float32)
        middle_s = (s[:-1, :-1] + s[1:, 1:]) / 2
        middle_t = (t[:-1, :-1] + t[1:, 1:]) / 2
        cell_label, _ = self.surface(middle_s, middle_t)
        a, b, c, d = grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]
        lower = np.stack([a, b, c], axis=2).reshape(-1, 3, 3)
        upper = np.stack([a, c, d], axis=2).reshape(-1, 3, 3)
        labels = np.tile(cell_label.reshape(-1), 2)
        return Soup(np.concatenate([lower, upper]), labels, np.ones(len(labels), dtype=np.float32))


def _is_soft(label: NDArray[np.uint8]) -> NDArray[np.bool_]:
    soft = {"grass", "terrain", "gravel"}
    table = np.array([name in soft for name in concept_names()])
    return np.asarray(table[label])


def _graded(far: float, step: float, near: float) -> F64:
    """Return lines ``step`` apart up to ±near, then ever further apart up to ±far."""
    inner = np.arange(0, min(near, far), step)
    steps = step * 1.07 ** np.arange(1, 200)
    outer = near + np.cumsum(np.minimum(steps, 3.0))
    half = np.concatenate([inner, outer[outer < far], [far]])
    return np.concatenate([-half[:0:-1], half])


def _with_edges(lines: F64, edges: ArrayLike) -> F64:
    """Return sorted lines with a pair 2 cm apart at each edge, and none close beside it."""
    edge = np.unique(np.round(np.asarray(edges, dtype=np.float64), 3))
    edge = edge[np.abs(edge) < np.abs(lines).max() - 1]
    if len(edge):
        away = np.abs(lines[:, None] - edge[None, :]).min(axis=1)
        lines = lines[away > 0.06]
    return np.unique(np.concatenate([lines, edge - 0.01, edge + 0.01]))
