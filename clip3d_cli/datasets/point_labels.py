"""Labels in arrays: one number per point, and the classes that they mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.errors import InputError
from clip3d_cli.formats.file_checks import require_file
from clip3d_cli.formats.npy.header import read_npy_body, read_npy_header


def read_label_array(path: Path, points: int) -> npt.NDArray[np.generic]:
    """(N,) whole numbers of an NPY file, one per point.

    Args:
        path: the file.
        points: N, of the cloud that it belongs to.

    Raises:
        InputError: it is missing, broken, or not of whole numbers; E_COUNT_MISMATCH: not as
            many numbers as points.
    """
    require_file(path)
    with path.open("rb") as file:
        header = read_npy_header(path, file, "the array")
        require_count(path, header.shape, points)
        numbers = read_npy_body(path, file, header)
    if numbers.dtype.kind not in "iu":
        raise InputError(
            "E_DATASET",
            path,
            f"holds {numbers.dtype}, not whole numbers",
            "Save class ids: np.save(path, labels.astype(np.int32)).",
        )
    return numbers.reshape(points)


def require_count(path: Path, shape: tuple[int, ...], points: int) -> None:
    """Refuse labels that are not one per point.

    Raises:
        InputError: E_COUNT_MISMATCH.
    """
    if shape not in ((points,), (points, 1)):
        held = f"{shape[0]:,}" if len(shape) == 1 else shape
        raise InputError(
            "E_COUNT_MISMATCH",
            path,
            f"has {held} labels, the cloud {points:,} points",
            "Cloud and labels must be of one export: a label for every point, in its order.",
        )


def class_index_of_ids(
    path: Path,
    numbers: npt.NDArray[np.generic],
    vocabulary: Vocabulary,
    ignored: tuple[int, ...] | None,
) -> npt.NDArray[np.int32]:
    """(N,) int32 class indices of (N,) class ids, −1 = not judged.

    Args:
        path: where the ids come from.
        numbers: the ids.
        vocabulary: its classes carry the ids.
        ignored: ids that mean "not judged"; None for all that the vocabulary does not name.

    Raises:
        InputError: E_DATASET: an id that is neither named nor ignored.
    """
    ids = vocabulary.class_ids
    order = np.argsort(ids)
    place = np.minimum(np.searchsorted(ids, numbers, sorter=order), len(ids) - 1)
    index = order[place].astype(np.int32)
    index[ids[index] != numbers] = -1
    if ignored is not None:
        strange = numbers[(index < 0) & ~np.isin(numbers, ignored)]
        if len(strange):
            raise InputError(
                "E_DATASET",
                path,
                f"holds label {strange[0]}, which {vocabulary.name} does not name",
                "Add a class of that id to the vocabulary, or label such points 0.",
            )
    return index
