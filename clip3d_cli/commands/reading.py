"""How files are to be read, from the options that commands share."""

from __future__ import annotations

from clip3d_cli.errors import UsageError
from clip3d_cli.formats.contract import ReadOptions


def reading_options(columns: str | None, *, allow_truncated: bool) -> ReadOptions:
    """The options of a read.

    Args:
        columns: the names of ``--columns``, separated by commas; None if not given.
        allow_truncated: take the points that are there when a file ends early.

    Raises:
        UsageError: the columns lack x, y or z, or name one twice.
    """
    if columns is None:
        return ReadOptions(allow_truncated=allow_truncated)
    names = tuple(name.strip() for name in columns.split(","))
    if not {"x", "y", "z"} <= set(names) or len(set(names)) < len(names) or "" in names:
        raise UsageError(
            "E_COLUMNS",
            "--columns",
            f"{columns!r} does not name x, y and z once each",
            "Name every column in file order, such as x,y,z,intensity,ring.",
        )
    return ReadOptions(columns=names, allow_truncated=allow_truncated)


def positive(option: str, metres: float | None) -> float | None:
    """A length in metres, or None if not given.

    Raises:
        UsageError: it is not a finite number above 0.
    """
    if metres is not None and not 0 < metres < float("inf"):
        raise UsageError("E_BAD_VALUE", option, f"{metres} is no length", "Give metres above 0.")
    return metres
