"""Descriptions of scenes in JSON: every value is checked, and a fault names its place."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clip3d_cli.core.scenes import Floats
from clip3d_cli.errors import InputError
from clip3d_cli.formats.file_checks import require_file

_MEND = "Mend the file, or export it again."
_RIGID = 1e-3


@dataclass(frozen=True, slots=True)
class Entry:
    """A table of a description, and where it stands.

    Attributes:
        path: the file.
        what: its place in the file, such as ``camera 3``; empty for the whole.
        table: its keys and values.
    """

    path: Path
    what: str
    table: Mapping[str, Any]

    def __contains__(self, key: str) -> bool:
        return self.table.get(key) is not None

    def fault(self, fault: str, remedy: str = _MEND) -> InputError:
        """The refusal of this entry."""
        return InputError("E_DATASET", self.path, f"{self.what}: {fault}".lstrip(": "), remedy)

    def refuse_unknown(self, known: tuple[str, ...]) -> None:
        """Refuse keys that mean nothing, with the nearest that does.

        Raises:
            InputError: E_DATASET.
        """
        for key in self.table:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f"Did you mean {near[0]}? " if near else ""
                raise self.fault(f"unknown key {key!r}", f"{hint}Known: {', '.join(known)}.")

    def text(self, key: str) -> str:
        """A text that is not empty.

        Raises:
            InputError: E_DATASET: it is missing or something else.
        """
        value = self._value(key)
        if not isinstance(value, str) or not value.strip() or "\0" in value:
            raise self.fault(f"{key} is no text")
        return value

    def one_of(self, key: str, words: tuple[str, ...]) -> str:
        """One of some words, the first where the key is missing.

        Raises:
            InputError: E_DATASET: another word.
        """
        value = self.table.get(key, words[0])
        if value not in words:
            raise self.fault(f"{key} is {value!r}", f"It may be {', '.join(words)}.")
        return str(value)

    def number(self, key: str, default: float | None = None) -> float:
        """A finite number.

        Raises:
            InputError: E_DATASET: it is something else, or missing without a default.
        """
        if key not in self and default is not None:
            return default
        value = self._value(key)
        if not _is_number(value):
            raise self.fault(f"{key} is {_shown(value)}, not a finite number")
        return float(value)

    def positive(self, key: str, default: float | None = None) -> float:
        """A finite number above 0.

        Raises:
            InputError: E_DATASET: as `number`, or not above 0.
        """
        value = self.number(key, default)
        if value <= 0:
            raise self.fault(f"{key} is {value:g}, which must be above 0")
        return value

    def time_s(self) -> float | None:
        """The entry's ``time_s``, or None where it has none.

        Raises:
            InputError: E_DATASET: it is no number.
        """
        return self.number("time_s") if "time_s" in self else None

    def array(self, key: str, *shapes: tuple[int | None, ...]) -> Floats:
        """Finite numbers of one of some shapes, float64; None stands for any length.

        Raises:
            InputError: E_DATASET: it is missing, of another shape, or not finite.
        """
        value = self._value(key)
        try:
            array = np.array(value, dtype=np.float64)
        except (ValueError, TypeError, OverflowError) as error:
            raise self.fault(f"{key} is not made of numbers") from error
        if not any(_fits(array.shape, shape) for shape in shapes):
            want = " or ".join(str(shape).replace("None", "any") for shape in shapes)
            raise self.fault(f"{key} has the shape {array.shape}, not {want}")
        if not np.isfinite(array).all():
            raise self.fault(f"{key} holds NaN or infinity")
        return array

    def pose(self, key: str) -> Floats:
        """The (4, 4) rigid transform of 3 or 4 rows, its rotation freed from rounded digits.

        Raises:
            InputError: E_DATASET: it is missing, not finite, or scales, shears or mirrors.
        """
        rows = self.array(key, (4, 4), (3, 4))
        if rows.shape[0] == 4 and not np.allclose(rows[3], (0, 0, 0, 1)):
            raise self.fault(f"the last row of {key} is not 0 0 0 1", "Is it transposed?")
        pose = np.eye(4)
        pose[:3] = rows[:3]
        turn = pose[:3, :3]
        with np.errstate(all="ignore"):
            mirrors = np.linalg.det(turn) <= 0
            bends = not np.allclose(turn @ turn.T, np.eye(3), atol=_RIGID)
        if mirrors or bends:
            raise self.fault(
                f"{key} is not rigid: it scales, shears or mirrors",
                "Rotations have determinant 1; a scale belongs into metres_per_unit.",
            )
        left, _, right = np.linalg.svd(turn)
        pose[:3, :3] = left @ right
        return pose

    def entries(self, key: str, name: str) -> list[Entry]:
        """The tables of a list; none where the key is missing.

        Args:
            key: of the list.
            name: what one of them is called in messages.

        Raises:
            InputError: E_DATASET: it is no list of tables.
        """
        rows = self.table.get(key, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise self.fault(f"{key} is no list of tables")
        return [Entry(self.path, f"{name} {place + 1}", row) for place, row in enumerate(rows)]

    def file(self, key: str) -> Path:
        """A file that is there; its path is relative to the folder of the description.

        Raises:
            InputError: E_DATASET: no text; E_NOT_FOUND: no such file.
        """
        return self.found(self.path.parent / self.text(key))

    def found(self, path: Path) -> Path:
        """The path of a file that is there.

        Raises:
            InputError: E_NOT_FOUND.
        """
        if not path.is_file():
            fault = f"{self.what}: {path} is not there".lstrip(": ")
            raise InputError(
                "E_NOT_FOUND", self.path, fault, "Fetch the file, or mend the path of it."
            )
        return path

    def _value(self, key: str) -> Any:
        if key not in self:
            raise self.fault(f"{key} is missing")
        return self.table[key]


def read_document(path: Path) -> Entry:
    """The table that a JSON file holds.

    Raises:
        InputError: E_NOT_FOUND, E_EMPTY_FILE, E_TRUNCATED: it ends early; E_DATASET: it is not
            JSON, or no table.
    """
    table = _json_of(path)
    if not isinstance(table, dict):
        raise InputError("E_DATASET", path, "holds no table of keys and values", _MEND)
    return Entry(path, "", table)


def read_documents(path: Path, name: str) -> list[Entry]:
    """The tables that a JSON list holds.

    Args:
        path: the file.
        name: what one of them is called in messages.

    Raises:
        InputError: as `read_document`; E_DATASET: it is no list of tables.
    """
    return Entry(path, "", {"the file": _json_of(path)}).entries("the file", name)


def read_times(path: Path) -> list[float]:
    """The finite numbers that a JSON list holds.

    Raises:
        InputError: as `read_document`; E_DATASET: it is no list of numbers.
    """
    return [
        float(n) for n in Entry(path, "", {"the file": _json_of(path)}).array("the file", (None,))
    ]


def _json_of(path: Path) -> Any:
    require_file(path)
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise _not_json(path, error) from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise InputError("E_DATASET", path, f"is not JSON: {error}", _MEND) from error
    except PermissionError as error:
        fault = "may not be read"
        raise InputError("E_PERMISSION", path, fault, "Change its permissions.") from error


def _not_json(path: Path, error: json.JSONDecodeError) -> InputError:
    if not error.doc[error.pos :].strip() or error.msg.startswith("Unterminated string"):
        fault = f"the JSON ends early, in line {error.lineno}"
        return InputError(
            "E_TRUNCATED", path, fault, "The copy was cut off; fetch or write it again."
        )
    fault = f"line {error.lineno}, column {error.colno} is not JSON: {error.msg}"
    return InputError("E_DATASET", path, fault, _MEND)


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond the largest float
        return False


def _fits(have: tuple[int, ...], want: tuple[int | None, ...]) -> bool:
    return len(have) == len(want) and all(
        w is None or w == h for w, h in zip(want, have, strict=True)
    )


def _shown(value: object) -> str:
    return repr(value)[:40]
