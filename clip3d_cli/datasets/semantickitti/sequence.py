"""One sequence of KITTI's odometry: its frames, calibration and poses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clip3d_cli.core.scenes import Floats, check_pose, inverse_pose
from clip3d_cli.errors import InputError

_AGAIN = "Fetch it again from KITTI's odometry benchmark."


@dataclass(frozen=True, slots=True, eq=False)
class KittiSequence:
    """The frames of one sequence. The world is the lidar's frame at frame 0.

    Attributes:
        folder: of the sequence.
        frames: the stems of the scans' names, such as ``000123``, sorted.
        world_from_lidar: (F, 4, 4) float64, metres.
        camera_from_lidar: (4, 4) float64, metres, of the left color camera.
        intrinsics: (3, 3) float64, px, of the left color camera.
        times_s: (F,) float64 seconds, or None.
        images: whether there is a folder of that camera's images.
        labels: whether there is a folder of labels.
    """

    folder: Path
    frames: tuple[str, ...]
    world_from_lidar: Floats
    camera_from_lidar: Floats
    intrinsics: Floats
    times_s: Floats | None
    images: bool
    labels: bool


def read_sequence(folder: Path, root: Path) -> KittiSequence:
    """The sequence of a folder.

    Args:
        folder: holds ``velodyne`` and ``calib.txt``.
        root: holds ``sequences``, and KITTI's ``poses`` where the folder has no ``poses.txt``.

    Raises:
        InputError: a file is missing, broken, or has fewer lines than there are frames.
    """
    frames = _frames(folder / "velodyne")
    matrices = _calibration(folder / "calib.txt")
    camera_from_lidar = _rigid(folder / "calib.txt", "Tr", matrices["Tr"])
    intrinsics, shift = _pinhole(folder / "calib.txt", matrices["P2"])
    lidar_from_camera = inverse_pose(camera_from_lidar)
    rows = [int(frame) for frame in frames]
    path = _poses_file(folder, root)
    lines = _lines(path, 12, rows[-1])
    poses = [_rigid(path, f"line {row + 1}", lines[row]) for row in rows]
    times = folder / "times.txt"
    return KittiSequence(
        folder=folder,
        frames=frames,
        world_from_lidar=np.stack([lidar_from_camera @ pose @ camera_from_lidar for pose in poses]),
        camera_from_lidar=shift @ camera_from_lidar,
        intrinsics=intrinsics,
        times_s=_lines(times, 1, rows[-1])[rows, 0] if times.is_file() else None,
        images=(folder / "image_2").is_dir(),
        labels=(folder / "labels").is_dir(),
    )


def _frames(folder: Path) -> tuple[str, ...]:
    paths = sorted(path for path in folder.glob("*.bin") if not path.name.startswith("."))
    strange = [path for path in paths if not path.stem.isdecimal()]
    if strange:
        raise InputError(
            "E_DATASET", strange[0], "is not named by its frame's number", "Move it elsewhere."
        )
    if not paths:
        raise InputError("E_NOT_FOUND", folder, "holds no scans (.bin)", _AGAIN)
    return tuple(path.stem for path in paths)


def _calibration(path: Path) -> dict[str, Floats]:
    """The matrices of ``calib.txt`` by name, 12 numbers each."""
    matrices = {}
    for line in _text(path).splitlines():
        name, _, numbers = line.partition(":")
        if numbers.strip():
            matrices[name.strip()] = _floats(path, name.strip(), numbers, 12)
    for name, what in (("Tr", "the lidar's place"), ("P2", "the left color camera")):
        if name not in matrices:
            raise InputError(
                "E_DATASET",
                path,
                f"has no {name!r}, {what}",
                "Take calib.txt from data_odometry_calib.zip, not from KITTI's raw data.",
            )
    return matrices


def _pinhole(path: Path, numbers: Floats) -> tuple[Floats, Floats]:
    """Intrinsics, and the (4, 4) shift from camera 0, of K [I | t]."""
    projection = numbers.reshape(3, 4)
    intrinsics = np.ascontiguousarray(projection[:, :3])
    shape = np.array_equal(intrinsics[2], (0, 0, 1)) and intrinsics[1, 0] == 0
    if not shape or min(intrinsics[0, 0], intrinsics[1, 1]) <= 0:
        raise InputError("E_DATASET", path, "P2 is no projection of a rectified camera", _AGAIN)
    shift = np.eye(4)
    shift[:3, 3] = np.linalg.solve(intrinsics, projection[:, 3])
    return intrinsics, shift


def _rigid(path: Path, what: str, numbers: Floats) -> Floats:
    """The (4, 4) pose of 12 numbers: the rotation nearest to their seven digits."""
    pose = np.eye(4)
    pose[:3] = numbers.reshape(3, 4)
    try:
        check_pose(what, pose)
    except ValueError as error:
        raise InputError("E_DATASET", path, str(error), _AGAIN) from error
    left, _, right = np.linalg.svd(pose[:3, :3])
    pose[:3, :3] = left @ right
    return pose


def _poses_file(folder: Path, root: Path) -> Path:
    places = (folder / "poses.txt", root / "poses" / f"{folder.name}.txt")
    found = [path for path in places if path.is_file()]
    if not found:
        raise InputError(
            "E_NOT_FOUND",
            places[0],
            f"does not exist, nor does {places[1]}",
            "SemanticKITTI's data_odometry_labels.zip brings poses.txt for every sequence.",
        )
    return found[0]


def _lines(path: Path, width: int, last: int) -> Floats:
    """(L, width) numbers, one line each, at least up to line ``last``, counted from 0."""
    texts = [line for line in _text(path).splitlines() if line.strip()]
    if len(texts) <= last:
        raise InputError(
            "E_COUNT_MISMATCH",
            path,
            f"has {len(texts):,} lines, the last scan is frame {last:,}",
            "It was cut off, or belongs to another sequence; fetch it again.",
        )
    rows = [_floats(path, f"line {n + 1}", text, width) for n, text in enumerate(texts)]
    return np.stack(rows)


def _floats(path: Path, what: str, text: str, count: int) -> Floats:
    words: Sequence[str] = text.split()
    try:
        numbers = np.array([float(word) for word in words])
    except ValueError as error:
        raise InputError("E_DATASET", path, f"{what}: {error}", _AGAIN) from error
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise InputError("E_DATASET", path, f"{what} is not {count} numbers", _AGAIN)
    return numbers


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError("E_NOT_FOUND", path, "does not exist", _AGAIN) from error
    except UnicodeDecodeError as error:
        raise InputError("E_DATASET", path, "is not text", _AGAIN) from error
