"""Copies of LAS and LAZ files with more extra bytes; everything else is copied byte for byte."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.labels import Labels
from clip3d_cli.formats.label_fields import LabelColumn
from clip3d_cli.formats.las import extra_bytes as las_extra
from clip3d_cli.formats.las.extra_bytes import ExtraField
from clip3d_cli.formats.las.header import COMPRESSED, RECORD_BYTES, VLR, LasHeader
from clip3d_cli.formats.las.laz import LAZ_RECORD_ID, LAZ_USER_ID, LazChunks
from clip3d_cli.formats.las.point_records import RecordWriter, read_records

USER_ID, RECORD_ID = "clip3d", 1
COPC = "copc"

_MAX_VLR_BYTES = 65535
# Start of points, number of VLRs, point format, bytes of a point: the header fields that change.
_LAYOUT_FIELDS_AT = 96
_LAYOUT_FIELDS = struct.Struct("<IIBH")
_LEGACY_COUNT_AT, _COUNT_AT = 107, 247
_WAVEFORM_AT, _EVLRS_AT = 227, 235
_VLR_BODY_BYTES_AT = 20


@dataclass(frozen=True, slots=True)
class LasCopy:
    """A copy to be written.

    Attributes:
        source: file to copy.
        header: its header.
        chunks: its chunks if it is compressed, else None.
        count: N, the number of points to copy.
        kept: extra fields of the source to keep.
        added: label columns to add, N rows each.
        class_names: body of the record that names the classes; empty to leave it out.
        packing: body of the LAZ record; None writes plain LAS.
    """

    source: Path
    header: LasHeader
    chunks: LazChunks | None
    count: int
    kept: Sequence[ExtraField]
    added: Sequence[LabelColumn]
    class_names: bytes
    packing: bytes | None

    def write(self, target: Path) -> None:
        """Write the copy.

        Raises:
            InputError: E_TRUNCATED, E_CORRUPT: the points of the source cannot be read.
        """
        with target.open("wb+") as file, self.source.open("rb") as source:
            file.write(self._head(source))
            writer = RecordWriter(file, self.packing)
            for rows, records in read_records(self.source, self.header, self.chunks, self.count):
                writer.write(self._with_labels(rows, records))
            writer.finish()
            self._copy_tail(source, file)

    def _head(self, source: BinaryIO) -> bytes:
        """Return all bytes before the points: header, VLRs and padding."""
        source.seek(0)
        before = source.read(self.header.points_start)
        vlrs = self._vlrs(before)
        vlrs_stop = self.header.vlrs[-1].stop if self.header.vlrs else self.header.header_bytes
        head = bytearray(before[: self.header.header_bytes])
        body = b"".join(vlrs) + before[vlrs_stop:]
        record_bytes = RECORD_BYTES[self.header.point_format]
        record_bytes += sum(field.size for field in self.kept)
        record_bytes += sum(column.values.dtype.itemsize for column in self.added)
        format_byte = self.header.point_format | (COMPRESSED if self.packing else 0)
        fields = (len(head) + len(body), len(vlrs), format_byte, record_bytes)
        _LAYOUT_FIELDS.pack_into(head, _LAYOUT_FIELDS_AT, *fields)
        if self.count != self.header.count:
            legacy = self.count if self.header.point_format < 6 and self.count < 1 << 32 else 0
            struct.pack_into("<I", head, _LEGACY_COUNT_AT, legacy)
            if self.header.version == 4:
                struct.pack_into("<Q", head, _COUNT_AT, self.count)
        return bytes(head) + body

    def _vlrs(self, before: bytes) -> list[bytes]:
        """Return the VLRs of the copy.

        The record of extra bytes is replaced where it stood; records that describe how the source
        is compressed (LAZ, COPC) are left out.
        """
        extra = las_extra.described(self.kept, self.added)
        extra_head = _vlr_head(las_extra.USER_ID, las_extra.RECORD_ID, extra)
        replaced = {(USER_ID, RECORD_ID), (LAZ_USER_ID, LAZ_RECORD_ID)}
        vlrs: list[bytes] = []
        for record in self.header.vlrs:
            key = (record.user_id, record.record_id)
            if key == (las_extra.USER_ID, las_extra.RECORD_ID):
                if extra:
                    head = bytearray(before[record.start : record.body_start])
                    struct.pack_into("<H", head, _VLR_BODY_BYTES_AT, len(extra))
                    vlrs.append(bytes(head) + extra)
                    extra = b""
            elif key not in replaced and record.user_id != COPC:
                vlrs.append(before[record.start : record.stop])
        if extra:
            vlrs.append(extra_head + extra)
        if self.class_names:
            vlrs.append(_vlr_head(USER_ID, RECORD_ID, self.class_names) + self.class_names)
        if self.packing:
            vlrs.append(_vlr_head(LAZ_USER_ID, LAZ_RECORD_ID, self.packing) + self.packing)
        return vlrs

    def _with_labels(self, rows: slice, records: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return (P, new record_bytes): standard fields, kept extra fields, label columns."""
        standard = RECORD_BYTES[self.header.point_format]
        parts = [records[:, :standard]]
        parts += [records[:, field.start : field.start + field.size] for field in self.kept]
        for column in self.added:
            values = np.ascontiguousarray(column.values[rows])
            values = values.astype(values.dtype.newbyteorder("<"))
            parts.append(values.view(np.uint8).reshape(len(records), -1))  # (P, itemsize)
        return np.concatenate(parts, axis=1)

    def _copy_tail(self, source: BinaryIO, file: BinaryIO) -> None:
        """Copy EVLRs and waveforms, and write their new positions into the header."""
        header, tail_at = self.header, file.tell()
        kept = [record for record in header.evlrs if record.user_id != COPC]
        if len(kept) < len(header.evlrs) or header.evlrs_cut:
            for record in kept:
                source.seek(record.start)
                file.write(source.read(record.stop - record.start))
            _patch(file, _EVLRS_AT, "<QI", tail_at if kept else 0, len(kept))
            return
        starts = [record.start for record in header.evlrs[:1]]
        starts += [header.waveform_start] if header.waveform_start else []
        if not starts or min(starts) >= header.file_bytes:
            return
        source.seek(min(starts))
        shutil.copyfileobj(source, file)
        shift = tail_at - min(starts)
        if header.evlrs:
            _patch(file, _EVLRS_AT, "<Q", header.evlrs[0].start + shift)
        if header.waveform_start:
            _patch(file, _WAVEFORM_AT, "<Q", header.waveform_start + shift)


def class_names_body(labels: Labels) -> bytes:
    """Return JSON that names the classes, or nothing where it is too long for a VLR."""
    classes = {str(entry.class_id): entry.name for entry in labels.vocabulary.classes}
    body = json.dumps({"unlabeled": 0, "classes": classes}, separators=(",", ":")).encode("ascii")
    return body if len(body) <= _MAX_VLR_BYTES else b""


def _vlr_head(user_id: str, record_id: int, body: bytes) -> bytes:
    description = {USER_ID: b"class names", LAZ_USER_ID: b"lazrs"}.get(user_id, b"extra bytes")
    return VLR.pack(0, user_id.encode("ascii"), record_id, len(body), description)


def _patch(file: BinaryIO, position: int, layout: str, *values: int) -> None:
    file.seek(position)
    file.write(struct.pack(layout, *values))
    file.seek(0, 2)
