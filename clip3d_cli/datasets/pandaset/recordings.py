"""One drive of PandaSet on disk: as published, and as arrays in NPZ."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from clip3d_cli.core.scenes import Floats, Sweep, View, inverse_pose, pose_of_quaternion
from clip3d_cli.datasets.folder.camera_description import camera_matrix
from clip3d_cli.datasets.images import image_size
from clip3d_cli.datasets.json_documents import Entry, read_document, read_documents, read_times
from clip3d_cli.errors import InputError

_SCAN = ".pkl.gz"
_AGAIN = "Unpack the sequence again."


class Recording(Protocol):
    """The frames of one drive; poses lead to the drive's own world, z up.

    Attributes:
        frames: their names in the order of time.
        classes: the file with the names of labels, which may be missing.
    """

    frames: tuple[str, ...]
    classes: Path

    def sweep(self, place: int) -> Sweep:
        """The scan of a frame."""

    def views(self, place: int) -> tuple[View, ...]:
        """The images of a frame."""

    def labels(self, place: int) -> Path | None:
        """The file with the labels of a frame, or None."""


class PublishedRecording:
    """A drive as Hesai and Scale AI publish it: ``lidar``, ``camera``, ``annotations``.

    Args:
        folder: of the drive.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        scans = sorted((folder / "lidar").glob(f"*{_SCAN}"))
        self.frames = tuple(path.name.removesuffix(_SCAN) for path in scans)
        self.classes = folder / "annotations" / "semseg" / "classes.json"

    def sweep(self, place: int) -> Sweep:
        """The scan of a frame.

        Raises:
            InputError: the table of poses or times is missing, broken, or too short.
        """
        poses, times = self._lidar
        path = self._folder / "lidar" / f"{self.frames[place]}{_SCAN}"
        return Sweep(path, poses[self._row(place)], times[self._row(place)])

    def views(self, place: int) -> tuple[View, ...]:
        """The images of all cameras that are here, by the cameras' names.

        Raises:
            InputError: a table or an image is missing or broken.
        """
        views = []
        for folder, intrinsics, poses, times in self._cameras:
            image = folder / f"{self.frames[place]}.jpg"
            row = self._row(place)
            size = image_size(image)
            views.append(View(image, size, intrinsics, inverse_pose(poses[row]), time_s=times[row]))
        return tuple(views)

    def labels(self, place: int) -> Path | None:
        """The file with the labels of a frame; of 27 drives there are none."""
        path = self._folder / "annotations" / "semseg" / f"{self.frames[place]}{_SCAN}"
        return path if path.is_file() else None

    @cached_property
    def _lidar(self) -> tuple[list[Floats], list[float]]:
        return self._track(self._folder / "lidar")

    @cached_property
    def _cameras(self) -> list[tuple[Path, Floats, list[Floats], list[float]]]:
        folders = sorted(path.parent for path in self._folder.glob("camera/*/poses.json"))
        return [
            (folder, _intrinsics(read_document(folder / "intrinsics.json")), *self._track(folder))
            for folder in folders
        ]

    def _track(self, folder: Path) -> tuple[list[Floats], list[float]]:
        """Where a sensor stood at every frame of the drive, and when."""
        poses = [_pose(entry) for entry in read_documents(folder / "poses.json", "pose")]
        times = read_times(folder / "timestamps.json")
        needed = max(self._row(place) for place in range(len(self.frames))) + 1
        if len(poses) != len(times) or len(poses) < needed:
            raise InputError(
                "E_COUNT_MISMATCH",
                folder,
                f"has {len(poses)} poses and {len(times)} times for {needed} frames",
                _AGAIN,
            )
        return poses, times

    def _row(self, place: int) -> int:
        return int(self.frames[place])


class RepackedRecording:
    """A drive as arrays: ``NN.npz`` beside ``NN.jpg``, and ``camera.json`` with all poses.

    Args:
        folder: of the drive.

    Raises:
        InputError: ``camera.json`` is broken.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._entry = read_document(folder / "camera.json")
        frames = self._entry.table.get("frames")
        if not isinstance(frames, dict) or not all(isinstance(f, dict) for f in frames.values()):
            raise self._entry.fault("frames is no table of tables")
        self._frames = {
            name: Entry(self._entry.path, f"frame {name}", frames[name]) for name in sorted(frames)
        }
        self.frames = tuple(self._frames)
        self.classes = folder / "classes.json"

    def sweep(self, place: int) -> Sweep:
        """The scan of a frame.

        Raises:
            InputError: its pose is missing or broken.
        """
        frame = self._frames[self.frames[place]]
        return Sweep(self._scan(place), _posed(frame, "lidar_to_world"), frame.number("timestamp"))

    def views(self, place: int) -> tuple[View, ...]:
        """The image of a frame.

        Raises:
            InputError: its pose or the image is missing or broken.
        """
        frame = self._frames[self.frames[place]]
        image = frame.file("image")
        pose = inverse_pose(_posed(frame, "camera_to_world"))
        lens = _intrinsics(_part(self._entry, "intrinsics"))
        return (View(image, image_size(image), lens, pose, time_s=frame.number("timestamp")),)

    def labels(self, place: int) -> Path | None:
        """The file with the labels of a frame: that of its points."""
        return self._scan(place)

    def _scan(self, place: int) -> Path:
        return self._folder / f"{self.frames[place]}.npz"


def _part(entry: Entry, key: str) -> Entry:
    part = entry.table.get(key)
    if not isinstance(part, dict):
        raise entry.fault(f"{key} is no table")
    return Entry(entry.path, f"{entry.what} {key}".strip(), part)


def _posed(frame: Entry, key: str) -> Floats:
    return _pose(_part(frame, key))


def _pose(entry: Entry) -> Floats:
    """The transform of a position and a heading, the quaternion w x y z."""
    position, heading = _part(entry, "position"), _part(entry, "heading")
    quaternion = np.array([heading.number(axis) for axis in "wxyz"])
    try:
        with np.errstate(over="ignore"):
            return pose_of_quaternion(quaternion, [position.number(axis) for axis in "xyz"])
    except ValueError as error:
        raise entry.fault(f"heading: {error}", _AGAIN) from error


def _intrinsics(entry: Entry) -> Floats:
    return camera_matrix(
        entry.positive("fx"), entry.positive("fy"), entry.number("cx"), entry.number("cy")
    )
