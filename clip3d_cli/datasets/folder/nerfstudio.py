"""Posed images as nerfstudio describes them: ``transforms.json``.

Cameras look along −z with y up (OpenGL), matrices lead from camera to world, and (0.5, 0.5) is the
center of the upper left pixel. The cloud of ``ply_file_path`` lies in the frame of the matrices:
``applied_transform`` has been applied to both already. Source:
https://docs.nerf.studio/quickstart/data_conventions.html, nerfstudio/process_data/colmap_utils.py.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from msgspec import Struct

from clip3d_cli.core.scenes import Floats, Lens, View, invert_pose
from clip3d_cli.datasets.calibration import camera_matrix
from clip3d_cli.datasets.folder.description import (
    Description,
    PoseRows,
    checked_size,
    rigid_pose,
    without_trailing_zeros,
)
from clip3d_cli.datasets.json_files import Location, Positive, read_json

_LENSES: dict[str, Lens] = {
    "OPENCV": "pinhole",
    "PINHOLE": "pinhole",
    "SIMPLE_PINHOLE": "pinhole",
    "PERSPECTIVE": "pinhole",
    "OPENCV_FISHEYE": "fisheye",
}
_DISTORTION: dict[Lens, tuple[str, ...]] = {
    "pinhole": ("k1", "k2", "p1", "p2", "k3"),
    "fisheye": ("k1", "k2", "k3", "k4"),
}
# The scenes of Blender leave out the suffix.
_IMAGE_SUFFIXES = ("", ".png", ".jpg", ".jpeg", ".JPG")
_MILLIMETRE = 0.001


class _Camera(Struct, kw_only=True):
    """Keys that a frame or, for all frames, the file may have. Others are skipped."""

    camera_model: str | None = None
    is_fisheye: bool | None = None
    w: Positive | None = None
    h: Positive | None = None
    fl_x: Positive | None = None
    fl_y: Positive | None = None
    camera_angle_x: Positive | None = None
    cx: float | None = None
    cy: float | None = None
    k1: float | None = None
    k2: float | None = None
    k3: float | None = None
    k4: float | None = None
    p1: float | None = None
    p2: float | None = None
    depth_unit_scale_factor: Positive | None = None


class _Frame(_Camera, kw_only=True):
    file_path: str
    transform_matrix: PoseRows
    depth_file_path: str | None = None
    timestamp: float | None = None


class _Transforms(_Camera, kw_only=True):
    frames: list[_Frame] = []
    ply_file_path: str | None = None


def read_transforms(path: Path) -> Description:
    """Read the cameras of a ``transforms.json`` and the cloud that it names.

    Returns:
        Cameras in the unit and axes of the file.

    Raises:
        InputError: a value is impossible, a camera model is not supported, or a named file is
            missing.
    """
    content = read_json(path, _Transforms)
    whole = Location(path)
    if not content.frames:
        raise whole.error("has no frames", "It should list one per image; export it again.")
    cloud = None if content.ply_file_path is None else whole.file(content.ply_file_path)
    views = tuple(
        _view(Location(path, f"frames[{number}] ({frame.file_path[:80]})"), content, frame)
        for number, frame in enumerate(content.frames)
    )
    return Description(views, cloud=cloud)


def _view(location: Location, content: _Transforms, frame: _Frame) -> View:
    camera = _merged(content, frame)
    image = location.file(frame.file_path, _IMAGE_SUFFIXES)
    described = None if camera.w is None or camera.h is None else (int(camera.w), int(camera.h))
    size = checked_size(location, image, described)
    lens = _lens(location, camera)
    return View(
        image=image,
        size=size,
        intrinsics=_intrinsics(location, camera, size),
        camera_from_world=_camera_from_world(location, frame),
        lens=lens,
        distortion=_distortion(location, camera, lens),
        depth=None if frame.depth_file_path is None else location.file(frame.depth_file_path),
        depth_unit_m=camera.depth_unit_scale_factor or _MILLIMETRE,
        time_s=frame.timestamp,
    )


def _merged(content: _Transforms, frame: _Frame) -> _Camera:
    """Return the keys of a frame, and those of the file where the frame has none."""
    merged = _Camera()
    for key in _Camera.__struct_fields__:
        own = getattr(frame, key)
        setattr(merged, key, getattr(content, key) if own is None else own)
    return merged


def _lens(location: Location, camera: _Camera) -> Lens:
    model = camera.camera_model or ("OPENCV_FISHEYE" if camera.is_fisheye else "OPENCV")
    if model.upper() not in _LENSES:
        raise location.error(
            f"camera_model {model[:40]} is not supported",
            f"Supported: {', '.join(_LENSES)}. Export undistorted images.",
        )
    return _LENSES[model.upper()]


def _intrinsics(location: Location, camera: _Camera, size: tuple[int, int]) -> Floats:
    """Return the (3, 3) camera matrix for (0, 0) at the center of the upper left pixel."""
    width, height = size
    if camera.fl_x is not None:
        fx = camera.fl_x
    elif camera.camera_angle_x is not None:
        fx = 0.5 * width / math.tan(0.5 * camera.camera_angle_x)
    else:
        raise location.error("has neither fl_x nor camera_angle_x", "Export the intrinsics too.")
    cx = width / 2 if camera.cx is None else camera.cx
    cy = height / 2 if camera.cy is None else camera.cy
    return camera_matrix(fx, camera.fl_y or fx, cx - 0.5, cy - 0.5)


def _distortion(location: Location, camera: _Camera, lens: Lens) -> tuple[float, ...]:
    # nerfstudio's k4 of a pinhole is the factor of r to the eighth, which OpenCV does not have.
    if lens == "pinhole" and camera.k4:
        raise location.error("k4 of a pinhole camera is not 0", "Export undistorted images.")
    return without_trailing_zeros(tuple(getattr(camera, name) or 0.0 for name in _DISTORTION[lens]))


def _camera_from_world(location: Location, frame: _Frame) -> Floats:
    world_from_opengl = rigid_pose(location, "transform_matrix", frame.transform_matrix)
    # OpenGL's camera axes are x right, y up, z back; OpenCV's x right, y down, z forward.
    opengl_from_opencv = np.diag([1.0, -1.0, -1.0, 1.0])
    return invert_pose(world_from_opengl @ opengl_from_opencv)
