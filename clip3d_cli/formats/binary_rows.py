"""Tables of fixed-length rows inside files, read and copied in chunks to keep memory flat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from clip3d_cli.formats.file_checks import truncated
from clip3d_cli.formats.label_fields import LabelColumn

_CHUNK_BYTES = 32 << 20


def row_chunks(
    path: Path, start: int, dtype: np.dtype[np.void], count: int
) -> Iterator[tuple[slice, npt.NDArray[np.void]]]:
    """Chunks of a table, each with the slice of rows it holds.

    Args:
        path: the file.
        start: bytes before the first row.
        dtype: of a row.
        count: rows to read.

    Raises:
        InputError: the file ends before the last row.
    """
    step = max(1, _CHUNK_BYTES // dtype.itemsize)
    with path.open("rb") as file:
        file.seek(start)
        for first in range(0, count, step):
            rows = min(step, count - first)
            raw = file.read(rows * dtype.itemsize)
            if len(raw) < rows * dtype.itemsize:
                held = first + len(raw) // dtype.itemsize
                raise truncated(path, f"data ends after {held:,} of {count:,} points")
            yield slice(first, first + rows), np.frombuffer(raw, dtype)


def read_columns(
    chunks: Iterator[tuple[slice, npt.NDArray[np.void]]],
    names: Sequence[str],
    dtype: np.dtype[np.void],
    count: int,
) -> dict[str, npt.NDArray[np.generic]]:
    """The named columns, one number each, of a table of ``count`` rows, in native byte order."""
    columns = {name: np.empty(count, dtype[name].base.newbyteorder("=")) for name in names}
    for rows, chunk in chunks:
        for name in names:
            columns[name][rows] = chunk[name].reshape(len(chunk))
    return columns


def append_columns(
    file: BinaryIO,
    chunks: Iterator[tuple[slice, npt.NDArray[np.void]]],
    kept: Sequence[str],
    added: Sequence[LabelColumn],
) -> None:
    """Write a table's rows: the kept fields in their order, then the added columns.

    Args:
        file: where the rows go.
        chunks: the source's rows.
        kept: names of the fields to copy, byte for byte.
        added: columns of as many rows as the chunks hold together, in the file's byte order.
    """
    for rows, chunk in chunks:
        fields = [(name, chunk.dtype[name]) for name in kept]
        copy = np.empty(len(chunk), [*fields, *((c.name, c.values.dtype) for c in added)])
        for name in kept:
            copy[name] = chunk[name]
        for column in added:
            copy[column.name] = column.values[rows]
        file.write(copy.tobytes())


def stack_xyz(columns: Mapping[str, npt.NDArray[np.generic]]) -> npt.NDArray[np.float64]:
    """(N, 3) float64 of the columns x, y and z."""
    xyz = np.empty((len(columns["x"]), 3), np.float64)
    with np.errstate(invalid="ignore"):  # a missing number may be of the signaling kind
        for axis, name in enumerate("xyz"):
            xyz[:, axis] = columns[name]
    return xyz


def in_byte_order(added: Sequence[LabelColumn], byte_order: str) -> list[LabelColumn]:
    """The columns with the dtypes of a file of that byte order, ``<`` or ``>``."""
    return [
        LabelColumn(c.name, c.values.astype(byte_order + c.values.dtype.str[1:])) for c in added
    ]
