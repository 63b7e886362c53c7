"""Checks of a scan before it is labelled: what would make its labels wrong."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.grouping import group_equal_rows
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.upright import better_up, find_tilt
from clip3d_cli.core.voxels import choose_voxel_size, count_voxels
from clip3d_cli.labelling.preparation import Up, count_no_returns, measured_points
from clip3d_cli.labelling.warnings import LabelWarning

Floats = npt.NDArray[np.float64]

_MIN_POINTS = 500
_VOXEL_SIZES_M = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
# Smaller scans are not scattered points.
_MIN_SCATTERED_M = 50.0
# A scan in metres has at least so many times as many voxels of 1.6 m as of 3.2 m.
_MIN_VOXELS_PER_LARGER_ONE = 1.25
_SMALLEST_SCAN_M = 0.7
_SAMPLE_POINTS = 60_000
_MIN_POINTS_OF_PATCH = 12
_MIN_PATCHES = 30
# Estimated noise that harms, in metres: with small voxels, as in rooms; and with larger ones. With
# the largest, as in surveys from the air, it is a part of a voxel.
_MAX_NOISE_M = {0.1: 0.027, 0.4: 0.055}
_MAX_NOISE_VOXELS = 0.25
_FLAT_QUANTILE = 0.25


def check_scan(
    cloud: PointCloud, where: str, *, up: Up = "z", voxel_m: float | None = None
) -> list[LabelWarning]:
    """Return warnings about the points of a scan: what would make its labels wrong.

    Args:
        cloud: N points.
        where: name of the scan.
        up: axis of the cloud that points up.
        voxel_m: voxel edge in metres; None chooses one of 0.05 to 1.6 m by the density.
    """
    return list(_warnings(cloud, where, up, voxel_m))


def _warnings(
    cloud: PointCloud, where: str, up: Up, voxel_m: float | None
) -> Iterator[LabelWarning]:
    empty = count_no_returns(cloud.xyz).empty
    if empty:
        yield LabelWarning(
            "W_EMPTY_RETURNS",
            where,
            f"{empty:,} of {len(cloud):,} points are at (0, 0, 0), which sensors write for pulses "
            "without a return; they stay unlabeled",
        )
    xyz = measured_points(cloud)[0].xyz
    if len(xyz) < _MIN_POINTS:
        return
    if voxel_m is None:
        voxel_m = choose_voxel_size(xyz, _VOXEL_SIZES_M)
    units = _units_warning(xyz, where, voxel_m)
    if units is not None:
        # All other checks would measure with the wrong unit.
        yield units
        return
    yield from _precision_warning(xyz, where, voxel_m)
    yield from _direction_warnings(xyz, where, up)
    noise_m = estimate_noise(xyz)
    limits_m = (limit for size_m, limit in _MAX_NOISE_M.items() if voxel_m <= size_m)
    if noise_m is not None and noise_m > next(limits_m, _MAX_NOISE_VOXELS * voxel_m):
        yield LabelWarning(
            "W_NOISE",
            where,
            f"flat surfaces are {100 * noise_m:.0f} cm rough (standard deviation); the weights "
            "know scans with up to 2 cm, and labels get worse",
            "Remove noise first, or merge fewer sweeps.",
        )


def _units_warning(xyz: Floats, where: str, voxel_m: float) -> LabelWarning | None:
    low, high = np.quantile(xyz[:: max(1, len(xyz) // 10_000)], (0.01, 0.99), axis=0)
    extent = float((high - low).max())
    if extent < _SMALLEST_SCAN_M:
        return LabelWarning(
            "W_UNITS",
            where,
            f"the scan is {extent:.2g} m wide, if its coordinates are metres",
            "Give the unit with --units; scans of small objects are not labelled well.",
        )
    # At smaller voxels that have neighbours, points are not far apart.
    if extent < _MIN_SCATTERED_M or voxel_m < _VOXEL_SIZES_M[-1]:
        return None
    ratio = count_voxels(xyz, voxel_m) / count_voxels(xyz, 2 * voxel_m)
    if ratio >= _MIN_VOXELS_PER_LARGER_ONE:
        return None
    return LabelWarning(
        "W_UNITS",
        where,
        f"the scan is {extent:,.0f} m wide, if its coordinates are metres, and its points are "
        "farther apart than in any scan",
        "Give the unit with --units mm, cm, in, ft or us-ft; scattered points have no shapes to "
        "label.",
    )


def _precision_warning(xyz: Floats, where: str, voxel_m: float) -> Iterator[LabelWarning]:
    sample = xyz[:: max(1, len(xyz) // 10_000)]
    with np.errstate(over="ignore"):
        single = sample.astype(np.float32)
    if not len(sample) or not (single == sample).all():
        return
    step_m = float(np.spacing(np.abs(single).max()))
    if step_m > voxel_m:
        yield LabelWarning(
            "W_PRECISION",
            where,
            f"coordinates are stored in 32 bits, in steps of {step_m:g} m, and voxels are "
            f"{voxel_m:g} m wide",
            "Export the scan with 64-bit coordinates (double), or subtract an offset before.",
        )


def _direction_warnings(xyz: Floats, where: str, up: Up) -> Iterator[LabelWarning]:
    if up != "z":
        return
    better = better_up(xyz)
    if better is not None:
        yield LabelWarning(
            "W_UP_AXIS",
            where,
            f"the ground fits {better} as the axis that points up, and not z",
            f"Label with --up {better}, or with --up auto.",
        )
        return
    tilt = find_tilt(xyz)
    if tilt is not None:
        yield LabelWarning(
            "W_TILT",
            where,
            f"the ground is tilted by {np.degrees(tilt[0]):.0f}°, which is taken out for labelling",
        )


def estimate_noise(xyz: Floats) -> float | None:
    """Return the roughness of flat surfaces in metres, a standard deviation; None if there are few.

    Points are grouped into cubes with at least 12 points. The roughness of a cube is the standard
    deviation of its points along the direction in which they spread least, and the result is the
    lowest quarter of the cubes, which are those on flat surfaces.

    Args:
        xyz: (N, 3) float64, metres, all finite.
    """
    if len(xyz) > _SAMPLE_POINTS:
        x = xyz[:, 0]
        first = (len(xyz) - _SAMPLE_POINTS) // 2
        low, high = np.partition(x, (first, first + _SAMPLE_POINTS))[
            [first, first + _SAMPLE_POINTS]
        ]
        xyz = xyz[(x >= low) & (x <= high)]
    for size_m in (0.4, 0.8, 1.6):
        cells = [np.floor(column / size_m).astype(np.int64) for column in xyz.T]
        _, cube = group_equal_rows(cells)
        count = np.bincount(cube)
        if np.count_nonzero(count >= _MIN_POINTS_OF_PATCH) < _MIN_PATCHES:
            continue
        mean = [np.bincount(cube, column) / count for column in xyz.T]
        offset = [column - each[cube] for column, each in zip(xyz.T, mean, strict=True)]
        spread = np.empty((len(count), 3, 3))
        for i in range(3):
            for j in range(i + 1):
                spread[:, i, j] = spread[:, j, i] = np.bincount(cube, offset[i] * offset[j]) / count
        enough = count >= _MIN_POINTS_OF_PATCH
        # A plane fits three of the points exactly.
        least = np.linalg.eigvalsh(spread[enough])[:, 0] * count[enough] / (count[enough] - 3)
        return float(np.sqrt(max(0.0, np.quantile(least, _FLAT_QUANTILE))))
    return None
