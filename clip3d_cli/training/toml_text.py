"""TOML from nested mappings: the standard library reads TOML and does not write it."""

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

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def toml_text(table: Mapping[str, Any]) -> str:
    """Return a TOML document with the values of a table before its subtables, in their order.

    Args:
        table: strings, numbers, booleans, lists and tuples of these, and mappings; keys whose
            value is None are left out, because TOML has no null.

    Raises:
        TypeError: a value of another type; the message names its key.
    """
    return "\n".join(_lines(table, ())).lstrip("\n") + "\n"


def toml_table(text: str) -> dict[str, Any]:
    """Return the tables of a TOML document.

    Raises:
        ValueError: the text is not TOML.
    """
    table: dict[str, Any] = tomllib.loads(text)
    return table


def toml_value(value: object, key: str = "value") -> str:
    """Return a value as TOML writes it.

    Args:
        value: string, number, boolean, or a list or tuple of these.
        key: name of the value in the error message.

    Raises:
        TypeError: TOML has no such value.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else str(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml_value(entry, key) for entry in value)}]"
    raise TypeError(f"{key}: TOML has no value for {value!r}")


def flatten_tables(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return every value by its dotted key, tuples as lists, without keys whose value is None.

    Args:
        table: nested mappings.
        prefix: put before every key.
    """
    values: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            values |= flatten_tables(value, f"{prefix}{key}.")
        elif value is not None:
            values[f"{prefix}{key}"] = list(value) if isinstance(value, tuple) else value
    return values


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    for key, value in table.items():
        if value is not None and not isinstance(value, Mapping):
            yield f"{_key(key)} = {toml_value(value, '.'.join((*path, key)))}"
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield ""
            yield f"[{'.'.join(_key(part) for part in (*path, key))}]"
            yield from _lines(value, (*path, key))


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _quoted(key)


def _quoted(text: str) -> str:
    # The escapes of JSON are those of TOML, except that TOML also escapes the character DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
