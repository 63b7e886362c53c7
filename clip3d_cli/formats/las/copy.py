"""A LAS or LAZ file copied with extra fields: all else goes over as bytes."""

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
from clip3d_cli.formats.las.laz_chunks import LAZ_RECORD_ID, LAZ_USER_ID
from clip3d_cli.formats.las.points import PointSink, point_chunks

USER_ID, RECORD_ID = "clip3d", 1
COPC = "copc"

_MOST_VLR_BYTES = 65535
_PLACES = struct.Struct("<IIBH")
_PLACES_AT = 96
_COUNT_AT, _LEGACY_COUNT_AT = 247, 107
_WAVEFORM_AT, _EVLRS_AT = 227, 235


@dataclass(frozen=True, slots=True)
class LasCopy:
    """What to copy and how.

    Attributes:
        source: the file.
        header: of the file.
        count: points to copy.
        carefully: whether the file was cut off.
        kept: the extra fields that stay.
        added: label columns, ``count`` rows each.
        names: the body of the record that names the classes.
        packing: the body of the LAZ record, or None for plain LAS.
    """

    source: Path
    header: LasHeader
    count: int
    carefully: bool
    kept: Sequence[ExtraField]
    added: Sequence[LabelColumn]
    names: bytes
    packing: bytes | None

    def write(self, part: Path) -> None:
        """Write the copy.

        Raises:
            InputError: the points end early or do not unpack.
        """
        with part.open("wb+") as file, self.source.open("rb") as source:
            head = self._head(source)
            file.write(head)
            sink = PointSink(file, self.packing)
            chunks = point_chunks(self.source, self.header, self.count, carefully=self.carefully)
            for rows, chunk in chunks:
                sink.write(self._with_labels(rows, chunk))
            sink.finish()
            self._write_tail(source, file)

    def _head(self, source: BinaryIO) -> bytes:
        """Header, records and padding, with the places that changed."""
        source.seek(0)
        before = source.read(self.header.points_start)
        vlrs = self._vlrs(before)
        last = self.header.vlrs[-1].stop if self.header.vlrs else self.header.header_bytes
        head = bytearray(before[: self.header.header_bytes])
        body = b"".join(vlrs) + before[last:]
        record_bytes = RECORD_BYTES[self.header.point_format]
        record_bytes += sum(field.size for field in self.kept)
        record_bytes += sum(column.values.dtype.itemsize for column in self.added)
        kind = self.header.point_format | (COMPRESSED if self.packing else 0)
        places = (len(head) + len(body), len(vlrs), kind, record_bytes)
        _PLACES.pack_into(head, _PLACES_AT, *places)
        if self.count != self.header.count:
            legacy = self.count if self.header.point_format < 6 and self.count < 1 << 32 else 0
            struct.pack_into("<I", head, _LEGACY_COUNT_AT, legacy)
            if self.header.version == 4:
                struct.pack_into("<Q", head, _COUNT_AT, self.count)
        return bytes(head) + body

    def _vlrs(self, before: bytes) -> list[bytes]:
        """The records of the copy: the source's, but for those that speak of its packing."""
        extra = las_extra.described(self.kept, self.added)
        extra_head = _vlr_head(las_extra.USER_ID, las_extra.RECORD_ID, extra)
        own = {(USER_ID, RECORD_ID), (LAZ_USER_ID, LAZ_RECORD_ID)}
        vlrs: list[bytes] = []
        for record in self.header.vlrs:
            kind = (record.user_id, record.record_id)
            if kind == (las_extra.USER_ID, las_extra.RECORD_ID):
                if extra:
                    head = bytearray(before[record.start : record.body_start])
                    struct.pack_into("<H", head, 20, len(extra))
                    vlrs.append(bytes(head) + extra)
                    extra = b""
            elif kind not in own and record.user_id != COPC:
                vlrs.append(before[record.start : record.stop])
        if extra:
            vlrs.append(extra_head + extra)
        if self.names:
            vlrs.append(_vlr_head(USER_ID, RECORD_ID, self.names) + self.names)
        if self.packing:
            vlrs.append(_vlr_head(LAZ_USER_ID, LAZ_RECORD_ID, self.packing) + self.packing)
        return vlrs

    def _with_labels(self, rows: slice, chunk: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        standard = RECORD_BYTES[self.header.point_format]
        parts = [chunk[:, :standard]]
        parts += [chunk[:, field.start : field.start + field.size] for field in self.kept]
        for column in self.added:
            values = np.ascontiguousarray(column.values[rows])
            values = values.astype(values.dtype.newbyteorder("<"))
            parts.append(values.view(np.uint8).reshape(len(chunk), -1))
        return np.concatenate(parts, axis=1)

    def _write_tail(self, source: BinaryIO, file: BinaryIO) -> None:
        """EVLRs and waveforms, and where they went."""
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


def names_body(labels: Labels) -> bytes:
    """The record that names the classes: JSON, or nothing where it is too long for a VLR."""
    classes = {str(entry.class_id): entry.name for entry in labels.vocabulary.classes}
    body = json.dumps({"unlabeled": 0, "classes": classes}, separators=(",", ":")).encode("ascii")
    return body if len(body) <= _MOST_VLR_BYTES else b""


def _vlr_head(user_id: str, record_id: int, body: bytes) -> bytes:
    text = {USER_ID: b"class names", LAZ_USER_ID: b"lazrs"}.get(user_id, b"extra bytes")
    return VLR.pack(0, user_id.encode("ascii"), record_id, len(body), text)


def _patch(file: BinaryIO, place: int, layout: str, *values: int) -> None:
    file.seek(place)
    file.write(struct.pack(layout, *values))
    file.seek(0, 2)
