"""TOML from nested mappings: the standard library reads it and does not write it."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_text(table: Mapping[str, Any]) -> str:
    """A TOML document: plain values of a table before its tables, in the order they come in.

    Args:
        table: strings, numbers, booleans, lists and tuples of these, and mappings; what is None
            is left out, for TOML has no word for nothing.

    Raises:
        TypeError: anything else; it names the key.
    """
    return "\n".join(_lines(table, ())).lstrip("\n") + "\n"


def toml_table(text: str) -> dict[str, Any]:
    """What a TOML document says.

    Raises:
        ValueError: it is none.
    """
    table: dict[str, Any] = tomllib.loads(text)
    return table


def flat(table: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Every plain value by its dotted key; lists for tuples, without what is None."""
    values: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            values |= flat(value, f"{above}{key}.")
        elif value is not None:
            values[f"{above}{key}"] = list(value) if isinstance(value, tuple) else value
    return values


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    for key, value in table.items():
        if value is not None and not isinstance(value, Mapping):
            yield f"{_key(key)} = {_value(value, '.'.join((*path, key)))}"
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield ""
            yield f"[{'.'.join(_key(part) for part in (*path, key))}]"
            yield from _lines(value, (*path, key))


def _value(value: object, where: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else str(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(entry, where) for entry in value)}]"
    raise TypeError(f"{where}: TOML cannot say {value!r}")


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _quoted(key)


def _quoted(text: str) -> str:
    # JSON's escapes are TOML's, but for one control character that JSON leaves as it is.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
