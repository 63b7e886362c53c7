"""What a document must say, read with refusals that name the place."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clip3d_cli.errors import InputError


@dataclass(frozen=True, slots=True)
class Fields:
    """One object of a JSON document.

    Attributes:
        path: the file.
        table: the object.
        place: where in the file it stands, such as ``classes[3].``; empty for all of it.
    """

    path: Path
    table: Mapping[str, Any]
    place: str = ""

    def text(self, key: str) -> str:
        """A text; empty for null."""
        value = self.value(key)
        if value is not None and not isinstance(value, str):
            raise self.fault(key, "is not a text")
        return value or ""

    def number(self, key: str) -> float:
        """A number; NaN for null."""
        value = self.value(key)
        if value is None:
            return math.nan
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.fault(key, "is not a number")
        return float(value)

    def count(self, key: str) -> int:
        """A whole number from 0 on."""
        value = self.value(key)
        if type(value) is not int or value < 0:
            raise self.fault(key, "is not a count")
        return value

    def color(self, key: str) -> tuple[int, int, int]:
        """Red, green and blue, 0…255."""
        value = self.value(key)
        parts = value if isinstance(value, list) else ()
        if len(parts) != 3 or not all(type(part) is int and 0 <= part < 256 for part in parts):
            raise self.fault(key, "is not three numbers 0…255")
        return parts[0], parts[1], parts[2]

    def inner(self, key: str) -> Fields:
        """An object in this one."""
        return self._object(key, self.value(key))

    def optional(self, key: str) -> Fields | None:
        """An object in this one; None where it is null or missing."""
        value = self.table.get(key)
        return None if value is None else self._object(key, value)

    def rows(self, key: str) -> list[Fields]:
        """A list of objects."""
        value = self.value(key)
        if not isinstance(value, list):
            raise self.fault(key, "is not a list")
        return [self._object(f"{key}[{place}]", row) for place, row in enumerate(value)]

    def fault(self, key: str, fault: str) -> InputError:
        """The refusal of what stands behind a key."""
        return InputError("E_CORRUPT", self.path, f"{self.place}{key} {fault}", "Write it again.")

    def value(self, key: str) -> Any:
        """Whatever stands there."""
        if key not in self.table:
            raise self.fault(key, "is missing")
        return self.table[key]

    def _object(self, key: str, value: object) -> Fields:
        if not isinstance(value, Mapping):
            raise self.fault(key, "is not an object")
        return Fields(self.path, value, f"{self.place}{key}.")


def read_json(path: Path) -> object:
    """What a JSON file says.

    Raises:
        InputError: E_NOT_FOUND; E_CORRUPT: not JSON, with the line.
        OSError: it cannot be read.
    """
    if not path.is_file():
        raise InputError("E_NOT_FOUND", path, "is not there", "Check the path.")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        fault = f"line {error.lineno} is not JSON: {error.msg} at column {error.colno}"
        raise InputError("E_CORRUPT", path, fault, "Write it again.") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise InputError("E_CORRUPT", path, "is not JSON", "Write it again.") from error
