"""The points of LAS and LAZ files as raw records, in chunks; the one adapter of lazrs."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import lazrs
import numpy as np
import numpy.typing as npt

from clip3d_cli.errors import Clip3DError, InputError
from clip3d_cli.formats.file_checks import truncated
from clip3d_cli.formats.las.header import LasHeader
from clip3d_cli.formats.las.laz_chunks import (
    LazPacking,
    chunk_table,
    laz_packing,
    require_lengths,
    whole_chunks,
)

_CHUNK_POINTS = 1_000_000
# After a cut, every point before it counts, and a failed step is lost whole.
_CAREFUL_POINTS = 1000


def laz_points_held(path: Path, header: LasHeader) -> tuple[int, int]:
    """The fewest and the most points that the chunks of a LAZ file hold, from their table.

    lazrs believes what chunks say of their lengths and ends the process where memory does not
    suffice, so every length is checked here first.

    Raises:
        InputError: E_TRUNCATED where the table is missing, E_BAD_HEADER or E_CORRUPT where
            lengths cannot be true.
    """
    packing = laz_packing(path, header)
    table_at, chunks = chunk_table(path, header)
    if not chunks:
        return 0, 0
    with path.open("rb") as file:
        file.seek(header.points_start)
        with _refusing(path):
            table = lazrs.read_chunk_table(file, lazrs.LazVlr(packing.body))
        require_lengths(path, header, packing, [size for _, size in table], table_at)
    if packing.chunk_points is None:
        held = sum(points for points, _ in table)
        return held, held
    return (chunks - 1) * packing.chunk_points + 1, chunks * packing.chunk_points


def laz_points_before_cut(path: Path, header: LasHeader) -> int:
    """The most points that a LAZ file without chunk table can give."""
    chunks = whole_chunks(path, header, laz_packing(path, header))
    return min(header.count, sum(points for points, _ in chunks))


def point_chunks(
    path: Path, header: LasHeader, count: int, *, carefully: bool = False
) -> Iterator[tuple[slice, npt.NDArray[np.uint8]]]:
    """Chunks of raw points, (P, record_bytes) uint8, each with the slice of rows it holds.

    Args:
        path: the file.
        header: of the file.
        count: points to give.
        carefully: of a LAZ file that was cut off: give what comes before the cut.

    Raises:
        InputError: E_TRUNCATED or E_CORRUPT, with the number of points before the fault.
    """
    with path.open("rb") as file:
        file.seek(header.points_start)
        read: Callable[[memoryview], int | None] = file.readinto
        if header.compressed:
            read = _unpacker(path, header, file, carefully)
        step = _CAREFUL_POINTS if carefully else _CHUNK_POINTS
        for first in range(0, count, step):
            chunk = np.zeros((min(step, count - first), header.record_bytes), np.uint8)
            try:
                with _refusing(path, first):
                    filled = read(chunk.reshape(-1).data)
            except Clip3DError:
                if carefully:
                    return
                raise
            if filled is not None and filled < chunk.size:
                raise truncated(path, f"data ends before point {first + len(chunk):,}")
            yield slice(first, first + len(chunk)), chunk


class PointSink:
    """Writes raw points of one length behind a header, compressed or not."""

    def __init__(self, file: BinaryIO, packing: bytes | None) -> None:
        self._file = file
        self._packer = lazrs.ParLasZipCompressor(file, lazrs.LazVlr(packing)) if packing else None
        if self._packer is not None:
            self._packer.reserve_offset_to_chunk_table()

    def write(self, chunk: npt.NDArray[np.uint8]) -> None:
        """Write the next points, (P, record_bytes)."""
        raw = np.ascontiguousarray(chunk).reshape(-1)
        if self._packer is not None:
            self._packer.compress_many(raw)
        else:
            self._file.write(raw.tobytes())

    def finish(self) -> None:
        """Write what follows the points: the chunk table of a LAZ file."""
        if self._packer is not None:
            self._packer.done()
        self._file.seek(0, 2)


def packing_for(path: Path, point_format: int, extra_bytes: int) -> bytes:
    """The body of the LAZ record for points of a format with so many extra bytes."""
    with _refusing(path):
        return bytes(lazrs.LazVlr.new_for_compression(point_format, extra_bytes).record_data())


@contextmanager
def _refusing(path: Path, before: int = 0) -> Iterator[None]:
    """Turn the faults of lazrs, its panics included, into refusals."""
    try:
        yield
    except lazrs.LazrsError as error:
        raise _corrupt(path, before) from error
    except BaseException as error:
        # A panic of Rust is no Exception, and its class cannot be imported.
        if type(error).__name__ != "PanicException":
            raise
        raise _corrupt(path, before) from error


def _corrupt(path: Path, before: int) -> InputError:
    return InputError(
        "E_CORRUPT",
        path,
        f"the compressed points do not unpack; {before:,} before them do",
        "The file is damaged; fetch it again.",
    )


def _unpacker(
    path: Path, header: LasHeader, file: BinaryIO, carefully: bool
) -> Callable[[memoryview], None]:
    packing = laz_packing(path, header)
    unpack: Callable[[memoryview], None]
    with _refusing(path):
        if carefully:
            mended = _mended(path, header, packing, file)
            unpack = lazrs.LasZipDecompressor(mended, packing.body).decompress_many
        else:
            unpack = lazrs.ParLasZipDecompressor(file, packing.body).decompress_many
    return unpack


def _mended(path: Path, header: LasHeader, packing: LazPacking, file: BinaryIO) -> BinaryIO:
    """The packed points of a file that was cut off, with a chunk table: lazrs wants one."""
    stream = io.BytesIO()
    stream.write((header.file_bytes - header.points_start).to_bytes(8, "little"))
    file.seek(header.points_start + 8)
    stream.write(file.read())
    lazrs.write_chunk_table(stream, whole_chunks(path, header, packing), lazrs.LazVlr(packing.body))
    stream.seek(0)
    return stream
