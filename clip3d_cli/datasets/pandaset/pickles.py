"""Tables that pandas has pickled, read without running what a pickle may say.

A pickle is a program. This reader follows it with empty stand-ins for the few constructors that
tables of plain numbers need, refuses every other name, and builds the arrays itself afterwards:
neither pandas nor numpy's own unpickling takes part.
"""

from __future__ import annotations

import gzip
import io
import math
import pickle
import re
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clip3d_cli.errors import InputError
from clip3d_cli.formats.file_checks import require_file

_MOST_BYTES = 1 << 30
_NUMBERS = re.compile(r"[fiu][1248]|b1")
_ORDERS = "<>|="
_ALLOWED = {
    "DataFrame": ("pandas.core.frame",),
    "BlockManager": ("pandas.core.internals.managers", "pandas.core.internals"),
    "_unpickle_block": ("pandas._libs.internals",),
    "new_block": ("pandas.core.internals.blocks",),
    "_new_Index": ("pandas.core.indexes.base",),
    "Index": ("pandas.core.indexes.base",),
    "RangeIndex": ("pandas.core.indexes.range",),
    "Int64Index": ("pandas.core.indexes.numeric",),
    "_reconstruct": ("numpy.core.multiarray", "numpy._core.multiarray"),
    "_frombuffer": ("numpy.core.numeric", "numpy._core.numeric"),
    "ndarray": ("numpy",),
    "dtype": ("numpy",),
    "slice": ("builtins", "__builtin__"),
    "encode": ("_codecs",),
}
_FAULTS = (
    pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError,
    OverflowError, MemoryError, struct.error,
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class PickledFrame:
    """A table of numbers: ``index`` (N,) names the rows, ``columns`` holds (N,) arrays by name."""

    index: npt.NDArray[np.generic]
    columns: dict[str, npt.NDArray[np.generic]]


def read_pickled_frame(path: Path, names: Sequence[str]) -> PickledFrame:
    """Some columns of a pandas table of numbers, pickled and, by its name, perhaps gzipped.

    Args:
        path: ``.pkl`` or ``.pkl.gz``.
        names: the columns to give.

    Raises:
        InputError: E_PICKLE: it asks for anything but the makings of a table; E_TRUNCATED,
            E_CORRUPT: it is damaged; E_DATASET: it is no table, or lacks a column.
    """
    body = _bytes_of(path)
    try:
        made = _Reader(path, body).load()
        frame = _frame_of(made)
    except _FAULTS as error:
        raise InputError(
            "E_CORRUPT",
            path,
            f"is no pickled table of numbers: {str(error)[:80] or type(error).__name__}",
            "Fetch the file again.",
        ) from error
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise InputError(
            "E_DATASET",
            path,
            f"has no column {missing[0]!r}, only {', '.join(frame.columns) or 'none'}",
            "It is another kind of file than its place says; fetch it again.",
        )
    return PickledFrame(frame.index, {name: frame.columns[name] for name in names})


class _Made:
    """What a constructor was called with, and the state it was given."""

    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any) -> _Made:
        made = super().__new__(cls)
        made.args = args
        made.state = None
        return made

    def __setstate__(self, state: Any) -> None:
        self.state = state


# The unpickler in Python keeps its memo in a dict; that in C lets one opcode fill the memory.
class _Reader(pickle._Unpickler):
    """Follows a pickle with stand-ins only."""

    def __init__(self, path: Path, body: bytes) -> None:
        super().__init__(io.BytesIO(body))
        self._path = path
        self._made: dict[str, type[_Made]] = {}

    def find_class(self, module: str, name: str) -> type[_Made]:
        if module not in _ALLOWED.get(name, ()):
            raise InputError(
                "E_PICKLE",
                self._path,
                f"is a pickle that asks for {module}.{name}"[:160],
                "Reading it could run code. Fetch the file again from its publisher.",
            )
        # Of one reader only: a pickle can write to a class it was given.
        return self._made.setdefault(name, type(name, (_Made,), {}))

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to objects outside")

    def get_extension(self, code: int) -> None:
        raise pickle.UnpicklingError(f"it uses the extension {code}")


