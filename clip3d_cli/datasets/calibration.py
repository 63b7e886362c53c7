"""Camera matrices and rigid poses from numbers in files."""

from __future__ import annotations

import numpy as np

from clip3d_cli.core.scenes import Floats


def camera_matrix(fx: float, fy: float, cx: float, cy: float) -> Floats:
    """Return the (3, 3) intrinsics of a camera.

    Args:
        fx: focal length along x, px.
        fy: focal length along y, px.
        cx: principal point along x, px, where pixel (0, 0) is the *center* of the upper left pixel.
        cy: principal point along y, px.
    """
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=np.float64)


def with_exact_rotation(pose: Floats) -> Floats:
    """Return a pose whose rotation is the rotation matrix nearest to that of a rounded pose.

    Files store poses with a few digits, which leaves their rotations slightly scaled and sheared.

    Args:
        pose: (4, 4) float64, rigid up to rounding.

    Returns:
        (4, 4) float64, rigid up to the precision of float64.
    """
    exact: Floats = pose.copy()
    left, _, right = np.linalg.svd(pose[:3, :3])
    exact[:3, :3] = left @ right
    return exact
