"""The rows of a PLY file in its three layouts: fixed rows, rows with lists, lines of text."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from clip3d_cli.formats.binary_rows import append_columns, in_byte_order, read_columns, row_chunks
from clip3d_cli.formats.file_checks import truncated, usable_points
from clip3d_cli.formats.label_fields import LabelColumn
from clip3d_cli.formats.ply.header import PlyElement, PlyHeader
from clip3d_cli.formats.ply.lists import gather, property_starts, splice_after, token_starts
from clip3d_cli.formats.text_rows import label_words, parse_lines, with_words


class PlyBody(Protocol):
    """The rows of a file.

    Attributes:
        points: vertices that are there.
        whole: whether all that the header promises is there.
    """

    points: int
    whole: bool

    def columns(self, names: Sequence[str]) -> dict[str, npt.NDArray[np.generic]]:
        """The named scalar properties of the vertices."""

    def copy_with(self, file: BinaryIO, kept: Sequence[str], added: Sequence[LabelColumn]) -> None:
        """Write all rows, those of vertices with only the kept properties and then the added."""


def open_body(path: Path, header: PlyHeader, allow_truncated: bool) -> PlyBody:
    """The rows behind a header.

    Raises:
        InputError: E_TRUNCATED or E_COUNT_MISMATCH where the file has fewer than promised, unless
            that was allowed; E_PARSE where text is not numbers.
    """
    before = header.elements[: header.vertex_index + 1]
    body: PlyBody
    if not header.byte_order:
        body = _TextBody(path, header, allow_truncated)
    elif any(element.has_lists for element in before):
        body = _ListBody(path, header, allow_truncated)
    else:
        body = _FixedBody(path, header, allow_truncated)
    if not (body.whole or allow_truncated):
        raise truncated(path, "data ends after the points, before what follows them is complete")
    return body


def room_for_points(path: Path, header: PlyHeader) -> int:
    """The most vertices that a file of this size can hold, without reading it."""
    free = path.stat().st_size - header.size
    for element in header.elements[: header.vertex_index]:
        free -= element.count * _least_bytes(header, element)
    least = _least_bytes(header, header.vertex)
    # The last line of a text may lack its end.
    return max(0, free + (0 if header.byte_order else 1)) // least


def _least_bytes(header: PlyHeader, element: PlyElement) -> int:
    if header.byte_order:
        return max(1, element.least_bytes)
    return max(1, 2 * len(element.properties))


def _least_after(header: PlyHeader) -> int:
    rest = header.elements[header.vertex_index + 1 :]
    return sum(element.count * element.least_bytes for element in rest)


class _FixedBody:
    """Binary rows of one length: never in memory at once."""

    def __init__(self, path: Path, header: PlyHeader, allow_truncated: bool) -> None:
        self._path = path
        self._header = header
        self._dtype = header.vertex.row_dtype(header.byte_order)
        before = header.elements[: header.vertex_index]
        self._start = header.size + sum(e.count * e.least_bytes for e in before)
        free = max(0, path.stat().st_size - self._start)
        held = free // self._dtype.itemsize
        self.points = usable_points(path, header.vertex.count, held, allow_truncated)
        self._stop = self._start + self.points * self._dtype.itemsize
        left = path.stat().st_size - self._stop
        self.whole = self.points == header.vertex.count and left >= _least_after(header)

    def columns(self, names: Sequence[str]) -> dict[str, npt.NDArray[np.generic]]:
        chunks = row_chunks(self._path, self._start, self._dtype, self.points)
        return read_columns(chunks, names, self._dtype, self.points)

    def copy_with(self, file: BinaryIO, kept: Sequence[str], added: Sequence[LabelColumn]) -> None:
        chunks = row_chunks(self._path, self._start, self._dtype, self.points)
        with self._path.open("rb") as source:
            source.seek(self._header.size)
            file.write(source.read(self._start - self._header.size))
            append_columns(file, chunks, kept, in_byte_order(added, self._header.byte_order))
            if self.whole:
                source.seek(self._stop)
                shutil.copyfileobj(source, file)


class _ListBody:
    """Binary rows with lists in the vertices or before them: walked row by row, in memory."""

    def __init__(self, path: Path, header: PlyHeader, allow_truncated: bool) -> None:
        self._header = header
        self._body = path.read_bytes()
        self._begin = header.size
        for element in header.elements[: header.vertex_index + 1]:
            starts = property_starts(self._body, self._begin, element, header.byte_order)
            is_vertex = element is header.vertex
            if len(starts) < element.count and not is_vertex:
                raise truncated(
                    path, f"data ends in {element.name}, after {len(starts):,} of {element.count:,}"
                )
            self._starts = starts
            self._begin = int(starts[-1, -1]) if len(starts) and not is_vertex else self._begin
        self.points = usable_points(path, header.vertex.count, len(self._starts), allow_truncated)
        self._stop = int(self._starts[-1, -1]) if self.points else self._begin
        left = len(self._body) - self._stop
        self.whole = self.points == header.vertex.count and left >= _least_after(header)

    def columns(self, names: Sequence[str]) -> dict[str, npt.NDArray[np.generic]]:
        places = {c.name: (place, c) for place, c in enumerate(self._header.vertex.properties)}
        return {
            name: gather(
                self._body,
                self._starts[:, places[name][0]],
                self._header.byte_order + places[name][1].dtype,
            )
            for name in names
        }

    def copy_with(self, file: BinaryIO, kept: Sequence[str], added: Sequence[LabelColumn]) -> None:
        placed = [p for p, c in enumerate(self._header.vertex.properties) if c.name in kept]
        in_order = in_byte_order(added, self._header.byte_order)
        packed = np.empty(self.points, [(c.name, c.values.dtype) for c in in_order])
        for column in in_order:
            packed[column.name] = column.values
        file.write(self._body[self._header.size : self._begin])
        file.write(splice_after(self._body, self._starts, placed, packed.tobytes()))
        if self.whole:
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
        self._rows = rows[first : first + header.vertex.count]
        held = len(self._rows)
        # A cut file usually ends within a line.
        if held and rows[-1] == self._rows[-1] and not text.endswith(end):
            held -= not self._is_complete(self._lines[rows[-1]])
        self.points = usable_points(path, header.vertex.count, held, allow_truncated)
        self._rows = self._rows[: self.points]
        promised = sum(element.count for element in header.elements)
        self.whole = self.points == header.vertex.count and len(rows) >= promised

    def _is_complete(self, line: bytes) -> bool:
        return self._header.vertex.has_lists or len(line.split()) >= len(
            self._header.vertex.properties
        )

    @cached_property
    def _values(self) -> npt.NDArray[np.float64]:
        """(points, P) float64: every scalar property; the lengths of lists in their columns."""
        width = len(self._header.vertex.properties)
        lines = [self._lines[row] for row in self._rows]
        if self._header.vertex.has_lists:
            lines = [b" ".join(self._words(line)) for line in lines]
        return parse_lines(self._path, lines, width)

    def _words(self, line: bytes) -> list[bytes]:
        words = line.split()
        starts = token_starts(self._path, words, self._header.vertex)
        return [words[start] for start in starts[:-1]]

    def columns(self, names: Sequence[str]) -> dict[str, npt.NDArray[np.generic]]:
        places = {c.name: (p, c.dtype) for p, c in enumerate(self._header.vertex.properties)}
        found: dict[str, npt.NDArray[np.generic]] = {}
        for name in names:
            place, dtype = places[name]
            values = self._values[:, place]
            # Coordinates keep the digits of the text even where the header says float.
            found[name] = values if dtype[0] == "f" else values.astype(dtype)
        return found

    def copy_with(self, file: BinaryIO, kept: Sequence[str], added: Sequence[LabelColumn]) -> None:
        lines = list(self._lines)
        dropped = len(kept) < len(self._header.vertex.properties)
        for row, words in zip(self._rows, label_words(added), strict=True):
            line = self._keep_words(lines[row], kept) if dropped else lines[row]
            lines[row] = with_words(line, words)
        if not self.whole:
            del lines[self._rows[-1] + 1 if self._rows else 0 :]
            lines.append(b"")
        file.write(self._end.join(lines))

    def _keep_words(self, line: bytes, kept: Sequence[str]) -> bytes:
        words = line.split()
        starts = token_starts(self._path, words, self._header.vertex)
        spans = zip(self._header.vertex.properties, starts, starts[1:], strict=False)
        left = [word for c, a, b in spans if c.name in kept for word in words[a:b]]
        return b" ".join(left) + line[len(line.rstrip()) :]
