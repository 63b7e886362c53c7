"""Index of nuScenes' tables: what key frames, their sweeps and their cameras need."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clip3d_cli.datasets.nuscenes.tables import table_error, table_rows
from clip3d_cli.errors import InputError

LIDAR = "LIDAR_TOP"
# Clockwise from the front, seen from above.
CAMERAS = (
    "CAM_FRONT",
    "CAM_FRONT_RIGHT",
    "CAM_BACK_RIGHT",
    "CAM_BACK",
    "CAM_BACK_LEFT",
    "CAM_FRONT_LEFT",
)
TABLES = ("scene", "sample", "sensor", "calibrated_sensor", "sample_data", "ego_pose")

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class FrameIndex:
    """Key frames of one version and the files that they need.

    There are A scenes, S samples (key frames), F files and C calibrated sensors. Poses are rows of
    a quaternion and a translation in metres: w, x, y, z, tx, ty, tz.

    Attributes:
        scene_names: (A,) bytes, in the order of ``scene.json``.
        scene_of_sample: (S,) int32; samples are sorted by scene, then by time.
        sample_token: (S,) bytes.
        lidar_token: (S,) bytes, token of the lidar's file in ``sample_data``.
        files_of_sample: (S, 7) int32 rows of files: the lidar's, then those of `CAMERAS`;
            −1 = none.
        label_file: (S,) bytes, label file below the root; empty = none.
        file_name: (F,) bytes, path below the root.
        previous: (F,) int32, row of the lidar's sweep before this one; −1 = none.
        sensor: (F,) int32, row of the sensor.
        time_us: (F,) int64, microseconds.
        size: (F, 2) int32, width and height of an image, px; 0 for a scan.
        ego_pose: (F, 7) float64, world from ego vehicle at the time of the file.
        sensor_pose: (C, 7) float64, ego vehicle from sensor.
        intrinsics: (C, 3, 3) float64, px; zero for a lidar.
    """

    scene_names: npt.NDArray[np.bytes_]
    scene_of_sample: npt.NDArray[np.int32]
    sample_token: npt.NDArray[np.bytes_]
    lidar_token: npt.NDArray[np.bytes_]
    files_of_sample: npt.NDArray[np.int32]
    label_file: npt.NDArray[np.bytes_]
    file_name: npt.NDArray[np.bytes_]
    previous: npt.NDArray[np.int32]
    sensor: npt.NDArray[np.int32]
    time_us: npt.NDArray[np.int64]
    size: npt.NDArray[np.int32]
    ego_pose: npt.NDArray[np.float64]
    sensor_pose: npt.NDArray[np.float64]
    intrinsics: npt.NDArray[np.float64]

    def arrays(self) -> dict[str, Any]:
        """Return the arrays by name."""
        return {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(self)}


def scan_tables(folder: Path) -> FrameIndex:
    """Build the index from the tables of a version.

    Args:
        folder: folder of the tables.

    Raises:
        InputError: a table is missing or truncated, or refers to a row that does not exist.
    """
    samples = _samples(folder)
    sensors = _sensors(folder / "calibrated_sensor.json", _channels(folder))
    files = _files(folder / "sample_data.json", samples, sensors)
    token_of_scan = {row: token for token, row in files.lidar_row.items()}
    return FrameIndex(
        scene_names=_bytes(samples.scene_names),
        scene_of_sample=np.array(samples.scene_of_sample, dtype=np.int32),
        sample_token=_bytes(list(samples.row_of_token)),
        lidar_token=_bytes([token_of_scan[row] for row in files.of_sample[:, 0].tolist()]),
        files_of_sample=files.of_sample,
        label_file=_bytes(_label_files(folder / "lidarseg.json", files, len(samples.row_of_token))),
        file_name=_bytes(files.name),
        previous=_previous(folder / "sample_data.json", files),
        sensor=np.array(files.sensor, dtype=np.int32),
        time_us=np.array(files.time_us, dtype=np.int64),
        size=np.array(files.size, dtype=np.int32).reshape(-1, 2),
        ego_pose=_ego_poses(folder / "ego_pose.json", files.ego_token),
        sensor_pose=np.array(sensors.pose, dtype=np.float64).reshape(-1, 7),
        intrinsics=np.array(sensors.intrinsics, dtype=np.float64).reshape(-1, 3, 3),
    )


def scene_names(folder: Path) -> list[str]:
    """Return the names of the scenes of a version, in the order of its table.

    Args:
        folder: folder of the tables.

    Raises:
        InputError: the table is missing or broken.
    """
    path = folder / "scene.json"
    return [str(_value(path, row, "name")) for row in table_rows(path)]


@dataclass(slots=True)
class _Samples:
    scene_names: list[str]
    scene_of_sample: list[int]
    row_of_token: dict[str, int]


@dataclass(slots=True)
class _Sensors:
    row_of_token: dict[str, int] = field(default_factory=dict)
    # Column of `FrameIndex.files_of_sample`, or None for a sensor that is not used.
    column: list[int | None] = field(default_factory=list)
    pose: list[list[float]] = field(default_factory=list)
    intrinsics: list[Any] = field(default_factory=list)


@dataclass(slots=True)
class _Files:
    of_sample: npt.NDArray[np.int32]
    name: list[str] = field(default_factory=list)
    ego_token: list[str] = field(default_factory=list)
    sensor: list[int] = field(default_factory=list)
    time_us: list[int] = field(default_factory=list)
    size: list[tuple[int, int]] = field(default_factory=list)
    previous: dict[int, str] = field(default_factory=dict)
    lidar_row: dict[str, int] = field(default_factory=dict)

    def add(self, row: Row, sensor: int) -> int:
        """Append a row of ``sample_data`` and return its position."""
        self.name.append(row["filename"])
        self.ego_token.append(row["ego_pose_token"])
        self.sensor.append(sensor)
        self.time_us.append(int(row["timestamp"]))
        self.size.append((int(row["width"] or 0), int(row["height"] or 0)))
        return len(self.name) - 1


def _samples(folder: Path) -> _Samples:
    path = folder / "scene.json"
    names: list[str] = []
    scene_of_token: dict[str, int] = {}
    for row in table_rows(path):
        scene_of_token[_value(path, row, "token")] = len(names)
        names.append(str(_value(path, row, "name")))
    path = folder / "sample.json"
    samples = []
    for row in table_rows(path):
        scene = scene_of_token.get(_value(path, row, "scene_token"))
        if scene is None:
            raise _missing_row(path, row, "scene_token", "scene.json")
        samples.append((scene, _value(path, row, "timestamp"), _value(path, row, "token")))
    samples.sort()
    row_of_token = {token: position for position, (_, _, token) in enumerate(samples)}
    return _Samples(names, [scene for scene, _, _ in samples], row_of_token)


def _channels(folder: Path) -> dict[str, str]:
    path = folder / "sensor.json"
    return {_value(path, row, "token"): _value(path, row, "channel") for row in table_rows(path)}


def _sensors(path: Path, channel_of_token: Mapping[str, str]) -> _Sensors:
    columns = {channel: column for column, channel in enumerate((LIDAR, *CAMERAS))}
    sensors = _Sensors()
    for row in table_rows(path):
        channel = channel_of_token.get(_value(path, row, "sensor_token"))
        if channel is None:
            raise _missing_row(path, row, "sensor_token", "sensor.json")
        sensors.row_of_token[_value(path, row, "token")] = len(sensors.pose)
        sensors.column.append(columns.get(channel))
        sensors.pose.append(_pose(path, row))
        intrinsics = _value(path, row, "camera_intrinsic") or np.zeros((3, 3)).tolist()
        if np.shape(intrinsics) != (3, 3):
            raise table_error(path, f"row {row['token']!r} has no 3x3 'camera_intrinsic'")
        sensors.intrinsics.append(intrinsics)
    return sensors


def _files(path: Path, samples: _Samples, sensors: _Sensors) -> _Files:
    """Return all scans of the lidar and the images of key frames: a fifth of the table."""
    files = _Files(np.full((len(samples.row_of_token), 1 + len(CAMERAS)), -1, dtype=np.int32))
    for row in table_rows(path):
        sensor = sensors.row_of_token.get(_value(path, row, "calibrated_sensor_token"))
        if sensor is None:
            raise _missing_row(path, row, "calibrated_sensor_token", "calibrated_sensor.json")
        column = sensors.column[sensor]
        if column is None or (column > 0 and not _value(path, row, "is_key_frame")):
            continue
        try:
            _add_file(path, files, samples, row, (sensor, column))
        except KeyError as error:
            raise table_error(path, f"row {row.get('token')!r} has no {error}") from error
        except (TypeError, ValueError) as error:
            raise table_error(path, f"row {row.get('token')!r} is broken: {error}") from error
    without_scan = np.flatnonzero(files.of_sample[:, 0] < 0)
    if len(without_scan):
        token = list(samples.row_of_token)[without_scan[0]]
        raise table_error(path, f"has no {LIDAR} key frame of sample {token!r}")
    return files


def _add_file(
    path: Path, files: _Files, samples: _Samples, row: Row, sensor_and_column: tuple[int, int]
) -> None:
    sensor, column = sensor_and_column
    position = files.add(row, sensor)
    if column == 0:
        files.lidar_row[row["token"]] = position
        files.previous[position] = row["prev"]
    if row["is_key_frame"]:
        sample = samples.row_of_token.get(row["sample_token"])
        if sample is None:
            raise _missing_row(path, row, "sample_token", "sample.json")
        files.of_sample[sample, column] = position


def _previous(path: Path, files: _Files) -> npt.NDArray[np.int32]:
    """Return the (F,) row of the lidar's sweep before each file, −1 = none."""
    previous = np.full(len(files.name), -1, dtype=np.int32)
    for position, token in files.previous.items():
        if token and token not in files.lidar_row:
            raise table_error(
                path, f"'prev' of {files.name[position]} leads nowhere: no row {token!r}"
            )
        previous[position] = files.lidar_row[token] if token else -1
    return previous


