"""Scans and labels as driving data sets store them: float32 rows, one number per point."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.errors import InputError
from clip3d_cli.formats.binary_rows import read_columns, row_chunks, stack_xyz
from clip3d_cli.formats.file_checks import read_head, require_file

_AGAIN = "The copy was cut off; fetch it again."


def read_scan(path: Path, columns: tuple[str, ...], full_scale: float) -> PointCloud:
    """The N points of a headless float32 table, in the frame of the sensor.

    Unlike the reader of single files, which goes by evidence, this one divides the intensity of
    every scan by the same number: two sweeps of one data set can be compared.

    Args:
        path: the file.
        columns: names of all columns; x, y, z and intensity among them.
        full_scale: the intensity that counts as 1.

    Raises:
        InputError: it is missing, empty, something else, or no whole number of points.
    """
    dtype = np.dtype([(name, "<f4") for name in columns])
    points = _count(path, dtype)
    chunks = row_chunks(path, 0, dtype, points)
    table = read_columns(chunks, ["x", "y", "z", "intensity"], dtype, points)
    intensity = np.nan_to_num(table["intensity"].astype(np.float32), posinf=0.0, neginf=0.0)
    return PointCloud(stack_xyz(table), intensity=np.clip(intensity / np.float32(full_scale), 0, 1))


def scan_length(path: Path, columns: tuple[str, ...]) -> int:
    """How many points a scan has, by its size.

    Raises:
        InputError: as `read_scan`.
    """
    return _count(path, np.dtype([(name, "<f4") for name in columns]))


def read_numbers(path: Path, dtype: str, points: int) -> npt.NDArray[np.uint32]:
    """(N,) uint32: the numbers of a label file, one per point.

    Args:
        path: the file.
        dtype: of its numbers, unsigned.
        points: N, of the scan it belongs to.

    Raises:
        InputError: it is missing; E_COUNT_MISMATCH: not as many numbers as points.
    """
    size = require_file(path).st_size
    kind = np.dtype(dtype)
    if size != points * kind.itemsize:
        raise InputError(
            "E_COUNT_MISMATCH",
            path,
            f"{size:,} bytes are not {points:,} labels of {kind.itemsize} bytes, one per point",
            "The scan or its labels were cut off, or do not belong together; fetch both again.",
        )
    return np.fromfile(path, kind).astype(np.uint32)


def _count(path: Path, dtype: np.dtype[np.void]) -> int:
    size = require_file(path).st_size
    read_head(path)
    points, rest = divmod(size, dtype.itemsize)
    if rest:
        fault = f"{size:,} bytes are no whole number of points of {dtype.itemsize} bytes"
        raise InputError("E_TRUNCATED", path, fault, _AGAIN)
    return points
