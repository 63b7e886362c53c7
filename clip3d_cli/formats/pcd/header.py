"""The header of a PCD file: parsed within bounds, and rewritten with label fields."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clip3d_cli.errors import InputError
from clip3d_cli.formats.file_checks import bad_header
from clip3d_cli.formats.label_fields import LabelColumn

_MOST_HEADER_BYTES = 1 << 16
_DATA = re.compile(rb"^DATA[ \t]+(\w+)[ \t]*\r?\n", re.MULTILINE)
_KINDS = {"I": "i", "U": "u", "F": "f"}
_PER_FIELD = ("FIELDS", "SIZE", "TYPE", "COUNT")
LAYOUTS = ("ascii", "binary", "binary_compressed")


@dataclass(frozen=True, slots=True)
class PcdField:
    """A field: ``count`` numbers of a dtype; several fields may be called ``_``."""

    name: str
    dtype: str
    count: int

    @property
    def size(self) -> int:
        """Bytes in a binary point."""
        return np.dtype(self.dtype).itemsize * self.count


@dataclass(frozen=True, slots=True)
class PcdHeader:
    """A parsed header.

    Attributes:
        raw: its bytes, the DATA line included.
        fields: in the file's order.
        width, height: columns and rows of an organised cloud; otherwise points and 1.
        layout: ``ascii``, ``binary`` or ``binary_compressed``.
    """

    raw: bytes
    fields: tuple[PcdField, ...]
    width: int
    height: int
    layout: str

    @property
    def points(self) -> int:
        """How many points the header claims."""
        return self.width * self.height

    @property
    def row_dtype(self) -> np.dtype[np.void]:
        """The packed dtype of a binary point; field i is called ``f<i>``."""
        return np.dtype(
            [(f"f{place}", field.dtype, (field.count,)) for place, field in enumerate(self.fields)]
        )

    def place_of(self, name: str) -> int | None:
        """The position of a field of one number, or None."""
        for place, field in enumerate(self.fields):
            if field.name == name and field.count == 1:
                return place
        return None


def read_pcd_header(path: Path) -> PcdHeader:
    """The header of a PCD file.

    Raises:
        InputError: E_BAD_HEADER; E_UNSUPPORTED for an unknown layout; E_NO_XYZ.
    """
    with path.open("rb") as file:
        head = file.read(_MOST_HEADER_BYTES)
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
    header = PcdHeader(raw, _fields(path, entries), width, height, layout)
    if None in (header.place_of("x"), header.place_of("y"), header.place_of("z")):
        names = ", ".join(field.name for field in header.fields)
        raise InputError(
            "E_NO_XYZ", path, f"has no x, y, z; its fields: {names}", "Export it anew."
        )
    return header


def labelled_header(
    header: PcdHeader, kept: Sequence[int], added: Sequence[LabelColumn], points: int
) -> bytes:
    """The header with the kept fields, then the added ones, of four bytes each.

    A cloud that lost points is no longer organised.
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
            values = [words[1 + place] for place in kept] + extra[key]
        elif key in changed:
            values = [changed[key]]
        else:
            lines.append(line)
            continue
        end = line[len(line.rstrip(b"\r\n")) :]
        lines.append(" ".join([words[0], *values]).encode("latin-1") + end)
    return b"".join(lines)


def _fields(path: Path, entries: Mapping[str, list[str]]) -> tuple[PcdField, ...]:
    names = entries.get("FIELDS", [])
    sizes, types = entries.get("SIZE", []), entries.get("TYPE", [])
    counts = entries.get("COUNT", ["1"] * len(names))
    if not names or not len(names) == len(sizes) == len(types) == len(counts):
        raise bad_header(path, "FIELDS, SIZE, TYPE and COUNT do not have as many entries")
    fields = []
    for name, size, kind, count in zip(names, sizes, types, counts, strict=True):
        code = f"{_KINDS.get(kind.upper(), '?')}{size}"
        known = code in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8")
        if not known or not count.isdecimal() or not 1 <= int(count) <= _MOST_HEADER_BYTES:
            raise bad_header(path, f"the field {name} has type {kind}, size {size}, count {count}")
        fields.append(PcdField(name, f"<{code}", int(count)))
    return tuple(fields)


def _extent(path: Path, entries: Mapping[str, list[str]]) -> tuple[int, int]:
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
