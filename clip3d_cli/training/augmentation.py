"""What batches of any kind draw: the next scene, a disc of it, and how it is turned.

Every draw follows from a seed and a number, so that any process makes the same batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from clip3d_cli.sparse.tensor import SparseTensor

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


def drawn_scene(turn: int, scenes: int, seed: int) -> tuple[int, np.random.Generator]:
    """The scene that is drawn at a turn, each of them once an epoch, and its draws to come.

    Args:
        turn: how many scenes were drawn before.
        scenes: how many there are, at least one.
        seed: of every draw.
    """
    epoch, place = divmod(turn, scenes)
    order = np.random.default_rng((seed, 1, epoch)).permutation(scenes)
    return int(order[place]), np.random.default_rng((seed, 2, turn))


def disc(
    xyz: Floats, key: Rows, middles: Rows, points: int, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """(N,) which points lie in an upright disc that holds so many of the key frame's.

    Args:
        xyz: (N, 3) metres.
        key: rows of the key frame's points.
        middles: rows of the points that the disc may lie around.
        points: how many; 0, or as many as there are, takes all N.
        rng: draws the middle.
    """
    if points == 0 or len(key) <= points:
        return np.ones(len(xyz), dtype=bool)
    xy = xyz[:, :2]
    away = ((xy - xy[middles[rng.integers(len(middles))]]) ** 2).sum(axis=1)
    inside: npt.NDArray[np.bool_] = away <= np.partition(away[key], points - 1)[points - 1]
    return inside


def turned(xyz: Floats, rng: np.random.Generator) -> Floats:
    """Turned about the vertical through the middle, mirrored, and set anywhere on the lattice."""
    angle = rng.uniform(0, 2 * np.pi)
    mirror = rng.choice([-1.0, 1.0], 2)
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    moved: Floats = (xyz - xyz.mean(axis=0)) @ (turn * [*mirror, 1]).T + rng.uniform(-50, 50, 3)
    return moved


def batched(
    cells: Sequence[npt.NDArray[np.int32]], channels: Sequence[npt.NDArray[np.float32]]
) -> SparseTensor:
    """The voxels of several clouds, (M, 3) cells and (M, C) channels each, in one tensor."""
    numbered = [np.insert(part, 0, number, axis=1) for number, part in enumerate(cells)]
    return SparseTensor(
        torch.from_numpy(np.concatenate(numbered).astype(np.int32)),
        torch.from_numpy(np.concatenate(channels)),
    )
