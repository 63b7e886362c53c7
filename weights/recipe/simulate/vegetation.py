"""Trees, bushes, hedges, grass, rocks and logs.

A tree stands on the origin. Its lower trunk is "tree trunk"; limbs, twigs and leaves are
"tree crown". Leaves are small triangles in random poses, partly transparent.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from weights.recipe.simulate.primitives import (
    F32,
    Mesh,
    Rng,
    ellipsoid,
    labelled_mesh,
    merge,
    polyline_tube,
    random_triangles,
    tube,
)


def _limbs(
    rng: Rng, fork: float, height: float, reach: float, count: int
) -> tuple[Mesh, NDArray[np.float64]]:
    """Return limbs that leave the trunk above ``fork`` metres, and their tips (count, 3)."""
    angle = rng.uniform(0, 2 * np.pi, count)
    foot = rng.uniform(fork, fork + 0.5 * (height - fork), count)
    out = reach * rng.uniform(0.4, 0.85, count)
    head = np.minimum(foot + out * rng.uniform(0.4, 1.3, count), height * 0.95)
    tips = np.stack([out * np.cos(angle), out * np.sin(angle), head], axis=1)
    radius = 0.02 + 0.008 * height * 0.6
    limbs = [
        tube("tree crown", (0, 0, foot[i]), tips[i], radius, end_radius=0.02, sides=5)
        for i in range(count)
    ]
    return merge(limbs), tips


def _crown(
    rng: Rng, tips: NDArray[np.float64], leaves: int, clump_radius: float, leaf_size: float
) -> Mesh:
    """Return leaves in clumps around the limbs' tips; clumps are denser at their surface."""
    center = tips[rng.integers(0, len(tips), leaves)]
    direction = rng.normal(size=(leaves, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    distance = clump_radius * rng.uniform(0.3, 1, (leaves, 1)) ** 0.5
    centers = center + direction * distance * np.array([1, 1, 0.75])
    size = (leaf_size * rng.uniform(0.5, 1.4, leaves)).astype(np.float32)
    return random_triangles("tree crown", centers, size, rng, 0.8)


def _trunk(rng: Rng, height: float, radius: float) -> Mesh:
    lean = rng.normal(0, 0.03 * height, 2)
    middle = (float(lean[0]) * 0.4, float(lean[1]) * 0.4, height * 0.45)
    top = (float(lean[0]), float(lean[1]), height)
    lower = tube("tree trunk", (0, 0, -0.3), middle, radius, end_radius=radius * 0.75, sides=8)
    # Annotators of real scans label the stem inside the crown as crown.
    upper = tube("tree crown", middle, top, radius * 0.75, end_radius=radius * 0.25, sides=7)
    return merge([lower, upper])


def broadleaf(rng: Rng, height: float, leaves: int = 2200) -> Mesh:
    """Return a leafy tree ``height`` metres high."""
    fork = height * float(rng.uniform(0.2, 0.42))
    reach = height * float(rng.uniform(0.22, 0.42))
    limbs, tips = _limbs(rng, fork, height, reach, int(rng.integers(7, 16)))
    top = rng.normal(0, reach * 0.25, (4, 3)) + np.array([0, 0, height * 0.85])
    top[:, 2] = np.clip(top[:, 2], fork, height)
    clump_radius = float(np.clip(reach * rng.uniform(0.35, 0.6), 0.5, 2.4))
    leaf_size = float(rng.uniform(0.13, 0.3)) * (0.7 + height / 20)
    crown = _crown(rng, np.concatenate([tips, top]), leaves, clump_radius, leaf_size)
    trunk = _trunk(rng, height * 0.85, 0.02 * height * float(rng.uniform(0.6, 1.3)))
    return merge([trunk, limbs, crown])


def leafless(rng: Rng, height: float) -> Mesh:
    """Return a tree without leaves: a trunk, limbs and twigs."""
    fork, reach = height * 0.3, height * 0.35
    limbs, tips = _limbs(rng, fork, height, reach, 14)
    twigs = np.repeat(tips, 60, axis=0) * rng.uniform(0.55, 1.05, (len(tips) * 60, 1))
    twigs += rng.normal(0, 0.09 * reach + 0.1, twigs.shape)
    twigs[:, 2] += np.abs(rng.normal(0, 0.06 * height, len(twigs)))
    blades = _blades("tree crown", twigs, 0.35, 0.012, rng)
    return merge([_trunk(rng, height * 0.9, 0.018 * height), limbs, blades])


def conifer(rng: Rng, height: float, leaves: int = 2200) -> Mesh:
    """Return a spruce, fir or cypress ``height`` metres high."""
    foot = height * float(rng.uniform(0.03, 0.25))
    radius = height * float(rng.choice([0.08, 0.16, 0.2, 0.24]))
    # 0 at the foot of the cone, 1 at its tip; more leaves where the cone is wider.
    level = 1 - np.sqrt(rng.random(leaves))
    layers = 0.75 + 0.25 * np.abs(np.sin(level * height * 2.5))
    distance = radius * (1 - level) * layers * rng.uniform(0.35, 1, leaves) ** 0.5
    angle = rng.uniform(0, 2 * np.pi, leaves)
    z = foot + level * (height - foot) - 0.25 * distance
    centers = np.stack([distance * np.cos(angle), distance * np.sin(angle), z], axis=1)
    crown = random_triangles("tree crown", centers, float(rng.uniform(0.14, 0.32)), rng, 0.8)
    return merge([_trunk(rng, height * 0.97, 0.014 * height + 0.04), crown])


def palm(rng: Rng, height: float) -> Mesh:
    """Return a palm: a bare stem and 18 drooping fronds."""
    angle = np.repeat(rng.uniform(0, 2 * np.pi, 18), 40)
    out = np.tile(np.linspace(0.1, 1, 40), 18) * height * 0.3
    rise = 0.5 * out - 0.9 * out**2 / (height * 0.3)
    centers = np.stack([out * np.cos(angle), out * np.sin(angle), height + rise], axis=1)
    centers += rng.normal(0, 0.12, centers.shape)
    trunk = _trunk(rng, height, 0.16)
    return merge([trunk, random_triangles("tree crown", centers, 0.25, rng, 0.85)])


def draw_tree(rng: Rng, height: float, leaves: int = 2200) -> Mesh:
    """Return a tree of a random kind, about ``height`` metres high, with so many leaves."""
    draw = rng.random()
    if draw < 0.68:
        return broadleaf(rng, height, leaves)
    if draw < 0.88:
        return conifer(rng, height * 1.1, leaves)
    if draw < 0.96:
        return leafless(rng, height)
    return palm(rng, max(height * 0.8, 4))


def bush(rng: Rng, width: float, concept: str = "bush") -> Mesh:
    """Return a bush ``width`` metres across."""
    count = int(np.clip(380 * width**2, 200, 2600))
    lobes = rng.normal(0, width * 0.22, (5, 3)) * [1, 1, 0.4] + [0, 0, width * 0.3]
    direction = rng.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    lobe = lobes[rng.integers(0, 5, count)]
    centers = lobe + direction * width * 0.3 * rng.uniform(0.3, 1, (count, 1)) ** 0.4
    centers[:, 2] = np.abs(centers[:, 2])
    return random_triangles(concept, centers, float(rng.uniform(0.06, 0.14)), rng, 0.9)


def hedge(rng: Rng, length: float, height: float) -> Mesh:
    """Return a clipped hedge along x, ``length`` by ``height`` metres."""
    depth = float(rng.uniform(0.5, 1.1))
    count = int(min(220 * length * (height + depth), 7000))
    centers = rng.uniform(-0.5, 0.5, (count, 3)) * [length, depth, height]
    # A third of the leaves each on the sides, on the top, and inside.
    face = rng.integers(0, 3, count)
    centers[face == 0, 1] = np.sign(centers[face == 0, 1]) * depth / 2
    centers[face == 1, 2] = height / 2
    centers += rng.normal(0, 0.05, centers.shape) + [0, 0, height / 2]
    return random_triangles("hedge", centers, 0.1, rng, 0.9)


def _blades(
    concept: str, feet: F32 | NDArray[np.float64], length: float, half_width: float, rng: Rng
) -> Mesh:
    """Return one thin, nearly upright triangle at each of (P, 3) feet."""
    count = len(feet)
    lean = rng.normal(0, 0.45, (count, 2))
    tip = np.concatenate([lean, np.ones((count, 1))], axis=1)
    tip *= (length * rng.uniform(0.4, 1.2, count) / np.linalg.norm(tip, axis=1))[:, None]
    angle = rng.uniform(0, 2 * np.pi, count)
    side = np.stack([np.cos(angle), np.sin(angle), np.zeros(count)], axis=1) * half_width
    return labelled_mesh(concept, np.stack([feet - side, feet + side, feet + tip], axis=1))


def grass_blades(rng: Rng, feet: NDArray[np.float64], length: float) -> Mesh:
    """Return blades of grass about ``length`` metres long at (P, 3) feet."""
    return _blades("grass", feet, length, 0.012 + 0.02 * min(length, 0.5), rng)


def rock(rng: Rng, width: float, concept: str = "rock") -> Mesh:
    """Return a boulder ``width`` metres across."""
    smooth = ellipsoid(concept, (0, 0, 0), (width / 2, width * 0.4, width * 0.35), sides=10)
    corners = smooth.triangles.reshape(-1, 3)
    wave = np.sin(corners @ rng.normal(0, 4 / width, (3, 4)) + rng.uniform(0, 6, 4)).sum(axis=1)
    rough = corners * (1 + 0.09 * wave[:, None])
    return replace(smooth, triangles=rough.reshape(-1, 3, 3).astype(np.float32))


def log(rng: Rng) -> Mesh:
    """Return a fallen trunk along x with three stubs of branches."""
    length, radius = float(rng.uniform(2, 7)), float(rng.uniform(0.1, 0.35))
    stem = tube(
        "log",
        (-length / 2, 0, radius),
        (length / 2, 0, radius),
        radius,
        end_radius=radius * 0.6,
        sides=8,
    )
    stubs = [
        polyline_tube("log", [(x, 0, radius), (x, float(rng.normal(0, 0.8)), radius + 0.6)], 0.04)
        for x in rng.uniform(-length / 2, length / 2, 3)
    ]
    return merge([stem, *stubs])


def stump(rng: Rng) -> Mesh:
    """Return a tree stump with roots."""
    radius, height = float(rng.uniform(0.15, 0.45)), float(rng.uniform(0.2, 0.7))
    angle = rng.uniform(0, 6.28, 5)
    roots = [
        tube("tree stump", (0, 0, 0.15), (2 * radius * np.cos(a), 2 * radius * np.sin(a), 0), 0.07)
        for a in angle
    ]
    return merge([tube("tree stump", (0, 0, 0), (0, 0, height), radius, sides=10), *roots])


def branches(rng: Rng) -> Mesh:
    """Return fallen branches with twigs."""
    parts = []
    for _ in range(int(rng.integers(1, 6))):
        start = np.append(rng.normal(0, 0.6, 2), 0.05)
        end = start + np.append(rng.normal(0, 1.2, 2), float(rng.uniform(0, 0.5)))
        parts.append(
            tube("branch", start, end, float(rng.uniform(0.015, 0.06)), end_radius=0.01, sides=5)
        )
    twigs = rng.normal(0, 0.8, (60, 3)) * [1, 1, 0.15] + [0, 0, 0.12]
    parts.append(_blades("branch", twigs, 0.4, 0.01, rng))
    return merge(parts)


def dead_tree(rng: Rng, height: float) -> Mesh:
    """Return a standing or broken trunk with a few bare limbs, all "tree trunk"."""
    lean = rng.normal(0, 0.05 * height, 2)
    top = np.array([lean[0], lean[1], height])
    parts = [
        tube("tree trunk", (0, 0, -0.2), top, 0.03 * height, end_radius=0.012 * height, sides=8)
    ]
    for level in rng.uniform(0.35, 0.95, int(rng.integers(0, 7))):
        foot = top * level
        tip = foot + np.append(rng.normal(0, 0.2 * height, 2), float(rng.uniform(0, 0.2)) * height)
        parts.append(tube("tree trunk", foot, tip, 0.05, end_radius=0.01, sides=5))
    return merge(parts)


def fern(rng: Rng, size: float) -> Mesh:
    """Return a fern, about ``size`` metres across."""
    angle = np.repeat(rng.uniform(0, 6.28, 12), 14)
    out = np.tile(np.linspace(0.05, 1, 14), 12) * size / 2
    rise = size * 0.5 * np.sin(np.clip(out / size * 2.6, 0, 2.6))
    centers = np.stack([out * np.cos(angle), out * np.sin(angle), rise + 0.05], axis=1)
    return random_triangles("fern", centers, size * 0.07, rng, 0.9)


def stand_of_stalks(rng: Rng, concept: str, size: tuple[float, float], height: float) -> Mesh:
    """Return stalks and leaves of plants that stand close, such as weeds, reed or corn.

    Args:
        rng: draws them.
        concept: their concept.
        size: extent along x and y in metres.
        height: metres.
    """
    area = size[0] * size[1]
    count = int(min(area * {"corn": 25, "reed": 60}.get(concept, 70), 2500))
    # An irregular outline: fewer towards the edges.
    feet = rng.normal(0, 0.25, (count, 3)) * [size[0], size[1], 0]
    if concept in ("corn", "crop"):
        # In rows.
        feet[:, 1] = np.round(feet[:, 1] / 0.7) * 0.7 + rng.normal(0, 0.04, count)
    stalks = _blades(concept, feet, height, 0.02, rng)
    leaves = feet[rng.integers(0, count, count)] + rng.normal(0, 0.12, (count, 3))
    leaves[:, 2] = rng.random(count) * height * 0.85
    return merge([stalks, random_triangles(concept, leaves, 0.09, rng, 0.85)])
