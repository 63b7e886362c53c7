"""The tables of a COLMAP model, binary and text (https://colmap.github.io/format.html)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.errors import InputError
from clip3d_cli.formats.file_checks import require_file

# Name and number of parameters, by the number that binary files hold.
_MODELS = (
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
_KEYPOINT_BYTES = 24
_TRACK_BYTES = 8
_REMEDY = "Export it again: colmap model_converter --output_type TXT or BIN."


@dataclass(frozen=True, slots=True)
class ColmapCamera:
    """A row of ``cameras``: the name of its model, width and height, and COLMAP's parameters."""

    model: str
    size: tuple[int, int]
    params: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ColmapImage:
    """A row of ``images``: world to camera as quaternion w x y z and translation."""

    name: str
    camera_id: int
    quaternion: tuple[float, ...]
    translation: tuple[float, ...]


def read_colmap_cameras(path: Path) -> dict[int, ColmapCamera]:
    """The cameras by their ids, from ``cameras.bin`` or ``cameras.txt``.

    Raises:
        InputError: it is missing, cut off, or not of this kind.
    """
    require_file(path)
    if path.suffix == ".bin":
        return _cameras_of_bytes(_Bytes(path))
    return {
        _whole(path, row, words[0]): ColmapCamera(
            words[1],
            (_whole(path, row, words[2]), _whole(path, row, words[3])),
            _numbers(path, row, words[4:]),
        )
        for row, words in _lines(path, 5)
    }


def read_colmap_images(path: Path) -> list[ColmapImage]:
    """The registered images by name, from ``images.bin`` or ``images.txt``.

    Raises:
        InputError: it is missing, cut off, or not of this kind.
    """
    require_file(path)
    found = _images_of_bytes(_Bytes(path)) if path.suffix == ".bin" else _images_of_text(path)
    return sorted(found, key=lambda image: image.name)


def read_colmap_points(path: Path) -> PointCloud:
    """The N points of ``points3D.bin`` or ``points3D.txt`` with their colors, in COLMAP's unit.

    Raises:
        InputError: it is missing, cut off, or not of this kind.
    """
    require_file(path)
    if path.suffix == ".bin":
        rows = _points_of_bytes(_Bytes(path))
    else:
        rows = [_numbers(path, row, words[1:7]) for row, words in _lines(path, 8)]
    table = np.array(rows, dtype=np.float64).reshape(-1, 6)
    return PointCloud(
        np.ascontiguousarray(table[:, :3]),
        np.clip(np.nan_to_num(table[:, 3:]), 0, 255).astype(np.uint8),
    )


class _Bytes:
    """A binary table, read from its front to its end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._body = path.read_bytes()
        self._at = 0

    def take(self, layout: str) -> tuple[float, ...]:
        packed = struct.Struct("<" + layout)
        self._require(packed.size)
        values = packed.unpack_from(self._body, self._at)
        self._at += packed.size
        return values

    def skip(self, count: int) -> None:
        self._require(count)
        self._at += count

    def text(self) -> str:
        end = self._body.find(b"\0", self._at)
        self._require(end - self._at if end >= 0 else len(self._body))
        word = self._body[self._at : end].decode("utf-8", errors="replace")
        self._at = end + 1
        return word

    def count(self, least_bytes: int) -> int:
        """A number of rows, refused where the file has no room for them."""
        (rows,) = self.take("Q")
        self._require(int(rows) * least_bytes)
        return int(rows)

    def _require(self, count: int) -> None:
        if count > len(self._body) - self._at:
            fault = f"ends after {len(self._body):,} bytes, in the middle of a row"
            raise InputError(
                "E_TRUNCATED", self.path, fault, "The copy was cut off; fetch it again."
            )


def _cameras_of_bytes(file: _Bytes) -> dict[int, ColmapCamera]:
    cameras = {}
    for _ in range(file.count(24)):
        camera_id, model, width, height = (int(value) for value in file.take("iiQQ"))
        if not 0 <= model < len(_MODELS):
            raise _fault(file.path, f"camera {camera_id} is of the unknown model {model}")
        name, params = _MODELS[model]
        cameras[camera_id] = ColmapCamera(name, (width, height), file.take(f"{params}d"))
    return cameras


def _images_of_bytes(file: _Bytes) -> list[ColmapImage]:
    images = []
    for _ in range(file.count(73)):
        _, *pose, camera_id = file.take("i7di")
        name = file.text()
        images.append(ColmapImage(name, int(camera_id), tuple(pose[:4]), tuple(pose[4:])))
        file.skip(file.count(_KEYPOINT_BYTES) * _KEYPOINT_BYTES)
    return images


def _images_of_text(path: Path) -> list[ColmapImage]:
    lines = _text(path).splitlines()
    images, row = [], 0
    while row < len(lines):
        line = lines[row].strip()
        row += 1
        if not line or line.startswith("#"):
            continue
        words = line.split(maxsplit=9)
        if len(words) < 10:
            raise _fault(path, f"line {row} is no image: it has {len(words)} of 10 words")
        pose = _numbers(path, row, words[1:8])
        images.append(ColmapImage(words[9], _whole(path, row, words[8]), pose[:4], pose[4:]))
        row += 1  # the next line holds the image's keypoints, and may be empty
    return images


def _points_of_bytes(file: _Bytes) -> list[tuple[float, ...]]:
    rows = []
    for _ in range(file.count(51)):
        rows.append(file.take("Q3d3Bd")[1:7])
        file.skip(file.count(_TRACK_BYTES) * _TRACK_BYTES)
    return rows


def _lines(path: Path, least: int) -> list[tuple[int, list[str]]]:
    """The numbered lines of a text table, in words, without comments."""
    rows = []
    for row, line in enumerate(_text(path).splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) < least:
            raise _fault(path, f"line {row} has {len(words)} words, at least {least} are needed")
        rows.append((row, words))
    return rows


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise _fault(path, f"is not text: {error}") from error


def _numbers(path: Path, row: int, words: list[str]) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in words)
    except ValueError as error:
        raise _fault(path, f"line {row} does not hold numbers where it should") from error


def _whole(path: Path, row: int, word: str) -> int:
    if not word.isdigit():
        raise _fault(path, f"line {row} has {word[:20]!r} where a whole number should be")
    return int(word)


def _fault(path: Path, fault: str) -> InputError:
    return InputError("E_DATASET", path, fault, _REMEDY)
