"""Cameras and scans of a scene as a description states them, whichever tool wrote it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
from msgspec import Meta

from clip3d_cli.core.scenes import Floats, Lens, Sweep, View
from clip3d_cli.datasets.calibration import with_exact_rotation
from clip3d_cli.datasets.images import image_size
from clip3d_cli.datasets.json_files import Location

_Row = Annotated[list[float], Meta(min_length=4, max_length=4)]
# A (4, 4) or (3, 4) transform, row by row.
PoseRows = Annotated[list[_Row], Meta(min_length=3, max_length=4)]

MOST_COEFFICIENTS: dict[Lens, int] = {"pinhole": 8, "fisheye": 4}
_RIGID = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Description:
    """Cameras and scans of a scene, in the unit and the axes of the tool that describes them.

    Attributes:
        views: images and their cameras.
        sweeps: scans besides the cloud of the scene.
        cloud: file that the description names as the cloud, or None.
        world_from_cloud: (4, 4) rigid transform of the points of the cloud.
        time_s: time of the cloud, seconds, or None.
    """

    views: tuple[View, ...]
    sweeps: tuple[Sweep, ...] = ()
    cloud: Path | None = None
    world_from_cloud: Floats = field(default_factory=lambda: np.eye(4))
    time_s: float | None = None


def checked_size(
    location: Location, image: Path, described: tuple[int, int] | None
) -> tuple[int, int]:
    """Return width and height of an image, px.

    Args:
        location: place of the image's description.
        image: file of the image.
        described: width and height by the description, or None.

    Raises:
        InputError: E_DATASET: the image has another size than described; or it is missing or
            broken.
    """
    size = image_size(image)
    if described is not None and described != size:
        raise location.error(
            f"{image.name} has {size[0]} × {size[1]} pixels, but is described with "
            f"{described[0]} × {described[1]}",
            "Intrinsics must be those of the image as stored: resize it back, or scale them.",
        )
    return size


def rigid_pose(location: Location, key: str, rows: list[list[float]]) -> Floats:
    """Return the (4, 4) rigid transform of 3 or 4 rows of numbers.

    Args:
        location: place of the description.
        key: key of the transform, for messages.
        rows: finite numbers, four to a row.

    Raises:
        InputError: E_DATASET: the transform scales, shears or mirrors.
    """
    if len(rows) == 4 and not np.allclose(rows[3], (0, 0, 0, 1)):
        raise location.error(f"the last row of {key} is not 0 0 0 1", "Is the matrix transposed?")
    pose = np.eye(4)
    pose[:3] = rows[:3]
    rotation = pose[:3, :3]
    with np.errstate(all="ignore"):  # huge numbers overflow, and are not rigid then
        mirrors = np.linalg.det(rotation) <= 0
        bends = not np.allclose(rotation @ rotation.T, np.eye(3), atol=_RIGID)
    if mirrors or bends:
        raise location.error(
            f"{key} is not rigid: it scales, shears or mirrors",
            "A rotation has determinant 1; write a scale as metres_per_unit.",
        )
    return with_exact_rotation(pose)


def without_trailing_zeros(coefficients: tuple[float, ...]) -> tuple[float, ...]:
    """Return distortion coefficients up to the last one that is not 0."""
    last = max((position for position, value in enumerate(coefficients) if value), default=-1)
    return coefficients[: last + 1]
