"""The points of a PCD file in its three layouts: rows of bytes, compressed columns, text lines."""

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
from clip3d_cli.formats.file_checks import bad_header, checked_point_count, truncated
from clip3d_cli.formats.label_fields import LabelColumn
from clip3d_cli.formats.pcd import lzf
from clip3d_cli.formats.pcd.header import PcdHeader
from clip3d_cli.formats.text_rows import label_words, parse_lines, with_words

# Before the compressed points stand their compressed and their uncompressed length.
_LENGTHS = struct.Struct("<II")
_MAX_LENGTH = 0xFFFFFFFF


class PcdBody(Protocol):
    """The points of a file.

    Attributes:
        points: number of points that are there.
    """

    points: int

    def columns(self, indices: Sequence[int]) -> dict[int, npt.NDArray[np.generic]]:
        """Return the fields of those indices, one number per point, (N,) each."""

    def copy_with(self, file: BinaryIO, kept: Sequence[int], added: Sequence[LabelColumn]) -> None:
        """Write all points: the fields of the kept indices, then the columns, 4 bytes each."""


def open_body(path: Path, header: PcdHeader, allow_truncated: bool) -> PcdBody:
    """Return the points behind a header.

    Args:
        path: the file.
        header: its header.
        allow_truncated: whether a file with fewer points than claimed is accepted.

    Raises:
        InputError: E_TRUNCATED or E_COUNT_MISMATCH: points are missing.
    """
    if header.layout == "ascii":
        return _TextBody(path, header, allow_truncated)
    if header.layout == "binary":
        return _RowBody(path, header, allow_truncated)
    return _CompressedBody(path, header)


def max_points(path: Path, header: PcdHeader) -> int:
    """Return the most points that a file of this size can hold; reads at most eight bytes.

    Raises:
        InputError: E_TRUNCATED, E_BAD_HEADER: the lengths of compressed points do not fit.
    """
    free = header.file_bytes - len(header.raw)
    if header.layout == "ascii":
        # A digit and a separator per number; the last line may lack its line end.
        return (free + 1) // (2 * sum(field.count for field in header.fields))
    if header.layout == "binary":
        return free // header.point_bytes
    compressed, uncompressed = _compressed_lengths(path, header)
    available = min(uncompressed, compressed * lzf.MAX_EXPANSION) // header.point_bytes
    if available == header.points and compressed > free - _LENGTHS.size:
        # Fields are compressed one after the other: a cut stream has no whole point.
        raise InputError(
            "E_TRUNCATED",
            path,
            f"the compressed points take {compressed:,} bytes, {free - _LENGTHS.size:,} are there",
            "The file is incomplete; copy or download it again.",
        )
    return available


class _RowBody:
    """A row of bytes per point, read in chunks: they are never in memory at once."""

    def __init__(self, path: Path, header: PcdHeader, allow_truncated: bool) -> None:
        self._path, self._header = path, header
        available = max_points(path, header)
        self.points = checked_point_count(path, header.points, available, allow_truncated)

    def columns(self, indices: Sequence[int]) -> dict[int, npt.NDArray[np.generic]]:
        dtype = self._header.row_dtype
        chunks = row_chunks(self._path, len(self._header.raw), dtype, self.points)
        columns = read_columns(chunks, [f"f{index}" for index in indices], dtype, self.points)
        return {index: columns[f"f{index}"] for index in indices}

    def copy_with(self, file: BinaryIO, kept: Sequence[int], added: Sequence[LabelColumn]) -> None:
        dtype = self._header.row_dtype
        chunks = row_chunks(self._path, len(self._header.raw), dtype, self.points)
        append_columns(file, chunks, [f"f{index}" for index in kept], added)


