"""Extra bytes of LAS points: the fields behind the standard ones, and their descriptions.

Layout of a description: ASPRS LAS 1.4 R15, tables 24 and 25 (192 bytes).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clip3d_cli.formats.file_checks import bad_header
from clip3d_cli.formats.label_fields import LabelColumn
from clip3d_cli.formats.las.header import RECORD_BYTES, LasHeader

USER_ID, RECORD_ID = "LASF_Spec", 4

# Byte 2 data type, 3 options, 4 name, 40 no data, minimum, maximum, scale, offset, 160 text.
_DESCRIPTION = struct.Struct("<2xBB32s4x120x32s")
# Bytes and numpy dtype by data type; type 0 has as many bytes as the options say.
_SIZES = (0, 1, 1, 2, 2, 4, 4, 8, 8, 4, 8)
_DTYPES = ("", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")
_MAX_UNDOCUMENTED_BYTES = 255
_LABEL_TEXT = {"label": b"class number by clip3d", "score": b"score of the class, 0 to 1"}


@dataclass(frozen=True, slots=True)
class ExtraField:
    """A field behind the standard fields of a point.

    Attributes:
        name: name of the field, at most 32 bytes in the file.
        start: byte of a point record at which the field starts.
        size: bytes of the field.
        dtype: numpy dtype code; empty if the bytes have no known type.
        raw: the 192 bytes that describe the field in the file.
    """

    name: str
    start: int
    size: int
    dtype: str
    raw: bytes


def extra_fields(path: Path, header: LasHeader) -> tuple[ExtraField, ...]:
    """Return the extra fields that a file describes, then its undescribed bytes as fields.

    Raises:
        InputError: E_BAD_HEADER: the fields take more bytes than a point has.
    """
    record = header.find(USER_ID, RECORD_ID)
    body = record.body(path) if record else b""
    start = RECORD_BYTES[header.point_format]
    fields: list[ExtraField] = []
    for first in range(0, len(body) - _DESCRIPTION.size + 1, _DESCRIPTION.size):
        raw = body[first : first + _DESCRIPTION.size]
        data_type, options, name, _ = _DESCRIPTION.unpack(raw)
        size, dtype = _size_and_dtype(path, data_type, options)
        text = name.split(b"\0")[0].decode("utf-8", "replace")
        fields.append(ExtraField(text, start, size, dtype, raw))
        start += size
    if start > header.record_bytes:
        raise bad_header(
            path, f"extra bytes take {start:,} bytes of a point that has {header.record_bytes:,}"
        )
    while start < header.record_bytes:
        size = min(header.record_bytes - start, _MAX_UNDOCUMENTED_BYTES)
        name = f"undocumented_{start}"
        raw = _DESCRIPTION.pack(0, size, name.encode("ascii"), b"")
        fields.append(ExtraField(name, start, size, "", raw))
        start += size
    return tuple(fields)


def described(fields: Sequence[ExtraField], added: Sequence[LabelColumn]) -> bytes:
    """Return the body of the record that describes the kept fields and the label columns."""
    parts = [field.raw for field in fields]
    for column in added:
        text = _LABEL_TEXT["label" if "label" in column.name else "score"]
        data_type = _DTYPES.index(column.values.dtype.str[1:])
        parts.append(_DESCRIPTION.pack(data_type, 0, column.name.encode("ascii"), text))
    return b"".join(parts)


def field_texts(fields: Sequence[ExtraField]) -> tuple[str, ...]:
    """Return name and dtype of every field for people, such as ``height float32``."""
    return tuple(
        f"{field.name} {np.dtype(field.dtype) if field.dtype else f'{field.size} bytes'}"
        for field in fields
    )


def _size_and_dtype(path: Path, data_type: int, options: int) -> tuple[int, str]:
    if data_type == 0:
        return options, ""
    if data_type < len(_SIZES):
        return _SIZES[data_type], _DTYPES[data_type]
    if data_type <= 30:  # deprecated: pairs (11 to 20) and triples (21 to 30) of types 1 to 10
        count = 2 if data_type <= 20 else 3
        return count * _SIZES[(data_type - 1) % 10 + 1], ""
    raise bad_header(path, f"extra bytes have the unknown type {data_type}")
