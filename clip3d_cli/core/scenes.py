"""Scenes: scans, the images taken with them, and the poses of all sensors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.validation import validate_array

Floats = npt.NDArray[np.float64]
Lens = Literal["pinhole", "fisheye"]

_RIGID_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """An image with the model and the pose of its camera.

    The axes of the camera are OpenCV's: x to the right, y down, z forward. Pixel (0, 0) is the
    *center* of the upper left pixel.

    Attributes:
        image: image file.
        size: width and height in pixels of the image that ``intrinsics`` refer to.
        intrinsics: (3, 3) float64 camera matrix, in pixels.
        camera_from_world: (4, 4) float64 rigid transform, metres.
        lens: ``pinhole`` (distortion of Brown and Conrady) or ``fisheye`` (Kannala and Brandt).
        distortion: coefficients in OpenCV's order: k1 k2 p1 p2 k3 k4 k5 k6 for a pinhole, k1 k2
            k3 k4 for a fisheye. Missing ones are 0.
        depth: 16-bit PNG with the depth of the same view, possibly of another size; or None.
        depth_unit_m: metres per step of ``depth``, where 0 means unknown.
        time_s: time of the exposure in seconds, or None.

    Raises:
        TypeError: an array has another dtype.
        ValueError: an array has another shape, the size is below 1, or the pose is not rigid.
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
        validate_array("intrinsics", self.intrinsics, np.float64, (3, 3))
        validate_pose("camera_from_world", self.camera_from_world)
        if min(self.size) < 1:
            raise ValueError(f"the image size is {self.size}, and must be at least (1, 1)")


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """One scan of a scene: its file and the pose of the sensor.

    Attributes:
        path: file of the points.
        world_from_sensor: (4, 4) float64 rigid transform, metres; the identity if the file
            contains points in the world frame.
        time_s: time of the scan in seconds, or None.

    Raises:
        TypeError: the pose has another dtype.
        ValueError: the pose is not a rigid (4, 4) transform.
    """

    path: Path
    world_from_sensor: Floats
    time_s: float | None = None

    def __post_init__(self) -> None:
        validate_pose("world_from_sensor", self.world_from_sensor)


@dataclass(frozen=True, slots=True, eq=False)
class PosedScene:
    """Scans and images of one place: a key frame of a drive, or a whole room.

    All poses refer to one world frame: metres, right-handed, z up.

    Attributes:
        name: name of the scene, unique in its data set, and usable as a file name.
        sweeps: at least one scan; the first is the key frame, whose points have ground truth.
        views: images, possibly none.
        ground_truth: file with the labels of the first sweep, or None.

    Raises:
        ValueError: there is no sweep.
    """

    name: str
    sweeps: tuple[Sweep, ...]
    views: tuple[View, ...]
    ground_truth: Path | None = None

    def __post_init__(self) -> None:
        if not self.sweeps:
            raise ValueError(f"scene {self.name!r} has no sweep")


def validate_pose(name: str, pose: Floats) -> None:
    """Check that an array is a rigid transform, (4, 4) float64.

    Args:
        name: name of the array, for the message.
        pose: array to check.

    Raises:
        TypeError: the dtype differs.
        ValueError: the shape differs, a number is not finite, or the transform scales, shears or
            mirrors.
    """
    validate_array(name, pose, np.float64, (4, 4))
    rotation = pose[:3, :3]
    is_rigid = (
        np.isfinite(pose).all()
        and np.allclose(rotation @ rotation.T, np.eye(3), atol=_RIGID_TOLERANCE)
        and np.linalg.det(rotation) > 0
        and np.array_equal(pose[3], (0, 0, 0, 1))
    )
    if not is_rigid:
        raise ValueError(f"{name} is not a rigid transform")


def invert_pose(pose: Floats) -> Floats:
    """Return the inverse of a rigid transform, (4, 4) float64."""
    # Exact for a rotation R and a translation t: (R, t)⁻¹ = (Rᵀ, −Rᵀ t).
    inverse = np.eye(4)
    inverse[:3, :3] = pose[:3, :3].T
    inverse[:3, 3] = -pose[:3, :3].T @ pose[:3, 3]
    return inverse


def pose_from_quaternion(w_x_y_z: npt.ArrayLike, translation: npt.ArrayLike) -> Floats:
    """Return the rigid transform of a quaternion and a translation, (4, 4) float64.

    Args:
        w_x_y_z: quaternion, scalar first, of any length above 0.
        translation: (3,), metres.

    Raises:
        ValueError: the quaternion has length 0, or is not finite.
    """
    quaternion = np.asarray(w_x_y_z, dtype=np.float64)
    length = np.linalg.norm(quaternion)
    if not 0 < length < np.inf:
        raise ValueError("the quaternion has length 0 or is not finite")
    w, x, y, z = quaternion / length
    pose = np.eye(4)
    pose[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    pose[:3, 3] = np.asarray(translation, dtype=np.float64)
    return pose


def transform_points(pose: Floats, xyz: Floats) -> Floats:
    """Return points after a rigid transform, (N, 3) float64.

    Args:
        pose: (4, 4) float64, such as ``world_from_sensor``.
        xyz: (N, 3) float64, metres, in the frame on the right of the name.
    """
    transformed: Floats = xyz @ pose[:3, :3].T
    transformed += pose[:3, 3]
    return transformed
