"""The points of LAS and LAZ files as raw records, in chunks; the one adapter of lazrs."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import lazrs
import numpy as np
import numpy.typing as npt

from clip3d_cli.errors import Clip3DError, InputError
from clip3d_cli.formats.guard import bad_header, truncated
from clip3d_cli.formats.las_header import LasHeader, LasRecord

LAZ_USER_ID, LAZ_RECORD_ID = "laszip encoded", 22204
VARIABLE_CHUNKS = 0xFFFFFFFF

_CHUNK_POINTS = 1_000_000
# After a cut, every point before it counts, and a failed step is lost whole.
_CAREFUL_POINTS = 1000
_UNFINISHED = -1
_LEAST_VLR_BYTES = 34
_CHUNK_SIZE_AT = 12
_POINTWISE = 1


def laz_record(path: Path, header: LasHeader) -> LasRecord:
    """The record that says how a LAZ file is packed.

    Raises:
        InputError: E_BAD_HEADER where it is missing or does not fit the points; E_UNSUPPORTED for
            the first LAZ format, which had no chunks.
    """
    record = header.find(LAZ_USER_ID, LAZ_RECORD_ID)
    if record is None or record.body_bytes < _LEAST_VLR_BYTES:
        raise bad_header(path, "the points are compressed, the record that says how is missing")
    body = record.body(path)
    if int.from_bytes(body[:2], "little") == _POINTWISE:
        raise InputError(
            "E_UNSUPPORTED", path, "is LAZ without chunks", "Write it again with a newer laszip."
        )
    with _refusing(path):
        item_bytes = lazrs.LazVlr(body).item_size()
    if item_bytes != header.record_bytes:
        raise bad_header(
            path, f"points have {header.record_bytes} bytes, the LAZ record says {item_bytes}"
        )
    return record


def laz_points_held(path: Path, header: LasHeader) -> tuple[int, int]:
    """The fewest and the most points that the chunks of a LAZ file hold, from their table.

    Raises:
        InputError: E_TRUNCATED where the table is missing, E_BAD_HEADER where it cannot be true.
    """
    body = laz_record(path, header).body(path)
    chunk_points = struct.unpack_from("<I", body, _CHUNK_SIZE_AT)[0]
    with path.open("rb") as file:
        table_at = _table_at(path, header, file)
        file.seek(table_at)
        _, chunks = struct.unpack("<II", file.read(8))
        # Every chunk begins with one whole point.
        if chunks * header.record_bytes > table_at - header.points_start:
            raise bad_header(path, f"the LAZ chunk table claims {chunks:,} chunks")
        if chunk_points != VARIABLE_CHUNKS:
            return max(chunks - 1, 0) * chunk_points + min(chunks, 1), chunks * chunk_points
        file.seek(header.points_start)
        with _refusing(path):
            table = lazrs.read_chunk_table(file, lazrs.LazVlr(body))
    held = sum(points for points, _ in table)
    return held, held


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
    """The body of the LAZ record for points of a format with so many extra bytes.

    Raises:
        InputError: E_UNSUPPORTED, LAZ has no way to pack that format.
    """
    try:
        with _refusing(path):
            return bytes(lazrs.LazVlr.new_for_compression(point_format, extra_bytes).record_data())
    except Clip3DError as error:
        raise InputError(
            "E_UNSUPPORTED",
            path,
            f"LAZ cannot pack points of format {point_format}",
            "Write a .las file with -o.",
        ) from error


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
    kind = lazrs.LasZipDecompressor if carefully else lazrs.ParLasZipDecompressor
    body = laz_record(path, header).body(path)
    with _refusing(path):
        unpack: Callable[[memoryview], None] = kind(file, body).decompress_many
    return unpack


def _table_at(path: Path, header: LasHeader, file: BinaryIO) -> int:
    """Where the chunk table starts.

    A writer that cannot seek leaves −1 at the points and the place in the last eight bytes.
    """
    start, size = header.points_start, header.file_bytes
    if size < start + 8:
        raise truncated(path, "the file ends before the first point")
    file.seek(start)
    table_at = int(struct.unpack("<q", file.read(8))[0])
    if table_at == _UNFINISHED:
        file.seek(-8, 2)
        table_at = int(struct.unpack("<q", file.read(8))[0])
        if not start + 8 <= table_at <= size - 16:
            raise truncated(path, "the program that wrote it was interrupted: no chunk table")
    if table_at < start + 8:
        raise bad_header(path, f"the LAZ chunk table is at byte {table_at:,}, before the points")
    if table_at > size - 8:
        share = 100 * (size - start) // (table_at - start)
        raise truncated(
            path, f"of {header.count:,} points about {share} % are there before the data ends"
        )
    return table_at
