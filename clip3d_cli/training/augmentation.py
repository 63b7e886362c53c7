"""Random choice of scenes, crops and augmentation of point clouds.

Every random draw follows from a seed and a number, so that any process makes the same batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from clip3d_cli.sparse.tensor import SparseTensor

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

_LARGEST_SHIFT_M = 50.0


def sample_scene(turn: int, scenes: int, seed: int) -> tuple[int, np.random.Generator]:
    """Return the index of the scene of a turn, and the generator for all further draws.

    In every epoch (``scenes`` turns) each scene comes once, in a new random order.

    Args:
        turn: number of scenes drawn before, from 0.
        scenes: number of scenes, at least 1.
        seed: random seed of the run.
    """
    epoch, position = divmod(turn, scenes)
    # The second entry of a seed keeps the two streams apart.
    order = np.random.default_rng((seed, 1, epoch)).permutation(scenes)
    return int(order[position]), np.random.default_rng((seed, 2, turn))


def crop_to_disc(
    xyz: Floats, key: Rows, centers: Rows, points: int, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Return a mask of the points in an upright cylinder that holds a number of key frame points.

    Args:
        xyz: (N, 3) metres.
        key: indices of the key frame's points.
        centers: indices of the points that may be the centre of the disc.
        points: number of key frame points in the disc; 0, or at least ``len(key)``, keeps all N.
        rng: draws the centre.

    Returns:
        (N,) True for the points to keep.
    """
    if points == 0 or len(key) <= points:
        return np.ones(len(xyz), dtype=bool)
    xy = xyz[:, :2]
    squared = ((xy - xy[centers[rng.integers(len(centers))]]) ** 2).sum(axis=1)  # (N,) m²
    # The radius is the distance of the key frame point that is number `points` from the centre.
    inside: npt.NDArray[np.bool_] = squared <= np.partition(squared[key], points - 1)[points - 1]
    return inside


def augment_xyz(xyz: Floats, rng: np.random.Generator) -> Floats:
    """Return (N, 3) points rotated about the vertical axis, mirrored and shifted at random.

    The shift moves the points to another position of the voxel lattice.
    """
    angle = rng.uniform(0, 2 * np.pi)
    mirror = rng.choice([-1.0, 1.0], 2)
    rotation = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    # Points are rows, so the matrix (first mirror x and y, then rotate) is transposed.
    centered = (xyz - xyz.mean(axis=0)) @ (rotation * [*mirror, 1]).T
    moved: Floats = centered + rng.uniform(-_LARGEST_SHIFT_M, _LARGEST_SHIFT_M, 3)
    return moved


def collate_voxels(
    cells: Sequence[npt.NDArray[np.int32]], channels: Sequence[npt.NDArray[np.float32]]
) -> SparseTensor:
    """Return the voxels of several clouds as one tensor with the batch number as first column.

    Args:
        cells: (M, 3) int32 cells of each cloud.
        channels: (M, C) float32 input channels of each cloud.
    """
    numbered = [np.insert(part, 0, number, axis=1) for number, part in enumerate(cells)]
    return SparseTensor(
        torch.from_numpy(np.concatenate(numbered).astype(np.int32)),
        torch.from_numpy(np.concatenate(channels)),
    )
