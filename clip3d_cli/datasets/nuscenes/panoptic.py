"""Objects of Panoptic nuScenes (Fong et al., RA-L 2022)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.datasets.point_files import require_one_per_point
from clip3d_cli.errors import InputError
from clip3d_cli.formats.file_checks import require_file
from clip3d_cli.formats.npy.arrays import array_headers, open_npz, read_array

_ARRAY = "data"
_LABELS_SUFFIX = "_lidarseg.bin"
_OBJECTS_PER_CATEGORY = np.uint32(1000)
_REMEDY = "Unpack nuScenes-panoptic again from the archive it came in."

Numbers = npt.NDArray[np.uint32]


def panoptic_file(root: Path, label_file: Path) -> Path | None:
    """Return the file with the objects of a key frame, or None if objects are not installed.

    Args:
        root: root folder of nuScenes.
        label_file: lidarseg's file of the key frame; both releases name their files by the token
            of the scan.
    """
    version = label_file.parent.name
    if not (root / version / "panoptic.json").is_file():
        return None
    token = label_file.name.removesuffix(_LABELS_SUFFIX)
    return root / "panoptic" / version / f"{token}_panoptic.npz"


def read_panoptic(path: Path, points: int) -> tuple[Numbers, Numbers]:
    """Read the category and the object of every point.

    Args:
        path: NPZ with an array ``data`` of category * 1000 + object.
        points: N, number of points of the scan.

    Returns:
        (N,) category, and (N,) number of the object within its category.

    Raises:
        InputError: the file is missing, broken, or has other content; E_COUNT_MISMATCH: it does
            not have N numbers.
    """
    require_file(path)
    with open_npz(path) as archive:
        headers = array_headers(path, archive)
        if _ARRAY not in headers or headers[_ARRAY].dtype.kind not in "iu":
            fault = f"has no array {_ARRAY!r} of whole numbers"
            raise InputError("E_DATASET", path, fault, _REMEDY)
        require_one_per_point(path, headers[_ARRAY].shape, points)
        numbers = read_array(path, archive, _ARRAY, headers[_ARRAY]).reshape(points)
    if points and not 0 <= int(numbers.min()) <= int(numbers.max()) < 1 << 31:
        raise InputError("E_DATASET", path, "contains numbers below 0 or too large", _REMEDY)
    category, object_number = np.divmod(numbers.astype(np.uint32), _OBJECTS_PER_CATEGORY)
    return category, object_number
