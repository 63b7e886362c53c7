"""How files are to be read, from the options that commands share."""

from __future__ import annotations

import re

from clip3d_cli.errors import UsageError
from clip3d_cli.formats.format import ReadOptions, memory_budget

_MOST = 1e18
_BYTES_OF_UNIT = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def reading_options(
    columns: str | None, *, allow_truncated: bool, max_memory: str | None
) -> ReadOptions:
    """The options of a read.

    Args:
        columns: the names of ``--columns``, separated by commas; None if not given.
        allow_truncated: take the points that are there when a file ends early.
        max_memory: such as ``8GB`` or ``50%``; None if not given.

    Raises:
        UsageError: the columns lack x, y or z, or name one twice; or the memory is no size.
    """
    names = None if columns is None else tuple(name.strip() for name in columns.split(","))
    if names is not None and not _are_columns(names):
        raise UsageError(
            "E_COLUMNS",
            "--columns",
            f"{columns!r} does not name x, y and z once each",
            "Name every column in file order, such as x,y,z,intensity,ring.",
        )
    memory = memory_budget() if max_memory is None else memory_bytes(max_memory)
    return ReadOptions(names, allow_truncated, memory)


def memory_bytes(text: str) -> int:
    """The bytes of a size such as ``8GB``, ``500M`` or ``50%`` of what is usually allowed.

    Raises:
        UsageError: it is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(?:(%)|([kmgt]?)(?:i?b)?)", text.strip().lower())
    number = float(match[1]) if match else 0.0
    if match is None or not 0 < number <= _MOST:
        raise UsageError("E_BAD_VALUE", "--max-memory", f"{text!r} is no size", "Say 8GB or 50%.")
    if match[2]:
        return int(memory_budget() * number / 100)
    return int(number * _BYTES_OF_UNIT[match[3]])


def length(option: str, metres: float | None, least_m: float) -> float | None:
    """A length in metres, or None if not given.

    Raises:
        UsageError: it is not a finite number, or less than the least that can end in time.
    """
    if metres is not None and not least_m <= metres < float("inf"):
        raise UsageError(
            "E_BAD_VALUE", option, f"{metres} is no length", f"Give metres, at least {least_m}."
        )
    return metres


def _are_columns(names: tuple[str, ...]) -> bool:
    return {"x", "y", "z"} <= set(names) and len(set(names)) == len(names) and "" not in names
