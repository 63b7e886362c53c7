"""A second pair of eyes: laspy opens what was written before it takes its name.

clip3d copies LAS records as bytes, so that nothing is lost; laspy is what most of our users
read the result with, and it knows nothing of how it was made.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from clip3d_cli.errors import OutputError


def require_readable(part: Path, source: Path, points: int, fields: Collection[str]) -> None:
    """Refuse a copy that laspy reads otherwise than it was meant.

    A source that laspy itself cannot open says nothing about its copy.

    Raises:
        OutputError: E_NOT_WRITABLE, the number of points is another, or a field is missing.
    """
    seen = _witness(part)
    if seen is None:
        if _witness(source) is None:
            return
        raise _fault(source, "laspy cannot open the labelled copy")
    counted, names = seen
    if counted != points:
        raise _fault(source, f"laspy counts {counted:,} of {points:,} points in the copy")
    missing = sorted(set(fields) - names)
    if missing:
        raise _fault(source, f"laspy misses {', '.join(missing)} in the copy")


def _witness(path: Path) -> tuple[int, set[str]] | None:
    """The points and the fields that laspy finds in a header, or None if it cannot open it."""
    import laspy

    try:
        with laspy.open(path) as reader:
            header = reader.header
            return int(header.point_count), set(header.point_format.dimension_names)
    except Exception:  # noqa: BLE001 - it trips in many ways, and a witness must not end the work
        return None


def _fault(source: Path, fault: str) -> OutputError:
    return OutputError("E_NOT_WRITABLE", source, fault, "Please report this with the file.")
