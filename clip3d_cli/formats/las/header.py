"""The header of a LAS or LAZ file, its records and its size, checked before points are touched.

Layouts: ASPRS LAS 1.4 R15, tables 3 (header), 4 (VLR) and 9 (EVLR).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clip3d_cli.errors import InputError
from clip3d_cli.formats.file_checks import bad_header, truncated

RECORD_BYTES = (20, 28, 26, 34, 57, 63, 30, 36, 38, 59, 67)
VLR = struct.Struct("<H16sHH32s")
EVLR = struct.Struct("<H16sHQ32s")
COMPRESSED = 0x80

_FIXED = struct.Struct("<4sHH16sBB32s32sHHHIIBHI5I3d3d6d")
_FORMAT_BITS = 0x3F
_EXTENDED = struct.Struct("<QIQ")
_WAVEFORM = struct.Struct("<Q")
_HEADER_BYTES = {0: 227, 1: 227, 2: 227, 3: 235, 4: 375}


@dataclass(frozen=True, slots=True)
class LasRecord:
    """A variable length record, or an extended one.

    Attributes:
        user_id: who defines it.
        record_id: what it is.
        start: of the record in the file, bytes.
        body_start: of its body in the file, bytes.
        body_bytes: the length of its body.
    """

    user_id: str
    record_id: int
    start: int
    body_start: int
    body_bytes: int

    @property
    def stop(self) -> int:
        """Where the record ends in the file, bytes."""
        return self.body_start + self.body_bytes

    def body(self, path: Path) -> bytes:
        """What the record holds."""
        with path.open("rb") as file:
            file.seek(self.body_start)
            return file.read(self.body_bytes)


@dataclass(frozen=True, slots=True)
class LasHeader:
    """What a header says, all of it within the file.

    Attributes:
        version: minor version; the major one is 1.
        header_bytes: before the first VLR.
        points_start: before the first point.
        points_stop: where uncompressed points end at the latest.
        point_format: 0…10.
        compressed: whether points are LAZ chunks.
        record_bytes: of a point.
        count: points that the header claims.
        scales, offsets: (3,) float64: coordinates are integers × scale + offset, in file units.
        bounds: (2, 3) float64, low and high corner in file units.
        encoding: the flags "global encoding".
        waveform_start: of the waveform record, or 0.
        vlrs, evlrs: the records in the file's order.
        evlrs_cut: whether the file ends before the last EVLR does.
        file_bytes: the size of the file.
    """

    version: int
    header_bytes: int
    points_start: int
    points_stop: int
    point_format: int
    compressed: bool
    record_bytes: int
    count: int
    scales: npt.NDArray[np.float64]
    offsets: npt.NDArray[np.float64]
    bounds: npt.NDArray[np.float64]
    encoding: int
    waveform_start: int
    vlrs: tuple[LasRecord, ...]
    evlrs: tuple[LasRecord, ...]
    evlrs_cut: bool
    file_bytes: int

    def find(self, user_id: str, record_id: int) -> LasRecord | None:
        """The first record of that kind, VLRs before EVLRs."""
        for record in (*self.vlrs, *self.evlrs):
            if record.user_id == user_id and record.record_id == record_id:
                return record
        return None


def read_las_header(path: Path) -> LasHeader:
    """The header of a LAS or LAZ file.

    Raises:
        InputError: E_TRUNCATED, E_BAD_HEADER, or E_UNSUPPORTED for another version or point
            format.
    """
    file_bytes = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(max(_HEADER_BYTES.values()))
    if len(head) < _FIXED.size:
        raise truncated(path, f"a LAS header takes {_FIXED.size} bytes, the file has {len(head)}")
    values = _FIXED.unpack_from(head)
    version = values[5]
    if values[4] != 1 or version not in _HEADER_BYTES:
        raise _unsupported(path, f"is LAS {values[4]}.{version}", "clip3d reads LAS 1.0 to 1.4.")
    if len(head) < _HEADER_BYTES[version]:
        raise truncated(path, f"a LAS 1.{version} header takes {_HEADER_BYTES[version]} bytes")
    _check_fixed(path, values, file_bytes)
    header_bytes, points_start, vlr_count, kind, record_bytes, legacy_count = values[10:16]
    evlr_start, evlr_count, count = _EXTENDED.unpack_from(head, 235) if version == 4 else (0, 0, 0)
    waveform_start = _WAVEFORM.unpack_from(head, 227)[0] if version >= 3 else 0
    after = [place for place in (evlr_start, waveform_start) if points_start <= place <= file_bytes]
    vlrs = _records(path, VLR, header_bytes, vlr_count, points_start)
    if len(vlrs) < vlr_count:
        raise bad_header(path, f"{vlr_count:,} VLRs do not fit before the points")
    evlrs = _records(path, EVLR, evlr_start, evlr_count, file_bytes)
    return LasHeader(
        version=version,
        header_bytes=header_bytes,
        points_start=points_start,
        points_stop=min([file_bytes, *after]),
        point_format=kind & _FORMAT_BITS,
        compressed=bool(kind & COMPRESSED),
        record_bytes=record_bytes,
        count=count or legacy_count,
        scales=np.array(values[21:24]),
        offsets=np.array(values[24:27]),
        bounds=np.array([values[28:33:2], values[27:33:2]], np.float64),
        encoding=values[2],
        waveform_start=waveform_start,
        vlrs=vlrs,
        evlrs=evlrs,
        evlrs_cut=len(evlrs) < evlr_count,
        file_bytes=file_bytes,
    )


def _check_fixed(path: Path, values: tuple[Any, ...], file_bytes: int) -> None:
    """Refuse places, lengths, scales and offsets that cannot be true."""
    header_bytes, points_start, _, kind, record_bytes = values[10:15]
    point_format = kind & _FORMAT_BITS
    if point_format >= len(RECORD_BYTES):
        raise _unsupported(path, f"has point format {point_format}", "clip3d reads 0 to 10.")
    if not _HEADER_BYTES[values[5]] <= header_bytes <= points_start <= file_bytes:
        raise bad_header(
            path, f"header of {header_bytes:,} bytes, points at {points_start:,} of {file_bytes:,}"
        )
    if record_bytes < RECORD_BYTES[point_format]:
        raise bad_header(
            path, f"points of format {point_format} do not fit in {record_bytes} bytes each"
        )
    scales, offsets = np.array(values[21:24]), np.array(values[24:27])
    if not (np.isfinite(scales).all() and (scales > 0).all() and np.isfinite(offsets).all()):
        raise bad_header(path, f"scales {values[21:24]}, offsets {values[24:27]} give no place")


def _records(
    path: Path, layout: struct.Struct, start: int, count: int, stop: int
) -> tuple[LasRecord, ...]:
    """The records that lie wholly before ``stop``: fewer than ``count`` where they do not fit.

    The walk ends there, so that a lying count costs nothing.
    """
    found: list[LasRecord] = []
    with path.open("rb") as file:
        for _ in range(count):
            if start + layout.size > stop:
                break
            file.seek(start)
            _, user_id, record_id, body_bytes, _ = layout.unpack(file.read(layout.size))
            name = user_id.split(b"\0")[0].decode("latin-1")
            record = LasRecord(name, record_id, start, start + layout.size, body_bytes)
            if record.stop > stop:
                break
            found.append(record)
            start = record.stop
    return tuple(found)


def _unsupported(path: Path, fault: str, remedy: str) -> InputError:
    return InputError("E_UNSUPPORTED", path, fault, remedy)
