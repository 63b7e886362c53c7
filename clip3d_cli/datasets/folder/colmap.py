"""Posed images as COLMAP reconstructs them: ``sparse/0/{cameras,images}.{bin,txt}``.

Poses lead from world to camera, and (0.5, 0.5) is the center of the upper left pixel; the world's
unit and axes are arbitrary. Source: https://colmap.github.io/format.html and cameras.html.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from clip3d_cli.core.scenes import Floats, Lens, View, pose_from_quaternion
from clip3d_cli.datasets.calibration import camera_matrix
from clip3d_cli.datasets.folder.colmap_files import (
    ColmapCamera,
    ColmapImage,
    read_colmap_cameras,
    read_colmap_images,
)
from clip3d_cli.datasets.folder.description import (
    Description,
    checked_size,
    without_trailing_zeros,
)
from clip3d_cli.datasets.json_files import Location
from clip3d_cli.errors import InputError

_MODEL_FOLDERS = ("sparse/0", "sparse", "colmap/sparse/0", "colmap/sparse")
# Positions among the parameters of fx, fy, cx, cy, and of the distortion in OpenCV's order.
_CAMERA_MODELS: dict[str, tuple[Lens, tuple[int, ...], tuple[int, ...]]] = {
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
    """Return the folder of the COLMAP model in the folder of a scene, or None."""
    models = (folder / name for name in _MODEL_FOLDERS)
    return next((model for model in models if _table(model, "images")), None)


def colmap_points(model: Path) -> Path | None:
    """Return the file of a model's sparse points, or None."""
    return _table(model, "points3D")


def read_colmap(model: Path, image_folder: Path) -> Description:
    """Read the cameras of a COLMAP model.

    Args:
        model: folder of ``cameras`` and ``images``, both .bin or both .txt.
        image_folder: folder that the names of the images are relative to.

    Returns:
        Cameras in the unit and axes of the model.

    Raises:
        InputError: a table is missing or broken, a camera model is not supported, or an image is
            missing.
    """
    images_table = _table(model, "images")
    cameras_table = _table(model, "cameras")
    if images_table is None or cameras_table is None:
        raise InputError(
            "E_NOT_FOUND",
            model,
            f"has no {'images' if images_table is None else 'cameras'}.bin or .txt",
            "A model consists of cameras, images and points3D; copy all of them.",
        )
    cameras = read_colmap_cameras(cameras_table)
    images = read_colmap_images(images_table)
    return Description(
        tuple(
            _view(Location(images_table, image.name), image, cameras, image_folder)
            for image in images
        )
    )


def _table(model: Path, name: str) -> Path | None:
    paths = (model / f"{name}{suffix}" for suffix in (".bin", ".txt"))
    return next((path for path in paths if path.is_file()), None)


def _view(
    location: Location, image: ColmapImage, cameras: dict[int, ColmapCamera], folder: Path
) -> View:
    camera = cameras.get(image.camera_id)
    if camera is None:
        raise location.error(f"its camera {image.camera_id} is not in cameras")
    lens, intrinsics, distortion = _optics(location, camera)
    path = location.existing(folder / image.name)
    return View(
        image=path,
        size=checked_size(location, path, camera.size),
        intrinsics=intrinsics,
        camera_from_world=_camera_from_world(location, image),
        lens=lens,
        distortion=distortion,
    )


def _optics(location: Location, camera: ColmapCamera) -> tuple[Lens, Floats, tuple[float, ...]]:
    """Return the lens, the (3, 3) camera matrix and the distortion of a camera."""
    if camera.model not in _CAMERA_MODELS:
        raise location.error(
            f"its camera model {camera.model} is not supported",
            "Undistort the images: colmap image_undistorter.",
        )
    lens, matrix_positions, distortion_positions = _CAMERA_MODELS[camera.model]
    params = camera.params
    expected = max(*matrix_positions, *distortion_positions) + 1
    if len(params) != expected or not np.isfinite(params).all():
        raise location.error(
            f"its camera has {len(params)} parameters, not the {expected} finite ones of "
            f"{camera.model}"
        )
    fx, fy, cx, cy = (params[position] for position in matrix_positions)
    if min(fx, fy) <= 0:
        raise location.error("a focal length of its camera is not above 0")
    # COLMAP stores k1 k2 p1 p2 k3 ... in OpenCV's order.
    distortion = without_trailing_zeros(tuple(params[n] for n in distortion_positions))
    return lens, camera_matrix(fx, fy, cx - 0.5, cy - 0.5), distortion


def _camera_from_world(location: Location, image: ColmapImage) -> Floats:
    if not np.isfinite((*image.quaternion, *image.translation)).all():
        raise location.error("its pose contains NaN or infinity")
    try:
        with np.errstate(over="ignore"):
            return pose_from_quaternion(image.quaternion, image.translation)
    except ValueError as error:
        raise location.error(f"its pose is impossible: {error}") from error