def _bytes_of(path: Path) -> bytes:
    require_file(path)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            body = file.read(_MOST_BYTES + 1)
    except EOFError as error:
        fault = "the gzip stream ends early"
        raise InputError(
            "E_TRUNCATED", path, fault, "The copy was cut off; fetch it again."
        ) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            "E_CORRUPT", path, f"is not gzip: {error}", "Fetch the file again."
        ) from error
    if len(body) > _MOST_BYTES:
        raise InputError(
            "E_TOO_LARGE",
            path,
            "unpacks to more than 1 GB",
            "No scan is that large; fetch it again.",
        )
    return body


def _kind(value: Any) -> str:
    return type(value).__name__ if isinstance(value, _Made) else ""


def _require(holds: bool, fault: str) -> None:
    if not holds:
        raise ValueError(fault)


def _frame_of(made: Any) -> PickledFrame:
    """The table of a stand-in for DataFrame, as pandas 0.25 to 2 write it."""
    _require(_kind(made) == "DataFrame" and isinstance(made.state, dict), "not a DataFrame")
    manager = made.state.get("_mgr") or made.state.get("_data")
    _require(_kind(manager) == "BlockManager", "not a table of blocks")
    if manager.args:
        blocks, axes = manager.args
        blocks = [block.args[:2] for block in blocks]
    else:  # before pandas 1.3
        parts = manager.state[3]["0.14.1"]
        axes = parts["axes"]
        blocks = [(block["values"], block["mgr_locs"]) for block in parts["blocks"]]
    names, index = (_index_of(axis) for axis in axes)
    columns: dict[str, npt.NDArray[np.generic]] = {}
    for values, places in blocks:
        table = _array_of(values)
        _require(table.ndim == 2 and table.shape[1] == len(index), "a block of another length")
        for row, place in zip(table, _places_of(places, len(names)), strict=True):
            columns[str(names[place])] = row
    return PickledFrame(index, columns)


def _index_of(axis: Any) -> npt.NDArray[Any]:
    """The names along an axis."""
    _require(_kind(axis) == "_new_Index", "an axis that is no index")
    kind, parts = axis.args
    if kind.__name__ == "RangeIndex":
        start, stop, step = (parts[key] for key in ("start", "stop", "step"))
        length = len(range(start, stop, step))
        _require(8 * length <= _MOST_BYTES, "an index without end")
        return np.arange(start, stop, step)
    return _array_of(parts["data"])


def _places_of(places: Any, count: int) -> list[int]:
    if _kind(places) == "slice":
        found = list(range(count))[slice(*places.args)]
    else:
        found = _array_of(places).tolist()
    _require(all(0 <= place < count for place in found), "a column that the index lacks")
    return found


def _array_of(made: Any) -> npt.NDArray[Any]:
    """The array of a stand-in for ndarray; of objects only where they are texts."""
    if _kind(made) == "_frombuffer":
        raw, dtype, shape, order = made.args
        is_fortran = order == "F"
    else:
        _require(_kind(made) == "_reconstruct", "an array of a kind that is not read")
        _, shape, dtype, is_fortran, raw = made.state
    _require(isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape), "a shape")
    code = _dtype_of(dtype)
    if code == "O":
        _require(isinstance(raw, list) and all(isinstance(n, str) for n in raw), "objects")
        _require(shape == (len(raw),), "names")
        return np.array(raw, dtype=np.str_)
    body = _raw_of(raw)
    _require(math.prod(shape) * np.dtype(code).itemsize == len(body), "an array of another size")
    flat: npt.NDArray[Any] = np.frombuffer(body, code)
    array: npt.NDArray[Any] = flat.reshape(shape, order="F" if is_fortran else "C")
    return array


def _raw_of(raw: Any) -> bytes:
    """Bytes, which protocols before 3 write as text of code points below 256."""
    if _kind(raw) == "encode":
        text, coding = raw.args
        _require(isinstance(text, str) and coding == "latin1", "text in an unknown coding")
        return str(text).encode("latin-1")
    _require(isinstance(raw, (bytes, bytearray)), "an array without bytes")
    return bytes(raw)


def _dtype_of(made: Any) -> str:
    _require(_kind(made) == "dtype", "an array without a dtype")
    code = str(made.args[0])
    if code in ("O", "O8"):
        return "O"
    _require(_NUMBERS.fullmatch(code) is not None, f"an array of {code[:20]}")
    state: Mapping[int, Any] | tuple[Any, ...] = made.state or ("", "<")
    order = str(state[1])
    _require(order in _ORDERS and len(order) == 1, "a byte order")
    return order + code
