"""Tables of fixed-length binary rows in files, read and copied in chunks of 32 MB."""

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
    """Yield chunks of a table, each with the slice of rows that it holds.

    Args:
        path: file with the table.
        start: byte at which the first row starts.
        dtype: structured dtype of a row.
        count: number of rows to read.

    Raises:
        InputError: E_TRUNCATED: the file ends before the last row.
    """
    step = max(1, _CHUNK_BYTES // dtype.itemsize)
    with path.open("rb") as file:
        file.seek(start)
        for first in range(0, count, step):
            rows = min(step, count - first)
            raw = file.read(rows * dtype.itemsize)
            if len(raw) < rows * dtype.itemsize:
                available = first + len(raw) // dtype.itemsize
                raise truncated(path, f"data ends after {available:,} of {count:,} points")
            yield slice(first, first + rows), np.frombuffer(raw, dtype)


def read_columns(
    chunks: Iterator[tuple[slice, npt.NDArray[np.void]]],
    names: Sequence[str],
    dtype: np.dtype[np.void],
    count: int,
) -> dict[str, npt.NDArray[np.generic]]:
    """Read columns of a table into arrays of their own.

    Args:
        chunks: all rows of the table, see ``row_chunks``.
        names: columns of one number per row.
        dtype: structured dtype of a row.
        count: N, the number of rows.

    Returns:
        (N,) numbers in native byte order by column name.
    """
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
    """Write the rows of a table: the kept fields in their order, then the added columns.

    Args:
        file: open file, positioned where the rows go.
        chunks: all rows of the source, see ``row_chunks``.
        kept: names of the fields to copy byte for byte.
        added: columns with one number per row, in the byte order of the file.
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
    """Return (N, 3) float64 of the (N,) columns x, y and z."""
    xyz = np.empty((len(columns["x"]), 3), np.float64)
    with np.errstate(invalid="ignore"):  # converting a signaling NaN warns
        for axis, name in enumerate("xyz"):
            xyz[:, axis] = columns[name]
    return xyz


def in_byte_order(added: Sequence[LabelColumn], byte_order: str) -> list[LabelColumn]:
    """Return the columns with values in byte order ``<`` or ``>``."""
    return [
        LabelColumn(c.name, c.values.astype(byte_order + c.values.dtype.str[1:])) for c in added
    ]
