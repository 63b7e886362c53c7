"""Features of a scene's views on disk: one safetensors file per scene."""

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
_AGAIN = "Delete it; the features are computed again."
# Of one view's entry in the header: a name, a dtype, three sides and two offsets.
_ENTRY_BYTES = 256


@dataclass(frozen=True, slots=True)
class _Made:
    """What the features of a file were made of; those of anything else are made again."""

    version: int
    teacher: str
    space: dict[str, Any]
    images: list[list[Any]]


def features_folder(base: Path, teacher: Teacher) -> Path:
    """Where a teacher's features lie: those of two teachers never in one folder."""
    return base / teacher.name


def write_features(scene: PosedScene, teacher: Teacher, folder: Path) -> Path:
    """The file with the features of a scene's views, made now or found complete.

    A file by the same teacher, of images of the same names and sizes in bytes, is left as it is;
    a broken or another one is replaced. A new one appears complete or not at all.

    Args:
        scene: its views, in order.
        teacher: gives the features.
        folder: where the file goes, see `features_folder`; made if it is not there.

    Raises:
        InputError: an image cannot be read, or has not the size that its camera speaks of.
        OutputError: E_NO_SPACE or E_NOT_WRITABLE.
    """
    path = folder / f"{scene.name}.safetensors"
    made = _Made(
        version=1,
        teacher=teacher.name,
        space=asdict(teacher.space),
        images=[[_name(view), require_file(view.image).st_size] for view in scene.views],
    )
    if _is_complete(path, made):
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fault = f"cannot be made: {error.strerror or error}"
        raise OutputError("E_NOT_WRITABLE", folder, fault, "Choose another folder.") from error
    with atomic_write(path) as part, part.open("wb") as file:
        _write(file, scene.views, teacher, made)
    return path


def read_features(path: Path, scene: PosedScene, space: FeatureSpace) -> tuple[Features, ...]:
    """The features of a scene's views: for each (h, w, D) float16, read when they are used.

    Args:
        path: what `write_features` gave.
        scene: whose views they must be of.
        space: where they must live.

    Raises:
        InputError: E_NOT_FOUND, E_CORRUPT: cut off or no such file; E_CHANGED: the features are
            of other images.
        SetupError: E_SPACE_MISMATCH: they live in another space.
    """
    require_file(path)
    made, features = _read(path)
    FeatureSpace(**made.space).require(space, f"the teacher {made.teacher}")
    if [name for name, _ in made.images] != [_name(view) for view in scene.views]:
        fault = f"its features are not of the {len(scene.views)} images of scene {scene.name}"
        raise InputError("E_CHANGED", path, fault, _AGAIN)
    return features


def _name(view: View) -> str:
    # Cameras often number their images alike, each in its own folder.
    return "/".join(view.image.parts[-2:])


def _write(file: IO[bytes], views: Sequence[View], teacher: Teacher, made: _Made) -> None:
    """Write view by view, so that memory holds one; the header comes last, in room left for it."""
    entries: dict[str, Any] = {"__metadata__": {_KEY: json.dumps(asdict(made))}}
    room = len(json.dumps(entries)) + _ENTRY_BYTES * len(views)
    room += -room % 8
    file.seek(8 + room)
    end = 0
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
    file.write(room.to_bytes(8, "little"))
    file.write(json.dumps(entries).encode().ljust(room))


def _image(view: View) -> npt.NDArray[np.uint8]:
    image = read_image(view.image)
    height, width = image.shape[:2]
    if (width, height) != view.size:
        fault = f"is {width}×{height} pixels, its camera speaks of {view.size[0]}×{view.size[1]}"
        remedy = "Scale the intrinsics to the stored image; a turned one needs its own."
        raise InputError("E_DATASET", view.image, fault, remedy)
    return image


def _is_complete(path: Path, made: _Made) -> bool:
    try:
        require_file(path)
        return _read(path)[0] == made
    except InputError:
        return False


def _read(path: Path) -> tuple[_Made, tuple[Features, ...]]:
    try:
        whole = np.memmap(path, dtype=np.uint8, mode="r")
        start = 8 + int.from_bytes(whole[:8].tobytes(), "little")
        entries, body = json.loads(whole[8:start].tobytes()), whole[start:]
        made = _Made(**json.loads(entries.pop("__metadata__")[_KEY]))
        said = max((entry["data_offsets"][1] for entry in entries.values()), default=0)
        if said != len(body):
            raise ValueError(f"{len(body)} bytes of features instead of {said}")
        features = tuple(_mapped(body, entries[str(at)]) for at in range(len(made.images)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        fault = f"is not a whole file of features: {type(error).__name__}: {error}"
        raise InputError("E_CORRUPT", path, fault, _AGAIN) from error
    return made, features


def _mapped(body: npt.NDArray[np.uint8], entry: dict[str, Any]) -> Features:
    begin, end = entry["data_offsets"]
    h, w, dim = entry["shape"]
    features: Features = np.asarray(body[begin:end]).view("<f2").reshape(h, w, dim)
    return features
