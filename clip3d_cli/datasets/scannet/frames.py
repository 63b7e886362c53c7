"""RGB-D frames as ScanNet's SensReader exports them, and as ``scannet_frames_25k`` holds them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from clip3d_cli.core.scenes import Floats, View, check_pose, inverse_pose
from clip3d_cli.datasets.images import image_size
from clip3d_cli.errors import InputError
from clip3d_cli.formats.file_checks import require_file

_FARTHEST = 1e6
_INTRINSICS = (
    "intrinsic/intrinsic_color.txt",
    "intrinsics_color.txt",
    "intrinsic_color.txt",
)
_EXPORT = (
    "Export all four with SensReader (github.com/ScanNet/ScanNet): reader.py --export_color_images "
    "--export_depth_images --export_poses --export_intrinsics."
)


def read_frames(folder: Path, facts: Path) -> tuple[View, ...]:
    """The frames whose pose is known, by number.

    Args:
        folder: holds ``color``, ``pose``, the intrinsics and perhaps ``depth``.
        facts: the scan's ``<scene>.txt``, which may be missing: it gives the size of the images
            as recorded, where the export made them smaller.

    Raises:
        InputError: a table is missing or broken, or no frame has a pose.
    """
    images = sorted(
        (path for path in (folder / "color").iterdir() if path.stem.isdigit()),
        key=lambda path: int(path.stem),
    )
    if not images:
        raise InputError("E_DATASET", folder / "color", "holds no frames", _EXPORT)
    # All frames of a scan have one size: looking into thousands of them would take minutes.
    size = image_size(images[0])
    intrinsics = _scaled(_intrinsics(folder), _recorded_size(facts), size)
    views = []
    for image in images:
        pose = _pose(folder / "pose" / f"{image.stem}.txt")
        if pose is not None:
            depth = folder / "depth" / f"{image.stem}.png"
            views.append(
                View(image, size, intrinsics, pose, depth=depth if depth.is_file() else None)
            )
    if not views:
        raise InputError("E_DATASET", folder / "pose", "no frame's pose is finite", _EXPORT)
    return tuple(views)


def _pose(path: Path) -> Floats | None:
    """Camera from world, or None where tracking was lost: ScanNet writes −inf then."""
    world_from_camera = _matrix(path)
    if not np.isfinite(world_from_camera).all():
        return None
    if np.abs(world_from_camera).max() > _FARTHEST:
        raise _broken(path, "holds numbers beyond any room")
    left, stretch, right = np.linalg.svd(world_from_camera[:3, :3])
    # Poses are printed with six digits, which leaves them rigid to about 1e-5.
    if np.abs(stretch - 1).max() < 1e-3:
        world_from_camera[:3, :3] = left @ right
    try:
        check_pose("the pose", world_from_camera)
    except ValueError as error:
        raise _broken(path, str(error)) from error
    return inverse_pose(world_from_camera)


def _intrinsics(folder: Path) -> Floats:
    found = (folder / name for name in _INTRINSICS)
    path = next((path for path in found if path.is_file()), None)
    if path is None:
        raise InputError("E_NOT_FOUND", folder / _INTRINSICS[0], "is not there", _EXPORT)
    matrix = _matrix(path)[:3, :3]
    if not np.isfinite(matrix).all() or min(matrix[0, 0], matrix[1, 1]) <= 0:
        raise _broken(path, "is no camera matrix")
    return matrix


def _recorded_size(facts: Path) -> tuple[float, float] | None:
    if not facts.is_file():
        return None
    rows = (
        line.partition("=")
        for line in facts.read_text(encoding="utf-8", errors="replace").splitlines()
    )
    words = {key.strip(): value.strip() for key, _, value in rows}
    sides = [words.get(key, "") for key in ("colorWidth", "colorHeight")]
    if not all(side.isdigit() and int(side) for side in sides):
        return None
    return float(sides[0]), float(sides[1])


def _scaled(
    intrinsics: Floats, recorded: tuple[float, float] | None, size: tuple[int, int]
) -> Floats:
    """Intrinsics for images that were made smaller: pixels' edges scale, not their middles."""
    if recorded is None:
        return intrinsics
    scale: Floats = np.array(size, dtype=np.float64) / np.array(recorded)
    scaled: Floats = intrinsics.copy()
    scaled[:2] *= scale[:, None]
    scaled[:2, 2] += 0.5 * scale - 0.5
    return scaled


def _matrix(path: Path) -> Floats:
    """The (4, 4) numbers of a text file, perhaps −inf.

    Raises:
        InputError: it is missing, or holds something else.
    """
    require_file(path)
    try:
        numbers = [float(word) for word in path.read_text(encoding="utf-8").split()]
    except ValueError as error:
        raise _broken(path, "does not hold numbers") from error
    if len(numbers) != 16:
        raise _broken(path, f"holds {len(numbers)} of the 16 numbers of a matrix")
    matrix: Floats = np.array(numbers, dtype=np.float64).reshape(4, 4)
    return matrix


def _broken(path: Path, fault: str) -> InputError:
    return InputError("E_DATASET", path, fault, "Export the frame again with SensReader.")
