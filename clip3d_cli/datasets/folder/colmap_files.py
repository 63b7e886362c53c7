"""Tables of a COLMAP model, binary and text (https://colmap.github.io/format.html)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.errors import InputError
from clip3d_cli.formats.file_checks import require_file

# Name and number of parameters of the camera models, by the number in binary files.
_CAMERA_MODELS = (
    ("SIMPLE_PINHOLE", 3),
    ("PINHOLE", 4),
    ("SIMPLE_RADIAL", 4),
    ("RADIAL", 5),
    ("OPENCV", 8),
    ("OPENCV_FISHEYE", 8),
    ("FULL_OPENCV", 12),
    ("FOV", 5),
    ("SIMPLE_RADIAL_FISHEYE", 4),
    ("RADIAL_FISHEYE", 5),
    ("THIN_PRISM_FISHEYE", 12),
)
# Smallest number of bytes of a row of each binary table.
_CAMERA_BYTES = 24
_IMAGE_BYTES = 73
_POINT_BYTES = 51
# A keypoint: x, y (float64) and the id of its 3D point. An entry of a track: two int32.
_KEYPOINT_BYTES = 24
_TRACK_BYTES = 8
_MOST_DIGITS = 18
_REMEDY = "Export it again: colmap model_converter --output_type TXT or BIN."


@dataclass(frozen=True, slots=True)
class ColmapCamera:
    """Row of ``cameras``.

    Attributes:
        model: name of the camera model.
        size: width and height of its images, px.
        params: parameters of the model in COLMAP's order.
    """

    model: str
    size: tuple[int, int]
    params: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ColmapImage:
    """Row of ``images``.

    Attributes:
        name: path of the image below the image folder.
        camera_id: id of its camera.
        quaternion: rotation from world to camera as w, x, y, z.
        translation: translation from world to camera, in the model's unit.
    """

    name: str
    camera_id: int
    quaternion: tuple[float, ...]
    translation: tuple[float, ...]


def read_colmap_cameras(path: Path) -> dict[int, ColmapCamera]:
    """Read the cameras of a model by their ids.

    Args:
        path: ``cameras.bin`` or ``cameras.txt``.

    Raises:
        InputError: the file is missing, truncated, or another table.
    """
    require_file(path)
    if path.suffix == ".bin":
        return _cameras_of_bytes(_BinaryTable(path))
    return {
        _whole_number(path, row, words[0]): ColmapCamera(
            words[1],
            (_whole_number(path, row, words[2]), _whole_number(path, row, words[3])),
            _numbers(path, row, words[4:]),
        )
        for row, words in _rows_of_words(path, 5)
    }


def read_colmap_images(path: Path) -> list[ColmapImage]:
    """Read the registered images of a model, sorted by name.

    Args:
        path: ``images.bin`` or ``images.txt``.

    Raises:
        InputError: the file is missing, truncated, or another table.
    """
    require_file(path)
    is_binary = path.suffix == ".bin"
    images = _images_of_bytes(_BinaryTable(path)) if is_binary else _images_of_text(path)
    return sorted(images, key=lambda image: image.name)


def read_colmap_points(path: Path) -> PointCloud:
    """Read the N sparse points of a model with their colors, in the model's unit.

    Args:
        path: ``points3D.bin`` or ``points3D.txt``.

    Raises:
        InputError: the file is missing, truncated, or another table.
    """
    require_file(path)
    if path.suffix == ".bin":
        rows = _points_of_bytes(_BinaryTable(path))
    else:
        rows = [_numbers(path, row, words[1:7]) for row, words in _rows_of_words(path, 8)]
    # Columns: x, y, z, red, green, blue.
    table = np.array(rows, dtype=np.float64).reshape(-1, 6)
    return PointCloud(
        np.ascontiguousarray(table[:, :3]),
        np.clip(np.nan_to_num(table[:, 3:]), 0, 255).astype(np.uint8),
    )


class _BinaryTable:
    """Little-endian table that is read from its first byte to its last.

    Args:
        path: file of the table.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._body = path.read_bytes()
        self._offset = 0

    def take(self, layout: str) -> tuple[float, ...]:
        """Read values of a `struct` layout."""
        packed = struct.Struct("<" + layout)
        self._require(packed.size)
        values = packed.unpack_from(self._body, self._offset)
        self._offset += packed.size
        return values

    def skip(self, count: int) -> None:
        """Skip bytes."""
        self._require(count)
        self._offset += count

    def text(self) -> str:
        """Read a text that ends with a zero byte."""
        end = self._body.find(b"\0", self._offset)
        self._require(end - self._offset if end >= 0 else len(self._body))
        text = self._body[self._offset : end].decode("utf-8", errors="replace")
        self._offset = end + 1
        return text

    def count(self, least_bytes: int) -> int:
        """Read a number of rows; it is rejected if the file has no space for so many.

        Args:
            least_bytes: smallest size of a row, bytes.
        """
        (rows,) = self.take("Q")
        self._require(int(rows) * least_bytes)
        return int(rows)

    def _require(self, count: int) -> None:
        if count > len(self._body) - self._offset:
            fault = f"ends after {len(self._body):,} bytes, in the middle of a row"
            raise InputError(
                "E_TRUNCATED", self.path, fault, "The copy is truncated; fetch it again."
            )


