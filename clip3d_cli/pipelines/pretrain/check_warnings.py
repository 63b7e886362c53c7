"""Warnings about one view: its image file, pose, occlusion and time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.cameras import ProjectedPoints
from clip3d_cli.core.scenes import PosedScene, View, transform_points
from clip3d_cli.datasets.images import image_size
from clip3d_cli.errors import InputError

T = TypeVar("T")
Warnings = tuple[str, ...]

# Fewer visible points than this share are suspicious, if at least this many were projected.
_LEAST_VISIBLE_SHARE, _LEAST_PROJECTED = 0.1, 100
_ASPECT_TOLERANCE = 0.01
_LARGEST_OFFSET_S = 1.0
# A camera may be this far from the cloud even if the cloud is small.
_LEAST_REACH_M = 50.0


def image_size_warnings(view: View) -> Warnings:
    """Return a warning if an image cannot be read, or has another size than its intrinsics."""
    size, faults = read_or_warn(lambda: image_size(view.image))
    if size is None or size == view.size:
        return faults
    fault = (
        f"the image is {size[0]} x {size[1]} px, but its calibration is for "
        f"{view.size[0]} x {view.size[1]} px"
    )
    if abs(size[0] / size[1] / (view.size[0] / view.size[1]) - 1) <= _ASPECT_TOLERANCE:
        return (f"{fault}: it is taken as the same picture, scaled",)
    return (f"{fault}: it is cropped, turned, or another camera's",)


def projection_warnings(
    view: View, xyz: npt.NDArray[np.float64], projected: ProjectedPoints, least_depth_m: float
) -> Warnings:
    """Return a likely reason if no point projects into an image.

    Args:
        view: the camera.
        xyz: (N, 3) metres in the world frame.
        projected: points that project into the image.
        least_depth_m: least depth that was required of them, metres.
    """
    if len(projected) or not len(xyz):
        return ()
    xyz_camera = transform_points(view.camera_from_world, xyz)
    nearest_m = float(np.sqrt(np.square(xyz_camera).sum(axis=1).min()))
    if nearest_m > max(np.ptp(xyz, axis=0).max(), _LEAST_REACH_M):
        return (
            f"no point projects into the image: the nearest is {nearest_m:,.0f} m from the camera; "
            "pose and cloud are not in the same world frame",
        )
    if not (xyz_camera[:, 2] > least_depth_m).any():
        return (
            "no point lies in front of the camera: its axes may follow another convention "
            "(expected: x right, y down, z forward), or the pose may be inverted",
        )
    return (
        "no point projects into the image, though some lie in front of it: pose or intrinsics "
        "may be wrong",
    )


def occlusion_warnings(
    projected: ProjectedPoints, kept: ProjectedPoints, by_depth: bool
) -> Warnings:
    """Return a likely reason if hardly any projected point is visible.

    Args:
        projected: points that project into the image.
        kept: those that pass the occlusion test.
        by_depth: whether they were tested by a depth image.
    """
    if len(projected) < _LEAST_PROJECTED or len(kept) >= _LEAST_VISIBLE_SHARE * len(projected):
        return ()
    share = len(kept) / len(projected)
    fault = f"only {share:.1%} of {len(projected):,} points in the image are visible"
    if by_depth:
        return (f"{fault}: its pose, or the unit of its depth image, may be wrong",)
    return (f"{fault}: the camera may be behind or inside an object",)


def time_offset_warnings(scene: PosedScene, view: View) -> Warnings:
    """Return a warning if an image was taken at another time than the scan."""
    scanned_s = scene.sweeps[0].time_s
    if scanned_s is None or view.time_s is None:
        return ()
    offset_s = abs(view.time_s - scanned_s)
    if offset_s <= _LARGEST_OFFSET_S:
        return ()
    return (f"taken {offset_s:.1f} s from the scan: moving objects are at other places",)


def read_or_warn(read: Callable[[], T]) -> tuple[T | None, Warnings]:
    """Return what a function reads and no warning, or None and why it cannot be read."""
    try:
        return read(), ()
    except InputError as error:
        return None, (f"{Path(error.where).name}: {error.fault}",)
