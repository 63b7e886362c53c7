"""Scans with the images taken beside them, and where each camera stood."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.checks import check_array

Floats = npt.NDArray[np.float64]
Lens = Literal["pinhole", "fisheye"]

_RIGID = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One image and its camera.

    The camera's axes are OpenCV's: x to the right, y down, z forward. Pixel (0, 0) is the
    *middle* of the upper left pixel.

    Attributes:
        image: the file.
        size: width and height of the image that ``intrinsics`` speak of, px.
        intrinsics: (3, 3) float64, px.
        camera_from_world: (4, 4) float64, metres, rigid.
        lens: ``pinhole`` (Brown and Conrady's distortion) or ``fisheye`` (Kannala and Brandt's).
        distortion: OpenCV's coefficients in its order: k1 k2 p1 p2 k3 k4 k5 k6 for a pinhole,
            k1 k2 k3 k4 for a fisheye; empty for none.
        depth: a 16-bit PNG of the same view (its size may differ), or None.
        depth_unit_m: metres that a step of ``depth`` stands for; 0 there means unknown.
        time_s: when it was taken, seconds, or None.

    Raises:
        ValueError: a size below 1, or a pose that is not rigid.
    """

    image: Path
    size: tuple[int, int]
    intrinsics: Floats
    camera_from_world: Floats
    lens: Lens = "pinhole"
    distortion: tuple[float, ...] = ()
    depth: Path | None = None
    depth_unit_m: float = 0.001
    time_s: float | None = None

    def __post_init__(self) -> None:
        check_array("intrinsics", self.intrinsics, np.float64, (3, 3))
        check_pose("camera_from_world", self.camera_from_world)
        if min(self.size) < 1:
            raise ValueError(f"an image of {self.size} pixels")


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """One scan of a scene, where it lies on disk and where its sensor stood.

    Attributes:
        path: the file of the points.
        world_from_sensor: (4, 4) float64, metres, rigid; the identity where points are in the
            world's frame already.
        time_s: when it was taken, seconds, or None.
    """

    path: Path
    world_from_sensor: Floats
    time_s: float | None = None

    def __post_init__(self) -> None:
        check_pose("world_from_sensor", self.world_from_sensor)


@dataclass(frozen=True, slots=True, eq=False)
class PosedScene:
    """What was scanned and photographed at one place: a key frame, or a whole room.

    All poses lead to one world, in metres, right-handed, z up.

    Attributes:
        name: unique in its data set, and fit to be a file's name.
        sweeps: at least one; the first is the key frame, whose points the ground truth labels.
        views: the images, possibly none.
        ground_truth: file with the labels of the first sweep, or None.
    """

    name: str
    sweeps: tuple[Sweep, ...]
    views: tuple[View, ...]
    ground_truth: Path | None = None

    def __post_init__(self) -> None:
        if not self.sweeps:
            raise ValueError(f"scene {self.name!r} has no sweep")


def check_pose(name: str, pose: Floats) -> None:
    """Refuse what is no rigid (4, 4) float64 transform.

    Raises:
        TypeError: another dtype.
        ValueError: another shape, numbers that are not finite, or scale, shear or mirror in it.
    """
    check_array(name, pose, np.float64, (4, 4))
    turn = pose[:3, :3]
    rigid = (
        np.isfinite(pose).all()
        and np.allclose(turn @ turn.T, np.eye(3), atol=_RIGID)
        and np.linalg.det(turn) > 0
        and np.array_equal(pose[3], (0, 0, 0, 1))
    )
    if not rigid:
        raise ValueError(f"{name} is not a rigid transform")


def inverse_pose(pose: Floats) -> Floats:
    """The rigid transform back: (4, 4) of (4, 4)."""
    back = np.eye(4)
    back[:3, :3] = pose[:3, :3].T
    back[:3, 3] = -pose[:3, :3].T @ pose[:3, 3]
    return back


def pose_of_quaternion(w_x_y_z: npt.ArrayLike, translation: npt.ArrayLike) -> Floats:
    """The (4, 4) rigid transform of a quaternion (w, x, y, z), of any length, and a translation.

    Raises:
        ValueError: the quaternion has no length.
    """
    quaternion = np.asarray(w_x_y_z, dtype=np.float64)
    length = np.linalg.norm(quaternion)
    if not 0 < length < np.inf:
        raise ValueError("a quaternion without length turns nothing")
    w, x, y, z = quaternion / length
    pose = np.eye(4)
    pose[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    pose[:3, 3] = np.asarray(translation, dtype=np.float64)
    return pose


def moved(pose: Floats, xyz: Floats) -> Floats:
    """(N, 3) points after a rigid transform (4, 4)."""
    turned: Floats = xyz @ pose[:3, :3].T
    turned += pose[:3, 3]
    return turned
