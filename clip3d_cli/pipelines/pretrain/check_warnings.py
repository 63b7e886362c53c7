"""What looks wrong about a view, in words: its file, its pose, its depth, its time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.cameras import Sightings
from clip3d_cli.core.scenes import PosedScene, View, moved
from clip3d_cli.datasets.images import image_size
from clip3d_cli.errors import InputError

T = TypeVar("T")
Warnings = tuple[str, ...]

_FEW_SHARE, _FEW_POINTS = 0.1, 100
_SAME_ASPECT = 0.01
_LATE_S = 1.0
_ELSEWHERE_M = 50.0


def wrong_size(view: View) -> Warnings:
    """That an image is not as large as its intrinsics say, or cannot be read at all."""
    size, faults = tried(lambda: image_size(view.image))
    if size is None or size == view.size:
        return faults
    fault = (
        f"the image is {size[0]} x {size[1]} px, its calibration speaks of "
        f"{view.size[0]} x {view.size[1]} px"
    )
    if abs(size[0] / size[1] / (view.size[0] / view.size[1]) - 1) <= _SAME_ASPECT:
        return (f"{fault}: taken as the same picture, scaled",)
    return (f"{fault}: it is cropped, turned, or another camera's",)


def wrong_aim(
    view: View, xyz: npt.NDArray[np.float64], inside: Sightings, least_depth_m: float
) -> Warnings:
    """Why no point falls into an image."""
    if len(inside) or not len(xyz):
        return ()
    away = moved(view.camera_from_world, xyz)
    nearest_m = float(np.sqrt(np.square(away).sum(axis=1).min()))
    if nearest_m > max(np.ptp(xyz, axis=0).max(), _ELSEWHERE_M):
        return (
            f"no point falls into the image: the nearest is {nearest_m:,.0f} m from the camera; "
            "pose and cloud are not in one world",
        )
    if not (away[:, 2] > least_depth_m).any():
        return (
            "no point lies in front of the camera: its axes may be another convention's "
            "(x right, y down, z forward are wanted), or the pose its inverse",
        )
    return (
        "no point falls into the image, though some lie in front of it: pose or intrinsics "
        "may be wrong",
    )


def mostly_hidden(inside: Sightings, kept: Sightings, by_depth: bool) -> Warnings:
    """What it means when hardly any point is visible."""
    if len(inside) < _FEW_POINTS or len(kept) >= _FEW_SHARE * len(inside):
        return ()
    share = f"only {len(kept) / len(inside):.1%} of {len(inside):,} points in the image are visible"
    if by_depth:
        return (f"{share}: its pose, or the unit of its depth image, may be wrong",)
    return (f"{share}: the camera may stand behind or inside something",)


def taken_late(scene: PosedScene, view: View) -> Warnings:
    """That an image was not taken when the scene was scanned."""
    scanned_s = scene.sweeps[0].time_s
    if scanned_s is None or view.time_s is None or abs(view.time_s - scanned_s) <= _LATE_S:
        return ()
    return (f"taken {abs(view.time_s - scanned_s):.1f} s from the scan: what moves has moved",)


def tried(read: Callable[[], T]) -> tuple[T | None, Warnings]:
    """What is read, or None and why not."""
    try:
        return read(), ()
    except InputError as error:
        return None, (f"{Path(error.where).name}: {error.fault}",)
