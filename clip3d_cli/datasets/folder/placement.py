"""Transform from the world of a description to ours, which is in metres with z up."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from clip3d_cli.core.scenes import Floats, View, invert_pose
from clip3d_cli.datasets.folder.description import Description
from clip3d_cli.errors import InputError

Axis = Literal["z", "-z", "y", "-y", "x", "-x"]

_AXES = {"x": (1, 0, 0), "y": (0, 1, 0), "z": (0, 0, 1)}
# Length of the mean of the cameras' upward axes from which they count as agreeing.
_AGREEMENT = 0.7
# Share of the mean upward axis along +z from which z counts as up.
_UPRIGHT = 0.5
# Root mean square of the z parts of the cameras' x or z axes above which the cameras lie on their
# sides, or look straight up or down.
_ALONG_Z = 0.85


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """Scale and rotation from a described world to ours.

    Attributes:
        metres_per_unit: size of the description's unit, metres.
        up: axis of the described world that points up, or None if it is not stated.
    """

    metres_per_unit: float = 1.0
    up: Axis | None = None

    @property
    def rotation(self) -> Floats:
        """(4, 4) rigid transform: quarter turns that move the axis ``up`` to +z."""
        pose = np.eye(4)
        if self.up is None or self.up == "z":
            return pose
        sign = -1.0 if self.up.startswith("-") else 1.0
        up = sign * np.array(_AXES[self.up[-1]], dtype=np.float64)
        # Rows are our x, y and z axes in the described world. Our x is its x, unless that is up.
        side = np.array((0, 1, 0) if self.up[-1] == "x" else (1, 0, 0), dtype=np.float64)
        pose[:3, :3] = np.stack((side, np.cross(up, side), up))
        return pose

    def placed(self, description: Description) -> Description:
        """Return the same cameras and scans in our world."""
        return dataclasses.replace(
            description,
            views=tuple(self._placed_view(view) for view in description.views),
            sweeps=tuple(
                dataclasses.replace(s, world_from_sensor=self._placed_pose(s.world_from_sensor))
                for s in description.sweeps
            ),
            world_from_cloud=self._placed_pose(description.world_from_cloud),
        )

    def _placed_pose(self, world_from_sensor: Floats) -> Floats:
        scaled = world_from_sensor.copy()
        scaled[:3, 3] *= self.metres_per_unit
        placed: Floats = self.rotation @ scaled
        return placed

    def _placed_view(self, view: View) -> View:
        # Scale the camera's position, not its translation: take the pose camera to world.
        world_from_camera = self._placed_pose(invert_pose(view.camera_from_world))
        return dataclasses.replace(view, camera_from_world=invert_pose(world_from_camera))


def require_z_up(path: Path, views: Sequence[View]) -> None:
    """Reject cameras that agree on another upward direction than +z.

    Cameras that look straight up or down, are held on their sides, or do not agree with each other
    are accepted: they do not tell which way is up.

    Args:
        path: file or folder that describes the cameras, for messages.
        views: cameras in our world.

    Raises:
        InputError: E_DATASET, with the axis that is up by the cameras.
    """
    if not views:
        return
    # (V, 3, 3): rows are the x, y and z axes of each camera in the world; y points down.
    axes = np.stack([view.camera_from_world[:3, :3] for view in views])
    up = -axes[:, 1].mean(axis=0)
    along_z = np.sqrt((axes[:, :, 2] ** 2).mean(axis=0))  # of the cameras' x, y and z axes
    agree = np.linalg.norm(up) > _AGREEMENT and max(along_z[0], along_z[2]) < _ALONG_Z
    if not agree or up[2] > _UPRIGHT * np.linalg.norm(up):
        return
    axis = int(np.abs(up).argmax())
    name = ("-" if up[axis] < 0 else "") + "xyz"[axis]
    raise InputError(
        "E_DATASET",
        path,
        f"by its cameras {name} is up, not z: up is ({up[0]:.2f}, {up[1]:.2f}, {up[2]:.2f})",
        f'Write {{"world_up": "{name}"}} into cameras.json; "world_up": "z" keeps the axes.',
    )
