"""LAZ: the record that says how points are packed, the chunk table, and the adapter of lazrs.

The points of a LAZ file are compressed in chunks. At ``points_start`` stand 8 bytes: the position
of the chunk table, which follows the chunks. lazrs trusts the lengths in the table and in the
chunks, and ends the process if memory does not suffice for them. So they are checked here first.

Layout: LASzip's compressed LAS 1.4 (M. Isenburg, 2013) and its VLR "laszip encoded".
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import lazrs
import numpy as np

from clip3d_cli.errors import InputError
from clip3d_cli.formats.file_checks import bad_header, truncated
from clip3d_cli.formats.las.header import LasHeader

LAZ_USER_ID, LAZ_RECORD_ID = "laszip encoded", 22204

# The body of the record: byte 0 compressor, 12 points of a chunk, 32 number of items, and from
# byte 34 on the items, three uint16 each: kind, bytes, version.
_CHUNK_POINTS_AT = 12
_ITEMS_AT = 34
_ITEM = struct.Struct("<3H")
_VARIABLE_CHUNKS = 0xFFFFFFFF
_POINTWISE, _LAYERED = 1, 3  # compressors; 2 is pointwise in chunks
# Layers of the items that have them: point, color, color and infrared, waveform. Extra bytes have
# a layer for each byte.
_LAYERS_OF_ITEM = {10: 9, 11: 1, 12: 2, 13: 1}
_EXTRA_BYTES_ITEM = 14
_TABLE_AT_END = -1  # a writer that cannot seek puts the position into the last eight bytes


@dataclass(frozen=True, slots=True)
class LazPacking:
    """How the points of a LAZ file are compressed.

    Attributes:
        body: body of the LAZ record.
        chunk_points: points in every chunk but the last; None if chunks differ.
        layers: number of layers in a chunk of compressor 3, which packs every field separately;
            0 for the compressors that pack point by point.
    """

    body: bytes
    chunk_points: int | None
    layers: int


@dataclass(frozen=True, slots=True)
class LazChunks:
    """The compressed points of a file, all lengths checked.

    Attributes:
        packing: how they are compressed.
        min_points: fewest points that the chunks may hold.
        max_points: most points that the chunks may hold. The table does not tell how full
            the last chunk is.
        found: points and bytes of the chunks of a file without chunk table, which was cut off;
            None for a whole file.
    """

    packing: LazPacking
    min_points: int
    max_points: int
    found: tuple[tuple[int, int], ...] | None = None

    @property
    def is_cut(self) -> bool:
        """Whether the file was cut off before its chunk table."""
        return self.found is not None


def read_laz_chunks(path: Path, header: LasHeader, *, allow_truncated: bool) -> LazChunks:
    """Read the chunk table of a LAZ file and check every length in it and in the chunks.

    Args:
        path: the file.
        header: its header.
        allow_truncated: whether a file that was cut off before its chunk table is accepted.

    Raises:
        InputError: E_TRUNCATED: the table is missing; E_BAD_HEADER, E_CORRUPT: a length cannot be
            true; E_UNSUPPORTED: the file is of the first LAZ version, which had no chunks.
    """
    packing = _read_packing(path, header)
    try:
        table_at, chunk_count = _chunk_table(path, header)
    except InputError as error:
        if error.code != "E_TRUNCATED" or not allow_truncated:
            raise
        found = _chunks_before_cut(path, header, packing)
        points = sum(points for points, _ in found)
        return LazChunks(packing, 0, points, tuple(found))
    if not chunk_count:
        return LazChunks(packing, 0, 0)
    with path.open("rb") as file:
        file.seek(header.points_start)
        with lazrs_errors(path):
            table = lazrs.read_chunk_table(file, lazrs.LazVlr(packing.body))
    _check_lengths(path, header, packing, [size for _, size in table], table_at)
    if packing.chunk_points is None:
        points = sum(points for points, _ in table)
        return LazChunks(packing, points, points)
    fewest = (chunk_count - 1) * packing.chunk_points + 1
    return LazChunks(packing, fewest, chunk_count * packing.chunk_points)


def decompressor(
    path: Path, header: LasHeader, chunks: LazChunks, file: BinaryIO
) -> Callable[[memoryview], None]:
    """Return a function that fills a buffer with the next uncompressed points.

    Args:
        path: the file.
        header: its header.
        chunks: its chunks.
        file: the open file, at the first point; it must stay open.

    Raises:
        InputError: E_CORRUPT.
    """
    decompress: Callable[[memoryview], None]
    with lazrs_errors(path):
        if chunks.found is not None:
            stream = _with_chunk_table(header, chunks, file)
            decompress = lazrs.LasZipDecompressor(stream, chunks.packing.body).decompress_many
        else:
            decompress = lazrs.ParLasZipDecompressor(file, chunks.packing.body).decompress_many
    return decompress


def compressor(file: BinaryIO, packing: bytes) -> Any:
    """Return a compressor of lazrs: ``compress_many(raw)`` for points, ``done()`` at the end.

    Args:
        file: open file, positioned where the points start.
        packing: body of the LAZ record, see ``packing_for``.
    """
    points = lazrs.ParLasZipCompressor(file, lazrs.LazVlr(packing))
    points.reserve_offset_to_chunk_table()
    return points


def packing_for(path: Path, point_format: int, extra_bytes: int) -> bytes:
    """Return the body of the LAZ record for new points.

    Args:
        path: the file, for messages.
        point_format: format of the points, 0 to 10.
        extra_bytes: number of extra bytes of a point.
    """
    with lazrs_errors(path):
        return bytes(lazrs.LazVlr.new_for_compression(point_format, extra_bytes).record_data())


@contextmanager
def lazrs_errors(path: Path, points_before: int = 0) -> Iterator[None]:
    """Turn errors of lazrs, and panics of the Rust code below it, into E_CORRUPT.

    Args:
        path: the file.
        points_before: number of points that were unpacked before, for the message.
    """
    try:
        yield
    except lazrs.LazrsError as error:
        raise _does_not_unpack(path, points_before) from error
    except BaseException as error:
        # A panic is no Exception, and its class cannot be imported.
        if type(error).__name__ != "PanicException":
            raise
        raise _does_not_unpack(path, points_before) from error


def _read_packing(path: Path, header: LasHeader) -> LazPacking:
    record = header.find(LAZ_USER_ID, LAZ_RECORD_ID)
    body = record.body(path) if record else b""
    if len(body) < _ITEMS_AT + _ITEM.size:
        raise bad_header(path, "the points are compressed, but the LAZ record is missing")
    compressor = int.from_bytes(body[:2], "little")
    if compressor == _POINTWISE:
        raise InputError(
            "E_UNSUPPORTED", path, "is LAZ without chunks", "Write it again with a newer laszip."
        )
    items_stop = len(body) - (len(body) - _ITEMS_AT) % _ITEM.size
    items = list(_ITEM.iter_unpack(body[_ITEMS_AT:items_stop]))
    item_bytes = sum(size for _, size, _ in items)
    if item_bytes != header.record_bytes:
        raise bad_header(
            path, f"points have {header.record_bytes} bytes, the LAZ record says {item_bytes}"
        )
    field = slice(_CHUNK_POINTS_AT, _CHUNK_POINTS_AT + 4)
    chunk_points = int.from_bytes(body[field], "little")
    if chunk_points != _VARIABLE_CHUNKS:
        # lazrs allocates a whole chunk, however few points there are.
        chunk_points = min(chunk_points, max(header.count, 1))
        body = body[: field.start] + chunk_points.to_bytes(4, "little") + body[field.stop :]
    layers = sum(
        size if kind == _EXTRA_BYTES_ITEM else _LAYERS_OF_ITEM.get(kind, 0)
        for kind, size, _ in items
    )
    return LazPacking(
        body,
        None if chunk_points == _VARIABLE_CHUNKS else chunk_points,
        layers if compressor == _LAYERED else 0,
    )


def _chunk_table(path: Path, header: LasHeader) -> tuple[int, int]:
    """Return the byte at which the chunk table starts, and the number of chunks in it."""
    with path.open("rb") as file:
        table_at = _table_position(path, header, file)
        file.seek(table_at)
        _, chunk_count = struct.unpack("<II", file.read(8))  # version, number of chunks
    # Every chunk begins with one uncompressed point.
    if chunk_count * header.record_bytes > table_at - header.points_start:
        raise bad_header(path, f"the LAZ chunk table claims {chunk_count:,} chunks")
    return table_at, int(chunk_count)


def _table_position(path: Path, header: LasHeader, file: BinaryIO) -> int:
    start, size = header.points_start, header.file_bytes
    if size < start + 8:
        raise truncated(path, "the file ends before the first point")
    file.seek(start)
    table_at = int(struct.unpack("<q", file.read(8))[0])
    if table_at == _TABLE_AT_END:
        file.seek(-8, 2)
        table_at = int(struct.unpack("<q", file.read(8))[0])
        if not start + 8 <= table_at <= size - 16:
            raise truncated(path, "the program that wrote it was interrupted: no chunk table")
    if table_at < start + 8:
        raise bad_header(path, f"the LAZ chunk table is at byte {table_at:,}, before the points")
    if table_at > size - 8:
        percent = 100 * (size - start) // (table_at - start)
        raise truncated(path, f"the data ends after about {percent} % of {header.count:,} points")
    return table_at


def _check_lengths(
    path: Path, header: LasHeader, packing: LazPacking, sizes: Sequence[int], table_at: int
) -> None:
    """Raise E_CORRUPT for chunks longer than the file, or layers longer than their chunk.

    Args:
        path: the file.
        header: its header.
        packing: how the points are compressed.
        sizes: bytes of every chunk, from the table.
        table_at: byte at which the table starts.
    """
    start = header.points_start + 8
    if start + sum(sizes) > table_at:
        raise _damaged(
            path, f"chunks of {sum(sizes):,} bytes do not fit in {table_at - start:,} bytes"
        )
    if not packing.layers:
        return
    with path.open("rb") as file:
        for number, size in enumerate(sizes, start=1):
            _, need = _layered_chunk(file, start, header, packing)
            if need is None or need > size:
                raise _damaged(path, f"chunk {number:,} of {len(sizes):,} is damaged")
            start += size


def _chunks_before_cut(path: Path, header: LasHeader, packing: LazPacking) -> list[tuple[int, int]]:
    """Return points and bytes of every whole chunk of a file without chunk table.

    Only layered chunks say how long they are. Points packed one by one count as a single chunk
    that ends with the file.
    """
    start = header.points_start + 8
    if not packing.layers:
        return [(header.count, header.file_bytes - start)]
    chunks: list[tuple[int, int]] = []
    with path.open("rb") as file:
        while True:
            points, need = _layered_chunk(file, start, header, packing)
            if need is None or start + need > header.file_bytes:
                return chunks
            chunks.append((points, need))
            start += need


def _layered_chunk(
    file: BinaryIO, start: int, header: LasHeader, packing: LazPacking
) -> tuple[int, int | None]:
    """Return the points and the bytes of the layered chunk at ``start``; None if the file ends.

    A chunk holds the first point uncompressed, the number of points as uint32, the length of every
    layer as uint32, then the layers.
    """
    words = 1 + packing.layers
    file.seek(start + header.record_bytes)
    raw = file.read(4 * words)
    if len(raw) < 4 * words:
        return 0, None
    points, *lengths = np.frombuffer(raw, "<u4").tolist()
    return points, header.record_bytes + 4 * words + sum(lengths)


def _with_chunk_table(header: LasHeader, chunks: LazChunks, file: BinaryIO) -> BinaryIO:
    """Return the compressed points of a cut file, followed by the chunk table that lazrs needs."""
    stream = io.BytesIO()
    stream.write((header.file_bytes - header.points_start).to_bytes(8, "little"))
    file.seek(header.points_start + 8)
    stream.write(file.read())
    lazrs.write_chunk_table(stream, list(chunks.found or ()), lazrs.LazVlr(chunks.packing.body))
    stream.seek(0)
    return stream


def _damaged(path: Path, fault: str) -> InputError:
    return InputError("E_CORRUPT", path, fault, "The file is damaged; copy or download it again.")


def _does_not_unpack(path: Path, points_before: int) -> InputError:
    return _damaged(path, f"the compressed points do not unpack; {points_before:,} before them do")
