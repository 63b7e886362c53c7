"""nuScenes' tables: JSON lists that are read row by row, because some are larger than memory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from clip3d_cli.errors import InputError

VERSIONS = ("v1.0-trainval", "v1.0-test", "v1.0-mini")
TABLE_REMEDY = "Unpack the tables again from the archive they came in."

_CHUNK = 4 << 20
_BETWEEN_ROWS = re.compile(r"[\s,]*")


def table_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table, in its order; memory does not grow with the file.

    Args:
        path: a JSON list of objects.

    Raises:
        InputError: E_NOT_FOUND; E_TRUNCATED: the list does not end; E_DATASET: the file is not a
            list of objects.
    """
    try:
        with path.open(encoding="utf-8") as file:
            yield from _rows(path, file)
    except FileNotFoundError as error:
        raise InputError("E_NOT_FOUND", path, "does not exist", TABLE_REMEDY) from error
    except PermissionError as error:
        raise InputError(
            "E_PERMISSION", path, "may not be read", "Change its permissions."
        ) from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise table_error(path, f"is not JSON: {error}") from error


def table_error(path: Path, fault: str) -> InputError:
    """Return the error that a table is broken.

    Args:
        path: file of the table.
        fault: what is wrong with it.
    """
    return InputError("E_DATASET", path, fault, TABLE_REMEDY)


def _rows(path: Path, file: TextIO) -> Iterator[dict[str, Any]]:
    decoder = json.JSONDecoder()
    # Text from the current row on; it is extended while the row is incomplete.
    text = file.read(_CHUNK).lstrip("\ufeff \t\r\n")
    if not text.startswith("["):
        raise table_error(path, "is not a list of rows" if text else "is empty")
    position, number = 1, 0
    while True:
        match = _BETWEEN_ROWS.match(text, position)
        position = match.end() if match else position
        if text[position : position + 1] == "]":
            return
        try:
            row, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            text, position = _extended(path, file, text[position:], number, error), 0
            continue
        if not isinstance(row, dict):
            raise table_error(path, f"row {number:,} is not an object")
        yield row
        number += 1


def _extended(path: Path, file: TextIO, rest: str, number: int, error: json.JSONDecodeError) -> str:
    """Return the text of a row that did not end, and more of the file.

    Args:
        path: file of the table, for messages.
        file: the table, of which the next part is read.
        rest: text from the begin of the row.
        number: number of the row, from 0.
        error: error of decoding the row.
    """
    more = file.read(_CHUNK)
    if more and len(rest) < _CHUNK:
        return rest + more
    if not more and not rest.rstrip().endswith("]"):
        raise InputError(
            "E_TRUNCATED", path, f"ends within row {number:,}", TABLE_REMEDY
        ) from error
    raise table_error(path, f"row {number:,} is not JSON: {error.msg}") from error
