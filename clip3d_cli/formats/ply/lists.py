"""Rows of differing length in PLY files: binary and ascii elements that hold lists."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from clip3d_cli.errors import InputError
from clip3d_cli.formats.file_checks import truncated
from clip3d_cli.formats.ply.header import PlyElement


def property_starts(
    body: bytes, start: int, element: PlyElement, byte_order: str
) -> npt.NDArray[np.int64]:
    """(R, P + 1) int64: where each property of each whole row starts, and where the row ends.

    Args:
        body: the file's bytes.
        start: of the element's first row in them.
        element: with P properties.
        byte_order: of its numbers.

    R is smaller than the element's count where the file ends early. Every row takes at least
    one byte, so a lying count costs no more than the file holds.
    """
    view = memoryview(body)
    steps = [
        _step_of(column.dtype, column.length_dtype, byte_order) for column in element.properties
    ]
    found: list[list[int]] = []
    position = start
    for _ in range(element.count):
        row = [position]
        for length_size, order, is_signed, size in steps:
            length = 1
            if length_size:
                raw = view[position : position + length_size]
                length = int.from_bytes(raw, order, signed=is_signed)
                position += length_size
            position += max(length, 0) * size
            row.append(position)
        if position > len(body):
            break
        found.append(row)
    return np.array(found, np.int64).reshape(-1, len(element.properties) + 1)


def gather(body: bytes, starts: npt.NDArray[np.int64], dtype: str) -> npt.NDArray[np.generic]:
    """(R,) numbers of ``dtype`` whose first bytes lie at ``starts``."""
    size = np.dtype(dtype).itemsize
    raw = np.frombuffer(body, np.uint8)
    return np.ascontiguousarray(raw[starts[:, None] + np.arange(size)]).view(dtype)[:, 0]


def splice_after(
    body: bytes, starts: npt.NDArray[np.int64], kept: list[int], added: bytes
) -> bytes:
    """The rows with only the kept properties, each followed by its share of ``added``."""
    share = len(added) // max(len(starts), 1)
    view = memoryview(body)
    parts: list[bytes | memoryview] = []
    for row, bounds in enumerate(starts.tolist()):
        parts += [view[bounds[place] : bounds[place + 1]] for place in kept]
        parts.append(added[row * share : (row + 1) * share])
    return b"".join(parts)


def token_starts(path: Path, tokens: list[bytes], element: PlyElement) -> list[int]:
    """P + 1 positions: where each property's words start in an ascii row, and where it ends.

    Raises:
        InputError: the row has fewer words than its lists say, or a length is no number.
    """
    starts = [0]
    for column in element.properties:
        length = 0
        if column.length_dtype:
            try:
                length = int(tokens[starts[-1]])
            except (ValueError, IndexError) as error:
                raise InputError(
                    "E_PARSE", path, f"a list of {element.name} has no length", "Export it again."
                ) from error
        starts.append(starts[-1] + max(length, 0) + (1 if column.length_dtype else 0))
        if not column.length_dtype:
            starts[-1] += 1
    if starts[-1] != len(tokens):
        raise truncated(path, f"a row of {element.name} has {len(tokens)} of {starts[-1]} values")
    return starts


def _step_of(
    dtype: str, length_dtype: str | None, byte_order: str
) -> tuple[int, Literal["little", "big"], bool, int]:
    order: Literal["little", "big"] = "little" if byte_order == "<" else "big"
    size = np.dtype(dtype).itemsize
    if length_dtype is None:
        return 0, order, False, size
    return np.dtype(length_dtype).itemsize, order, length_dtype[0] == "i", size
