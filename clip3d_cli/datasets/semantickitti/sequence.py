"""One sequence of KITTI's odometry benchmark: its frames, calibration and poses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clip3d_cli.core.scenes import Floats, invert_pose, validate_pose
from clip3d_cli.datasets.calibration import with_exact_rotation
from clip3d_cli.errors import InputError

_REMEDY = "Fetch it again from KITTI's odometry benchmark."


@dataclass(frozen=True, slots=True, eq=False)
class KittiSequence:
    """Frames of one sequence, F of them. The world is the lidar's frame at frame 0.

    Attributes:
        folder: folder of the sequence.
        frames: names of the scans without suffix, such as ``000123``, sorted.
        world_from_lidar: (F, 4, 4) float64, metres.
        camera_from_lidar: (4, 4) float64, metres, to the left color camera.
        intrinsics: (3, 3) float64 of the left color camera, px.
        times_s: (F,) float64 seconds, or None.
        has_images: whether there is a folder with the images of that camera.
        has_labels: whether there is a folder of labels.
    """

    folder: Path
    frames: tuple[str, ...]
    world_from_lidar: Floats
    camera_from_lidar: Floats
    intrinsics: Floats
    times_s: Floats | None
    has_images: bool
    has_labels: bool


def read_sequence(folder: Path, root: Path) -> KittiSequence:
    """Read the frames, calibration and poses of a sequence.

    Args:
        folder: folder of ``velodyne`` and ``calib.txt``.
        root: folder of ``sequences``, and of KITTI's ``poses`` if a sequence has no ``poses.txt``.

    Raises:
        InputError: a file is missing or broken, or has fewer lines than there are frames.
    """
    frames = _frame_names(folder / "velodyne")
    matrices = _read_calibration(folder / "calib.txt")
    # KITTI's poses are those of camera 0, and Tr leads from the lidar to camera 0.
    camera0_from_lidar = _rigid_pose(folder / "calib.txt", "Tr", matrices["Tr"])
    lidar_from_camera0 = invert_pose(camera0_from_lidar)
    intrinsics, camera2_from_camera0 = _split_projection(folder / "calib.txt", matrices["P2"])
    rows = [int(frame) for frame in frames]
    path = _poses_path(folder, root)
    lines = _read_lines(path, 12, rows[-1])
    poses = [_rigid_pose(path, f"line {row + 1}", lines[row]) for row in rows]
    times = folder / "times.txt"
    return KittiSequence(
        folder=folder,
        frames=frames,
        world_from_lidar=np.stack(
            [lidar_from_camera0 @ pose @ camera0_from_lidar for pose in poses]
        ),
        camera_from_lidar=camera2_from_camera0 @ camera0_from_lidar,
        intrinsics=intrinsics,
        times_s=_read_lines(times, 1, rows[-1])[rows, 0] if times.is_file() else None,
        has_images=(folder / "image_2").is_dir(),
        has_labels=(folder / "labels").is_dir(),
    )


def _frame_names(folder: Path) -> tuple[str, ...]:
    paths = sorted(path for path in folder.glob("*.bin") if not path.name.startswith("."))
    unnumbered = [path for path in paths if not path.stem.isdecimal()]
    if unnumbered:
        raise InputError(
            "E_DATASET", unnumbered[0], "is not named by its frame's number", "Move it elsewhere."
        )
    if not paths:
        raise InputError("E_NOT_FOUND", folder, "contains no scans (.bin)", _REMEDY)
    return tuple(path.stem for path in paths)


def _read_calibration(path: Path) -> dict[str, Floats]:
    """Return the matrices of ``calib.txt`` by name, (12,) numbers each."""
    matrices = {}
    for line in _read_text(path).splitlines():
        name, _, numbers = line.partition(":")
        if numbers.strip():
            matrices[name.strip()] = _numbers(path, name.strip(), numbers, 12)
    for name, meaning in (("Tr", "the pose of the lidar"), ("P2", "the left color camera")):
        if name not in matrices:
            raise InputError(
                "E_DATASET",
                path,
                f"has no {name!r}, {meaning}",
                "Use calib.txt of data_odometry_calib.zip, not of KITTI's raw data.",
            )
    return matrices


def _split_projection(path: Path, numbers: Floats) -> tuple[Floats, Floats]:
    """Split P2 = K [I | t], (12,) numbers, into the (3, 3) K and the (4, 4) translation by t."""
    projection = numbers.reshape(3, 4)
    intrinsics = np.ascontiguousarray(projection[:, :3])
    is_camera_matrix = np.array_equal(intrinsics[2], (0, 0, 1)) and intrinsics[1, 0] == 0
    if not is_camera_matrix or min(intrinsics[0, 0], intrinsics[1, 1]) <= 0:
        fault = "P2 is not the projection of a rectified camera"
        raise InputError("E_DATASET", path, fault, _REMEDY)
    translation = np.eye(4)
    # The last column is K t.
    translation[:3, 3] = np.linalg.solve(intrinsics, projection[:, 3])
    return intrinsics, translation


def _rigid_pose(path: Path, part: str, numbers: Floats) -> Floats:
    """Return the (4, 4) pose of (12,) numbers, which have seven digits in the file."""
    pose = np.eye(4)
    pose[:3] = numbers.reshape(3, 4)
    try:
        validate_pose(part, pose)
    except ValueError as error:
        raise InputError("E_DATASET", path, str(error), _REMEDY) from error
    return with_exact_rotation(pose)


def _poses_path(folder: Path, root: Path) -> Path:
    paths = (folder / "poses.txt", root / "poses" / f"{folder.name}.txt")
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise InputError(
            "E_NOT_FOUND",
            paths[0],
            f"does not exist, nor does {paths[1]}",
            "SemanticKITTI's data_odometry_labels.zip contains poses.txt for every sequence.",
        )
    return path


def _read_lines(path: Path, width: int, last: int) -> Floats:
    """Return the (L, width) numbers of L lines.

    Args:
        path: text file.
        width: numbers per line.
        last: number of the last line that is needed, from 0.
    """
    lines = [line for line in _read_text(path).splitlines() if line.strip()]
    if len(lines) <= last:
        raise InputError(
            "E_COUNT_MISMATCH",
            path,
            f"has {len(lines):,} lines, but the last scan is frame {last:,}",
            "It is truncated, or belongs to another sequence; fetch it again.",
        )
    return np.stack(
        [_numbers(path, f"line {n}", line, width) for n, line in enumerate(lines, start=1)]
    )


def _numbers(path: Path, part: str, text: str, count: int) -> Floats:
    try:
        numbers = np.array([float(word) for word in text.split()])
    except ValueError as error:
        raise InputError("E_DATASET", path, f"{part}: {error}", _REMEDY) from error
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise InputError("E_DATASET", path, f"{part} is not {count} numbers", _REMEDY)
    return numbers


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError("E_NOT_FOUND", path, "does not exist", _REMEDY) from error
    except UnicodeDecodeError as error:
        raise InputError("E_DATASET", path, "is not text", _REMEDY) from error