class _CompressedBody:
    """All values of the first field, then of the next, compressed together by LZF."""

    def __init__(self, path: Path, header: PcdHeader) -> None:
        self._path, self._header = path, header
        available = max_points(path, header)
        self.points = checked_point_count(path, header.points, available, allow_truncated=False)

    @cached_property
    def _compressed(self) -> bytes:
        length, _ = _compressed_lengths(self._path, self._header)
        with self._path.open("rb") as file:
            file.seek(len(self._header.raw) + _LENGTHS.size)
            return file.read(length)

    @cached_property
    def _raw(self) -> memoryview:
        size = self.points * self._header.point_bytes
        raw = lzf.decompress(self._compressed, size)
        if raw is None:
            raise InputError(
                "E_CORRUPT",
                self._path,
                f"the compressed points do not unpack to {size:,} bytes",
                "The file is damaged; copy or download it again.",
            )
        return memoryview(raw)

    def _span(self, index: int) -> slice:
        """Return the bytes of a field in the uncompressed points."""
        sizes = [field.size for field in self._header.fields]
        start = self.points * sum(sizes[:index])
        return slice(start, start + self.points * sizes[index])

    def columns(self, indices: Sequence[int]) -> dict[int, npt.NDArray[np.generic]]:
        fields = self._header.fields
        return {i: np.frombuffer(self._raw[self._span(i)], fields[i].dtype) for i in indices}

    def copy_with(self, file: BinaryIO, kept: Sequence[int], added: Sequence[LabelColumn]) -> None:
        if len(kept) == len(self._header.fields):
            compressed = self._compressed  # LZF streams can be joined: no need to unpack
        else:
            compressed = lzf.compress(b"".join(self._raw[self._span(index)] for index in kept))
        compressed += lzf.compress(b"".join(column.values.tobytes() for column in added))
        point_bytes = sum(self._header.fields[index].size for index in kept) + 4 * len(added)
        if max(len(compressed), self.points * point_bytes) > _MAX_LENGTH:
            raise InputError(
                "E_TOO_LARGE",
                self._path,
                "with labels it would exceed the 4 GB that binary_compressed can hold",
                "Convert it to binary, or write .label or .npz with -o.",
            )
        file.write(_LENGTHS.pack(len(compressed), self.points * point_bytes))
        file.write(compressed)


class _TextBody:
    """A line of words per point."""

    def __init__(self, path: Path, header: PcdHeader, allow_truncated: bool) -> None:
        self._path, self._header = path, header
        with path.open("rb") as file:
            file.seek(len(header.raw))
            text = file.read()
        self._lines = text.split(b"\n")
        # Index of the line of every point, (N,).
        self._rows = [n for n, line in enumerate(self._lines) if line.strip()][: header.points]
        self._width = sum(field.count for field in header.fields)
        available = len(self._rows)
        # A file that was cut off usually ends within a line.
        if available and self._rows[-1] == len(self._lines) - 1:
            available -= len(self._lines[-1].split()) < self._width
        self.points = checked_point_count(path, header.points, available, allow_truncated)
        self._rows = self._rows[: self.points]

    @cached_property
    def _values(self) -> npt.NDArray[np.float64]:
        """(N, width) float64: every number of every point."""
        return parse_lines(self._path, [self._lines[row] for row in self._rows], self._width)

    def columns(self, indices: Sequence[int]) -> dict[int, npt.NDArray[np.generic]]:
        return {index: self._values[:, self._words(index).start] for index in indices}

    def _words(self, index: int) -> slice:
        """Return which words of a line belong to a field."""
        counts = [field.count for field in self._header.fields]
        start = sum(counts[:index])
        return slice(start, start + counts[index])

    def copy_with(self, file: BinaryIO, kept: Sequence[int], added: Sequence[LabelColumn]) -> None:
        lines = list(self._lines)
        drops_words = len(kept) < len(self._header.fields)
        for row, words in zip(self._rows, label_words(added), strict=True):
            line = self._kept_words(lines[row], kept) if drops_words else lines[row]
            lines[row] = with_words(line, words)
        if self.points < self._header.points:
            lines = [*lines[: self._rows[-1] + 1], b""] if self._rows else []
        file.write(b"\n".join(lines))

    def _kept_words(self, line: bytes, kept: Sequence[int]) -> bytes:
        words = line.split()
        left = [word for index in kept for word in words[self._words(index)]]
        return b" ".join(left) + line[len(line.rstrip()) :]


def _compressed_lengths(path: Path, header: PcdHeader) -> tuple[int, int]:
    """Return the length of the compressed points in bytes, and of what they unpack to."""
    with path.open("rb") as file:
        file.seek(len(header.raw))
        raw = file.read(_LENGTHS.size)
    if len(raw) < _LENGTHS.size:
        if not header.points:
            return 0, 0
        raise truncated(path, "the file ends before the compressed points")
    compressed, uncompressed = _LENGTHS.unpack(raw)
    need = header.points * header.point_bytes
    if uncompressed > need:
        raise bad_header(path, f"{uncompressed:,} bytes are compressed, the points take {need:,}")
    return compressed, uncompressed
