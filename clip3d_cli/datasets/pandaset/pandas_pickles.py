"""Safe reader of pandas tables in pickles.

A pickle is a program that can run any code. This reader executes it with empty stand-ins for the
few constructors that tables of plain numbers need, and rejects every other name. Afterwards it
builds the arrays from what the stand-ins recorded: neither pandas nor numpy's unpickling is used.
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
# Codes of the number types that a column may have.
_NUMBER_TYPES = re.compile(r"[fiu][1248]|b1")
_BYTE_ORDERS = "<>|="
# Names that a pickle may refer to, and the modules that they may come from.
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
    """Table of numbers with N rows.

    Attributes:
        index: (N,) names of the rows.
        columns: (N,) arrays by the name of the column.
    """

    index: npt.NDArray[np.generic]
    columns: dict[str, npt.NDArray[np.generic]]


def read_pickled_frame(path: Path, names: Sequence[str]) -> PickledFrame:
    """Read some columns of a pickled pandas table of numbers.

    Args:
        path: ``.pkl``, or ``.pkl.gz`` for a gzipped one.
        names: names of the columns.

    Raises:
        InputError: E_PICKLE: the pickle refers to anything but the parts of a table; E_TRUNCATED,
            E_CORRUPT: the file is damaged; E_DATASET: it is not a table, or has no such column.
    """
    body = _bytes_of(path)
    try:
        frame = _frame_of(_Unpickler(path, body).load())
    except _FAULTS as error:
        raise InputError(
            "E_CORRUPT",
            path,
            f"is not a pickled table of numbers: {str(error)[:80] or type(error).__name__}",
            "Fetch the file again.",
        ) from error
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise InputError(
            "E_DATASET",
            path,
            f"has no column {missing[0]!r}, only {', '.join(frame.columns) or 'none'}",
            "The file does not belong into this folder; unpack the sequence again.",
        )
    return PickledFrame(frame.index, {name: frame.columns[name] for name in names})


class _StandIn:
    """Record of a constructor's arguments, and of the state that was set afterwards.

    Attributes:
        args: arguments of the constructor.
        state: argument of ``__setstate__``, or None.
    """

    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any) -> _StandIn:
        made = super().__new__(cls)
        made.args = args
        made.state = None
        return made

    def __setstate__(self, state: Any) -> None:
        self.state = state


# The unpickler in Python stores its memo in a dict; in the one in C, one opcode can claim all
# memory for it.
class _Unpickler(pickle._Unpickler):
    """Unpickler that makes stand-ins only.

    Args:
        path: file of the pickle, for messages.
        body: the pickle.
    """

    def __init__(self, path: Path, body: bytes) -> None:
        super().__init__(io.BytesIO(body))
        self._path = path
        self._classes: dict[str, type[_StandIn]] = {}

    def find_class(self, module: str, name: str) -> type[_StandIn]:
        if module not in _ALLOWED.get(name, ()):
            raise InputError(
                "E_PICKLE",
                self._path,
                f"is a pickle that refers to {module}.{name}"[:160],
                "Reading it could run code. Fetch the file again from its publisher.",
            )
        # New classes for every unpickler: a pickle can set attributes of the classes it gets.
        return self._classes.setdefault(name, type(name, (_StandIn,), {}))

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to objects outside the file")

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
            "E_TRUNCATED", path, fault, "The copy is truncated; fetch it again."
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
            "No scan is that large; fetch the file again.",
        )
    return body


def _class_name(value: Any) -> str:
    """Return the name of the class that a value stands for, empty if it is not a stand-in."""
    return type(value).__name__ if isinstance(value, _StandIn) else ""


def _require(holds: bool, fault: str) -> None:
    if not holds:
        raise ValueError(fault)


def _frame_of(made: Any) -> PickledFrame:
    """Return the table of a stand-in for DataFrame, as pandas 0.25 to 2 pickle it."""
    is_frame = _class_name(made) == "DataFrame" and isinstance(made.state, dict)
    _require(is_frame, "not a DataFrame")
    manager = made.state.get("_mgr") or made.state.get("_data")
    _require(_class_name(manager) == "BlockManager", "not a table of blocks")
    if manager.args:
        blocks, axes = manager.args
        blocks = [block.args[:2] for block in blocks]
    else:  # before pandas 1.3
        parts = manager.state[3]["0.14.1"]
        axes = parts["axes"]
        blocks = [(block["values"], block["mgr_locs"]) for block in parts["blocks"]]
    names, index = (_axis_names(axis) for axis in axes)
    columns: dict[str, npt.NDArray[np.generic]] = {}
    for values, positions in blocks:
        # (C, N): the columns of one type, and their positions in the table.
        table = _array_of(values)
        _require(table.ndim == 2 and table.shape[1] == len(index), "a block of another length")
        for column, position in zip(table, _positions(positions, len(names)), strict=True):
            columns[str(names[position])] = column
    return PickledFrame(index, columns)


def _axis_names(axis: Any) -> npt.NDArray[Any]:
    """Return the names along an axis."""
    _require(_class_name(axis) == "_new_Index", "an axis that is not an index")
    index_class, parts = axis.args
    if index_class.__name__ == "RangeIndex":
        start, stop, step = (parts[key] for key in ("start", "stop", "step"))
        length = len(range(start, stop, step))
        _require(8 * length <= _MOST_BYTES, "an index that is too long")
        return np.arange(start, stop, step)
    return _array_of(parts["data"])


def _positions(stored: Any, count: int) -> list[int]:
    """Return the positions of a block's columns among all columns of the table."""
    if _class_name(stored) == "slice":
        positions = list(range(count))[slice(*stored.args)]
    else:
        positions = _array_of(stored).tolist()
    _require(all(0 <= position < count for position in positions), "a column that has no name")
    return positions


