"""Posed images as COLMAP reconstructs them: ``sparse/0/{cameras,images}.{bin,txt}``.

Poses lead from world to camera, and the middle of the upper left pixel is (0.5, 0.5); the world's
unit and axes are arbitrary. Source: https://colmap.github.io/format.html and cameras.html.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from clip3d_cli.core.scenes import Floats, Lens, View, pose_of_quaternion
from clip3d_cli.datasets.folder.camera_description import (
    Description,
    camera_matrix,
    checked_size,
    without_zeros,
)
from clip3d_cli.datasets.folder.colmap_files import (
    ColmapCamera,
    ColmapImage,
    read_colmap_cameras,
    read_colmap_images,
)
from clip3d_cli.datasets.json_documents import Entry
from clip3d_cli.errors import InputError

_PLACES = ("sparse/0", "sparse", "colmap/sparse/0", "colmap/sparse")
# Which parameters are focal lengths, principal point and distortion, in OpenCV's order.
_MODELS: dict[str, tuple[Lens, tuple[int, ...], tuple[int, ...]]] = {
    "SIMPLE_PINHOLE": ("pinhole", (0, 0, 1, 2), ()),
    "PINHOLE": ("pinhole", (0, 1, 2, 3), ()),
    "SIMPLE_RADIAL": ("pinhole", (0, 0, 1, 2), (3,)),
    "RADIAL": ("pinhole", (0, 0, 1, 2), (3, 4)),
    "OPENCV": ("pinhole", (0, 1, 2, 3), (4, 5, 6, 7)),
    "FULL_OPENCV": ("pinhole", (0, 1, 2, 3), (4, 5, 6, 7, 8, 9, 10, 11)),
    "OPENCV_FISHEYE": ("fisheye", (0, 1, 2, 3), (4, 5, 6, 7)),
    "SIMPLE_RADIAL_FISHEYE": ("fisheye", (0, 0, 1, 2), (3,)),
    "RADIAL_FISHEYE": ("fisheye", (0, 0, 1, 2), (3, 4)),
}


def colmap_model(folder: Path) -> Path | None:
    """The folder of the COLMAP model that lies in a scene's folder, or None."""
    return next((folder / place for place in _PLACES if _table(folder / place, "images")), None)


def colmap_points(model: Path) -> Path | None:
    """The file of a model's sparse points, or None."""
    return _table(model, "points3D")


def read_colmap(model: Path, images: Path) -> Description:
    """The cameras of a model, in its own unit and axes.

    Args:
        model: holds ``cameras`` and ``images``, both .bin or both .txt.
        images: the folder that the names of the images are relative to.

    Raises:
        InputError: a table is missing or broken, a camera model has no equal here, or an image
            is missing.
    """
    listed = _table(model, "images")
    described = _table(model, "cameras")
    if listed is None or described is None:
        raise InputError(
            "E_NOT_FOUND",
            model,
            f"holds no {'images' if listed is None else 'cameras'}.bin or .txt",
            "A model is cameras, images and points3D; copy all of them.",
        )
    cameras = read_colmap_cameras(described)
    return Description(
        tuple(_view(listed, image, cameras, images) for image in read_colmap_images(listed))
    )


def _table(model: Path, name: str) -> Path | None:
    found = (model / f"{name}{suffix}" for suffix in (".bin", ".txt"))
    return next((path for path in found if path.is_file()), None)


def _view(listed: Path, image: ColmapImage, cameras: dict[int, ColmapCamera], folder: Path) -> View:
    entry = Entry(listed, image.name, {})
    camera = cameras.get(image.camera_id)
    if camera is None:
        raise entry.fault(f"its camera {image.camera_id} is not in cameras")
    lens, intrinsics, distortion = _optics(entry, camera)
    path = entry.found(folder / image.name)
    return View(
        image=path,
        size=checked_size(entry, path, camera.size),
        intrinsics=intrinsics,
        camera_from_world=_camera_from_world(entry, image),
        lens=lens,
        distortion=distortion,
    )


def _optics(entry: Entry, camera: ColmapCamera) -> tuple[Lens, Floats, tuple[float, ...]]:
    if camera.model not in _MODELS:
        raise entry.fault(
            f"its camera is of the model {camera.model}, which has no equal here",
            "Undistort the images: colmap image_undistorter.",
        )
    lens, places, bends = _MODELS[camera.model]
    params = camera.params
    if len(params) != max(*places, *bends) + 1 or not np.isfinite(params).all():
        raise entry.fault(f"its camera has {len(params)} parameters, not those of {camera.model}")
    fx, fy, cx, cy = (params[place] for place in places)
    if min(fx, fy) <= 0:
        raise entry.fault("a focal length of its camera is not above 0")
    # COLMAP writes k1 k2 p1 p2 k3 ..., as OpenCV does.
    distortion = without_zeros(tuple(params[place] for place in bends))
    return lens, camera_matrix(fx, fy, cx - 0.5, cy - 0.5), distortion


def _camera_from_world(entry: Entry, image: ColmapImage) -> Floats:
    if not np.isfinite((*image.quaternion, *image.translation)).all():
        raise entry.fault("its pose holds NaN or infinity")
    try:
        with np.errstate(over="ignore"):
            return pose_of_quaternion(image.quaternion, image.translation)
    except ValueError as error:
        raise entry.fault(f"its pose cannot be: {error}") from error
