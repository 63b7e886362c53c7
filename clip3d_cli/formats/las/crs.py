"""What a LAS file's coordinates are measured in: a small look at WKT and GeoTIFF keys.

No coordinate is ever projected: only the unit and the kind of the system are of interest.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path

from clip3d_cli.formats.las.header import LasHeader

_USER_ID = "LASF_Projection"
_WKT, _KEYS, _DOUBLES, _TEXTS = 2112, 34735, 34736, 34737
_WKT_FLAG = 0x10
_MODEL, _GEOGRAPHIC, _PROJECTED = 1024, 2048, 3072
_CITATIONS = (3073, 1026, 2049)
_LINEAR_UNIT, _LINEAR_SIZE, _VERTICAL_UNIT = 3076, 3077, 4099
_METRES_OF_UNIT = {9001: 1.0, 9002: 0.3048, 9003: 12 / 39.37, 9036: 1000.0}
_PROJECTED_NAMES = ("PROJCS", "PROJCRS", "PROJECTEDCRS")
_GEOGRAPHIC_NAMES = ("GEOGCS", "GEOGCRS", "GEOGRAPHICCRS", "GEODCRS", "GEODETICCRS")
_VERTICAL_NAMES = ("VERT_CS", "VERTCRS", "VERTICALCRS")
_UNIT_NAMES = ("UNIT", "LENGTHUNIT")
_FEET = re.compile(r"\b(ft|ftus|feet|foot)\b", re.IGNORECASE)
_TOKEN = re.compile(r'"((?:[^"]|"")*)"|([A-Za-z_][A-Za-z0-9_]*)|([-+0-9.][-+0-9.eE]*)|([\[\](),])')
_DEEPEST = 40


@dataclass(frozen=True, slots=True)
class Crs:
    """A coordinate reference system as far as clip3d cares.

    Attributes:
        name: for people.
        horizontal_m: metres per unit of x and y.
        vertical_m: metres per unit of z.
        is_geographic: whether x and y are degrees.
    """

    name: str
    horizontal_m: float
    vertical_m: float
    is_geographic: bool = False


def crs_of(path: Path, header: LasHeader) -> Crs | None:
    """The system that a LAS file names, its WKT before its GeoTIFF keys if it says so."""
    sources = [_crs_of_wkt, _crs_of_keys]
    if not header.encoding & _WKT_FLAG:
        sources.reverse()
    found = (source(path, header) for source in sources)
    return next((crs for crs in found if crs is not None), None)


@dataclass(frozen=True, slots=True)
class _Node:
    """One bracket of WKT: ``KEYWORD["name", value, CHILD[...]]``."""

    keyword: str
    values: list[str | float]
    children: list[_Node]

    def child(self, *keywords: str) -> _Node | None:
        return next((node for node in self.children if node.keyword in keywords), None)

    def descend(self, *keywords: str) -> _Node | None:
        """The first node of these keywords, this one included."""
        if self.keyword in keywords:
            return self
        found = (node.descend(*keywords) for node in self.children)
        return next((node for node in found if node is not None), None)


def _crs_of_wkt(path: Path, header: LasHeader) -> Crs | None:
    record = header.find(_USER_ID, _WKT)
    if record is None:
        return None
    root = _parse(record.body(path).split(b"\0")[0].decode("utf-8", "replace"))
    if root is None:
        return None
    name = str(root.values[0]) if root.values else root.keyword
    vertical = root.descend(*_VERTICAL_NAMES)
    projected = root.descend(*_PROJECTED_NAMES)
    horizontal_m = _unit_of(projected if projected is not None else root) or 1.0
    vertical_m = (_unit_of(vertical) if vertical is not None else None) or horizontal_m
    geographic = projected is None and root.descend(*_GEOGRAPHIC_NAMES) is not None
    # Earth-centred coordinates are metres, though their node is called geodetic in WKT 2.
    is_cartesian = "cartesian" in [str(v).lower() for v in _values_of(root, "CS")]
    return Crs(name, horizontal_m, vertical_m, geographic and not is_cartesian)


def _values_of(root: _Node, keyword: str) -> list[str | float]:
    node = root.descend(keyword)
    return node.values if node is not None else []


def _unit_of(node: _Node) -> float | None:
    """Metres per unit of a system: its own unit, or that of its first axis."""
    unit = node.child(*_UNIT_NAMES)
    if unit is None:
        axis = node.child("AXIS")
        unit = axis.child(*_UNIT_NAMES) if axis is not None else None
    factors = [v for v in unit.values if isinstance(v, float) and v > 0] if unit else []
    return factors[0] if factors else None


def _parse(text: str) -> _Node | None:
    """The tree of a WKT text, or None where its brackets do not close."""
    root = _Node("", [], [])
    open_nodes = [root]
    keyword = ""
    for quoted, word, number, mark in _TOKEN.findall(text):
        if mark in ("[", "("):
            node = _Node(keyword.upper(), [], [])
            if keyword:  # what was taken for a value is the name of this bracket
                open_nodes[-1].values.pop()
            open_nodes[-1].children.append(node)
            open_nodes.append(node)
        elif mark in ("]", ")"):
            open_nodes.pop()
        elif number:
            open_nodes[-1].values.append(_number(number))
        elif not mark:
            open_nodes[-1].values.append(quoted or word)
        keyword = word
        if not open_nodes or len(open_nodes) > _DEEPEST:
            return None
    return root.children[0] if root.children and len(open_nodes) == 1 else None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _crs_of_keys(path: Path, header: LasHeader) -> Crs | None:
    keys = _geo_keys(path, header)
    model = keys.get(_MODEL)
    if model is None:
        return None
    citation = next((str(keys[key]) for key in _CITATIONS if isinstance(keys.get(key), str)), "")
    code = keys.get(_GEOGRAPHIC if model == 2 else _PROJECTED)
    name = f"EPSG:{code}" if isinstance(code, int) and code != 32767 else citation or "GeoTIFF keys"
    metres = _METRES_OF_UNIT.get(_whole(keys.get(_LINEAR_UNIT)))
    size = keys.get(_LINEAR_SIZE)
    if metres is None and isinstance(size, float) and size > 0:
        metres = size
    if metres is None:
        # An EPSG code implies its unit; without a table of codes, the name must say it.
        metres = _METRES_OF_UNIT[9003] if _FEET.search(citation) else 1.0
    vertical = _METRES_OF_UNIT.get(_whole(keys.get(_VERTICAL_UNIT)), metres)
    return Crs(name, metres, vertical, is_geographic=model == 2)


def _whole(value: int | float | str | None) -> int:
    return value if isinstance(value, int) else 0


def _geo_keys(path: Path, header: LasHeader) -> dict[int, int | float | str]:
    """The GeoTIFF keys with their values, as far as the records hold them."""
    record = header.find(_USER_ID, _KEYS)
    if record is None:
        return {}
    doubles, texts = header.find(_USER_ID, _DOUBLES), header.find(_USER_ID, _TEXTS)
    numbers = doubles.body(path) if doubles else b""
    text = texts.body(path) if texts else b""
    body = record.body(path)
    keys: dict[int, int | float | str] = {}
    for key, place, count, value in struct.iter_unpack("<4H", body[8 : len(body) // 8 * 8]):
        if place == 0:
            keys[key] = value
        elif place == _DOUBLES and 8 * value + 8 <= len(numbers):
            keys[key] = struct.unpack_from("<d", numbers, 8 * value)[0]
        elif place == _TEXTS:
            keys[key] = text[value : value + count].decode("latin-1").strip("|\0 ")
    return keys
