"""The folder of one scene: its cloud, and the description of its cameras."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from clip3d_cli.datasets.folder import cameras_json
from clip3d_cli.datasets.folder.cameras_json import CamerasJson, read_cameras_json
from clip3d_cli.datasets.folder.colmap import colmap_model, colmap_points, read_colmap
from clip3d_cli.datasets.folder.description import Description
from clip3d_cli.datasets.folder.nerfstudio import read_transforms
from clip3d_cli.datasets.folder.placement import Placement, require_z_up
from clip3d_cli.errors import InputError
from clip3d_cli.formats.cloud_file import suffixes

LABELS = "labels.npy"
_CAMERAS = "cameras.json"
_NERFSTUDIO = "transforms.json"


def is_described(folder: Path) -> bool:
    """Return whether a description of cameras lies in a folder."""
    has_json = any((folder / name).is_file() for name in (_CAMERAS, _NERFSTUDIO))
    return has_json or colmap_model(folder) is not None


def describe_scene(folder: Path) -> Description:
    """Read the cameras of a scene, in our world: metres, z up.

    The first of ``cameras.json``, ``transforms.json`` and a COLMAP model that lists cameras is
    used. A ``cameras.json`` without cameras adds its other keys to one of the others.

    Args:
        folder: folder of the scene.

    Raises:
        InputError: a description is broken, a named file is missing, or the cameras agree on
            another upward direction than z.
    """
    path = folder / _CAMERAS
    own = read_cameras_json(path) if path.is_file() else CamerasJson()
    described, source = _describe_cameras(folder, own)
    if path.is_file() and source != path:
        extra = cameras_json.description_of(path, own)
        described = dataclasses.replace(
            described,
            sweeps=extra.sweeps,
            world_from_cloud=extra.world_from_cloud,
            time_s=extra.time_s,
        )
    placement = cameras_json.placement_of(own)
    placed = placement.placed(described)
    if placement.up is None:
        require_z_up(source, placed.views)
    return placed


def read_placement(folder: Path) -> Placement:
    """Return the scale and rotation from the described world of a scene to ours.

    Args:
        folder: folder of the scene.

    Raises:
        InputError: ``cameras.json`` is broken.
    """
    path = folder / _CAMERAS
    return cameras_json.placement_of(read_cameras_json(path)) if path.is_file() else Placement()


def clouds_in(folder: Path) -> list[Path]:
    """Return the point cloud files of a folder by their suffixes, sorted."""
    known = suffixes()
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in known and path.name != LABELS and path.is_file()
    )


def named_cloud(folder: Path) -> Path | None:
    """Return the file called ``cloud.*`` in a folder, or None.

    Raises:
        InputError: E_DATASET: there are several.
    """
    return _only(folder, [path for path in clouds_in(folder) if path.stem == "cloud"])


def only_cloud(folder: Path) -> Path | None:
    """Return the only point cloud file in a folder, else COLMAP's sparse points, or None.

    Raises:
        InputError: E_DATASET: there are several point cloud files.
    """
    cloud = _only(folder, clouds_in(folder))
    model = colmap_model(folder)
    return colmap_points(model) if cloud is None and model is not None else cloud


def _describe_cameras(folder: Path, own: CamerasJson) -> tuple[Description, Path]:
    """Return the cameras in the world of their description, and its file or folder."""
    if own.cameras is not None:
        return cameras_json.description_of(folder / _CAMERAS, own), folder / _CAMERAS
    transforms = folder / _NERFSTUDIO
    if transforms.is_file():
        return read_transforms(transforms), transforms
    model = colmap_model(folder)
    if model is not None:
        return read_colmap(model, folder / "images"), model
    return Description(()), folder


def _only(folder: Path, clouds: list[Path]) -> Path | None:
    if len(clouds) > 1:
        raise InputError(
            "E_DATASET",
            folder,
            f"contains {len(clouds)} clouds: {', '.join(path.name for path in clouds[:4])}",
            "Name the one to use cloud.*, and move others into a folder such as sweeps/.",
        )
    return clouds[0] if clouds else None
