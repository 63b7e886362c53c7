"""The points of LAS and LAZ files as raw records, read and written in chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from clip3d_cli.errors import Clip3DError
from clip3d_cli.formats.file_checks import truncated
from clip3d_cli.formats.las.header import LasHeader
from clip3d_cli.formats.las.laz import LazChunks, compressor, decompressor, lazrs_errors

_STEP_POINTS = 1_000_000
# In a file that was cut off, a step that fails is lost as a whole: small steps lose fewer points.
_STEP_POINTS_IF_CUT = 1000


def read_records(
    path: Path, header: LasHeader, chunks: LazChunks | None, count: int
) -> Iterator[tuple[slice, npt.NDArray[np.uint8]]]:
    """Yield raw points, (P, record_bytes) uint8, each with the slice of rows that they are.

    Args:
        path: the file.
        header: its header.
        chunks: its chunks if it is compressed, else None.
        count: number of points to read. If the chunks were cut off, fewer may be there.

    Raises:
        InputError: E_TRUNCATED or E_CORRUPT, with the number of points before the fault.
    """
    is_cut = chunks is not None and chunks.is_cut
    step = _STEP_POINTS_IF_CUT if is_cut else _STEP_POINTS
    with path.open("rb") as file:
        file.seek(header.points_start)
        read: Callable[[memoryview], int | None] = file.readinto
        if chunks is not None:
            read = decompressor(path, header, chunks, file)
        for first in range(0, count, step):
            records = np.zeros((min(step, count - first), header.record_bytes), np.uint8)
            try:
                with lazrs_errors(path, first):
                    filled = read(records.reshape(-1).data)
            except Clip3DError:
                if is_cut:  # the points before the cut were yielded
                    return
                raise
            if filled is not None and filled < records.size:
                raise truncated(path, f"data ends before point {first + len(records):,}")
            yield slice(first, first + len(records)), records


class RecordWriter:
    """Writes raw points of one length behind a header.

    Args:
        file: open file, positioned where the points start.
        packing: body of the LAZ record; None writes the points uncompressed.
    """

    def __init__(self, file: BinaryIO, packing: bytes | None) -> None:
        self._file = file
        self._compressor = compressor(file, packing) if packing else None

    def write(self, records: npt.NDArray[np.uint8]) -> None:
        """Write the next points, (P, record_bytes) uint8."""
        raw = np.ascontiguousarray(records).reshape(-1)
        if self._compressor is not None:
            self._compressor.compress_many(raw)
        else:
            self._file.write(raw.tobytes())

    def finish(self) -> None:
        """Write the chunk table of a LAZ file, and seek to the end of the file."""
        if self._compressor is not None:
            self._compressor.done()
        self._file.seek(0, 2)
