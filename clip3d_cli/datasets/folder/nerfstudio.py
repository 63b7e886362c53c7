"""Posed images as nerfstudio describes them: ``transforms.json``.

Cameras look along −z with y up (OpenGL), matrices lead from camera to world, and the middle of the
upper left pixel is (0.5, 0.5). The cloud of ``ply_file_path`` lies in the frame of the matrices:
``applied_transform``, which led both there from COLMAP's frame, is history. Source:
https://docs.nerf.studio/quickstart/data_conventions.html, nerfstudio/process_data/colmap_utils.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clip3d_cli.core.scenes import Floats, Lens, View, inverse_pose
from clip3d_cli.datasets.folder.camera_description import (
    Description,
    camera_matrix,
    checked_size,
    without_zeros,
)
from clip3d_cli.datasets.json_documents import Entry, read_document

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
_IMAGE_SUFFIXES = ("", ".png", ".jpg", ".jpeg", ".JPG")
_MILLIMETRE = 0.001


def read_transforms(path: Path) -> Description:
    """The cameras of a file and the cloud it names, in the file's own frame.

    Keys that clip3d does not use are left alone: tools add their own.

    Raises:
        InputError: what it says cannot be, a camera model that has no equal here, or a file that
            it names is missing.
    """
    entry = read_document(path)
    frames = entry.entries("frames", "frame")
    if not frames:
        raise entry.fault("has no frames", "It should list one per image; export it again.")
    cloud = entry.file("ply_file_path") if "ply_file_path" in entry else None
    return Description(tuple(_view(entry, frame) for frame in frames), cloud=cloud)


def _view(file: Entry, frame: Entry) -> View:
    frame = Entry(frame.path, f"{frame.what} ({frame.text('file_path')})", frame.table)
    # What a frame says goes before what the file says for all.
    both = Entry(frame.path, frame.what, {**file.table, **frame.table})
    image = _image(frame)
    size = checked_size(frame, image, _size(both))
    lens = _lens(both)
    return View(
        image=image,
        size=size,
        intrinsics=_intrinsics(both, size),
        camera_from_world=_camera_from_world(frame),
        lens=lens,
        distortion=_distortion(both, lens),
        depth=frame.file("depth_file_path") if "depth_file_path" in frame else None,
        depth_unit_m=both.positive("depth_unit_scale_factor", _MILLIMETRE),
        time_s=frame.number("timestamp") if "timestamp" in frame else None,
    )


def _image(frame: Entry) -> Path:
    stem = frame.path.parent / frame.text("file_path")
    # Blender's scenes leave out the suffix.
    named: Sequence[Path] = [stem.with_name(stem.name + suffix) for suffix in _IMAGE_SUFFIXES]
    return next((path for path in named if path.is_file()), None) or frame.found(stem)


def _size(both: Entry) -> tuple[int, int] | None:
    if "w" not in both or "h" not in both:
        return None
    return int(both.positive("w")), int(both.positive("h"))


def _lens(both: Entry) -> Lens:
    default = "OPENCV_FISHEYE" if both.table.get("is_fisheye") is True else "OPENCV"
    model = both.text("camera_model") if "camera_model" in both else default
    if model.upper() not in _LENSES:
        raise both.fault(
            f"camera_model is {model}, which has no equal here",
            f"Known: {', '.join(_LENSES)}. Export undistorted images.",
        )
    return _LENSES[model.upper()]


def _intrinsics(both: Entry, size: tuple[int, int]) -> Floats:
    width, height = size
    if "fl_x" not in both and "camera_angle_x" not in both:
        raise both.fault("has neither fl_x nor camera_angle_x", "Export the intrinsics too.")
    if "fl_x" in both:
        fx = both.positive("fl_x")
    else:
        fx = 0.5 * width / math.tan(0.5 * both.positive("camera_angle_x"))
    return camera_matrix(
        fx,
        both.positive("fl_y", fx),
        both.number("cx", width / 2) - 0.5,
        both.number("cy", height / 2) - 0.5,
    )


def _distortion(both: Entry, lens: Lens) -> tuple[float, ...]:
    # nerfstudio's k4 of a pinhole stands before r to the eighth; OpenCV has no such term.
    if lens == "pinhole" and both.number("k4", 0.0) != 0:
        raise both.fault("k4 of a pinhole camera is not 0", "Export undistorted images.")
    return without_zeros(tuple(both.number(name, 0.0) for name in _DISTORTION[lens]))


def _camera_from_world(frame: Entry) -> Floats:
    world_from_camera = frame.pose("transform_matrix")
    return inverse_pose(world_from_camera @ np.diag([1.0, -1.0, -1.0, 1.0]))
