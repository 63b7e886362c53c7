"""Trees, bushes, hedges, grass, rocks: trunks with limbs, and clouds of leaves."""

import numpy as np
from numpy.typing import NDArray

from weights.recipe.simulate.primitives import (
    F32,
    Rng,
    Soup,
    ball,
    join,
    path_tube,
    shards,
    soup,
    tube,
)


def _limbs(
    rng: Rng, fork: float, tall: float, reach: float, count: int
) -> tuple[Soup, NDArray[np.float64]]:
    """Return limbs that leave the trunk above ``fork`` metres, and their tips (count, 3)."""
    angle = rng.uniform(0, 2 * np.pi, count)
    foot = rng.uniform(fork, fork + 0.5 * (tall - fork), count)
    out = reach * rng.uniform(0.4, 0.85, count)
    head = np.minimum(foot + out * rng.uniform(0.4, 1.3, count), tall * 0.95)
    tips = np.stack([out * np.cos(angle), out * np.sin(angle), head], axis=1)
    limbs = [
        tube("tree crown", (0, 0, foot[i]), tips[i], 0.02 + 0.008 * tall * 0.6, tip=0.02, sides=5)
        for i in range(count)
    ]
    return join(limbs), tips


def _crown(rng: Rng, tips: NDArray[np.float64], leaves: int, clump: float, leaf: float) -> Soup:
    """Return leaves in clumps about the limbs' tips; clumps are denser at their rim."""
    middle = tips[rng.integers(0, len(tips), leaves)]
    way = rng.normal(size=(leaves, 3))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    away = clump * rng.uniform(0.3, 1, (leaves, 1)) ** 0.5
    centres = middle + way * away * np.array([1, 1, 0.75])
    size = (leaf * rng.uniform(0.5, 1.4, leaves)).astype(np.float32)
    return shards("tree crown", centres, size, rng, 0.8)


def _trunk(rng: Rng, tall: float, thick: float) -> Soup:
    lean = rng.normal(0, 0.03 * tall, 2)
    mid = (float(lean[0]) * 0.4, float(lean[1]) * 0.4, tall * 0.45)
    top = (float(lean[0]), float(lean[1]), tall)
    lower = tube("tree trunk", (0, 0, -0.3), mid, thick, tip=thick * 0.75, sides=8)
    # People who label scans call the stem inside the crown a part of the crown.
    return join([lower, tube("tree crown", mid, top, thick * 0.75, tip=thick * 0.25, sides=7)])


def broadleaf(rng: Rng, tall: float, leaves: int = 2200) -> Soup:
    """Return a leafy tree ``tall`` metres high."""
    fork = tall * float(rng.uniform(0.2, 0.42))
    reach = tall * float(rng.uniform(0.22, 0.42))
    limbs, tips = _limbs(rng, fork, tall, reach, int(rng.integers(7, 16)))
    top = rng.normal(0, reach * 0.25, (4, 3)) + np.array([0, 0, tall * 0.85])
    top[:, 2] = np.clip(top[:, 2], fork, tall)
    clump = float(np.clip(reach * rng.uniform(0.35, 0.6), 0.5, 2.4))
    leaf = float(rng.uniform(0.13, 0.3)) * (0.7 + tall / 20)
    crown = _crown(rng, np.concatenate([tips, top]), leaves, clump, leaf)
    return join(
        [_trunk(rng, tall * 0.85, 0.02 * tall * float(rng.uniform(0.6, 1.3))), limbs, crown]
    )


def bare(rng: Rng, tall: float) -> Soup:
    """Return a leafless tree: limbs and twigs, all of it trunk but the twigs."""
    fork, reach = tall * 0.3, tall * 0.35
    limbs, tips = _limbs(rng, fork, tall, reach, 14)
    twigs = np.repeat(tips, 60, axis=0) * rng.uniform(0.55, 1.05, (len(tips) * 60, 1))
    twigs += rng.normal(0, 0.09 * reach + 0.1, twigs.shape)
    twigs[:, 2] += np.abs(rng.normal(0, 0.06 * tall, len(twigs)))
    thin = _slivers("tree crown", twigs, 0.35, 0.012, rng)
    return join([_trunk(rng, tall * 0.9, 0.018 * tall), limbs, thin])


def conifer(rng: Rng, tall: float, leaves: int = 2200) -> Soup:
    """Return a spruce, a fir or a cypress ``tall`` metres high."""
    foot = tall * float(rng.uniform(0.03, 0.25))
    wide = tall * float(rng.choice([0.08, 0.16, 0.2, 0.24]))
    level = 1 - np.sqrt(rng.random(leaves))
    layers = 0.75 + 0.25 * np.abs(np.sin(level * tall * 2.5))
    away = wide * (1 - level) * layers * rng.uniform(0.35, 1, leaves) ** 0.5
    angle = rng.uniform(0, 2 * np.pi, leaves)
    z = foot + level * (tall - foot) - 0.25 * away
    centres = np.stack([away * np.cos(angle), away * np.sin(angle), z], axis=1)
    crown = shards("tree crown", centres, float(rng.uniform(0.14, 0.32)), rng, 0.8)
    return join([_trunk(rng, tall * 0.97, 0.014 * tall + 0.04), crown])


