"""The objects of Panoptic nuScenes (Fong et al., RA-L 2022)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.datasets.point_labels import require_count
from clip3d_cli.errors import InputError
from clip3d_cli.formats.file_checks import require_file
from clip3d_cli.formats.npy.arrays import array_headers, open_npz, read_array

_NAME = "data"
_LABELS = "_lidarseg.bin"
_OBJECTS = np.uint32(1000)
_AGAIN = "Unpack nuScenes-panoptic again from the archive it came in."

Numbers = npt.NDArray[np.uint32]


def panoptic_file(root: Path, labels: Path) -> Path | None:
    """The file of a key frame's objects, or None where the tables list no objects.

    Args:
        root: of the data set.
        labels: lidarseg's file for that key frame; the releases name both by the scan's token.
    """
    version = labels.parent.name
    if not (root / version / "panoptic.json").is_file():
        return None
    token = labels.name.removesuffix(_LABELS)
    return root / "panoptic" / version / f"{token}_panoptic.npz"


def read_panoptic(path: Path, points: int) -> tuple[Numbers, Numbers]:
    """(N,) categories and (N,) objects of the category, of ``category * 1000 + object``.

    Args:
        path: an NPZ with an array ``data``.
        points: N, of the scan it belongs to.

    Raises:
        InputError: it is missing, broken, or something else; E_COUNT_MISMATCH: not as many
            numbers as points.
    """
    require_file(path)
    with open_npz(path) as archive:
        headers = array_headers(path, archive)
        if _NAME not in headers or headers[_NAME].dtype.kind not in "iu":
            fault = f"holds no whole numbers called {_NAME!r}"
            raise InputError("E_DATASET", path, fault, _AGAIN)
        require_count(path, headers[_NAME].shape, points)
        numbers = read_array(path, archive, _NAME, headers[_NAME]).reshape(points)
    if points and not 0 <= int(numbers.min()) <= int(numbers.max()) < 1 << 31:
        raise InputError("E_DATASET", path, "holds numbers below 0 or too large", _AGAIN)
    category, one = np.divmod(numbers.astype(np.uint32), _OBJECTS)
    return category, one
