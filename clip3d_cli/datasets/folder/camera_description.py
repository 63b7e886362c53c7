"""What a description of posed images says, whichever tool wrote it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from clip3d_cli.core.scenes import Floats, Lens, Sweep, View, inverse_pose
from clip3d_cli.datasets.images import image_size
from clip3d_cli.datasets.json_documents import Entry

_AXES = {"x": (1, 0, 0), "y": (0, 1, 0), "z": (0, 0, 1)}
UPS = ("z", "-z", "y", "-y", "x", "-x")


@dataclass(frozen=True, slots=True, eq=False)
class Description:
    """The cameras of a scene, in a world whose unit and axes are the describing tool's.

    Attributes:
        views: the images.
        sweeps: scans besides the cloud itself.
        cloud: the file that the description names as the cloud, or None.
        world_from_cloud: (4, 4) rigid: where the cloud's points lie.
        time_s: of the cloud, or None.
    """

    views: tuple[View, ...]
    sweeps: tuple[Sweep, ...] = ()
    cloud: Path | None = None
    world_from_cloud: Floats = field(default_factory=lambda: np.eye(4))
    time_s: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """How a description's world becomes ours, which is in metres with z up.

    Attributes:
        metres_per_unit: the size of the description's unit.
        up: the described axis that points up, one of `UPS`, or None where nobody said so.
    """

    metres_per_unit: float = 1.0
    up: str | None = None

    @property
    def turn(self) -> Floats:
        """(4, 4) rigid: the quarter turns that bring the axis ``up`` to +z."""
        pose = np.eye(4)
        if self.up in (None, "z"):
            return pose
        up = np.array(_AXES[str(self.up)[-1]], dtype=np.float64)
        up *= -1 if str(self.up).startswith("-") else 1
        side = np.array((1, 0, 0) if self.up not in ("x", "-x") else (0, 1, 0), dtype=np.float64)
        pose[:3, :3] = np.stack((side, np.cross(up, side), up))
        return pose

    def placed(self, description: Description) -> Description:
        """The same cameras and scans in our world."""
        return dataclasses.replace(
            description,
            views=tuple(self._placed_view(view) for view in description.views),
            sweeps=tuple(
                dataclasses.replace(s, world_from_sensor=self._placed(s.world_from_sensor))
                for s in description.sweeps
            ),
            world_from_cloud=self._placed(description.world_from_cloud),
        )

    def _placed(self, world_from_thing: Floats) -> Floats:
        scaled = world_from_thing.copy()
        scaled[:3, 3] *= self.metres_per_unit
        placed: Floats = self.turn @ scaled
        return placed

    def _placed_view(self, view: View) -> View:
        pose = inverse_pose(self._placed(inverse_pose(view.camera_from_world)))
        return dataclasses.replace(view, camera_from_world=pose)


def checked_size(entry: Entry, image: Path, claimed: tuple[int, int] | None) -> tuple[int, int]:
    """Width and height of an image, px, as the file and its description agree on them.

    Args:
        entry: describes the image.
        image: the file.
        claimed: what the description says, or None.

    Raises:
        InputError: E_DATASET: they differ; or the image is missing or broken.
    """
    size = image_size(image)
    if claimed is not None and claimed != size:
        raise entry.fault(
            f"{image.name} has {size[0]} × {size[1]} pixels, described are "
            f"{claimed[0]} × {claimed[1]}",
            "Intrinsics must speak of the image as stored: resize it back, or scale them.",
        )
    return size


def camera_matrix(fx: float, fy: float, cx: float, cy: float) -> Floats:
    """The (3, 3) intrinsics of focal lengths and principal point, px."""
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=np.float64)


def without_zeros(coefficients: tuple[float, ...]) -> tuple[float, ...]:
    """Distortion coefficients without the zeros at the end; none if all are zero."""
    last = max((place for place, c in enumerate(coefficients) if c), default=-1)
    return coefficients[: last + 1]


MOST_COEFFICIENTS: dict[Lens, int] = {"pinhole": 8, "fisheye": 4}
