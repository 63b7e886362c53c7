"""What lies in the folder of one scene: its cloud, and the description of its cameras."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from clip3d_cli.datasets.folder.camera_description import Description, Placement
from clip3d_cli.datasets.folder.cameras_json import describes_cameras, read_cameras, read_placement
from clip3d_cli.datasets.folder.colmap import colmap_model, colmap_points, read_colmap
from clip3d_cli.datasets.folder.nerfstudio import read_transforms
from clip3d_cli.datasets.up_axis import require_z_up
from clip3d_cli.errors import InputError
from clip3d_cli.formats.cloud_file import suffixes

LABELS = "labels.npy"
_OURS = "cameras.json"
_NERFSTUDIO = "transforms.json"


def is_described(folder: Path) -> bool:
    """Whether a description of cameras lies in a folder."""
    named = any((folder / name).is_file() for name in (_OURS, _NERFSTUDIO))
    return named or colmap_model(folder) is not None


def described_scene(folder: Path) -> Description:
    """The cameras of a scene in our world, as the first description says that lists any.

    They are asked in this order: ``cameras.json``, ``transforms.json``, a COLMAP model. A
    ``cameras.json`` without cameras says where the world of another description lies.

    Raises:
        InputError: a description is broken, names a missing file, or its cameras agree that up
            is not z.
    """
    ours = folder / _OURS
    described, place = _described(folder)
    if ours.is_file() and place != ours:
        own = read_cameras(ours)
        described = dataclasses.replace(
            described,
            sweeps=own.sweeps,
            world_from_cloud=own.world_from_cloud,
            time_s=own.time_s,
        )
    placement = placement_of(folder)
    placed = placement.placed(described)
    if placement.up is None:
        require_z_up(place, placed.views)
    return placed


def placement_of(folder: Path) -> Placement:
    """How the described world of a scene becomes ours; unchanged where nothing says so.

    Raises:
        InputError: ``cameras.json`` is broken.
    """
    path = folder / _OURS
    return read_placement(path) if path.is_file() else Placement()


def clouds_in(folder: Path) -> list[Path]:
    """The point cloud files of a folder, by their suffixes, sorted."""
    known = suffixes()
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in known and path.name != LABELS and path.is_file()
    )


def named_cloud(folder: Path) -> Path | None:
    """The file called ``cloud.*``, or None.

    Raises:
        InputError: E_DATASET: there are several.
    """
    return _one(folder, [path for path in clouds_in(folder) if path.stem == "cloud"])


def only_cloud(folder: Path) -> Path | None:
    """The one point cloud file, or COLMAP's sparse points, or None.

    Raises:
        InputError: E_DATASET: there are several.
    """
    found = _one(folder, clouds_in(folder))
    model = colmap_model(folder)
    return colmap_points(model) if found is None and model is not None else found


def _described(folder: Path) -> tuple[Description, Path]:
    """The cameras in the world of their description, and its file or folder."""
    ours, theirs = folder / _OURS, folder / _NERFSTUDIO
    if ours.is_file() and describes_cameras(ours):
        return read_cameras(ours), ours
    if theirs.is_file():
        return read_transforms(theirs), theirs
    model = colmap_model(folder)
    if model is not None:
        return read_colmap(model, folder / "images"), model
    return Description(()), folder


def _one(folder: Path, clouds: list[Path]) -> Path | None:
    if len(clouds) > 1:
        raise InputError(
            "E_DATASET",
            folder,
            f"holds {len(clouds)} clouds: {', '.join(path.name for path in clouds[:4])}",
            "Call the one to use cloud.*, and put others into a folder such as sweeps/.",
        )
    return clouds[0] if clouds else None
