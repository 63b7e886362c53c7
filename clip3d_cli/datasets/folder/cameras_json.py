"""clip3d's own description of posed images: ``cameras.json`` (docs/guides/own-data.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from msgspec import Meta, Struct

from clip3d_cli.core.scenes import Floats, Lens, Sweep, View, invert_pose
from clip3d_cli.datasets.calibration import camera_matrix
from clip3d_cli.datasets.folder.description import (
    MOST_COEFFICIENTS,
    Description,
    PoseRows,
    checked_size,
    rigid_pose,
)
from clip3d_cli.datasets.folder.placement import Axis, Placement
from clip3d_cli.datasets.json_files import Location, Positive, read_json

_MILLIMETRE = 0.001
_FX_FY_CX_CY = "Write [fx, fy, cx, cy] in pixels."
_MatrixRow = Annotated[list[float], Meta(min_length=3, max_length=3)]


class _Camera(Struct, forbid_unknown_fields=True, kw_only=True):
    image: str
    size: tuple[float, float] | None = None
    # fx, fy, cx, cy; or the three rows of the camera matrix.
    intrinsics: Annotated[list[float | _MatrixRow], Meta(min_length=3, max_length=4)]
    world_from_camera: PoseRows | None = None
    camera_from_world: PoseRows | None = None
    lens: Lens = "pinhole"
    distortion: list[float] | None = None
    depth: str | None = None
    depth_unit_m: Positive | None = None
    time_s: float | None = None


class _Sweep(Struct, forbid_unknown_fields=True, kw_only=True):
    cloud: str
    world_from_sensor: PoseRows | None = None
    time_s: float | None = None


class CamerasJson(Struct, forbid_unknown_fields=True, kw_only=True):
    """The content of a ``cameras.json``: docs/guides/own-data.md describes every key."""

    cameras: list[_Camera] | None = None
    sweeps: list[_Sweep] = []
    world_from_cloud: PoseRows | None = None
    time_s: float | None = None
    world_up: Axis | None = None
    metres_per_unit: Positive | None = None


def read_cameras_json(path: Path) -> CamerasJson:
    """Read a ``cameras.json``.

    Raises:
        InputError: the file is not JSON, has an unknown key, or a value that is not allowed.
    """
    return read_json(path, CamerasJson)


def description_of(path: Path, content: CamerasJson) -> Description:
    """Return the cameras and sweeps of a ``cameras.json``, in the unit and axes of the file.

    Args:
        path: the file, for messages; the paths in it start at its folder.
        content: what was read from it.

    Raises:
        InputError: a pose, camera matrix or lens is impossible, or a named file is missing.
    """
    return Description(
        tuple(
            _view(Location(path, f"cameras[{number}] ({camera.image[:80]})"), camera)
            for number, camera in enumerate(content.cameras or ())
        ),
        tuple(
            _sweep(Location(path, f"sweeps[{number}]"), sweep)
            for number, sweep in enumerate(content.sweeps)
        ),
        world_from_cloud=_pose_or_identity(
            Location(path), "world_from_cloud", content.world_from_cloud
        ),
        time_s=content.time_s,
    )


def placement_of(content: CamerasJson) -> Placement:
    """Return the unit and the upward axis of a ``cameras.json``."""
    return Placement(content.metres_per_unit or 1.0, content.world_up)


def _view(location: Location, camera: _Camera) -> View:
    image = location.file(camera.image)
    described = None if camera.size is None else (int(camera.size[0]), int(camera.size[1]))
    return View(
        image=image,
        size=checked_size(location, image, described),
        intrinsics=_intrinsics(location, camera.intrinsics),
        camera_from_world=_camera_from_world(location, camera),
        lens=camera.lens,
        distortion=_distortion(location, camera),
        depth=None if camera.depth is None else location.file(camera.depth),
        depth_unit_m=camera.depth_unit_m or _MILLIMETRE,
        time_s=camera.time_s,
    )


def _intrinsics(location: Location, stored: list[float | list[float]]) -> Floats:
    """Return the (3, 3) camera matrix of fx, fy, cx, cy or of three rows."""
    numbers = [value for value in stored if isinstance(value, float)]
    rows = [value for value in stored if isinstance(value, list)]
    if len(numbers) == len(stored) == 4:
        matrix = camera_matrix(*numbers)
    elif len(rows) == len(stored) == 3:
        matrix = np.array(rows, dtype=np.float64)
    else:
        fault = "intrinsics are neither 4 numbers nor 3 rows of 3 numbers"
        raise location.error(fault, _FX_FY_CX_CY)
    if min(matrix[0, 0], matrix[1, 1]) <= 0:
        raise location.error("a focal length is not above 0", _FX_FY_CX_CY)
    # Below the diagonal a camera matrix is 0, and its last entry is 1.
    if not np.array_equal(matrix[[1, 2, 2, 2], [0, 0, 1, 2]], (0, 0, 0, 1)):
        raise location.error("intrinsics are not a camera matrix", _FX_FY_CX_CY)
    return matrix


def _camera_from_world(location: Location, camera: _Camera) -> Floats:
    forward, back = camera.camera_from_world, camera.world_from_camera
    if forward is not None and back is None:
        return rigid_pose(location, "camera_from_world", forward)
    if back is not None and forward is None:
        return invert_pose(rigid_pose(location, "world_from_camera", back))
    raise location.error(
        f"has {'neither' if forward is None else 'both'} world_from_camera and camera_from_world",
        "Write one of them.",
    )


def _distortion(location: Location, camera: _Camera) -> tuple[float, ...]:
    coefficients = tuple(camera.distortion or ())
    if len(coefficients) > MOST_COEFFICIENTS[camera.lens]:
        raise location.error(
            f"{len(coefficients)} distortion coefficients; a {camera.lens} lens has at most "
            f"{MOST_COEFFICIENTS[camera.lens]}",
            "Their order is OpenCV's: k1 k2 p1 p2 k3 k4 k5 k6, for a fisheye k1 k2 k3 k4.",
        )
    return coefficients


def _sweep(location: Location, sweep: _Sweep) -> Sweep:
    pose = _pose_or_identity(location, "world_from_sensor", sweep.world_from_sensor)
    return Sweep(location.file(sweep.cloud), pose, sweep.time_s)


def _pose_or_identity(location: Location, key: str, rows: list[list[float]] | None) -> Floats:
    return np.eye(4) if rows is None else rigid_pose(location, key, rows)
