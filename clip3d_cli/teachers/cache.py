"""Cache of a teacher's features: one safetensors file for the views of a scene."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.embeddings import FeatureSpace
from clip3d_cli.core.scenes import PosedScene, View
from clip3d_cli.datasets.images import read_image
from clip3d_cli.errors import InputError, OutputError
from clip3d_cli.formats.atomic import atomic_write
from clip3d_cli.formats.file_checks import require_file
from clip3d_cli.teachers.teacher import Teacher

Features = npt.NDArray[np.float16]

_KEY = "clip3d"
_REMEDY = "Delete the file; the features are computed again."
# Upper limit for the entry of a view in the header: name, dtype, three sides and two offsets.
_ENTRY_BYTES = 256


@dataclass(frozen=True, slots=True)
class _Origin:
    """What the features of a file were computed from; if any of it changes, they are outdated.

    Attributes:
        version: version of the file format.
        teacher: name of the teacher.
        space: name and number of dimensions of the teacher's space.
        images: name and size in bytes of every image.
    """

    version: int
    teacher: str
    space: dict[str, Any]
    images: list[list[Any]]


def features_folder(base: Path, teacher: Teacher) -> Path:
    """Return the folder of a teacher's features, which no other teacher shares."""
    return base / teacher.name


def write_features(scene: PosedScene, teacher: Teacher, folder: Path) -> Path:
    """Compute the features of a scene's views, unless they are in the cache, and return the file.

    A file of the same teacher, and of images with the same names and sizes in bytes, is kept. Any
    other file of the scene is replaced. A new file appears complete or not at all.

    Args:
        scene: scene with the views.
        teacher: computes the features.
        folder: folder of the file, see `features_folder`; it is created if missing.

    Raises:
        InputError: an image cannot be read, or does not have the size that its camera has.
        OutputError: E_NO_SPACE or E_NOT_WRITABLE.
    """
    path = folder / f"{scene.name}.safetensors"
    origin = _Origin(
        version=1,
        teacher=teacher.name,
        space=asdict(teacher.space),
        images=[[_name(view), require_file(view.image).st_size] for view in scene.views],
    )
    if _is_complete(path, origin):
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fault = f"cannot be made: {error.strerror or error}"
        raise OutputError("E_NOT_WRITABLE", folder, fault, "Choose another folder.") from error
    with atomic_write(path) as part, part.open("wb") as file:
        _write(file, scene.views, teacher, origin)
    return path


def read_features(path: Path, scene: PosedScene, space: FeatureSpace) -> tuple[Features, ...]:
    """Return the features of a scene's views.

    Args:
        path: file that `write_features` returned.
        scene: scene with the views.
        space: space that the features must have.

    Returns:
        (h, w, D) float16 for each view. They are mapped to memory, and read when they are used.

    Raises:
        InputError: E_NOT_FOUND: the file does not exist; E_EMPTY_FILE; E_CORRUPT: it is truncated,
            or is another file; E_CHANGED: its features are those of other images.
        SetupError: E_SPACE_MISMATCH: the features have another space.
    """
    require_file(path)
    origin, features = _read(path)
    FeatureSpace(**origin.space).require(space, f"the teacher {origin.teacher}")
    if [name for name, _ in origin.images] != [_name(view) for view in scene.views]:
        fault = f"its features are not those of the {len(scene.views)} images of {scene.name}"
        raise InputError("E_CHANGED", path, fault, _REMEDY)
    return features


def _name(view: View) -> str:
    # The images of different cameras often have equal names, each in a folder of its own.
    return "/".join(view.image.parts[-2:])


def _write(file: IO[bytes], views: Sequence[View], teacher: Teacher, origin: _Origin) -> None:
    """Write the features view by view, so that only one view is in memory.

    A safetensors file is the length of the header in 8 bytes, the header as JSON, and the arrays.
    The offsets in the header depend on the arrays, so it is written last, into space left for it.
    """
    entries: dict[str, Any] = {"__metadata__": {_KEY: json.dumps(asdict(origin))}}
    length = len(json.dumps(entries)) + _ENTRY_BYTES * len(views)
    length += -length % 8  # aligns the arrays
    file.seek(8 + length)
    end = 0  # where the last array ends, counted from the end of the header
    for number, view in enumerate(views):
        features = teacher(_image(view)).astype("<f2")
        begin, end = end, end + features.nbytes
        entries[str(number)] = {
            "dtype": "F16",
            "shape": features.shape,
            "data_offsets": (begin, end),
        }
        file.write(features.tobytes())
    file.seek(0)
    file.write(length.to_bytes(8, "little"))
    file.write(json.dumps(entries).encode().ljust(length))  # JSON may end in spaces


def _image(view: View) -> npt.NDArray[np.uint8]:
    """Return the (H, W, 3) image of a view, and check its size."""
    image = read_image(view.image)
    height, width = image.shape[:2]
    if (width, height) != view.size:
        fault = f"has {width}×{height} pixels, but its camera has {view.size[0]}×{view.size[1]}"
        remedy = "Scale the intrinsics to the stored image; a rotated image needs other intrinsics."
        raise InputError("E_DATASET", view.image, fault, remedy)
    return image


def _is_complete(path: Path, origin: _Origin) -> bool:
    """Return whether a file has all features of this origin."""
    try:
        require_file(path)
        return _read(path)[0] == origin
    except InputError:
        return False


def _read(path: Path) -> tuple[_Origin, tuple[Features, ...]]:
    """Return the origin and the features of a file.

    Raises:
        InputError: E_CORRUPT: it is not a complete file of features.
    """
    try:
        content = np.memmap(path, dtype=np.uint8, mode="r")
        start = 8 + int.from_bytes(content[:8].tobytes(), "little")
        entries, arrays = json.loads(content[8:start].tobytes()), content[start:]
        origin = _Origin(**json.loads(entries.pop("__metadata__")[_KEY]))
        expected = max((entry["data_offsets"][1] for entry in entries.values()), default=0)
        if expected != len(arrays):
            raise ValueError(f"{len(arrays)} bytes of features instead of {expected}")
        numbers = range(len(origin.images))
        features = tuple(_mapped(arrays, entries[str(number)]) for number in numbers)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        fault = f"is not a complete file of features: {type(error).__name__}: {error}"
        raise InputError("E_CORRUPT", path, fault, _REMEDY) from error
    return origin, features


def _mapped(arrays: npt.NDArray[np.uint8], entry: dict[str, Any]) -> Features:
    """Return the (h, w, D) array of an entry of the header as a view of the file."""
    begin, end = entry["data_offsets"]
    h, w, dim = entry["shape"]
    features: Features = np.asarray(arrays[begin:end]).view("<f2").reshape(h, w, dim)
    return features
