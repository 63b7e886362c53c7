"""The rows of a PLY file in its three layouts: fixed rows, rows with lists, lines of text."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

import numpy as np
import numpy.typing as npt

from clip3d_cli.errors import InputError
from clip3d_cli.formats.binary_rows import append_columns, in_byte_order, read_columns, row_chunks
from clip3d_cli.formats.file_checks import checked_point_count, truncated
from clip3d_cli.formats.label_fields import LabelColumn
from clip3d_cli.formats.ply.header import PlyElement, PlyHeader, PlyProperty
from clip3d_cli.formats.text_rows import label_words, parse_lines, with_words


class PlyBody(Protocol):
    """The rows of a file.

    Attributes:
        points: number of vertices that are there.
        is_whole: whether all rows that the header claims are there, also those of the elements
            behind the vertices.
    """

    points: int
    is_whole: bool

    def columns(self, names: Sequence[str]) -> dict[str, npt.NDArray[np.generic]]:
        """Return the named scalar properties of the vertices, (N,) each."""

    def copy_with(self, file: BinaryIO, kept: Sequence[str], added: Sequence[LabelColumn]) -> None:
        """Write all rows; the vertices with the kept properties only, then the added columns."""


def open_body(path: Path, header: PlyHeader, allow_truncated: bool) -> PlyBody:
    """Return the rows behind a header.

    Args:
        path: the file.
        header: its header.
        allow_truncated: whether a file with fewer rows than claimed is accepted.

    Raises:
        InputError: E_TRUNCATED or E_COUNT_MISMATCH: rows are missing; E_PARSE: the length of a
            list is no number.
    """
    body: PlyBody
    if not header.byte_order:
        body = _TextBody(path, header, allow_truncated)
    elif any(element.has_lists for element in header.elements[: header.vertex_index + 1]):
        body = _ListBody(path, header, allow_truncated)
    else:
        body = _FixedBody(path, header, allow_truncated)
    if not (body.is_whole or allow_truncated):
        raise truncated(path, "data ends after the points, before what follows them is complete")
    return body


def max_points(header: PlyHeader) -> int:
    """Return the most vertices that a file of this size can hold; reads nothing."""
    free = header.file_bytes - header.size
    for element in header.elements[: header.vertex_index]:
        free -= element.count * _min_row_bytes(header, element)
    # The last line of a text may lack its line end: one byte less.
    free += 0 if header.byte_order else 1
    return max(0, free) // _min_row_bytes(header, header.vertex)


def _min_row_bytes(header: PlyHeader, element: PlyElement) -> int:
    if header.byte_order:
        return max(1, element.min_row_bytes)
    return max(1, 2 * len(element.properties))  # a digit and a separator per property


def _min_bytes_behind_vertices(header: PlyHeader) -> int:
    rest = header.elements[header.vertex_index + 1 :]
    return sum(element.count * element.min_row_bytes for element in rest)


class _FixedBody:
    """Binary rows of one length, read in chunks: they are never in memory at once."""

    def __init__(self, path: Path, header: PlyHeader, allow_truncated: bool) -> None:
        self._path = path
        self._header = header
        self._dtype = header.vertex.row_dtype(header.byte_order)
        before = header.elements[: header.vertex_index]
        self._start = header.size + sum(e.count * e.min_row_bytes for e in before)
        available = max(0, header.file_bytes - self._start) // self._dtype.itemsize
        self.points = checked_point_count(path, header.vertex.count, available, allow_truncated)
        self._stop = self._start + self.points * self._dtype.itemsize
        left = header.file_bytes - self._stop
        self.is_whole = self.points == header.vertex.count and left >= _min_bytes_behind_vertices(
            header
        )

    def columns(self, names: Sequence[str]) -> dict[str, npt.NDArray[np.generic]]:
        chunks = row_chunks(self._path, self._start, self._dtype, self.points)
        return read_columns(chunks, names, self._dtype, self.points)

    def copy_with(self, file: BinaryIO, kept: Sequence[str], added: Sequence[LabelColumn]) -> None:
        chunks = row_chunks(self._path, self._start, self._dtype, self.points)
        with self._path.open("rb") as source:
            source.seek(self._header.size)
            file.write(source.read(self._start - self._header.size))  # elements before
            append_columns(file, chunks, kept, in_byte_order(added, self._header.byte_order))
            if self.is_whole:
                source.seek(self._stop)
                shutil.copyfileobj(source, file)  # elements behind


class _ListBody:
    """Binary rows with lists in or before the vertices: scanned row by row, in memory."""

    def __init__(self, path: Path, header: PlyHeader, allow_truncated: bool) -> None:
        self._header = header
        self._body = path.read_bytes()
        self._vertex_start = header.size
        for element in header.elements[: header.vertex_index + 1]:
            # (R, P + 1): where the P properties of each row start, and where the row ends.
            starts = property_starts(self._body, self._vertex_start, element, header.byte_order)
            is_vertex = element is header.vertex
            if len(starts) < element.count and not is_vertex:
                raise truncated(
                    path, f"data ends in {element.name}, after {len(starts):,} of {element.count:,}"
                )
            self._starts = starts
            if len(starts) and not is_vertex:
                self._vertex_start = int(starts[-1, -1])
        available = len(self._starts)
        self.points = checked_point_count(path, header.vertex.count, available, allow_truncated)
        self._stop = int(self._starts[-1, -1]) if self.points else self._vertex_start
        left = len(self._body) - self._stop
        self.is_whole = self.points == header.vertex.count and left >= _min_bytes_behind_vertices(
            header
        )

    def columns(self, names: Sequence[str]) -> dict[str, npt.NDArray[np.generic]]:
        properties = self._header.vertex.properties
        index_of_name = {column.name: index for index, column in enumerate(properties)}
        return {
            name: _gather(
                self._body,
                self._starts[:, index_of_name[name]],
                self._header.byte_order + properties[index_of_name[name]].dtype,
            )
            for name in names
        }

    def copy_with(self, file: BinaryIO, kept: Sequence[str], added: Sequence[LabelColumn]) -> None:
        indices = [i for i, c in enumerate(self._header.vertex.properties) if c.name in kept]
        in_order = in_byte_order(added, self._header.byte_order)
        packed = np.empty(self.points, [(c.name, c.values.dtype) for c in in_order])
        for column in in_order:
            packed[column.name] = column.values
        file.write(self._body[self._header.size : self._vertex_start])
        file.write(_splice(self._body, self._starts, indices, packed.tobytes()))
        if self.is_whole:
            file.write(self._body[self._stop :])


class _TextBody:
    """Lines of words: kept as they are, with words added at their ends."""

    def __init__(self, path: Path, header: PlyHeader, allow_truncated: bool) -> None:
        self._path = path
        self._header = header
        with path.open("rb") as file:
            file.seek(header.size)
            text = file.read()
        end = b"\r" if header.newline == b"\r" else b"\n"
        self._end = end
        self._lines = text.split(end)
        rows = [number for number, line in enumerate(self._lines) if line.strip()]
        first = sum(element.count for element in header.elements[: header.vertex_index])
        # Index of the line of every vertex, (N,).
        self._rows = rows[first : first + header.vertex.count]
        available = len(self._rows)
        # A file that was cut off usually ends within a line.
        if available and rows[-1] == self._rows[-1] and not text.endswith(end):
            available -= not self._is_complete(self._lines[rows[-1]])
        self.points = checked_point_count(path, header.vertex.count, available, allow_truncated)
        self._rows = self._rows[: self.points]
        claimed = sum(element.count for element in header.elements)
        self.is_whole = self.points == header.vertex.count and len(rows) >= claimed

    def _is_complete(self, line: bytes) -> bool:
        return self._header.vertex.has_lists or len(line.split()) >= len(
            self._header.vertex.properties
        )

    @cached_property
    def _values(self) -> npt.NDArray[np.float64]:
        """(N, P) float64: the values of scalar properties, the lengths of lists."""
        width = len(self._header.vertex.properties)
        lines = [self._lines[row] for row in self._rows]
        if self._header.vertex.has_lists:
            lines = [b" ".join(self._first_words(line)) for line in lines]
        return parse_lines(self._path, lines, width)

    def _first_words(self, line: bytes) -> list[bytes]:
        """Return the first word of every property."""
        words = line.split()
        starts = token_starts(self._path, words, self._header.vertex)
        return [words[start] for start in starts[:-1]]

    def columns(self, names: Sequence[str]) -> dict[str, npt.NDArray[np.generic]]:
        properties = {c.name: (i, c.dtype) for i, c in enumerate(self._header.vertex.properties)}
        columns: dict[str, npt.NDArray[np.generic]] = {}
        for name in names:
            index, dtype = properties[name]
            values = self._values[:, index]
            # Coordinates keep the digits of the text even if the header says float.
            columns[name] = values if dtype[0] == "f" else values.astype(dtype)
        return columns

    def copy_with(self, file: BinaryIO, kept: Sequence[str], added: Sequence[LabelColumn]) -> None:
        lines = list(self._lines)
        drops_words = len(kept) < len(self._header.vertex.properties)
        for row, words in zip(self._rows, label_words(added), strict=True):
            line = self._kept_words(lines[row], kept) if drops_words else lines[row]
            lines[row] = with_words(line, words)
        if not self.is_whole:
            del lines[self._rows[-1] + 1 if self._rows else 0 :]
            lines.append(b"")
        file.write(self._end.join(lines))

    def _kept_words(self, line: bytes, kept: Sequence[str]) -> bytes:
        words = line.split()
        starts = token_starts(self._path, words, self._header.vertex)
        spans = zip(self._header.vertex.properties, starts, starts[1:], strict=False)
        left = [word for c, start, stop in spans if c.name in kept for word in words[start:stop]]
        return b" ".join(left) + line[len(line.rstrip()) :]


def property_starts(
    body: bytes, start: int, element: PlyElement, byte_order: str
) -> npt.NDArray[np.int64]:
    """Find the properties of binary rows that hold lists.

    Args:
        body: bytes of the file.
        start: byte at which the first row of the element starts.
        element: element with P properties.
        byte_order: ``<`` or ``>``.

    Returns:
        (R, P + 1) int64: the byte at which each property of each whole row starts, and the byte
        behind the row. R is smaller than the element's count where the file ends early. Every row
        takes at least one byte, so a wrong count costs no more than the file holds.
    """
    view = memoryview(body)
    layouts = [_byte_layout(column, byte_order) for column in element.properties]
    rows: list[list[int]] = []
    position = start
    for _ in range(element.count):
        row = [position]
        for length_bytes, order, is_signed, value_bytes in layouts:
            length = 1
            if length_bytes:
                raw = view[position : position + length_bytes]
                length = int.from_bytes(raw, order, signed=is_signed)
                position += length_bytes
            position += max(length, 0) * value_bytes
            row.append(position)
        if position > len(body):
            break
        rows.append(row)
    return np.array(rows, np.int64).reshape(-1, len(element.properties) + 1)


def _byte_layout(
    column: PlyProperty, byte_order: str
) -> tuple[int, Literal["little", "big"], bool, int]:
    """Return bytes of the length (0 for a scalar), its byte order and sign, bytes of a value."""
    order: Literal["little", "big"] = "little" if byte_order == "<" else "big"
    value_bytes = np.dtype(column.dtype).itemsize
    if column.length_dtype is None:
        return 0, order, False, value_bytes
    length_bytes = np.dtype(column.length_dtype).itemsize
    return length_bytes, order, column.length_dtype[0] == "i", value_bytes


def _gather(body: bytes, starts: npt.NDArray[np.int64], dtype: str) -> npt.NDArray[np.generic]:
    """Return the (R,) numbers of ``dtype`` whose first bytes are at ``starts``, (R,)."""
    size = np.dtype(dtype).itemsize
    raw = np.frombuffer(body, np.uint8)
    of_number = starts[:, None] + np.arange(size)  # (R, size): positions of the bytes
    return np.ascontiguousarray(raw[of_number]).view(dtype)[:, 0]


def _splice(body: bytes, starts: npt.NDArray[np.int64], kept: list[int], added: bytes) -> bytes:
    """Return rows with the kept properties only, each followed by its part of ``added``.

    Args:
        body: bytes of the file.
        starts: (R, P + 1), see ``property_starts``.
        kept: indices of the kept properties.
        added: R parts of equal length.
    """
    part_bytes = len(added) // max(len(starts), 1)
    view = memoryview(body)
    parts: list[bytes | memoryview] = []
    for row, bounds in enumerate(starts.tolist()):
        parts += [view[bounds[index] : bounds[index + 1]] for index in kept]
        parts.append(added[row * part_bytes : (row + 1) * part_bytes])
    return b"".join(parts)


def token_starts(path: Path, tokens: list[bytes], element: PlyElement) -> list[int]:
    """Find the properties among the words of an ascii row.

    Args:
        path: the file, for messages.
        tokens: words of the row.
        element: its element, with P properties.

    Returns:
        P + 1 indices: the first word of each property, and the number of words.

    Raises:
        InputError: E_PARSE: the length of a list is no number; E_TRUNCATED: the row has another
            number of words than its lists say.
    """
    starts = [0]
    for column in element.properties:
        words = 1
        if column.length_dtype:
            try:
                words += max(int(tokens[starts[-1]]), 0)
            except (ValueError, IndexError) as error:
                raise InputError(
                    "E_PARSE", path, f"a list of {element.name} has no length", "Export it again."
                ) from error
        starts.append(starts[-1] + words)
    if starts[-1] != len(tokens):
        raise truncated(path, f"a row of {element.name} has {len(tokens)} of {starts[-1]} values")
    return starts