def palm(rng: Rng, tall: float) -> Soup:
    """Return a palm: a bare stem and drooping fronds."""
    angle = np.repeat(rng.uniform(0, 2 * np.pi, 18), 40)
    out = np.tile(np.linspace(0.1, 1, 40), 18) * tall * 0.3
    rise = 0.5 * out - 0.9 * out**2 / (tall * 0.3)
    centres = np.stack([out * np.cos(angle), out * np.sin(angle), tall + rise], axis=1)
    centres += rng.normal(0, 0.12, centres.shape)
    return join([_trunk(rng, tall, 0.16), shards("tree crown", centres, 0.25, rng, 0.85)])


def draw_tree(rng: Rng, tall: float, leaves: int = 2200) -> Soup:
    """Return a tree of a random kind about ``tall`` metres high."""
    draw = rng.random()
    if draw < 0.68:
        return broadleaf(rng, tall, leaves)
    if draw < 0.88:
        return conifer(rng, tall * 1.1, leaves)
    if draw < 0.96:
        return bare(rng, tall)
    return palm(rng, max(tall * 0.8, 4))


def bush(rng: Rng, wide: float, concept: str = "bush") -> Soup:
    """Return a bush ``wide`` metres across."""
    count = int(np.clip(380 * wide**2, 200, 2600))
    lobes = rng.normal(0, wide * 0.22, (5, 3)) * [1, 1, 0.4] + [0, 0, wide * 0.3]
    way = rng.normal(size=(count, 3))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    centres = (
        lobes[rng.integers(0, 5, count)] + way * wide * 0.3 * rng.uniform(0.3, 1, (count, 1)) ** 0.4
    )
    centres[:, 2] = np.abs(centres[:, 2])
    return shards(concept, centres, float(rng.uniform(0.06, 0.14)), rng, 0.9)


def hedge(rng: Rng, long: float, high: float) -> Soup:
    """Return a clipped hedge along x, ``long`` by ``high`` metres."""
    deep = float(rng.uniform(0.5, 1.1))
    count = int(min(220 * long * (high + deep), 7000))
    centres = rng.uniform(-0.5, 0.5, (count, 3)) * [long, deep, high]
    face = rng.integers(0, 3, count)
    centres[face == 0, 1] = np.sign(centres[face == 0, 1]) * deep / 2
    centres[face == 1, 2] = high / 2
    centres += rng.normal(0, 0.05, centres.shape) + [0, 0, high / 2]
    return shards("hedge", centres, 0.1, rng, 0.9)


def _slivers(
    concept: str, feet: F32 | NDArray[np.float64], long: float, wide: float, rng: Rng
) -> Soup:
    """Return thin upright blades, one at each of (P, 3) feet."""
    count = len(feet)
    lean = rng.normal(0, 0.45, (count, 2))
    tip = np.concatenate([lean, np.ones((count, 1))], axis=1)
    tip *= (long * rng.uniform(0.4, 1.2, count) / np.linalg.norm(tip, axis=1))[:, None]
    angle = rng.uniform(0, 2 * np.pi, count)
    side = np.stack([np.cos(angle), np.sin(angle), np.zeros(count)], axis=1) * wide
    return soup(concept, np.stack([feet - side, feet + side, feet + tip], axis=1))


def grass_blades(rng: Rng, feet: NDArray[np.float64], long: float) -> Soup:
    """Return grass ``long`` metres tall at (P, 3) feet."""
    return _slivers("grass", feet, long, 0.012 + 0.02 * min(long, 0.5), rng)


def rock(rng: Rng, wide: float, concept: str = "rock") -> Soup:
    """Return a boulder ``wide`` metres across."""
    stone = ball(concept, (0, 0, 0), (wide / 2, wide * 0.4, wide * 0.35), sides=10)
    corners = stone.triangles.reshape(-1, 3)
    wave = np.sin(corners @ rng.normal(0, 4 / wide, (3, 4)) + rng.uniform(0, 6, 4)).sum(axis=1)
    rough = corners * (1 + 0.09 * wave[:, None])
    return Soup(rough.reshape(-1, 3, 3).astype(np.float32), stone.label, stone.solid)


def log(rng: Rng) -> Soup:
    """Return a fallen trunk with stubs."""
    long, thick = float(rng.uniform(2, 7)), float(rng.uniform(0.1, 0.35))
    stem = tube("log", (-long / 2, 0, thick), (long / 2, 0, thick), thick, tip=thick * 0.6, sides=8)
    stubs = [
        path_tube("log", [(x, 0, thick), (x, float(rng.normal(0, 0.8)), thick + 0.6)], 0.04)
        for x in rng.uniform(-long / 2, long / 2, 3)
    ]
    return join([stem, *stubs])
