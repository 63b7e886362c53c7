"""The header and variable length records (VLRs) of a LAS or LAZ file, checked against its size.

Layouts: ASPRS LAS 1.4 R15, tables 3 (header), 4 (VLR) and 9 (EVLR). All numbers are little-endian.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from clip3d_cli.errors import InputError
from clip3d_cli.formats.file_checks import bad_header, truncated

# Bytes of a point of formats 0 to 10, without extra bytes.
RECORD_BYTES = (20, 28, 26, 34, 57, 63, 30, 36, 38, 59, 67)
# Reserved, user id, record id, bytes of the body, description. An EVLR counts in 64 bits.
VLR = struct.Struct("<H16sHH32s")
EVLR = struct.Struct("<H16sHQ32s")
COMPRESSED = 0x80  # bit of the point format byte that marks LAZ

# Byte 0 to 226, by position in the unpacked tuple: 0 signature, 1 source id, 2 global encoding,
# 3 GUID, 4 and 5 version, 6 to 9 names and date, 10 header bytes, 11 start of points, 12 VLR
# count, 13 point format, 14 bytes of a point, 15 to 20 legacy counts, 21 to 23 scales, 24 to 26
# offsets, 27 to 32 maximum and minimum of x, y and z in turn.
_FIXED = struct.Struct("<4sHH16sBB32s32sHHHIIBHI5I3d3d6d")
_FORMAT_BITS = 0x3F
_WAVEFORM_AT = 227  # since LAS 1.3
_WAVEFORM = struct.Struct("<Q")
_EXTENDED_AT = 235  # since LAS 1.4: start and number of EVLRs, number of points
_EXTENDED = struct.Struct("<QIQ")
_HEADER_BYTES = {0: 227, 1: 227, 2: 227, 3: 235, 4: 375}  # by minor version


@dataclass(frozen=True, slots=True)
class LasRecord:
    """Position of a variable length record (VLR) or an extended one (EVLR) in a file.

    Attributes:
        user_id: name of the organisation that defines the record, such as "LASF_Projection".
        record_id: number of the record's kind, unique for a user id.
        start: byte at which the record starts.
        body_start: byte at which its body starts, behind the record's own header.
        body_bytes: length of the body.
    """

    user_id: str
    record_id: int
    start: int
    body_start: int
    body_bytes: int

    @property
    def stop(self) -> int:
        """Byte behind the end of the record."""
        return self.body_start + self.body_bytes

    def body(self, path: Path, max_bytes: int | None = None) -> bytes:
        """Read the body of the record from its file, at most ``max_bytes``."""
        size = self.body_bytes if max_bytes is None else min(self.body_bytes, max_bytes)
        with path.open("rb") as file:
            file.seek(self.body_start)
            return file.read(size)


@dataclass(frozen=True, slots=True)
class LasHeader:
    """A parsed header; every position in it lies within the file.

    Attributes:
        version: minor version of LAS; the major version is 1.
        header_bytes: length of the header, the position of the first VLR.
        points_start: byte at which the points start.
        points_stop: byte at which uncompressed points end at the latest.
        point_format: format of the points, 0 to 10.
        compressed: whether the points are compressed (LAZ).
        record_bytes: bytes of an uncompressed point, extra bytes included.
        count: number of points that the header claims.
        scales: (3,) float64, file units: coordinate = integer x scale + offset.
        offsets: (3,) float64, file units.
        bounds: (2, 3) float64, file units: low and high corner that the header claims.
        encoding: the flags of the field "global encoding".
        waveform_start: byte at which the waveform record starts, or 0.
        vlrs: records before the points, in file order.
        evlrs: records behind the points, in file order.
        evlrs_cut: whether the file ends before the last EVLR does.
        file_bytes: size of the file.
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
        """Return the first record of a kind, VLRs before EVLRs, or None."""
        for record in (*self.vlrs, *self.evlrs):
            if record.user_id == user_id and record.record_id == record_id:
                return record
        return None


