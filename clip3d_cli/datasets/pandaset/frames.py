"""Points and labels of PandaSet's frames, from pandas pickles or from NPZ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.datasets.pandaset.pandas_pickles import PickledFrame, read_pickled_frame
from clip3d_cli.datasets.point_files import require_one_per_point, scaled_intensity
from clip3d_cli.errors import InputError
from clip3d_cli.formats.binary_rows import stack_xyz
from clip3d_cli.formats.file_checks import require_file
from clip3d_cli.formats.npy.arrays import array_headers, open_npz, read_array

_FULL_INTENSITY = 255.0


def read_pandaset_scan(path: Path) -> PointCloud:
    """Read the N points of a frame, in the drive's world; intensity is the stored one over 255.

    Args:
        path: ``NN.pkl.gz`` in the folder ``lidar``, or ``NN.npz``.

    Raises:
        InputError: the file is missing or broken, or is a pickle of anything but a table.
    """
    if path.suffix == ".npz":
        xyz, intensity = _arrays(path, "xyz", "intensity")
        columns = dict(zip("xyz", np.asarray(xyz, dtype=np.float64).T, strict=True))
    else:
        columns = read_pickled_frame(path, ("x", "y", "z", "i")).columns
        intensity = columns["i"]
    return PointCloud(stack_xyz(columns), None, scaled_intensity(intensity, _FULL_INTENSITY))


def read_pandaset_labels(path: Path, scan: Path) -> npt.NDArray[np.generic]:
    """Read the class ids of a frame in the order of its points.

    Args:
        path: file of the labels.
        scan: file of the points; may be the same file.

    Returns:
        (N,) class ids.

    Raises:
        InputError: a file is missing or broken; E_COUNT_MISMATCH: labels and points do not have
            the same rows.
    """
    if path.suffix == ".npz":
        points, labels = _arrays(path, "xyz", "label")
        require_one_per_point(path, labels.shape, len(points))
        return labels.reshape(-1)
    points_frame = read_pickled_frame(scan, ("x",))
    labels_frame = read_pickled_frame(path, ("class",))
    require_one_per_point(path, labels_frame.index.shape, len(points_frame.index))
    return _in_point_order(path, labels_frame, points_frame)


def _in_point_order(
    path: Path, labels: PickledFrame, points: PickledFrame
) -> npt.NDArray[np.generic]:
    """Return (N,) class ids, matched to the points by the index of the tables."""
    class_ids = labels.columns["class"]
    if np.array_equal(labels.index, points.index):
        return class_ids
    # Rows of each table in the order of their index: row by row they belong together.
    label_rows, point_rows = (np.argsort(f.index, kind="stable") for f in (labels, points))
    if not np.array_equal(labels.index[label_rows], points.index[point_rows]):
        raise InputError(
            "E_COUNT_MISMATCH",
            path,
            "its rows are not those of the points",
            "Unpack the scan and its labels again, from one release.",
        )
    ordered = np.empty_like(class_ids)
    ordered[point_rows] = class_ids[label_rows]
    return ordered


def _arrays(path: Path, *names: str) -> list[npt.NDArray[np.generic]]:
    """Read some arrays of an NPZ file."""
    require_file(path)
    with open_npz(path) as archive:
        headers = array_headers(path, archive)
        for name in names:
            if name not in headers:
                raise InputError(
                    "E_DATASET",
                    path,
                    f"has no array {name!r}, only {', '.join(headers)}",
                    "A repacked frame has the arrays xyz, intensity and label.",
                )
        return [read_array(path, archive, name, headers[name]) for name in names]
