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

_DESCRIPTION = struct.Struct("<2xBB32s4x120x32s")
_SIZES = (0, 1, 1, 2, 2, 4, 4, 8, 8, 4, 8)
_DTYPES = ("", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")
_MOST_UNDOCUMENTED = 255
_LABEL_TEXT = {"label": b"class number by clip3d", "score": b"score of the class, 0 to 1"}


@dataclass(frozen=True, slots=True)
class ExtraField:
    """One field behind the standard ones.

    Attributes:
        name: at most 32 bytes in the file.
        start: of the field in a point record, bytes.
        size: bytes.
        kind: numpy dtype code, or empty where the bytes have no known meaning.
        raw: the description as in the file.
    """

    name: str
    start: int
    size: int
    kind: str
    raw: bytes


def extra_fields(path: Path, header: LasHeader) -> tuple[ExtraField, ...]:
    """The extra fields that a file describes, in their order; bytes without description last.

    Raises:
        InputError: E_BAD_HEADER, they take more bytes than a point has.
    """
    record = header.find(USER_ID, RECORD_ID)
    body = record.body(path) if record else b""
    start = RECORD_BYTES[header.point_format]
    fields: list[ExtraField] = []
    for first in range(0, len(body) - _DESCRIPTION.size + 1, _DESCRIPTION.size):
        raw = body[first : first + _DESCRIPTION.size]
        kind, options, name, _ = _DESCRIPTION.unpack(raw)
        size, dtype = _size_of(path, kind, options)
        text = name.split(b"\0")[0].decode("utf-8", "replace")
        fields.append(ExtraField(text, start, size, dtype, raw))
        start += size
    if start > header.record_bytes:
        raise bad_header(
            path, f"extra bytes take {start:,} bytes of a point that has {header.record_bytes:,}"
        )
    while start < header.record_bytes:
        size = min(header.record_bytes - start, _MOST_UNDOCUMENTED)
        name = f"undocumented_{start}"
        raw = _DESCRIPTION.pack(0, size, name.encode("ascii"), b"")
        fields.append(ExtraField(name, start, size, "", raw))
        start += size
    return tuple(fields)


def described(fields: Sequence[ExtraField], added: Sequence[LabelColumn]) -> bytes:
    """The body of the record that describes the kept and the added fields."""
    parts = [field.raw for field in fields]
    for column in added:
        text = _LABEL_TEXT["label" if "label" in column.name else "score"]
        kind = _DTYPES.index(column.values.dtype.str[1:])
        parts.append(_DESCRIPTION.pack(kind, 0, column.name.encode("ascii"), text))
    return b"".join(parts)


def field_texts(fields: Sequence[ExtraField]) -> tuple[str, ...]:
    """Names and dtypes for people."""
    return tuple(
        f"{field.name} {np.dtype(field.kind) if field.kind else f'{field.size} bytes'}"
        for field in fields
    )


def _size_of(path: Path, kind: int, options: int) -> tuple[int, str]:
    if kind == 0:
        return options, ""
    if kind < len(_SIZES):
        return _SIZES[kind], _DTYPES[kind]
    if kind <= 30:  # the deprecated pairs and triples of the ten numbers
        count = 2 if kind <= 20 else 3
        return count * _SIZES[(kind - 1) % 10 + 1], ""
    raise bad_header(path, f"extra bytes have the unknown type {kind}")
