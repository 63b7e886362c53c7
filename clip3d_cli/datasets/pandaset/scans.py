"""The points and labels of PandaSet's frames, from pandas' pickles or from NPZ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.datasets.pandaset.pickles import PickledFrame, read_pickled_frame
from clip3d_cli.datasets.point_labels import require_count
from clip3d_cli.errors import InputError
from clip3d_cli.formats.binary_rows import stack_xyz
from clip3d_cli.formats.file_checks import require_file
from clip3d_cli.formats.npy.arrays import array_headers, open_npz, read_array

_BRIGHTEST = 255.0


def read_pandaset_scan(path: Path) -> PointCloud:
    """The N points of a frame in its world; intensity is the file's over 255.

    Raises:
        InputError: it is missing, broken, or asks to run code.
    """
    if path.suffix == ".npz":
        xyz, intensity = _arrays(path, "xyz", "intensity")
        columns = dict(zip("xyz", np.asarray(xyz, dtype=np.float64).T, strict=True))
    else:
        columns = read_pickled_frame(path, ("x", "y", "z", "i")).columns
        intensity = columns["i"]
    bright = np.nan_to_num(intensity.astype(np.float32), posinf=0.0, neginf=0.0)
    return PointCloud(stack_xyz(columns), None, np.clip(bright / np.float32(_BRIGHTEST), 0, 1))


def read_pandaset_labels(path: Path, scan: Path) -> npt.NDArray[np.generic]:
    """(N,) class ids in the order of the points.

    Args:
        path: the labels.
        scan: the points; may be the same file.

    Raises:
        InputError: a file is missing or broken; E_COUNT_MISMATCH: not as many labels as points.
    """
    if path.suffix == ".npz":
        points, labels = _arrays(path, "xyz", "label")
        require_count(path, labels.shape, len(points))
        return labels.reshape(-1)
    points_frame = read_pickled_frame(scan, ("x",))
    frame = read_pickled_frame(path, ("class",))
    require_count(path, frame.index.shape, len(points_frame.index))
    return _in_order(path, frame, points_frame)


def _in_order(path: Path, labels: PickledFrame, points: PickledFrame) -> npt.NDArray[np.generic]:
    """Labels by the rows of the points: the index, not the place, says which belong together."""
    numbers = labels.columns["class"]
    if np.array_equal(labels.index, points.index):
        return numbers
    order, wanted = (np.argsort(f.index, kind="stable") for f in (labels, points))
    if not np.array_equal(labels.index[order], points.index[wanted]):
        raise InputError(
            "E_COUNT_MISMATCH",
            path,
            "its rows are not those of the points",
            "Unpack the scan and its labels again, from one release.",
        )
    sorted_numbers = np.empty_like(numbers)
    sorted_numbers[wanted] = numbers[order]
    return sorted_numbers


def _arrays(path: Path, *names: str) -> list[npt.NDArray[np.generic]]:
    require_file(path)
    with open_npz(path) as archive:
        headers = array_headers(path, archive)
        for name in names:
            if name not in headers:
                raise InputError(
                    "E_DATASET",
                    path,
                    f"has no array {name!r}, only {', '.join(headers)}",
                    "A repacked frame holds xyz, intensity and label.",
                )
        return [read_array(path, archive, name, headers[name]) for name in names]
