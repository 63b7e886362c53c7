"""Files with one row or one number per point: scans as float32 rows, labels as whole numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.errors import InputError
from clip3d_cli.formats.binary_rows import read_columns, row_chunks, stack_xyz
from clip3d_cli.formats.file_checks import read_head, require_file
from clip3d_cli.formats.npy.header import read_npy_body, read_npy_header


def read_scan(path: Path, columns: tuple[str, ...], full_scale: float) -> PointCloud:
    """Read the points of a file of float32 rows without a header, in the sensor's frame.

    The reader of single ``.bin`` files guesses the scale of the intensity from its values. Here
    every scan is divided by the same number, so that the sweeps of a data set can be compared.

    Args:
        path: file of N rows.
        columns: names of the columns of a row; x, y, z and intensity among them.
        full_scale: value in the file that becomes intensity 1.

    Raises:
        InputError: the file is missing, empty, of another format, or ends within a row.
    """
    dtype = _row_type(columns)
    points = _row_count(path, dtype)
    chunks = row_chunks(path, 0, dtype, points)
    table = read_columns(chunks, ["x", "y", "z", "intensity"], dtype, points)
    return PointCloud(stack_xyz(table), intensity=scaled_intensity(table["intensity"], full_scale))


def scan_length(path: Path, columns: tuple[str, ...]) -> int:
    """Return the number of points of a scan, from the size of its file.

    Args:
        path: file of a scan.
        columns: as for `read_scan`.

    Raises:
        InputError: as `read_scan`.
    """
    return _row_count(path, _row_type(columns))


def scaled_intensity(stored: npt.NDArray[np.generic], full_scale: float) -> npt.NDArray[np.float32]:
    """Return intensities between 0 and 1.

    Args:
        stored: (N,) numbers as stored; NaN and infinity become 0.
        full_scale: stored value that becomes 1; larger ones become 1 too.

    Returns:
        (N,) float32.
    """
    finite = np.nan_to_num(stored.astype(np.float32), posinf=0.0, neginf=0.0)
    scaled: npt.NDArray[np.float32] = np.clip(finite / np.float32(full_scale), 0, 1)
    return scaled


def read_label_numbers(path: Path, dtype: str, points: int) -> npt.NDArray[np.uint32]:
    """Read the numbers of a label file without a header, one per point.

    Args:
        path: label file.
        dtype: unsigned type of its numbers, such as ``<u4``.
        points: N, number of points of the scan.

    Returns:
        (N,) uint32.

    Raises:
        InputError: the file is missing; E_COUNT_MISMATCH: it does not have N numbers.
    """
    size = require_file(path).st_size
    number = np.dtype(dtype)
    if size != points * number.itemsize:
        raise InputError(
            "E_COUNT_MISMATCH",
            path,
            f"{size:,} bytes are not {points:,} labels of {number.itemsize} bytes, one per point",
            "The scan or its labels are truncated or do not belong together; fetch both again.",
        )
    return np.fromfile(path, number).astype(np.uint32)


def read_label_array(path: Path, points: int) -> npt.NDArray[np.generic]:
    """Read the whole numbers of an NPY file, one per point.

    Args:
        path: NPY file.
        points: N, number of points of the cloud.

    Returns:
        (N,) integers of the type in the file.

    Raises:
        InputError: the file is missing, broken, or not of whole numbers; E_COUNT_MISMATCH: it does
            not have N numbers.
    """
    require_file(path)
    with path.open("rb") as file:
        header = read_npy_header(path, file, "the array")
        require_one_per_point(path, header.shape, points)
        numbers = read_npy_body(path, file, header)
    if numbers.dtype.kind not in "iu":
        raise InputError(
            "E_DATASET",
            path,
            f"contains {numbers.dtype}, not whole numbers",
            "Save class ids: np.save(path, labels.astype(np.int32)).",
        )
    return numbers.reshape(points)


def require_one_per_point(path: Path, shape: tuple[int, ...], points: int) -> None:
    """Reject an array of labels whose shape is neither (N,) nor (N, 1).

    Args:
        path: file of the labels, for messages.
        shape: shape of the array.
        points: N, number of points.

    Raises:
        InputError: E_COUNT_MISMATCH.
    """
    if shape not in ((points,), (points, 1)):
        labels = f"{shape[0]:,}" if len(shape) == 1 else shape
        raise InputError(
            "E_COUNT_MISMATCH",
            path,
            f"has {labels} labels, but the cloud has {points:,} points",
            "Export the cloud and its labels together: one label per point, in the same order.",
        )


def _row_type(columns: tuple[str, ...]) -> np.dtype[np.void]:
    return np.dtype([(name, "<f4") for name in columns])


def _row_count(path: Path, dtype: np.dtype[np.void]) -> int:
    size = require_file(path).st_size
    read_head(path)  # rejects web pages, archives and pointers to files elsewhere
    points, rest = divmod(size, dtype.itemsize)
    if rest:
        fault = f"{size:,} bytes are not a whole number of points of {dtype.itemsize} bytes"
        raise InputError("E_TRUNCATED", path, fault, "The copy is truncated; fetch it again.")
    return points
