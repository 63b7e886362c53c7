"""The header of a PCD file: parsed within bounds, and rewritten with label fields."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clip3d_cli.errors import InputError
from clip3d_cli.formats.file_checks import bad_header
from clip3d_cli.formats.label_fields import LabelColumn

LAYOUTS = ("ascii", "binary", "binary_compressed")

_MAX_HEADER_BYTES = 1 << 16
_DATA = re.compile(rb"^DATA[ \t]+(\w+)[ \t]*\r?\n", re.MULTILINE)
_DTYPE_KINDS = {"I": "i", "U": "u", "F": "f"}
_PER_FIELD = ("FIELDS", "SIZE", "TYPE", "COUNT")


@dataclass(frozen=True, slots=True)
class PcdField:
    """A field of a point.

    Attributes:
        name: name of the field; padding is called ``_``, also several times.
        dtype: numpy dtype of its numbers.
        count: how many numbers it has.
    """

    name: str
    dtype: str
    count: int

    @property
    def size(self) -> int:
        """Bytes of the field in a binary point."""
        return np.dtype(self.dtype).itemsize * self.count


@dataclass(frozen=True, slots=True)
class PcdHeader:
    """A parsed header.

    Attributes:
        raw: bytes of the header, up to the end of the DATA line.
        fields: fields of a point in file order.
        width: columns of an organised cloud, else the number of points.
        height: rows of an organised cloud, else 1.
        layout: ``ascii``, ``binary`` or ``binary_compressed``.
        file_bytes: size of the file.
    """

    raw: bytes
    fields: tuple[PcdField, ...]
    width: int
    height: int
    layout: str
    file_bytes: int

    @property
    def points(self) -> int:
        """Number of points that the header claims."""
        return self.width * self.height

    @property
    def point_bytes(self) -> int:
        """Bytes of a binary point."""
        return sum(field.size for field in self.fields)

    @property
    def row_dtype(self) -> np.dtype[np.void]:
        """Packed dtype of a binary point; field i is called ``f<i>``, for names may repeat."""
        return np.dtype(
            [(f"f{index}", field.dtype, (field.count,)) for index, field in enumerate(self.fields)]
        )

    def index_of(self, name: str) -> int | None:
        """Return the index of the field of that name if it is one number, else None."""
        for index, field in enumerate(self.fields):
            if field.name == name and field.count == 1:
                return index
        return None


def read_pcd_header(path: Path) -> PcdHeader:
    """Parse the header of a PCD file.

    Raises:
        InputError: E_BAD_HEADER; E_UNSUPPORTED: the layout is unknown; E_NO_XYZ.
    """
    with path.open("rb") as file:
        file_bytes = os.fstat(file.fileno()).st_size
        head = file.read(_MAX_HEADER_BYTES)
    end = _DATA.search(head)
    if end is None:
        raise bad_header(path, "the PCD header has no DATA line in its first 64 kB")
    layout = end[1].decode("ascii").lower()
    if layout not in LAYOUTS:
        raise InputError(
            "E_UNSUPPORTED", path, f"has DATA {layout}", f"clip3d reads {', '.join(LAYOUTS)}."
        )
    raw = head[: end.end()]
    entries: dict[str, list[str]] = {}
    for line in raw.decode("latin-1").splitlines():
        words = line.split()
        if words and not words[0].startswith("#"):
            entries[words[0].upper()] = words[1:]
    width, height = _extent(path, entries)
    header = PcdHeader(raw, _fields(path, entries), width, height, layout, file_bytes)
    if any(header.index_of(axis) is None for axis in "xyz"):
        names = ", ".join(field.name for field in header.fields)
        raise InputError(
            "E_NO_XYZ",
            path,
            f"has no x, y, z; its fields: {names}",
            "Export it with fields named x, y and z.",
        )
    return header


def labelled_header(
    header: PcdHeader, kept: Sequence[int], added: Sequence[LabelColumn], points: int
) -> bytes:
    """Return the header of a copy with fewer or more fields.

    Args:
        header: header of the source.
        kept: indices of the fields that stay.
        added: columns that follow them, of four bytes each.
        points: number of points of the copy. If points were lost, it is no longer organised.
    """
    extra = {
        "FIELDS": [column.name for column in added],
        "SIZE": ["4" for _ in added],
        "TYPE": ["F" if column.values.dtype.kind == "f" else "U" for column in added],
        "COUNT": ["1" for _ in added],
    }
    changed: dict[str, str] = {}
    if points != header.points:
        changed = {"WIDTH": str(points), "HEIGHT": "1", "POINTS": str(points)}
    lines = []
    for line in header.raw.splitlines(keepends=True):
        words = line.decode("latin-1").split()
        key = words[0].upper() if words else ""
        if key in _PER_FIELD:
            values = [words[1 + index] for index in kept] + extra[key]
        elif key in changed:
            values = [changed[key]]
        else:
            lines.append(line)
            continue
        line_end = line[len(line.rstrip(b"\r\n")) :]
        lines.append(" ".join([words[0], *values]).encode("latin-1") + line_end)
    return b"".join(lines)


def _fields(path: Path, entries: Mapping[str, list[str]]) -> tuple[PcdField, ...]:
    names = entries.get("FIELDS", [])
    sizes, types = entries.get("SIZE", []), entries.get("TYPE", [])
    counts = entries.get("COUNT", ["1"] * len(names))
    if not names or not len(names) == len(sizes) == len(types) == len(counts):
        raise bad_header(path, "FIELDS, SIZE, TYPE and COUNT do not have as many entries")
    fields = []
    for name, size, kind, count in zip(names, sizes, types, counts, strict=True):
        code = f"{_DTYPE_KINDS.get(kind.upper(), '?')}{size}"
        known = code in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8")
        if not known or not count.isdecimal() or not 1 <= int(count) <= _MAX_HEADER_BYTES:
            raise bad_header(path, f"the field {name} has type {kind}, size {size}, count {count}")
        fields.append(PcdField(name, f"<{code}", int(count)))
    return tuple(fields)


def _extent(path: Path, entries: Mapping[str, list[str]]) -> tuple[int, int]:
    """Return width and height."""
    numbers: dict[str, int] = {}
    for key in ("WIDTH", "HEIGHT", "POINTS"):
        text = "".join(entries.get(key, []))
        if text and not text.isdecimal():
            raise bad_header(path, f"{key} is {text[:40]}")
        if text:
            numbers[key] = int(text)
    points = numbers.get("POINTS")
    width, height = numbers.get("WIDTH", points), numbers.get("HEIGHT", 1)
    if width is None:
        raise bad_header(path, "the PCD header has neither WIDTH nor POINTS")
    if points is not None and points != width * height:
        raise bad_header(path, f"WIDTH {width:,} x HEIGHT {height:,} is not POINTS {points:,}")
    return width, height
