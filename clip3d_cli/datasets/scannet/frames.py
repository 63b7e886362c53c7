"""RGB-D frames as ScanNet's SensReader exports them, and as in ``scannet_frames_25k``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from clip3d_cli.core.scenes import Floats, View, invert_pose, validate_pose
from clip3d_cli.datasets.calibration import with_exact_rotation
from clip3d_cli.datasets.images import image_size
from clip3d_cli.errors import InputError
from clip3d_cli.formats.file_checks import require_file

# Largest coordinate of a camera, metres.
_FARTHEST_M = 1e6
# Poses are printed with six digits, which leaves them rigid up to about 1e-5.
_ROUNDING = 1e-3
_INTRINSICS = (
    "intrinsic/intrinsic_color.txt",
    "intrinsics_color.txt",
    "intrinsic_color.txt",
)
_EXPORT = (
    "Export all four with SensReader (github.com/ScanNet/ScanNet): reader.py --export_color_images "
    "--export_depth_images --export_poses --export_intrinsics."
)


def read_frames(folder: Path, scan_info: Path) -> tuple[View, ...]:
    """Read the frames whose pose is known, by number.

    Args:
        folder: folder of ``color``, ``pose``, the intrinsics and perhaps ``depth``.
        scan_info: the scan's ``<scene>.txt``, which may not exist. It has the size of the images as
            recorded, which is needed if the export scaled them down.

    Raises:
        InputError: a table is missing or broken, or no frame has a pose.
    """
    images = sorted(
        (path for path in (folder / "color").iterdir() if path.stem.isdigit()),
        key=lambda path: int(path.stem),
    )
    if not images:
        raise InputError("E_DATASET", folder / "color", "contains no frames", _EXPORT)
    # All frames of a scene have one size: opening thousands of images would take minutes.
    size = image_size(images[0])
    intrinsics = _scaled(_read_intrinsics(folder), _recorded_size(scan_info), size)
    views = []
    for image in images:
        camera_from_world = _camera_from_world(folder / "pose" / f"{image.stem}.txt")
        if camera_from_world is not None:
            depth = folder / "depth" / f"{image.stem}.png"
            depth_or_none = depth if depth.is_file() else None
            views.append(View(image, size, intrinsics, camera_from_world, depth=depth_or_none))
    if not views:
        raise InputError("E_DATASET", folder / "pose", "contains no finite pose", _EXPORT)
    return tuple(views)


def _camera_from_world(path: Path) -> Floats | None:
    """Return the (4, 4) pose, or None where tracking was lost: ScanNet writes −inf there."""
    world_from_camera = _read_matrix(path)
    if not np.isfinite(world_from_camera).all():
        return None
    if np.abs(world_from_camera).max() > _FARTHEST_M:
        raise _broken(path, "contains numbers too large for a room")
    scales = np.linalg.svd(world_from_camera[:3, :3], compute_uv=False)
    if np.abs(scales - 1).max() < _ROUNDING:
        world_from_camera = with_exact_rotation(world_from_camera)
    try:
        validate_pose("the pose", world_from_camera)
    except ValueError as error:
        raise _broken(path, str(error)) from error
    return invert_pose(world_from_camera)


def _read_intrinsics(folder: Path) -> Floats:
    """Return the (3, 3) camera matrix of the images as recorded."""
    paths = (folder / name for name in _INTRINSICS)
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise InputError("E_NOT_FOUND", folder / _INTRINSICS[0], "does not exist", _EXPORT)
    matrix = _read_matrix(path)[:3, :3]
    if not np.isfinite(matrix).all() or min(matrix[0, 0], matrix[1, 1]) <= 0:
        raise _broken(path, "is not a camera matrix")
    return matrix


def _recorded_size(scan_info: Path) -> tuple[float, float] | None:
    """Return width and height of the images as recorded, px, or None if they are unknown."""
    if not scan_info.is_file():
        return None
    rows = (
        line.partition("=")
        for line in scan_info.read_text(encoding="utf-8", errors="replace").splitlines()
    )
    values = {key.strip(): value.strip() for key, _, value in rows}
    sides = [values.get(key, "") for key in ("colorWidth", "colorHeight")]
    if not all(side.isdecimal() and int(side) for side in sides):
        return None
    return float(sides[0]), float(sides[1])


def _scaled(
    intrinsics: Floats, recorded: tuple[float, float] | None, size: tuple[int, int]
) -> Floats:
    """Return the intrinsics for images of another size than recorded.

    Scaling an image keeps the corners of its outer pixels, which lie at −0.5, and not their
    centers, which lie at 0: u + 0.5 scales, not u.
    """
    if recorded is None:
        return intrinsics
    scale: Floats = np.array(size, dtype=np.float64) / np.array(recorded)
    scaled: Floats = intrinsics.copy()
    scaled[:2] *= scale[:, None]
    scaled[:2, 2] += 0.5 * scale - 0.5
    return scaled


def _read_matrix(path: Path) -> Floats:
    """Read the (4, 4) numbers of a text file, which may be −inf.

    Raises:
        InputError: the file is missing, or has other content.
    """
    require_file(path)
    try:
        numbers = [float(word) for word in path.read_text(encoding="utf-8").split()]
    except ValueError as error:
        raise _broken(path, "contains other text than numbers") from error
    if len(numbers) != 16:
        raise _broken(path, f"contains {len(numbers)} of the 16 numbers of a matrix")
    matrix: Floats = np.array(numbers, dtype=np.float64).reshape(4, 4)
    return matrix


def _broken(path: Path, fault: str) -> InputError:
    return InputError("E_DATASET", path, fault, "Export the frame again with SensReader.")
