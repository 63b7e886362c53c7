"""What the points themselves say: bounds, missing coordinates, far outliers."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.formats.format import CloudFacts

_SAMPLE = 50_000
_FAR_FACTOR = 50.0
_LEAST_SPREAD_M = 10.0


def surveyed(facts: CloudFacts, cloud: PointCloud) -> CloudFacts:
    """The facts with the points' own bounds, and warnings of what is odd about them."""
    xyz, bounds = cloud.xyz, _bounds_of(cloud.xyz)
    if not np.isfinite(bounds).all():
        xyz = xyz[np.isfinite(xyz).all(axis=1)]
        bounds = _bounds_of(xyz)
    missing = len(cloud) - len(xyz)
    warnings = list(facts.warnings)
    if not len(cloud):
        warnings.append("there are no points")
    if missing:
        warnings.append(f"{missing:,} of {len(cloud):,} points have no coordinates: unlabeled")
    if not len(xyz):
        return dataclasses.replace(facts, warnings=tuple(warnings), bounds=None)
    with np.errstate(invalid="ignore", over="ignore"):  # a damaged header may say anything
        is_other = facts.bounds is not None and _differ(facts.bounds, bounds)
        outliers = _far_points(xyz, bounds)
    if is_other:
        warnings.append("the header's bounds are not those of the points; the points' are used")
    if outliers:
        warnings.append(f"{outliers:,} points lie far from all others")
    return dataclasses.replace(facts, bounds=bounds, warnings=tuple(warnings))


def _bounds_of(xyz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(2, 3) low and high corner; not finite where a coordinate is not, or there are none."""
    if not len(xyz):
        return np.full((2, 3), np.nan)
    # Column by column: numpy is slow along axes of three.
    return np.array([[axis.min() for axis in xyz.T], [axis.max() for axis in xyz.T]])


def _differ(header: npt.NDArray[np.float64], points: npt.NDArray[np.float64]) -> bool:
    """Whether corners are off by more than a hundredth of the points' extent and 0.1 m."""
    tolerance = np.maximum(0.01 * (points[1] - points[0]), 0.1)
    return not bool((np.abs(header - points) <= tolerance).all())


def _far_points(xyz: npt.NDArray[np.float64], bounds: npt.NDArray[np.float64]) -> int:
    """How many points lie many times the cloud's spread away from its middle, on any axis."""
    sample = xyz[:: max(1, len(xyz) // _SAMPLE)]
    low, middle, high = np.percentile(sample, [2, 50, 98], axis=0)
    # One spread for all axes: a flat street is no outlier in height.
    far = _FAR_FACTOR * max(float((high - low).max()), _LEAST_SPREAD_M)
    if (np.abs(bounds - middle) <= far).all():
        return 0
    return int((np.abs(xyz - middle) > far).any(axis=1).sum())
