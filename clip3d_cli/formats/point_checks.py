"""Facts about the points of a file: their bounds, missing coordinates, far outliers."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.formats.format import CloudFacts

_SAMPLE_POINTS = 50_000
_FAR_FACTOR = 50.0
_MIN_SPREAD_M = 10.0


def with_point_facts(facts: CloudFacts, cloud: PointCloud) -> CloudFacts:
    """Return the facts with the bounds of the points, and warnings about odd coordinates.

    Args:
        facts: facts from the header.
        cloud: all points of the file.
    """
    xyz, bounds = cloud.xyz, _bounds_of(cloud.xyz)
    if not np.isfinite(bounds).all():
        xyz = xyz[np.isfinite(xyz).all(axis=1)]
        bounds = _bounds_of(xyz)
    missing = len(cloud) - len(xyz)
    warnings = list(facts.warnings)
    if not len(cloud):
        warnings.append("there are no points")
    if missing:
        warnings.append(
            f"{missing:,} of {len(cloud):,} points have no coordinates and stay unlabeled"
        )
    if not len(xyz):
        return dataclasses.replace(facts, warnings=tuple(warnings), bounds=None)
    with np.errstate(invalid="ignore", over="ignore"):  # a damaged header may hold any number
        header_differs = facts.bounds is not None and _differ(facts.bounds, bounds)
        outliers = _far_points(xyz, bounds)
    if header_differs:
        warnings.append("the header's bounds differ from those of the points, which are used")
    if outliers:
        warnings.append(f"{outliers:,} points lie far from all others")
    return dataclasses.replace(facts, bounds=bounds, warnings=tuple(warnings))


def _bounds_of(xyz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the low and high corner, (2, 3); not finite without points or with a missing one."""
    if not len(xyz):
        return np.full((2, 3), np.nan)
    # Axis by axis: numpy is slow when it reduces (N, 3) along N.
    return np.array([[axis.min() for axis in xyz.T], [axis.max() for axis in xyz.T]])


def _differ(header: npt.NDArray[np.float64], points: npt.NDArray[np.float64]) -> bool:
    """Return whether a corner is off by more than 1 % of the points' extent and 0.1 m."""
    tolerance = np.maximum(0.01 * (points[1] - points[0]), 0.1)
    return not bool((np.abs(header - points) <= tolerance).all())


def _far_points(xyz: npt.NDArray[np.float64], bounds: npt.NDArray[np.float64]) -> int:
    """Return how many points lie 50 times the cloud's spread from its median on any axis.

    The spread is the range of the middle 96 % of the points on the longest axis, at least 10 m.
    """
    sample = xyz[:: max(1, len(xyz) // _SAMPLE_POINTS)]
    low, median, high = np.percentile(sample, [2, 50, 98], axis=0)
    # One spread for all axes: a building on a flat street is no outlier in height.
    far = _FAR_FACTOR * max(float((high - low).max()), _MIN_SPREAD_M)
    if (np.abs(bounds - median) <= far).all():  # the common case, without a pass over N
        return 0
    return int((np.abs(xyz - median) > far).any(axis=1).sum())