def _array_of(made: Any) -> npt.NDArray[Any]:
    """Return the array of a stand-in for ndarray; an array of objects only if these are texts."""
    if _class_name(made) == "_frombuffer":
        raw, dtype, shape, order = made.args
        is_fortran = order == "F"
    else:
        _require(_class_name(made) == "_reconstruct", "an array in an unknown form")
        _, shape, dtype, is_fortran, raw = made.state
    is_shape = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
    _require(is_shape, "an array with an impossible shape")
    code = _dtype_of(dtype)
    if code == "O":
        are_texts = isinstance(raw, list) and all(isinstance(text, str) for text in raw)
        _require(are_texts, "an array of objects")
        _require(shape == (len(raw),), "an array of texts with another shape")
        return np.array(raw, dtype=np.str_)
    body = _raw_bytes(raw)
    _require(math.prod(shape) * np.dtype(code).itemsize == len(body), "an array of another size")
    flat: npt.NDArray[Any] = np.frombuffer(body, code)
    array: npt.NDArray[Any] = flat.reshape(shape, order="F" if is_fortran else "C")
    return array


def _raw_bytes(raw: Any) -> bytes:
    """Return bytes, which pickle protocols before 3 write as text of code points below 256."""
    if _class_name(raw) == "encode":
        text, encoding = raw.args
        is_latin = isinstance(text, str) and encoding == "latin1"
        _require(is_latin, "text in an unknown encoding")
        return str(text).encode("latin-1")
    _require(isinstance(raw, (bytes, bytearray)), "an array without bytes")
    return bytes(raw)


def _dtype_of(made: Any) -> str:
    """Return numpy's code of a stand-in for dtype, such as ``<f8``; ``O`` for objects."""
    _require(_class_name(made) == "dtype", "an array without a dtype")
    code = str(made.args[0])
    if code in ("O", "O8"):
        return "O"
    _require(_NUMBER_TYPES.fullmatch(code) is not None, f"an array of {code[:20]}")
    state: Mapping[int, Any] | tuple[Any, ...] = made.state or ("", "<")
    order = str(state[1])
    _require(order in _BYTE_ORDERS and len(order) == 1, "an unknown byte order")
    return order + code