def read_las_header(path: Path) -> LasHeader:
    """Parse the header of a LAS or LAZ file and find its records.

    Raises:
        InputError: E_TRUNCATED; E_BAD_HEADER; E_UNSUPPORTED: the version is not 1.0 to 1.4, or
            the point format not 0 to 10.
    """
    with path.open("rb") as file:
        file_bytes = os.fstat(file.fileno()).st_size
        head = file.read(max(_HEADER_BYTES.values()))
        values = _checked_values(path, head, file_bytes)
        version = values[5]
        header_bytes, points_start, vlr_count, format_byte, record_bytes, legacy_count = values[
            10:16
        ]
        evlr_start, evlr_count, count = 0, 0, 0
        if version == 4:
            evlr_start, evlr_count, count = _EXTENDED.unpack_from(head, _EXTENDED_AT)
        waveform_start = _WAVEFORM.unpack_from(head, _WAVEFORM_AT)[0] if version >= 3 else 0
        vlrs = _records(file, VLR, header_bytes, vlr_count, points_start)
        if len(vlrs) < vlr_count:
            raise bad_header(path, f"{vlr_count:,} VLRs do not fit before the points")
        evlrs = _records(file, EVLR, evlr_start, evlr_count, file_bytes)
    behind_points = [
        start for start in (evlr_start, waveform_start) if points_start <= start <= file_bytes
    ]
    return LasHeader(
        version=version,
        header_bytes=header_bytes,
        points_start=points_start,
        points_stop=min([file_bytes, *behind_points]),
        point_format=format_byte & _FORMAT_BITS,
        compressed=bool(format_byte & COMPRESSED),
        record_bytes=record_bytes,
        count=count or legacy_count,
        scales=np.array(values[21:24]),
        offsets=np.array(values[24:27]),
        # The header stores max x, min x, max y, min y, max z, min z.
        bounds=np.array([values[28:33:2], values[27:33:2]], np.float64),
        encoding=values[2],
        waveform_start=waveform_start,
        vlrs=vlrs,
        evlrs=evlrs,
        evlrs_cut=len(evlrs) < evlr_count,
        file_bytes=file_bytes,
    )


def _checked_values(path: Path, head: bytes, file_bytes: int) -> tuple[Any, ...]:
    """Return the fields of ``_FIXED``; raise where they are invalid or do not fit the file."""
    if len(head) < _FIXED.size:
        raise truncated(path, f"a LAS header takes {_FIXED.size} bytes, the file has {len(head)}")
    values = _FIXED.unpack_from(head)
    version = values[5]
    if values[4] != 1 or version not in _HEADER_BYTES:
        raise _unsupported(path, f"is LAS {values[4]}.{version}", "clip3d reads LAS 1.0 to 1.4.")
    if len(head) < _HEADER_BYTES[version]:
        raise truncated(path, f"a LAS 1.{version} header takes {_HEADER_BYTES[version]} bytes")
    header_bytes, points_start, _, format_byte, record_bytes = values[10:15]
    point_format = format_byte & _FORMAT_BITS
    if point_format >= len(RECORD_BYTES):
        raise _unsupported(path, f"has point format {point_format}", "clip3d reads 0 to 10.")
    if not _HEADER_BYTES[version] <= header_bytes <= points_start <= file_bytes:
        raise bad_header(
            path, f"header of {header_bytes:,} bytes, points at {points_start:,} of {file_bytes:,}"
        )
    if record_bytes < RECORD_BYTES[point_format]:
        raise bad_header(
            path, f"points of format {point_format} do not fit in {record_bytes} bytes each"
        )
    scales, offsets = np.array(values[21:24]), np.array(values[24:27])
    if not (np.isfinite(scales).all() and (scales > 0).all() and np.isfinite(offsets).all()):
        raise bad_header(
            path, f"scales {values[21:24]} and offsets {values[24:27]} give no coordinates"
        )
    return values


def _records(
    file: BinaryIO, layout: struct.Struct, start: int, count: int, stop: int
) -> tuple[LasRecord, ...]:
    """Return the records that lie wholly before ``stop``, at most ``count``.

    Reading ends at the first record that does not fit, so a wrong count costs nothing.
    """
    records: list[LasRecord] = []
    for _ in range(count):
        if start + layout.size > stop:
            break
        file.seek(start)
        _, user_id, record_id, body_bytes, _ = layout.unpack(file.read(layout.size))
        name = user_id.split(b"\0")[0].decode("latin-1")
        record = LasRecord(name, record_id, start, start + layout.size, body_bytes)
        if record.stop > stop:
            break
        records.append(record)
        start = record.stop
    return tuple(records)


def _unsupported(path: Path, fault: str, remedy: str) -> InputError:
    return InputError("E_UNSUPPORTED", path, fault, remedy)
