"""The coordinate reference system of a LAS file: its name and the units of its axes.

A file describes its system by well-known text (WKT) or by GeoTIFF keys. Most descriptions state
their units, and a small reader here finds them. Where they do not, as with a mere EPSG code, the
EPSG database is asked (``pyproj_units``). No coordinate is ever transformed to another system.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path

from clip3d_cli.formats.las import pyproj_units
from clip3d_cli.formats.las.header import LasHeader
from clip3d_cli.formats.las.pyproj_units import AxisUnits

_USER_ID = "LASF_Projection"
_WKT, _KEYS, _DOUBLES, _TEXTS = 2112, 34735, 34736, 34737  # record ids
_WKT_FLAG = 0x10  # of the global encoding: the WKT counts, not the keys
_MAX_RECORD_BYTES = 1 << 16

# GeoTIFF keys: OGC 19-008r4, annex B.
_MODEL, _GEOGRAPHIC_CODE, _PROJECTED_CODE, _VERTICAL_CODE = 1024, 2048, 3072, 4096
_CITATIONS = (3073, 1026, 2049)
_LINEAR_UNIT, _LINEAR_SIZE, _VERTICAL_UNIT = 3076, 3077, 4099
_GEOGRAPHIC_MODEL, _GEOCENTRIC_MODEL = 2, 3
_USER_DEFINED = 32767
# Metres of the linear units that nearly all files use, by EPSG code.
_METRES_OF_UNIT = {9001: 1.0, 9002: 0.3048, 9003: 12 / 39.37, 9036: 1000.0}
_US_SURVEY_FOOT_M = 12 / 39.37
_FEET = re.compile(r"\b(ft|ftus|feet|foot)\b", re.IGNORECASE)

_PROJECTED_NODES = ("PROJCS", "PROJCRS", "PROJECTEDCRS")
_GEOGRAPHIC_NODES = ("GEOGCS", "GEOGCRS", "GEOGRAPHICCRS", "GEODCRS", "GEODETICCRS")
_VERTICAL_NODES = ("VERT_CS", "VERTCRS", "VERTICALCRS")
_UNIT_NODES = ("UNIT", "LENGTHUNIT")
_TOKEN = re.compile(r'"((?:[^"]|"")*)"|([A-Za-z_][A-Za-z0-9_]*)|([-+0-9.][-+0-9.eE]*)|([\[\](),])')
_MAX_DEPTH = 40


@dataclass(frozen=True, slots=True)
class Crs:
    """Name and units of a coordinate reference system.

    Attributes:
        name: name for people, such as "EPSG:32632".
        horizontal_m: metres per unit of x and y; without meaning if they are degrees.
        vertical_m: metres per unit of z.
        is_geographic: whether x and y are degrees.
        warnings: units that could not be found out, and what was assumed.
    """

    name: str
    horizontal_m: float
    vertical_m: float
    is_geographic: bool = False
    warnings: tuple[str, ...] = ()


def crs_of(path: Path, header: LasHeader) -> Crs | None:
    """Return the coordinate reference system of a LAS file, or None if it has none.

    Of a WKT and GeoTIFF keys, the one that the header prefers is used, unless only the other one
    has known units.

    Args:
        path: the file.
        header: its header.
    """
    readers = [_crs_of_wkt, _crs_of_keys]
    if not header.encoding & _WKT_FLAG:
        readers.reverse()
    preferred: Crs | None = None
    for reader in readers:
        crs = reader(path, header)
        if crs is not None and not crs.warnings:
            return crs
        preferred = crs if preferred is None else preferred
    return preferred


def _with_units(name: str, units: AxisUnits, has_heights: bool, can_look_up: bool) -> Crs:
    """Return the system; units that are unknown are assumed to be metres, with a warning.

    Args:
        name: name of the system.
        units: what is known of its units.
        has_heights: whether the system says anything about z. If not, z has the unit of x and y.
        can_look_up: whether the EPSG database may know more.
    """
    horizontal_m, vertical_m = units.horizontal_m, units.vertical_m
    if units.is_geographic:
        return Crs(name, horizontal_m or 1.0, vertical_m or horizontal_m or 1.0, True)
    hint = "; pip install pyproj to look it up"
    if not can_look_up or pyproj_units.is_installed():
        hint = ""
    if horizontal_m is None:
        # Also where the unit of z is known: scaling one axis alone would distort the scan.
        warning = f"the unit of {name} is not known: coordinates are taken as metres{hint}"
        return Crs(name, 1.0, 1.0, warnings=(warning,))
    if vertical_m is None and has_heights:
        warning = f"the unit of heights in {name} is not known: taken as that of x and y{hint}"
        return Crs(name, horizontal_m, horizontal_m, warnings=(warning,))
    return Crs(name, horizontal_m, horizontal_m if vertical_m is None else vertical_m)


def _body(path: Path, header: LasHeader, record_id: int) -> bytes:
    """Return the first 64 kB of a projection record, or nothing if there is none."""
    record = header.find(_USER_ID, record_id)
    return b"" if record is None else record.body(path, _MAX_RECORD_BYTES)


@dataclass(frozen=True, slots=True)
class _Node:
    """One bracket of a WKT: ``KEYWORD["name", value, CHILD[...]]``.

    Attributes:
        keyword: keyword before the bracket, upper case.
        values: texts and numbers in the bracket.
        children: brackets in the bracket.
    """

    keyword: str
    values: list[str | float]
    children: list[_Node]

    def child(self, *keywords: str) -> _Node | None:
        """Return the first child of one of the keywords."""
        return next((node for node in self.children if node.keyword in keywords), None)

    def descend(self, *keywords: str) -> _Node | None:
        """Return the first node of one of the keywords at any depth, this one included."""
        if self.keyword in keywords:
            return self
        nodes = (node.descend(*keywords) for node in self.children)
        return next((node for node in nodes if node is not None), None)


def _crs_of_wkt(path: Path, header: LasHeader) -> Crs | None:
    text = _body(path, header, _WKT).split(b"\0")[0].decode("utf-8", "replace")
    root = _parse_wkt(text)
    if root is None:
        return None
    name = str(root.values[0]) if root.values else root.keyword
    projected, vertical = root.descend(*_PROJECTED_NODES), root.descend(*_VERTICAL_NODES)
    system = projected if projected is not None else root
    units = AxisUnits(
        horizontal_m=_unit_of(system),
        vertical_m=_unit_of(vertical) if vertical is not None else _unit_of(system, axis=2),
        is_geographic=projected is None and _is_geographic(root),
    )
    has_heights = vertical is not None
    is_unknown = units.horizontal_m is None or (has_heights and units.vertical_m is None)
    if is_unknown and not units.is_geographic:
        units = _completed(units, pyproj_units.units_of_wkt(text))
    return _with_units(name, units, has_heights, can_look_up=True)


def _is_geographic(root: _Node) -> bool:
    if root.descend(*_GEOGRAPHIC_NODES) is None:
        return False
    # Earth-centred coordinates are lengths, though WKT 2 calls their system geodetic too.
    coordinate_system = root.descend("CS")
    values = [] if coordinate_system is None else coordinate_system.values
    return "cartesian" not in [str(value).lower() for value in values]


def _unit_of(node: _Node, axis: int = 0) -> float | None:
    """Return metres per unit of a system: its own unit, else that of one of its axes."""
    unit = node.child(*_UNIT_NODES)
    axes = [child for child in node.children if child.keyword == "AXIS"]
    if unit is None and axis < len(axes):
        unit = axes[axis].child(*_UNIT_NODES)
    factors = [v for v in unit.values if isinstance(v, float) and v > 0] if unit else []
    return factors[0] if factors else None


def _parse_wkt(text: str) -> _Node | None:
    """Return the tree of a WKT, or None if its brackets do not match or are too deep."""
    root = _Node("", [], [])
    open_nodes = [root]
    keyword = ""
    for quoted, word, number, mark in _TOKEN.findall(text):
        if mark in ("[", "("):
            node = _Node(keyword.upper(), [], [])
            if keyword:  # the word that was taken for a value is the keyword of this bracket
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
        if not open_nodes or len(open_nodes) > _MAX_DEPTH:
            return None
    return root.children[0] if root.children and len(open_nodes) == 1 else None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _crs_of_keys(path: Path, header: LasHeader) -> Crs | None:
    keys = _geo_keys(path, header)
    code, model = _system_code(keys), keys.get(_MODEL)
    if code is None and model is None:
        return None
    is_geographic = model == _GEOGRAPHIC_MODEL or (model is None and _PROJECTED_CODE not in keys)
    citation = next((str(keys[key]) for key in _CITATIONS if isinstance(keys.get(key), str)), "")
    units = AxisUnits(
        _linear_unit(keys), _unit_by_code(keys.get(_VERTICAL_UNIT)), is_geographic=is_geographic
    )
    if units.horizontal_m is None and model == _GEOCENTRIC_MODEL:
        units = _completed(units, AxisUnits(horizontal_m=1.0))
    elif units.horizontal_m is None and code is not None and not is_geographic:
        units = _completed(units, pyproj_units.units_of_epsg(code))
    if units.horizontal_m is None and _FEET.search(citation):
        units = AxisUnits(_US_SURVEY_FOOT_M, units.vertical_m, units.is_geographic)
    vertical_code = _epsg_code(keys.get(_VERTICAL_CODE))
    if units.vertical_m is None and vertical_code is not None and not units.is_geographic:
        looked_up = pyproj_units.units_of_epsg(vertical_code)
        if looked_up is not None and looked_up.horizontal_m is None:  # a system of heights
            units = _completed(units, looked_up)
    return _with_units(
        f"EPSG:{code}" if code is not None else citation or "GeoTIFF keys",
        units,
        has_heights=bool(keys.get(_VERTICAL_UNIT)) or vertical_code is not None,
        can_look_up=code is not None or vertical_code is not None,
    )


def _completed(units: AxisUnits, looked_up: AxisUnits | None) -> AxisUnits:
    """Return the units of the file, and where they are unknown, those that were looked up."""
    if looked_up is None:
        return units
    return AxisUnits(
        units.horizontal_m if units.horizontal_m is not None else looked_up.horizontal_m,
        units.vertical_m if units.vertical_m is not None else looked_up.vertical_m,
        units.is_geographic or looked_up.is_geographic,
    )


def _system_code(keys: dict[int, int | float | str]) -> int | None:
    """Return the EPSG code of the horizontal system, or None."""
    projected, geographic = (_epsg_code(keys.get(k)) for k in (_PROJECTED_CODE, _GEOGRAPHIC_CODE))
    model = keys.get(_MODEL)
    if model is None:
        return geographic if projected is None else projected
    # A geographic system below a projected or geocentric one says nothing about the units.
    return geographic if model == _GEOGRAPHIC_MODEL else projected


def _epsg_code(value: int | float | str | None) -> int | None:
    return value if isinstance(value, int) and 0 < value != _USER_DEFINED else None


def _linear_unit(keys: dict[int, int | float | str]) -> float | None:
    """Return metres per unit of x and y as the keys state it, or None."""
    metres = _unit_by_code(keys.get(_LINEAR_UNIT))
    size = keys.get(_LINEAR_SIZE)
    if metres is None and isinstance(size, float) and size > 0:
        return size
    return metres


def _unit_by_code(value: int | float | str | None) -> float | None:
    code = _epsg_code(value)
    if code is None:
        return None
    return _METRES_OF_UNIT.get(code) or pyproj_units.metres_of_unit(code)


def _geo_keys(path: Path, header: LasHeader) -> dict[int, int | float | str]:
    """Return the values of the GeoTIFF keys, as far as the records hold them."""
    numbers, text = _body(path, header, _DOUBLES), _body(path, header, _TEXTS)
    body = _body(path, header, _KEYS)
    keys: dict[int, int | float | str] = {}
    # Four uint16 each: key, record of the value, number of values, the value or its index. The
    # first four are the version and the number of keys.
    for key, record_id, count, value in struct.iter_unpack("<4H", body[8 : len(body) // 8 * 8]):
        if record_id == 0:
            keys[key] = value
        elif record_id == _DOUBLES and 8 * value + 8 <= len(numbers):
            keys[key] = struct.unpack_from("<d", numbers, 8 * value)[0]
        elif record_id == _TEXTS:
            keys[key] = text[value : value + count].decode("latin-1").strip("|\0 ")
    return keys
