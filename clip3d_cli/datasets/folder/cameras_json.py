"""Our own description of posed images: ``cameras.json`` (docs/folder.md)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from clip3d_cli.core.scenes import Floats, Lens, Sweep, View, inverse_pose
from clip3d_cli.datasets.folder.camera_description import (
    MOST_COEFFICIENTS,
    UPS,
    Description,
    Placement,
    camera_matrix,
    checked_size,
)
from clip3d_cli.datasets.json_documents import Entry, read_document

_FILE_KEYS = ("cameras", "sweeps", "world_from_cloud", "time_s", "world_up", "metres_per_unit")
_CAMERA_KEYS = (
    "image", "size", "intrinsics", "world_from_camera", "camera_from_world", "lens",
    "distortion", "depth", "depth_unit_m", "time_s",
)  # fmt: skip
_SWEEP_KEYS = ("cloud", "world_from_sensor", "time_s")


def read_cameras(path: Path) -> Description:
    """The cameras and sweeps of a file, in the file's own unit and axes.

    Raises:
        InputError: what it says cannot be, or a file that it names is missing.
    """
    entry = _document(path)
    world_from_cloud = entry.pose("world_from_cloud") if "world_from_cloud" in entry else np.eye(4)
    return Description(
        tuple(_view(camera) for camera in entry.entries("cameras", "camera")),
        tuple(_sweep(sweep) for sweep in entry.entries("sweeps", "sweep")),
        world_from_cloud=world_from_cloud,
        time_s=entry.time_s(),
    )


def describes_cameras(path: Path) -> bool:
    """Whether the file lists cameras; one that does not says how others' lie in our world.

    Raises:
        InputError: it is not JSON, or holds an unknown key.
    """
    return "cameras" in _document(path)


def read_placement(path: Path) -> Placement:
    """How the described world becomes ours: ``world_up`` and ``metres_per_unit``.

    Raises:
        InputError: it is not JSON, holds an unknown key, or an impossible value.
    """
    entry = _document(path)
    return Placement(
        entry.positive("metres_per_unit", 1.0),
        entry.one_of("world_up", UPS) if "world_up" in entry else None,
    )


def _document(path: Path) -> Entry:
    entry = read_document(path)
    entry.refuse_unknown(_FILE_KEYS)
    return entry


def _view(camera: Entry) -> View:
    camera.refuse_unknown(_CAMERA_KEYS)
    image = camera.file("image")
    camera = Entry(camera.path, f"{camera.what} ({camera.text('image')})", camera.table)
    lens: Lens = (
        "fisheye" if camera.one_of("lens", ("pinhole", "fisheye")) == "fisheye" else "pinhole"
    )
    return View(
        image=image,
        size=checked_size(camera, image, _size(camera)),
        intrinsics=_intrinsics(camera),
        camera_from_world=_camera_from_world(camera),
        lens=lens,
        distortion=_distortion(camera, lens),
        depth=camera.file("depth") if "depth" in camera else None,
        depth_unit_m=camera.positive("depth_unit_m", 0.001),
        time_s=camera.time_s(),
    )


def _size(camera: Entry) -> tuple[int, int] | None:
    if "size" not in camera:
        return None
    width, height = camera.array("size", (2,))
    return int(width), int(height)


def _intrinsics(camera: Entry) -> Floats:
    given = camera.array("intrinsics", (4,), (3, 3))
    matrix = given if given.shape == (3, 3) else camera_matrix(*given)
    if min(matrix[0, 0], matrix[1, 1]) <= 0:
        raise camera.fault("a focal length is not above 0", "Write [fx, fy, cx, cy] in pixels.")
    if not np.array_equal(matrix[[1, 2, 2, 2], [0, 0, 1, 2]], (0, 0, 0, 1)):
        raise camera.fault("intrinsics are no camera matrix", "Write [fx, fy, cx, cy] in pixels.")
    return matrix


def _camera_from_world(camera: Entry) -> Floats:
    both = "world_from_camera" in camera, "camera_from_world" in camera
    if all(both) or not any(both):
        raise camera.fault(
            f"has {'both' if all(both) else 'neither'} world_from_camera and camera_from_world",
            "Give one of them.",
        )
    if both[1]:
        return camera.pose("camera_from_world")
    return inverse_pose(camera.pose("world_from_camera"))


def _distortion(camera: Entry, lens: Lens) -> tuple[float, ...]:
    if "distortion" not in camera:
        return ()
    coefficients = tuple(float(value) for value in camera.array("distortion", (None,)))
    if len(coefficients) > MOST_COEFFICIENTS[lens]:
        raise camera.fault(
            f"{len(coefficients)} distortion coefficients; a {lens} has at most "
            f"{MOST_COEFFICIENTS[lens]}",
            "Their order is OpenCV's: k1 k2 p1 p2 k3 k4 k5 k6, of a fisheye k1 k2 k3 k4.",
        )
    return coefficients


def _sweep(sweep: Entry) -> Sweep:
    sweep.refuse_unknown(_SWEEP_KEYS)
    pose = sweep.pose("world_from_sensor") if "world_from_sensor" in sweep else np.eye(4)
    return Sweep(sweep.file("cloud"), pose, sweep.time_s())