def _cameras_of_bytes(table: _BinaryTable) -> dict[int, ColmapCamera]:
    cameras = {}
    for _ in range(table.count(_CAMERA_BYTES)):
        camera_id, model, width, height = (int(value) for value in table.take("iiQQ"))
        if not 0 <= model < len(_CAMERA_MODELS):
            raise _error(table.path, f"camera {camera_id} has the unknown model {model}")
        name, params = _CAMERA_MODELS[model]
        cameras[camera_id] = ColmapCamera(name, (width, height), table.take(f"{params}d"))
    return cameras


def _images_of_bytes(table: _BinaryTable) -> list[ColmapImage]:
    images = []
    for _ in range(table.count(_IMAGE_BYTES)):
        # Image id, quaternion (4), translation (3), camera id.
        _, *pose, camera_id = table.take("i7di")
        name = table.text()
        images.append(ColmapImage(name, int(camera_id), tuple(pose[:4]), tuple(pose[4:])))
        table.skip(table.count(_KEYPOINT_BYTES) * _KEYPOINT_BYTES)
    return images


def _images_of_text(path: Path) -> list[ColmapImage]:
    lines = _text(path).splitlines()
    images, row = [], 0
    while row < len(lines):
        line = lines[row].strip()
        row += 1  # now the number of the line, counted from 1
        if not line or line.startswith("#"):
            continue
        words = line.split(maxsplit=9)
        if len(words) < 10:
            raise _error(path, f"line {row} is not an image: it has {len(words)} of 10 words")
        pose = _numbers(path, row, words[1:8])
        camera_id = _whole_number(path, row, words[8])
        images.append(ColmapImage(words[9], camera_id, pose[:4], pose[4:]))
        row += 1  # the next line contains the keypoints of the image, and may be empty
    return images


def _points_of_bytes(table: _BinaryTable) -> list[tuple[float, ...]]:
    """Return x, y, z, red, green, blue of every point."""
    rows = []
    for _ in range(table.count(_POINT_BYTES)):
        # Point id, xyz (3), rgb (3), error; then the track.
        rows.append(table.take("Q3d3Bd")[1:7])
        table.skip(table.count(_TRACK_BYTES) * _TRACK_BYTES)
    return rows


def _rows_of_words(path: Path, least: int) -> list[tuple[int, list[str]]]:
    """Return number and words of every line of a text table that is not a comment.

    Args:
        path: file of the table.
        least: smallest number of words of a row.
    """
    rows = []
    for row, line in enumerate(_text(path).splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) < least:
            raise _error(
                path, f"line {row} has {len(words)} words, but at least {least} are needed"
            )
        rows.append((row, words))
    return rows


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise _error(path, f"is not text: {error}") from error


def _numbers(path: Path, row: int, words: list[str]) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in words)
    except ValueError as error:
        raise _error(path, f"line {row} has other text where numbers are expected") from error


def _whole_number(path: Path, row: int, word: str) -> int:
    if not word.isdecimal() or len(word) > _MOST_DIGITS:
        raise _error(path, f"line {row} has {word[:20]!r} where a whole number is expected")
    return int(word)


def _error(path: Path, fault: str) -> InputError:
    return InputError("E_DATASET", path, fault, _REMEDY)
