"""The points of a PCD file in its three layouts: rows of bytes, packed columns, lines of text."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from clip3d_cli.errors import InputError
from clip3d_cli.formats.binary_rows import append_columns, read_columns, row_chunks
from clip3d_cli.formats.file_checks import bad_header, truncated, usable_points
from clip3d_cli.formats.label_fields import LabelColumn
from clip3d_cli.formats.pcd import lzf
from clip3d_cli.formats.pcd.header import PcdHeader
from clip3d_cli.formats.text_rows import label_words, parse_lines, with_words

_SIZES = struct.Struct("<II")
_MOST_PACKED = 0xFFFFFFFF


class PcdBody(Protocol):
    """The points of a file; ``points`` says how many are there."""

    points: int

    def columns(self, places: Sequence[int]) -> dict[int, npt.NDArray[np.generic]]:
        """The fields at those positions, each of one number: (N,)."""

    def copy_with(self, file: BinaryIO, kept: Sequence[int], added: Sequence[LabelColumn]) -> None:
        """Write all points with the kept fields and then the added columns, four bytes each."""


def open_body(path: Path, header: PcdHeader, allow_truncated: bool) -> PcdBody:
    """The points behind a header.

    Raises:
        InputError: E_TRUNCATED, E_COUNT_MISMATCH, E_CORRUPT or E_PARSE.
    """
    if header.layout == "ascii":
        return _TextBody(path, header, allow_truncated)
    if header.layout == "binary":
        return _RowBody(path, header, allow_truncated)
    return _PackedBody(path, header)


def room_for_points(path: Path, header: PcdHeader) -> int:
    """The most points that a file of this size can hold, without reading it."""
    free = path.stat().st_size - len(header.raw)
    if header.layout == "ascii":
        return (free + 1) // (2 * sum(field.count for field in header.fields))
    row_bytes = sum(field.size for field in header.fields)
    if header.layout == "binary":
        return free // row_bytes
    packed, unpacked = _packed_sizes(path, header)
    held = min(unpacked, packed * lzf.MOST_EXPANSION) // row_bytes
    if held == header.points and len(header.raw) + _SIZES.size + packed > path.stat().st_size:
        # A cut stream has all of x and nothing of the last field: there is no part to take.
        raise InputError(
            "E_TRUNCATED",
            path,
            f"the packed points take {packed:,} bytes, {free - _SIZES.size:,} are there",
            "The copy was cut off; fetch it again.",
        )
    return held


class _RowBody:
    """One packed row of bytes per point: never in memory at once."""

    def __init__(self, path: Path, header: PcdHeader, allow_truncated: bool) -> None:
        self._path, self._header = path, header
        held = room_for_points(path, header)
        self.points = usable_points(path, header.points, held, allow_truncated)

    def columns(self, places: Sequence[int]) -> dict[int, npt.NDArray[np.generic]]:
        dtype = self._header.row_dtype
        chunks = row_chunks(self._path, len(self._header.raw), dtype, self.points)
        found = read_columns(chunks, [f"f{place}" for place in places], dtype, self.points)
        return {place: found[f"f{place}"] for place in places}

    def copy_with(self, file: BinaryIO, kept: Sequence[int], added: Sequence[LabelColumn]) -> None:
        dtype = self._header.row_dtype
        chunks = row_chunks(self._path, len(self._header.raw), dtype, self.points)
        append_columns(file, chunks, [f"f{place}" for place in kept], added)


class _PackedBody:
    """Whole fields, one after the other, packed together by LZF."""

    def __init__(self, path: Path, header: PcdHeader) -> None:
        self._path, self._header = path, header
        held = room_for_points(path, header)
        self.points = usable_points(path, header.points, held, allow_truncated=False)

    @cached_property
    def _packed(self) -> bytes:
        packed, _ = _packed_sizes(self._path, self._header)
        with self._path.open("rb") as file:
            file.seek(len(self._header.raw) + _SIZES.size)
            return file.read(packed)

    @cached_property
    def _raw(self) -> bytes:
        size = self.points * sum(field.size for field in self._header.fields)
        raw = lzf.unpack(self._packed, size)
        if raw is None:
            raise InputError(
                "E_CORRUPT",
                self._path,
                f"the packed points do not unpack to {size:,} bytes",
                "The file is damaged; fetch it again.",
            )
        return raw

    def _span(self, place: int) -> slice:
        sizes = [field.size for field in self._header.fields]
        start = self.points * sum(sizes[:place])
        return slice(start, start + self.points * sizes[place])

    def columns(self, places: Sequence[int]) -> dict[int, npt.NDArray[np.generic]]:
        fields = self._header.fields
        return {p: np.frombuffer(self._raw[self._span(p)], fields[p].dtype) for p in places}

    def copy_with(self, file: BinaryIO, kept: Sequence[int], added: Sequence[LabelColumn]) -> None:
        if len(kept) == len(self._header.fields):
            packed = self._packed
        else:
            packed = lzf.pack_literally(b"".join(self._raw[self._span(place)] for place in kept))
        packed += lzf.pack_literally(b"".join(column.values.tobytes() for column in added))
        row_bytes = sum(self._header.fields[place].size for place in kept) + 4 * len(added)
        if max(len(packed), self.points * row_bytes) > _MOST_PACKED:
            raise InputError(
                "E_TOO_LARGE",
                self._path,
                "with labels it would exceed the 4 GB that binary_compressed can say",
                "Convert it to binary, or ask for .label or .npz with -o.",
            )
        file.write(_SIZES.pack(len(packed), self.points * row_bytes))
        file.write(packed)


class _TextBody:
    """One line of words per point."""

    def __init__(self, path: Path, header: PcdHeader, allow_truncated: bool) -> None:
        self._path, self._header = path, header
        with path.open("rb") as file:
            file.seek(len(header.raw))
            text = file.read()
        self._lines = text.split(b"\n")
        self._rows = [n for n, line in enumerate(self._lines) if line.strip()][: header.points]
        self._width = sum(field.count for field in header.fields)
        held = len(self._rows)
        # A cut file usually ends within a line.
        if held and self._rows[-1] == len(self._lines) - 1:
            held -= len(self._lines[-1].split()) < self._width
        self.points = usable_points(path, header.points, held, allow_truncated)
        self._rows = self._rows[: self.points]

    @cached_property
    def _values(self) -> npt.NDArray[np.float64]:
        return parse_lines(self._path, [self._lines[row] for row in self._rows], self._width)

    def columns(self, places: Sequence[int]) -> dict[int, npt.NDArray[np.generic]]:
        return {place: self._values[:, self._words(place).start] for place in places}

    def _words(self, place: int) -> slice:
        counts = [field.count for field in self._header.fields]
        start = sum(counts[:place])
        return slice(start, start + counts[place])

    def copy_with(self, file: BinaryIO, kept: Sequence[int], added: Sequence[LabelColumn]) -> None:
        lines = list(self._lines)
        dropped = len(kept) < len(self._header.fields)
        for row, words in zip(self._rows, label_words(added), strict=True):
            lines[row] = with_words(self._keep(lines[row], kept) if dropped else lines[row], words)
        if self.points < self._header.points:
            lines = [*lines[: self._rows[-1] + 1], b""] if self._rows else []
        file.write(b"\n".join(lines))

    def _keep(self, line: bytes, kept: Sequence[int]) -> bytes:
        words = line.split()
        left = [word for place in kept for word in words[self._words(place)]]
        return b" ".join(left) + line[len(line.rstrip()) :]


def _packed_sizes(path: Path, header: PcdHeader) -> tuple[int, int]:
    """Bytes of the packed stream, and of what it unpacks to, which must be all points."""
    with path.open("rb") as file:
        file.seek(len(header.raw))
        raw = file.read(_SIZES.size)
    if len(raw) < _SIZES.size:
        if not header.points:
            return 0, 0
        raise truncated(path, "the file ends before the packed points")
    packed, unpacked = _SIZES.unpack(raw)
    need = header.points * sum(field.size for field in header.fields)
    if unpacked > need:
        raise bad_header(path, f"{unpacked:,} bytes are packed, the points take {need:,}")
    return packed, unpacked
