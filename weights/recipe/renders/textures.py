"""Procedural textures as functions of positions in metres: noise, masonry, stripes."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from weights.recipe.simulate.primitives import F32

Ints = NDArray[np.int64]
# Random numbers repeat after this many integer positions along each axis; a power of two.
_PERIOD = 64


@lru_cache(maxsize=1)
def _random_numbers() -> F32:
    return np.random.default_rng(20).random(_PERIOD**3, dtype=np.float32)


def lattice_random(i: Ints, j: Ints, k: Ints | int = 0) -> F32:
    """Return a number in 0…1 for integer positions, always the same one for a position."""
    wrap = _PERIOD - 1
    # The row-major index into a (64, 64, 64) table, with positions modulo 64.
    index = ((i & wrap) * _PERIOD + (j & wrap)) * _PERIOD + (k & wrap)
    return np.asarray(_random_numbers()[index])


def grain(xyz: F32, size_m: float) -> F32:
    """Return (n,) numbers in 0…1 that are constant in cubes of ``size_m`` metres."""
    cell = np.floor(xyz / np.float32(size_m)).astype(np.int64)
    return lattice_random(cell[:, 0], cell[:, 1], cell[:, 2])


def noise(xyz: F32, size_m: float) -> F32:
    """Return (n,) value noise in 0…1 that varies over about ``size_m`` metres.

    Random numbers at the corners of a cubic lattice are interpolated smoothly.
    """
    position = xyz / np.float32(size_m)
    cell = np.floor(position)
    fraction = position - cell
    fraction = fraction * fraction * (3 - 2 * fraction)
    i, j, k = cell.astype(np.int64).T
    total = np.zeros(len(xyz), dtype=np.float32)
    for a in (0, 1):
        for b in (0, 1):
            weight_x = fraction[:, 0] if a else 1 - fraction[:, 0]
            weight_y = fraction[:, 1] if b else 1 - fraction[:, 1]
            low, high = lattice_random(i + a, j + b, k), lattice_random(i + a, j + b, k + 1)
            total += weight_x * weight_y * (low + (high - low) * fraction[:, 2])
    return total


def fractal_noise(xyz: F32, size_m: float, octaves: int = 3) -> F32:
    """Return (n,) noise in 0…1 of several sizes, each half as large and half as strong."""
    total = np.zeros(len(xyz), dtype=np.float32)
    weights = [0.5**k for k in range(octaves)]
    for k, weight in enumerate(weights):
        total += np.float32(weight / sum(weights)) * noise(xyz + 7.3 * k, size_m * 0.5**k)
    return total


def masonry(
    u: F32, v: F32, size: tuple[float, float], *, joint: float = 0.08, shift: float = 0.5
) -> tuple[NDArray[np.bool_], F32]:
    """Return where a wall of bricks or slabs has joints, and a random number of each brick.

    Args:
        u: (n,) metres along the courses.
        v: (n,) metres across the courses.
        size: width and height of a brick in metres.
        joint: thickness of the joints as a share of a brick's height.
        shift: offset of every other course in bricks; 0 gives a grid of slabs.

    Returns:
        (n,) bool, True in joints, and (n,) float32 in 0…1, constant on each brick.
    """
    course = np.floor(v / size[1])
    column = u / size[0] + shift * (course % 2)
    brick = np.floor(column)
    across = (column - brick) * size[0]
    up = v - course * size[1]
    gap = joint * size[1]
    in_joint = (across < gap) | (up < gap)
    return in_joint, lattice_random(brick.astype(np.int64), course.astype(np.int64), 11)


def stripes(u: F32, period_m: float, share: float = 0.5) -> NDArray[np.bool_]:
    """Return where stripes are: one per ``period_m`` metres, ``share`` of that wide."""
    return np.asarray(np.mod(u, period_m) < share * period_m)
