"""Units of coordinate reference systems from the EPSG database: the adapter of pyproj.

pyproj is optional and slow to import (0.2 s), so it is imported only when a file does not state its
units itself. Without it, or for a system it does not know, the functions return None.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyproj import CRS


@dataclass(frozen=True, slots=True)
class AxisUnits:
    """Units of the axes of a coordinate reference system.

    Attributes:
        horizontal_m: metres per unit of x and y; None if they are unknown or angles.
        vertical_m: metres per unit of z; None if it is unknown or the system has no heights.
        is_geographic: whether x and y are angles.
    """

    horizontal_m: float | None = None
    vertical_m: float | None = None
    is_geographic: bool = False


def is_installed() -> bool:
    """Return whether pyproj is installed; does not import it."""
    return importlib.util.find_spec("pyproj") is not None


def units_of_epsg(code: int) -> AxisUnits | None:
    """Return the units of the system with an EPSG code, or None if it cannot be looked up."""
    return _units_of(code)


def units_of_wkt(text: str) -> AxisUnits | None:
    """Return the units of the system that a well-known text describes, or None."""
    return _units_of(text)


def metres_of_unit(code: int) -> float | None:
    """Return the metres of a linear unit by its EPSG code, or None if it cannot be looked up."""
    try:
        from pyproj.database import get_units_map
    except ImportError:
        return None
    for unit in get_units_map(auth_name="EPSG", category="linear").values():
        if unit.code == str(code):
            return float(unit.conv_factor)
    return None


def _units_of(epsg_code_or_wkt: int | str) -> AxisUnits | None:
    try:
        from pyproj import CRS
        from pyproj.exceptions import ProjError
    except ImportError:
        return None
    try:
        return _axis_units(CRS.from_user_input(epsg_code_or_wkt))
    except ProjError:  # an unknown code, or a text that is not valid
        return None


def _axis_units(crs: CRS) -> AxisUnits:
    if crs.is_bound and crs.source_crs is not None:  # it also names a way to another system
        return _axis_units(crs.source_crs)
    vertical_m = None
    horizontal_m = None
    for axis in crs.axis_info:
        factor = float(axis.unit_conversion_factor)
        if axis.direction in ("up", "down"):
            vertical_m = factor
        elif horizontal_m is None and not crs.is_geographic:
            horizontal_m = factor
    return AxisUnits(horizontal_m, vertical_m, bool(crs.is_geographic))
