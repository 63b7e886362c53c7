"""The chunks of LAZ points: where they lie and how long they say they are, all of it checked.

Layout: LASzip's compressed LAS 1.4 (M. Isenburg, 2013) and its VLR "laszip encoded".
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from clip3d_cli.errors import InputError
from clip3d_cli.formats.file_checks import bad_header, truncated
from clip3d_cli.formats.las.header import LasHeader

LAZ_USER_ID, LAZ_RECORD_ID = "laszip encoded", 22204

_ITEMS = struct.Struct("<3H")
_ITEMS_AT = 34
_CHUNK_SIZE_AT = 12
_VARIABLE_CHUNKS = 0xFFFFFFFF
_UNFINISHED = -1
_POINTWISE, _LAYERED = 1, 3
# Layers of the items that have them: point, color, color and infrared, waveform; extra bytes
# have one for each.
_LAYERS_OF_ITEM = {10: 9, 11: 1, 12: 2, 13: 1}
_EXTRA_BYTES_ITEM = 14


@dataclass(frozen=True, slots=True)
class LazPacking:
    """How points are packed.

    Attributes:
        body: of the record that says so.
        chunk_points: points in every chunk but the last, or None where chunks differ.
        layers: of a chunk that packs every field for itself; 0 for points one by one.
    """

    body: bytes
    chunk_points: int | None
    layers: int


def laz_packing(path: Path, header: LasHeader) -> LazPacking:
    """How the points of a LAZ file are packed.

    Raises:
        InputError: E_BAD_HEADER where the record is missing or does not fit the points;
            E_UNSUPPORTED for the first LAZ format, which had no chunks.
    """
    record = header.find(LAZ_USER_ID, LAZ_RECORD_ID)
    body = record.body(path) if record else b""
    if len(body) < _ITEMS_AT + _ITEMS.size:
        raise bad_header(path, "the points are compressed, the record that says how is missing")
    compressor = int.from_bytes(body[:2], "little")
    if compressor == _POINTWISE:
        raise InputError(
            "E_UNSUPPORTED", path, "is LAZ without chunks", "Write it again with a newer laszip."
        )
    items = list(_ITEMS.iter_unpack(body[_ITEMS_AT : len(body) - (len(body) - _ITEMS_AT) % 6]))
    item_bytes = sum(size for _, size, _ in items)
    if item_bytes != header.record_bytes:
        raise bad_header(
            path, f"points have {header.record_bytes} bytes, the LAZ record says {item_bytes}"
        )
    chunk_points = int.from_bytes(body[_CHUNK_SIZE_AT : _CHUNK_SIZE_AT + 4], "little")
    if chunk_points != _VARIABLE_CHUNKS:
        # lazrs makes room for a whole chunk, however few points there are.
        chunk_points = min(chunk_points, max(header.count, 1))
        place = slice(_CHUNK_SIZE_AT, _CHUNK_SIZE_AT + 4)
        body = body[: place.start] + chunk_points.to_bytes(4, "little") + body[place.stop :]
    layers = sum(
        size if kind == _EXTRA_BYTES_ITEM else _LAYERS_OF_ITEM.get(kind, 0)
        for kind, size, _ in items
    )
    return LazPacking(
        body,
        None if chunk_points == _VARIABLE_CHUNKS else chunk_points,
        layers if compressor == _LAYERED else 0,
    )


def chunk_table(path: Path, header: LasHeader) -> tuple[int, int]:
    """Where the chunk table starts, and how many chunks it lists.

    Raises:
        InputError: E_TRUNCATED where it is missing, E_BAD_HEADER where it cannot be true.
    """
    with path.open("rb") as file:
        table_at = _table_at(path, header, file)
        file.seek(table_at)
        _, chunks = struct.unpack("<II", file.read(8))
    # Every chunk begins with one whole point.
    if chunks * header.record_bytes > table_at - header.points_start:
        raise bad_header(path, f"the LAZ chunk table claims {chunks:,} chunks")
    return table_at, int(chunks)


def require_lengths(
    path: Path, header: LasHeader, packing: LazPacking, sizes: Sequence[int], table_at: int
) -> None:
    """Refuse chunks that are longer than the file, and layers that are longer than their chunk.

    Args:
        path: the file.
        header: of the file.
        packing: of its points.
        sizes: bytes of every chunk, from the table.
        table_at: where the table starts.

    Raises:
        InputError: E_CORRUPT, with the number of the chunk.
    """
    start = header.points_start + 8
    if start + sum(sizes) > table_at:
        raise _corrupt(path, f"chunks of {sum(sizes):,} bytes lie in {table_at - start:,}")
    if not packing.layers:
        return
    with path.open("rb") as file:
        for number, size in enumerate(sizes, start=1):
            _, need = _chunk_head(file, start, header, packing)
            if need is None or need > size:
                raise _corrupt(path, f"chunk {number:,} of {len(sizes):,} is damaged")
            start += size


def whole_chunks(path: Path, header: LasHeader, packing: LazPacking) -> list[tuple[int, int]]:
    """Points and bytes of the chunks of a file that was cut off, as far as they are told.

    Points packed one by one say nothing of chunks: they count as one that ends with the file.
    """
    start = header.points_start + 8
    if not packing.layers:
        return [(header.count, header.file_bytes - start)]
    found: list[tuple[int, int]] = []
    with path.open("rb") as file:
        while True:
            count, need = _chunk_head(file, start, header, packing)
            if need is None or start + need > header.file_bytes:
                return found
            found.append((count, need))
            start += need


def _chunk_head(
    file: BinaryIO, start: int, header: LasHeader, packing: LazPacking
) -> tuple[int, int | None]:
    """The points of a layered chunk and the bytes it takes, or None where the file ends."""
    # The first point as it is, the number of points, the length of every layer.
    words = 1 + packing.layers
    file.seek(start + header.record_bytes)
    raw = file.read(4 * words)
    if len(raw) < 4 * words:
        return 0, None
    count, *lengths = np.frombuffer(raw, "<u4").tolist()
    return count, header.record_bytes + 4 * words + sum(lengths)


def _corrupt(path: Path, fault: str) -> InputError:
    return InputError("E_CORRUPT", path, fault, "The file is damaged; fetch it again.")


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
