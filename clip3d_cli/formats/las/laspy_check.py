"""A check of labelled LAS copies by laspy, an independent reader.

clip3d copies LAS records as bytes, so that nothing is lost. Most users read the result with laspy,
so laspy opens every copy before the copy takes its name.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from clip3d_cli.errors import OutputError


def require_readable(copy: Path, source: Path, points: int, fields: Collection[str]) -> None:
    """Raise if laspy reads a copy differently than it was written.

    A copy that laspy cannot open is accepted if laspy cannot open its source either.

    Args:
        copy: file to check.
        source: file that was copied; errors name it.
        points: number of points of the copy.
        fields: names of the fields that the copy must have.

    Raises:
        OutputError: E_NOT_WRITABLE: laspy cannot open the copy, counts other points, or misses a
            field.
    """
    read = _laspy_header(copy)
    if read is None:
        if _laspy_header(source) is None:
            return
        raise _fault(source, "laspy cannot open the labelled copy")
    count, names = read
    if count != points:
        raise _fault(source, f"laspy counts {count:,} of {points:,} points in the copy")
    missing = sorted(set(fields) - names)
    if missing:
        raise _fault(source, f"laspy misses {', '.join(missing)} in the copy")


def _laspy_header(path: Path) -> tuple[int, set[str]] | None:
    """Return number of points and field names by laspy, or None if it cannot open the file."""
    import laspy

    try:
        with laspy.open(path) as reader:
            header = reader.header
            return int(header.point_count), set(header.point_format.dimension_names)
    except Exception:  # noqa: BLE001 - laspy fails in many ways; none of them may stop the copy
        return None


def _fault(source: Path, fault: str) -> OutputError:
    return OutputError("E_NOT_WRITABLE", source, fault, "Please report this with the file.")
