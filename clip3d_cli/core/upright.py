"""Which way is up in a cloud, estimated from its points."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.ground import Ground
from clip3d_cli.core.grouping import group_equal_rows
from clip3d_cli.core.storeys import Storeys

Floats = npt.NDArray[np.float64]

# Rows are the axes of the upright frame in that of the cloud: upright = rotation @ xyz.
ROTATION_OF_UP: Mapping[str, Floats] = {
    "z": np.eye(3),
    "-z": np.array([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]]),
    "y": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "-y": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "x": np.array([[0, 1.0, 0], [0, 0, 1], [1, 0, 0]]),
    "-x": np.array([[0, 0, 1.0], [0, 1, 0], [-1, 0, 0]]),
}

_SAMPLE_POINTS = 12_000
_MIN_POINTS = 500
_NEAR_M = 0.25
# Upside down: so much more of the points is near the ground.
_MIN_MORE_UPSIDE_DOWN = 0.08
# Lying on its side: so much more, and so many times as much; and the scan is lower that way. Seen
# from the side, a wall is a good ground, but a room is wider than it is high.
_MIN_MORE_ON_SIDE = 0.12
_MIN_TIMES_ON_SIDE = 1.5
_MAX_HEIGHT_SHARE = 0.8
# A scan of one façade is nearly all one plane, but not its ground.
_MAX_SHARE_ON_SIDE = 0.8

_MIX = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB], np.uint64)
_TILT_POINTS = 4_000
_MIN_TILT = np.radians(12)
_MAX_TILT = np.radians(24)
_TILT_STEP = np.radians(4)
_SLAB_M = 0.15
_MIN_IN_SLAB = 0.2
_MIN_TIMES_IN_SLAB = 1.6
# A scan is at least so wide, a standard deviation.
_MIN_WIDTH_M = 0.7
_COLUMN_POINTS = 60_000
_COLUMN_M = 0.4
_ABOVE_GROUND_M = 0.5
_MIN_MORE_UPRIGHT = 0.84


def better_up(xyz: Floats) -> str | None:
    """Return the axis that points up, as a key of `ROTATION_OF_UP`; None if it seems to be z.

    The measure is the share of the points near the ground that is found for that direction.

    Args:
        xyz: (N, 3) float64, metres, all finite.
    """
    sample = _sample(xyz, _SAMPLE_POINTS)
    if len(sample) < _MIN_POINTS:
        return None
    low, high = np.quantile(sample, (0.01, 0.99), axis=0)
    height = high - low
    z_share = _share_near_ground(sample, "z")
    found, best = None, 0.0
    for up in ROTATION_OF_UP:
        axis = "xyz".index(up[-1])
        if up == "z" or (axis != 2 and height[axis] > _MAX_HEIGHT_SHARE * height[2]):
            continue
        share = _share_near_ground(sample, up)
        least = z_share + (_MIN_MORE_UPSIDE_DOWN if up == "-z" else _MIN_MORE_ON_SIDE)
        if up != "-z":
            least = max(least, _MIN_TIMES_ON_SIDE * z_share)
            if share > _MAX_SHARE_ON_SIDE:
                continue
        if share >= least and share > best:
            found, best = up, share
    return found


def find_tilt(xyz: Floats) -> tuple[float, Floats] | None:
    """Return the tilt of the ground in radians and the rotation that removes it, (3, 3).

    None if the ground is level, a slope, or not a plane: 12° to 24° are found. Less does not harm,
    and more may be a slope.

    Args:
        xyz: (N, 3) float64, metres, all finite, z about up.
    """
    sample = _sample(xyz, _TILT_POINTS)
    if len(sample) < _MIN_POINTS:
        return None
    level = _share_in_slab(sample, np.array([0.0, 0.0, 1.0]))
    up, best = _normal_of_ground(sample)
    tilt = float(np.arccos(min(1.0, up[2])))
    if not _MIN_TILT <= tilt <= _MAX_TILT + _TILT_STEP:
        return None
    if best < max(_MIN_IN_SLAB, _MIN_TIMES_IN_SLAB * level):
        return None
    rotation = _rotation_to_z(up)
    # The points along a line lie in many planes.
    if np.sqrt(np.linalg.eigvalsh(np.cov(sample[:, :2].T))[0]) < _MIN_WIDTH_M:
        return None
    # On a hillside, walls and trunks are upright already. Where they are tilted too, they stand in
    # fewer columns without the tilt.
    if _concentration(xyz, rotation) < _MIN_MORE_UPRIGHT * _concentration(xyz, np.eye(3), up):
        return None
    return tilt, rotation


def _normal_of_ground(sample: Floats) -> tuple[Floats, float]:
    """Return the direction along which most points lie in one slab, and their share.

    Args:
        sample: (S, 3) metres.
    """
    best, up, step = 0.0, np.array([0.0, 0.0, 1.0]), _TILT_STEP
    angles = np.arange(_TILT_STEP, _MAX_TILT + 1e-9, _TILT_STEP)
    turns = np.arange(0, 2 * np.pi, np.pi / 8)
    candidates = [
        np.array([np.sin(angle) * np.cos(turn), np.sin(angle) * np.sin(turn), np.cos(angle)])
        for angle in angles
        for turn in turns
    ]
    for _ in range(4):
        for candidate in candidates:
            share = _share_in_slab(sample, candidate)
            if share > best:
                best, up = share, candidate
        # The neighbours of the best direction, at half the distance.
        step /= 2
        candidates = [
            _unit(up + step * np.array([dx, dy, 0.0])) for dx in (-1, 0, 1) for dy in (-1, 0, 1)
        ]
    return up, best


def _concentration(xyz: Floats, rotation: Floats, up: Floats | None = None) -> float:
    """Return how many points share a column, on average over the points above the ground.

    Args:
        xyz: (N, 3) metres.
        rotation: turns the points before columns are taken.
        up: normal of the ground; None if it is the vertical after the rotation.
    """
    sample = _sample(xyz, _COLUMN_POINTS)
    height = sample @ (rotation[2] if up is None else up)
    counts, edges = np.histogram(height, 200)
    ground = edges[counts.argmax()]
    above = sample[height > ground + _ABOVE_GROUND_M] @ rotation.T
    if not len(above):
        return 0.0
    x, y = (np.floor(column / _COLUMN_M).astype(np.int64) for column in above.T[:2])
    _, column_of_point = group_equal_rows([x, y])
    points = np.bincount(column_of_point)
    return float((points.astype(np.float64) ** 2).sum() / len(above))


def _sample(xyz: Floats, points: int) -> Floats:
    """Return about so many of the points around their median, whatever the order of the points."""
    if not len(xyz):
        return xyz
    if len(xyz) > points:
        # By a hash of the coordinates, which depends on no other point.
        bits = np.ascontiguousarray(xyz).view(np.uint64)
        mixed = (bits[:, 0] * _MIX[0]) ^ (bits[:, 1] * _MIX[1]) ^ (bits[:, 2] * _MIX[2])
        mixed *= _MIX[0]
        xyz = xyz[(mixed >> np.uint64(32)) < np.uint64((points << 32) // len(xyz))]
    sample: Floats = xyz - np.median(xyz, axis=0) if len(xyz) else xyz
    return sample


def _share_near_ground(sample: Floats, up: str) -> float:
    upright = np.ascontiguousarray(sample @ ROTATION_OF_UP[up].T)
    ground = Ground.estimate(upright, cell_m=1, radius_m=5, storeys=Storeys.none())
    return float((np.abs(upright[:, 2] - ground.z_at(upright)) < _NEAR_M).mean())


def _share_in_slab(sample: Floats, up: Floats) -> float:
    """Return the largest share of the points in one horizontal slab of two bins."""
    height = sample @ up
    bins = np.floor((height - height.min()) / _SLAB_M)
    # Outliers must not make the histogram large.
    counts = np.bincount(np.minimum(bins, 4000).astype(np.int64), minlength=2)
    return float((counts[:-1] + counts[1:]).max() / len(sample))


def _unit(vector: Floats) -> Floats:
    unit: Floats = vector / np.linalg.norm(vector)
    return unit


def _rotation_to_z(up: Floats) -> Floats:
    """Return the smallest rotation that takes a unit vector to (0, 0, 1)."""
    x, y, z = up
    return np.array(
        [
            [1 - x * x / (1 + z), -x * y / (1 + z), -x],
            [-x * y / (1 + z), 1 - y * y / (1 + z), -y],
            [x, y, z],
        ]
    )
