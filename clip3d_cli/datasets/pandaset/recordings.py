"""One drive of PandaSet on disk: as published, or repacked as arrays in NPZ."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
from msgspec import Struct

from clip3d_cli.core.scenes import Floats, Sweep, View, invert_pose, pose_from_quaternion
from clip3d_cli.datasets.calibration import camera_matrix
from clip3d_cli.datasets.images import image_size
from clip3d_cli.datasets.json_files import Location, Positive, decode, read_json
from clip3d_cli.errors import InputError

_SCAN = ".pkl.gz"
_REMEDY = "Unpack the sequence again."


class _Position(Struct):
    x: float
    y: float
    z: float


class _Heading(Struct):
    w: float
    x: float
    y: float
    z: float


class _Pose(Struct):
    position: _Position
    heading: _Heading


class _Intrinsics(Struct):
    fx: Positive
    fy: Positive
    cx: float
    cy: float


class _Frame(Struct):
    timestamp: float
    lidar_to_world: _Pose
    camera_to_world: _Pose
    image: str


class _CameraJson(Struct):
    # Decoded frame by frame: a broken frame does not hide the others.
    frames: dict[str, msgspec.Raw]
    intrinsics: _Intrinsics


class Recording(Protocol):
    """Frames of one drive, in the world of that drive, z up.

    Attributes:
        frames: names of the frames, in the order of time.
        classes: file with the names of the labels, which may not exist.
    """

    frames: tuple[str, ...]
    classes: Path

    def sweep(self, position: int) -> Sweep:
        """Return the scan of a frame.

        Args:
            position: position of the frame in `frames`.
        """

    def views(self, position: int) -> tuple[View, ...]:
        """Return the images of a frame.

        Args:
            position: position of the frame in `frames`.
        """

    def label_file(self, position: int) -> Path | None:
        """Return the file with the labels of a frame, or None.

        Args:
            position: position of the frame in `frames`.
        """


@dataclass(frozen=True, slots=True, eq=False)
class _Track:
    """Poses and times of a sensor in every frame of a drive.

    Attributes:
        world_from_sensor: (4, 4) float64 poses by the number of the frame.
        times_s: seconds by the number of the frame.
    """

    world_from_sensor: list[Floats]
    times_s: list[float]


class PublishedRecording:
    """Drive as published by Hesai and Scale AI: folders ``lidar``, ``camera``, ``annotations``.

    Args:
        folder: folder of the drive.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        scans = sorted((folder / "lidar").glob(f"*{_SCAN}"))
        self.frames = tuple(path.name.removesuffix(_SCAN) for path in scans)
        self.classes = folder / "annotations" / "semseg" / "classes.json"

    def sweep(self, position: int) -> Sweep:
        """Return the scan of a frame.

        Args:
            position: position of the frame in `frames`.

        Raises:
            InputError: the table of poses or times is missing, broken, or too short.
        """
        number = self._frame_number(position)
        path = self._folder / "lidar" / f"{self.frames[position]}{_SCAN}"
        track = self._lidar
        return Sweep(path, track.world_from_sensor[number], track.times_s[number])

    def views(self, position: int) -> tuple[View, ...]:
        """Return the images of all installed cameras, by the name of the camera.

        Args:
            position: position of the frame in `frames`.

        Raises:
            InputError: a table or an image is missing or broken.
        """
        number = self._frame_number(position)
        views = []
        for folder, intrinsics, track in self._cameras:
            image = folder / f"{self.frames[position]}.jpg"
            camera_from_world = invert_pose(track.world_from_sensor[number])
            size, time_s = image_size(image), track.times_s[number]
            views.append(View(image, size, intrinsics, camera_from_world, time_s=time_s))
        return tuple(views)

    def label_file(self, position: int) -> Path | None:
        """Return the file with the labels of a frame; 27 drives have none.

        Args:
            position: position of the frame in `frames`.
        """
        path = self._folder / "annotations" / "semseg" / f"{self.frames[position]}{_SCAN}"
        return path if path.is_file() else None

    @cached_property
    def _lidar(self) -> _Track:
        return self._track(self._folder / "lidar")

    @cached_property
    def _cameras(self) -> list[tuple[Path, Floats, _Track]]:
        """Folder, (3, 3) intrinsics and track of every camera."""
        folders = sorted(path.parent for path in self._folder.glob("camera/*/poses.json"))
        return [
            (
                folder,
                _matrix(read_json(folder / "intrinsics.json", _Intrinsics)),
                self._track(folder),
            )
            for folder in folders
        ]

    def _track(self, folder: Path) -> _Track:
        """Read the poses and times in the folder of a sensor."""
        path = folder / "poses.json"
        poses = [
            _rigid(Location(path, f"[{number}]"), pose)
            for number, pose in enumerate(read_json(path, list[_Pose]))
        ]
        times_s = read_json(folder / "timestamps.json", list[float])
        needed = max(self._frame_number(position) for position in range(len(self.frames))) + 1
        if len(poses) != len(times_s) or len(poses) < needed:
            raise InputError(
                "E_COUNT_MISMATCH",
                folder,
                f"has {len(poses)} poses and {len(times_s)} times for {needed} frames",
                _REMEDY,
            )
        return _Track(poses, times_s)

    def _frame_number(self, position: int) -> int:
        return int(self.frames[position])


class RepackedRecording:
    """Drive as arrays: ``NN.npz`` beside ``NN.jpg``, and ``camera.json`` with all poses.

    Args:
        folder: folder of the drive.

    Raises:
        InputError: ``camera.json`` is broken.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "camera.json"
        self._content = read_json(self._path, _CameraJson)
        self.frames = tuple(sorted(self._content.frames))
        self.classes = folder / "classes.json"

    def sweep(self, position: int) -> Sweep:
        """Return the scan of a frame.

        Args:
            position: position of the frame in `frames`.

        Raises:
            InputError: its pose is missing or broken.
        """
        location, frame = self._frame(position)
        return Sweep(self._scan(position), _rigid(location, frame.lidar_to_world), frame.timestamp)

    def views(self, position: int) -> tuple[View, ...]:
        """Return the image of a frame.

        Args:
            position: position of the frame in `frames`.

        Raises:
            InputError: its pose or the image is missing or broken.
        """
        location, frame = self._frame(position)
        image = location.file(frame.image)
        camera_from_world = invert_pose(_rigid(location, frame.camera_to_world))
        intrinsics = _matrix(self._content.intrinsics)
        return (
            View(image, image_size(image), intrinsics, camera_from_world, time_s=frame.timestamp),
        )

    def label_file(self, position: int) -> Path | None:
        """Return the file with the labels of a frame, which contains its points too.

        Args:
            position: position of the frame in `frames`.
        """
        return self._scan(position)

    def _frame(self, position: int) -> tuple[Location, _Frame]:
        name = self.frames[position]
        location = Location(self._path, f"frames.{name}")
        return location, decode(location, bytes(self._content.frames[name]), _Frame)

    def _scan(self, position: int) -> Path:
        return self._folder / f"{self.frames[position]}.npz"


def _rigid(location: Location, pose: _Pose) -> Floats:
    """Return the (4, 4) transform from the sensor (or, for the lidar, the vehicle) to the world."""
    position, heading = pose.position, pose.heading
    quaternion = np.array([heading.w, heading.x, heading.y, heading.z])
    try:
        with np.errstate(over="ignore"):
            return pose_from_quaternion(quaternion, [position.x, position.y, position.z])
    except ValueError as error:
        raise location.error(f"heading: {error}", _REMEDY) from error


def _matrix(intrinsics: _Intrinsics) -> Floats:
    return camera_matrix(intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy)
