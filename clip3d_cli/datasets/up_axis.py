"""Whether cameras agree that z is up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clip3d_cli.core.scenes import View
from clip3d_cli.errors import InputError

_AGREED = 0.7
_TILT = 0.5
_ALONG_Z = 0.85


def require_z_up(place: Path, views: Sequence[View]) -> None:
    """Refuse a world in which cameras agree that up is elsewhere than +z.

    Cameras that look straight down or up, are held on their sides, or do not agree, say nothing.

    Args:
        place: describes the cameras.
        views: in the world to be judged.

    Raises:
        InputError: E_DATASET; it names the axis that the cameras take for up.
    """
    if not views:
        return
    axes = np.stack([view.camera_from_world[:3, :3] for view in views])
    up = -axes[:, 1].mean(axis=0)
    along_z = np.sqrt((axes[:, :, 2] ** 2).mean(axis=0))
    tells = np.linalg.norm(up) > _AGREED and max(along_z[0], along_z[2]) < _ALONG_Z
    if not tells or up[2] > _TILT * np.linalg.norm(up):
        return
    axis = int(np.abs(up).argmax())
    name = ("-" if up[axis] < 0 else "") + "xyz"[axis]
    raise InputError(
        "E_DATASET",
        place,
        f"the cameras take {name} for up, not z: up is ({up[0]:.2f}, {up[1]:.2f}, {up[2]:.2f})",
        f'Put {{"world_up": "{name}"}} into cameras.json; "world_up": "z" keeps the axes.',
    )
