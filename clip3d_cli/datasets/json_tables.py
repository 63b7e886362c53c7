"""Tables in JSON, row by row: some are larger than memory should be."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from clip3d_cli.errors import InputError

_CHUNK = 4 << 20
_BETWEEN_ROWS = re.compile(r"[\s,]*")
_REMEDY = "Unpack the tables again from the archive they came in."


def json_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON list of objects, in its order; memory does not grow with the file.

    Raises:
        InputError: E_NOT_FOUND; E_TRUNCATED: the list does not end; E_DATASET: it is no list of
            objects.
    """
    try:
        with path.open(encoding="utf-8") as file:
            yield from _rows(path, file)
    except FileNotFoundError as error:
        raise InputError("E_NOT_FOUND", path, "does not exist", _REMEDY) from error
    except PermissionError as error:
        raise InputError(
            "E_PERMISSION", path, "may not be read", "Change its permissions."
        ) from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise table_fault(path, f"is not JSON: {error}") from error


def table_fault(path: Path, fault: str) -> InputError:
    """The refusal of a table that says what cannot be."""
    return InputError("E_DATASET", path, fault, _REMEDY)


def _rows(path: Path, file: TextIO) -> Iterator[dict[str, Any]]:
    decoder = json.JSONDecoder()
    text = file.read(_CHUNK).lstrip("\ufeff \t\r\n")
    if not text.startswith("["):
        raise table_fault(path, "is not a list of rows" if text else "is empty")
    position, number = 1, 0
    while True:
        match = _BETWEEN_ROWS.match(text, position)
        position = match.end() if match else position
        if text[position : position + 1] == "]":
            return
        try:
            row, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            text, position = _longer(path, file, text[position:], number, error), 0
            continue
        if not isinstance(row, dict):
            raise table_fault(path, f"row {number:,} is not an object")
        yield row
        number += 1


def _longer(path: Path, file: TextIO, rest: str, number: int, error: json.JSONDecodeError) -> str:
    """The text from a row that is not complete yet, and what follows in the file."""
    more = file.read(_CHUNK)
    if more and len(rest) < _CHUNK:
        return rest + more
    if not more and not rest.rstrip().endswith("]"):
        raise InputError("E_TRUNCATED", path, f"ends within row {number:,}", _REMEDY) from error
    raise table_fault(path, f"row {number:,} is not JSON: {error.msg}") from error