def _ego_poses(path: Path, tokens: list[str]) -> npt.NDArray[np.float64]:
    """Return the (F, 7) poses of F tokens, of which only those rows are kept in memory."""
    row_of_token = dict.fromkeys(tokens, -1)
    poses = np.empty((len(row_of_token), 7))
    found = 0
    for row in table_rows(path):
        token = _value(path, row, "token")
        if row_of_token.get(token) == -1:
            row_of_token[token] = found
            poses[found] = _pose(path, row)
            found += 1
    if found < len(row_of_token):
        missing = next(token for token, position in row_of_token.items() if position < 0)
        raise table_error(path, f"has no row {missing!r}, to which sample_data.json refers")
    return poses[[row_of_token[token] for token in tokens]]


def _label_files(path: Path, files: _Files, samples: int) -> list[str]:
    """Return the label file of every sample, empty where there is none."""
    label_files = [""] * samples
    if not path.is_file():
        return label_files
    sample_of_file = {
        int(position): sample for sample, position in enumerate(files.of_sample[:, 0])
    }
    for row in table_rows(path):
        position = files.lidar_row.get(_value(path, row, "sample_data_token"))
        if position is None or position not in sample_of_file:
            raise _missing_row(path, row, "sample_data_token", "sample_data.json")
        label_files[sample_of_file[position]] = _value(path, row, "filename")
    return label_files


def _pose(path: Path, row: Row) -> list[float]:
    """Return quaternion (w, x, y, z) and translation of a row."""
    rotation, translation = _value(path, row, "rotation"), _value(path, row, "translation")
    are_lists = isinstance(rotation, list) and isinstance(translation, list)
    numbers = [*rotation, *translation] if are_lists else []
    finite = all(isinstance(number, (int, float)) and isfinite(number) for number in numbers)
    if len(numbers) != 7 or not finite or not any(numbers[:4]):
        raise table_error(path, f"row {row.get('token')!r} is not a pose of 4 and 3 numbers")
    return numbers


def _value(path: Path, row: Row, key: str) -> Any:
    if key not in row:
        raise table_error(path, f"row {row.get('token')!r} has no {key!r}")
    return row[key]


def _missing_row(path: Path, row: Row, key: str, table: str) -> InputError:
    return table_error(
        path, f"{key!r} of row {row.get('token')!r} leads nowhere: no {row[key]!r} in {table}"
    )


def _bytes(texts: list[str]) -> npt.NDArray[np.bytes_]:
    return np.array([text.encode() for text in texts], dtype=np.bytes_)
