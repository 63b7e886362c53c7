"""The header of a PLY file: parsed within bounds, and rewritten with label properties."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clip3d_cli.errors import InputError
from clip3d_cli.formats.file_checks import bad_header

CLASS_COMMENT = "comment clip3d_class "
# CloudCompare shows the properties of this prefix as scalar fields.
LABEL_PREFIX = "scalar_"

_MAX_HEADER_BYTES = 1 << 20
_BYTE_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_DTYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1",
    "short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2",
    "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4",
    "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
_TYPE_NAMES = {"u1": "uchar", "u2": "ushort", "u4": "uint", "f4": "float", "f8": "double"}


@dataclass(frozen=True, slots=True)
class PlyProperty:
    """A column of an element.

    Attributes:
        name: name of the property.
        dtype: numpy dtype code of a value, without byte order.
        length_dtype: numpy dtype code of the length before the values of a list; None for a
            scalar.
    """

    name: str
    dtype: str
    length_dtype: str | None = None


@dataclass(frozen=True, slots=True)
class PlyElement:
    """A table of a PLY file, such as the vertices.

    Attributes:
        name: name of the element.
        count: number of rows that the header claims.
        properties: columns in file order.
    """

    name: str
    count: int
    properties: tuple[PlyProperty, ...]

    @property
    def has_lists(self) -> bool:
        """Whether a property is a list, so that rows differ in length."""
        return any(column.length_dtype for column in self.properties)

    @property
    def min_row_bytes(self) -> int:
        """Bytes of a binary row whose lists are empty."""
        return sum(np.dtype(c.length_dtype or c.dtype).itemsize for c in self.properties)

    def row_dtype(self, byte_order: str) -> np.dtype[np.void]:
        """Return the packed numpy dtype of a row without lists."""
        return np.dtype([(c.name, byte_order + c.dtype) for c in self.properties])


@dataclass(frozen=True, slots=True)
class PlyHeader:
    """A parsed header.

    Attributes:
        lines: all lines up to ``end_header``, without line ends.
        newline: line end of the header: LF, CR LF or CR.
        byte_order: ``<`` or ``>``; empty for ascii.
        elements: tables in file order.
        size: bytes of the header; the first row starts there.
        file_bytes: size of the file.
    """

    lines: tuple[bytes, ...]
    newline: bytes
    byte_order: str
    elements: tuple[PlyElement, ...]
    size: int
    file_bytes: int

    @property
    def vertex_index(self) -> int:
        """Position of the vertex element among the elements."""
        return [element.name for element in self.elements].index("vertex")

    @property
    def vertex(self) -> PlyElement:
        """The element whose rows are the points."""
        return self.elements[self.vertex_index]


def read_ply_header(path: Path) -> PlyHeader:
    """Parse the header of a PLY file.

    Raises:
        InputError: E_BAD_HEADER: it does not end within a megabyte, or a line is invalid;
            E_NO_XYZ: there is no vertex element with x, y and z.
    """
    with path.open("rb") as file:
        file_bytes = os.fstat(file.fileno()).st_size
        head = file.read(_MAX_HEADER_BYTES)
    newline = next((end for end in (b"\r\n", b"\n", b"\r") if head[3:].startswith(end)), b"\n")
    end = head.find(newline + b"end_header" + newline)
    if end < 0:
        raise bad_header(path, "the PLY header does not end with end_header in the first megabyte")
    size = end + len(b"end_header") + 2 * len(newline)
    lines = (*head[:end].split(newline), b"end_header")
    byte_order, elements = _parse_lines(path, lines)
    header = PlyHeader(lines, newline, byte_order, elements, size, file_bytes)
    _require_xyz(path, header)
    return header


def labelled_header(
    header: PlyHeader,
    counts: Sequence[int],
    kept_names: Iterable[str],
    columns: Sequence[tuple[str, np.dtype[np.generic]]],
    class_lines: Iterable[str],
) -> bytes:
    """Return the header of a copy: more vertex properties, and a comment for every class.

    Args:
        header: header of the source.
        counts: number of rows of every element in the copy.
        kept_names: vertex properties of the source that stay.
        columns: name and dtype of the label properties, which follow the kept ones.
        class_lines: texts of the comments, behind ``comment clip3d_class``.
    """
    added = [f"property {_TYPE_NAMES[d.str[1:]]} {name}".encode() for name, d in columns]
    kept = {name.encode() for name in kept_names}
    comments = [f"{CLASS_COMMENT}{line}".encode() for line in class_lines]
    lines: list[bytes] = []
    element = -1  # index of the element that the line belongs to; -1 before the first
    for line in header.lines:
        words = line.split()
        ends_element = bool(words) and words[0] in (b"element", b"end_header")
        if ends_element and element == header.vertex_index:
            lines += added
        if ends_element and element == -1:
            lines += comments
        if ends_element and words[0] == b"element":
            element += 1
            line = _with_count(line, words, counts[element])
        elif element == header.vertex_index and words[:1] == [b"property"]:
            line = line if words[-1] in kept else b""
        if line and not line.startswith(CLASS_COMMENT.encode()):
            lines.append(line)
    return b"".join(line + header.newline for line in lines)


def _with_count(line: bytes, words: list[bytes], count: int) -> bytes:
    if int(words[2]) == count:
        return line
    return b" ".join((words[0], words[1], b"%d" % count))


def _parse_lines(path: Path, lines: Sequence[bytes]) -> tuple[str, tuple[PlyElement, ...]]:
    byte_order: str | None = None
    elements: list[PlyElement] = []
    for number, line in enumerate(lines[1:-1], start=2):
        words = line.decode("latin-1").split()
        if not words or words[0] in ("comment", "obj_info"):
            continue
        if words[0] == "format" and len(words) == 3 and words[1] in _BYTE_ORDERS:
            byte_order = _BYTE_ORDERS[words[1]]
        elif words[0] == "element":
            elements.append(_element_of(path, number, words))
        elif words[0] == "property" and elements:
            elements[-1] = _with_property(path, number, elements[-1], words)
        else:
            raise bad_header(path, f"PLY header line {number} is not valid: {line[:60]!r}")
    if byte_order is None:
        raise bad_header(path, "the PLY header has no format line")
    return byte_order, tuple(elements)


def _element_of(path: Path, number: int, words: list[str]) -> PlyElement:
    if len(words) != 3 or not words[2].isdecimal():
        raise bad_header(path, f"PLY header line {number}: an element needs a name and a count")
    return PlyElement(words[1], int(words[2]), ())


def _with_property(path: Path, number: int, element: PlyElement, words: list[str]) -> PlyElement:
    is_list = len(words) == 5 and words[1] == "list"
    types = words[2:4] if is_list else words[1:2]
    if not (is_list or len(words) == 3) or any(name not in _DTYPES for name in types):
        raise bad_header(path, f"PLY header line {number}: not a property: {' '.join(words)[:60]}")
    if any(column.name == words[-1] for column in element.properties):
        raise bad_header(path, f"{element.name} has the property {words[-1]} twice")
    length_dtype = _DTYPES[types[0]] if is_list else None
    if length_dtype in ("f4", "f8"):
        raise bad_header(
            path, f"PLY header line {number}: the length of a list must be an integer type"
        )
    column = PlyProperty(words[-1], _DTYPES[types[-1]], length_dtype)
    return PlyElement(element.name, element.count, (*element.properties, column))


def _require_xyz(path: Path, header: PlyHeader) -> None:
    names = [element.name for element in header.elements]
    if names.count("vertex") > 1:
        raise bad_header(path, "the PLY header has the element vertex twice")
    columns = header.vertex.properties if "vertex" in names else ()
    scalars = {column.name for column in columns if not column.length_dtype}
    if not {"x", "y", "z"} <= scalars:
        available = ", ".join(sorted(scalars)) or "none"
        raise InputError(
            "E_NO_XYZ", path, f"has no vertex x, y, z; its vertex properties: {available}",
            "Export it with coordinates named x, y and z.",
        )  # fmt: skip
