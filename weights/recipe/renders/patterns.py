"""Procedural patterns: noise, bricks, slabs, stripes, from places in metres."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from weights.recipe.simulate.primitives import F32

Ints = NDArray[np.int64]
_SIDE = 64


@lru_cache(maxsize=1)
def _table() -> F32:
    return np.random.default_rng(20).random(_SIDE**3, dtype=np.float32)


def chance(i: Ints, j: Ints, k: Ints | int = 0) -> F32:
    """A number in 0…1 for every integer place, always the same one."""
    wrap = _SIDE - 1
    return np.asarray(_table()[((i & wrap) * _SIDE + (j & wrap)) * _SIDE + (k & wrap)])


def grain(xyz: F32, size_m: float) -> F32:
    """(n,) 0…1, constant in cubes of ``size_m``."""
    cell = np.floor(xyz / np.float32(size_m)).astype(np.int64)
    return chance(cell[:, 0], cell[:, 1], cell[:, 2])


def noise(xyz: F32, size_m: float) -> F32:
    """(n,) 0…1, smooth over about ``size_m``: value noise on a cubic lattice."""
    place = xyz / np.float32(size_m)
    cell = np.floor(place)
    part = place - cell
    part = part * part * (3 - 2 * part)
    i, j, k = cell.astype(np.int64).T
    total = np.zeros(len(xyz), dtype=np.float32)
    for a in (0, 1):
        for b in (0, 1):
            side = (part[:, 0] if a else 1 - part[:, 0]) * (part[:, 1] if b else 1 - part[:, 1])
            low, high = chance(i + a, j + b, k), chance(i + a, j + b, k + 1)
            total += side * (low + (high - low) * part[:, 2])
    return total


def clouds(xyz: F32, size_m: float, octaves: int = 3) -> F32:
    """(n,) 0…1: noise of several sizes, each half as large and half as strong."""
    total = np.zeros(len(xyz), dtype=np.float32)
    weight = [0.5**k for k in range(octaves)]
    for k, share in enumerate(weight):
        total += np.float32(share / sum(weight)) * noise(xyz + 7.3 * k, size_m * 0.5**k)
    return total


def masonry(
    u: F32, v: F32, size: tuple[float, float], *, joint: float = 0.08, shift: float = 0.5
) -> tuple[NDArray[np.bool_], F32]:
    """Courses of stones ``size`` (wide, high): where joints are, and each stone's chance.

    Args:
        u: (n,) along the wall, metres.
        v: (n,) across the courses, metres.
        size: of a stone, metres.
        joint: share of a stone's height.
        shift: of every other course, in stones; 0 for slabs in a grid.
    """
    course = np.floor(v / size[1])
    column = u / size[0] + shift * (course % 2)
    stone = np.floor(column)
    across = (column - stone) * size[0]
    up = v - course * size[1]
    gap = joint * size[1]
    seam = (across < gap) | (up < gap)
    return seam, chance(stone.astype(np.int64), course.astype(np.int64), 11)


def stripes(u: F32, wide: float, share: float = 0.5) -> NDArray[np.bool_]:
    """Where stripes ``wide`` metres apart are, each taking ``share`` of that."""
    return np.asarray(np.mod(u, wide) < share * wide)
