"""Calls into the native engine: `engine.h` in the words of ctypes.

Matrices go in as addresses, so nothing here imports torch or numpy. ctypes lets go of Python's
lock during a call. The library is loaded when it is first asked for.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, c_char_p, c_int32, c_int64, c_void_p
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from clip3d_cli.native.build import FOLDER, LIBRARY, REASON

ABI = 3
OK, NO_MEMORY, BAD_ARGUMENT = 0, -1, -2
F32, BF16 = 0, 1
PRODUCTS = {"exact": 0, "high": 1, "fast": 2}


class Rows(Structure):
    """A matrix of rows: element (i, j) stands at ``data[i * pitch + j]``.

    Fields: ``data`` (an address), ``rows``, ``pitch`` (elements), ``channels``, ``type`` (`F32`
    or `BF16`). It does not keep the memory alive: whoever makes it does, until the call is over.
    """

    _fields_ = (
        ("data", c_void_p),
        ("rows", c_int64),
        ("pitch", c_int64),
        ("channels", c_int32),
        ("type", c_int32),
    )


class EpilogueParts(Structure):
    """What becomes of a sum: relu((sum + base) · scale + shift + residual).

    ``scale`` and ``shift`` are addresses of float32 or None; ``base`` and ``residual`` are made by
    ``ctypes.pointer(Rows(...))`` or None.
    """

    _fields_ = (
        ("scale", c_void_p),
        ("shift", c_void_p),
        ("base", POINTER(Rows)),
        ("residual", POINTER(Rows)),
        ("relu", c_int32),
    )


_ROWS = POINTER(Rows)
_EPILOGUE = POINTER(EpilogueParts)
_MAP = c_void_p

# name: (result, arguments), in the order of engine.h. Arrays are addresses (c_void_p).
_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "c3d_abi": (c_int32, ()),
    "c3d_isa": (c_char_p, ()),
    "c3d_use_isa": (c_int32, (c_char_p,)),
    "c3d_max_threads": (c_int32, ()),
    "c3d_keep_memory": (None, ()),
    "c3d_coarsen": (c_int64, (c_void_p, c_int64, c_void_p, c_void_p)),
    "c3d_map_submanifold": (_MAP, (c_void_p, c_int64, c_int32, c_int32)),
    "c3d_map_strided": (_MAP, (c_void_p, c_int64, c_void_p, c_int64, c_int32)),
    "c3d_map_free": (None, (_MAP,)),
    "c3d_map_pairs": (c_int64, (_MAP,)),
    "c3d_map_bytes": (c_int64, (_MAP,)),
    "c3d_packed_bytes": (c_int64, (c_int32, c_int32, c_int32, c_int32)),
    "c3d_pack": (
        c_int32,
        (c_void_p, *(c_int32,) * 3, c_int64, c_int64, c_int32, c_int32, c_void_p, c_int32),
    ),
    "c3d_convolve": (
        c_int32,
        (_MAP, c_int32, _ROWS, c_void_p, _ROWS, _EPILOGUE, c_int32, c_int32),
    ),
    "c3d_weight_gradient": (
        c_int32,
        (_MAP, c_int32, _ROWS, _ROWS, c_void_p, c_int64, c_int64, c_int32, c_int32),
    ),
    "c3d_moments": (c_int32, (_ROWS, c_void_p, c_void_p, c_int32)),
    "c3d_scale_shift": (c_int32, (_ROWS, c_void_p, c_void_p, _ROWS, c_int32, _ROWS, c_int32)),
    "c3d_norm_gradient": (
        c_int32,
        (_ROWS, _ROWS, _ROWS, *(c_void_p,) * 3, _ROWS, _ROWS, c_void_p, c_void_p, c_int32),
    ),
    "c3d_lzf_decompress": (c_int32, (c_void_p, c_int64, c_void_p, c_int64)),
    "c3d_lzf_max_bytes": (c_int64, (c_int64,)),
    "c3d_lzf_compress": (c_int64, (c_void_p, c_int64, c_void_p)),
}


@dataclass(frozen=True, slots=True)
class Status:
    """What runs here, or why nothing does.

    Attributes:
        path: where the library is, or would be.
        reason: why it cannot be used, or None if it can.
        isa: the instruction set in use: amx, avx512, avx2 or portable.
        max_threads: how many threads to use where nothing else is said: OMP_NUM_THREADS, else the
            CPUs this process may run on; 1 if it was built without OpenMP.
    """

    path: Path
    reason: str | None
    isa: str | None = None
    max_threads: int = 1


class NotUsableError(Exception):
    """The library is not there or does not fit; the message says why, without a full stop."""


def load(path: Path = FOLDER / LIBRARY) -> Any:
    """The library, its functions under their own names with their types declared.

    Loaded once for a path; afterwards the same object. With it the process begins to keep the
    memory that it frees: see ``c3d_keep_memory`` in engine.h.

    Raises:
        NotUsableError: it was not built, cannot be loaded, or is of another version.
    """
    return _load(path.resolve())


@cache
def _load(path: Path) -> Any:
    if not path.is_file():
        raise NotUsableError(_why_not_built(path))
    try:
        library = ctypes.CDLL(str(path))
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as fault:
        raise NotUsableError(f"{path} cannot be loaded: {fault}; build it anew") from fault
    found = library.c3d_abi()
    if found != ABI:
        raise NotUsableError(f"{path} is of version {found}, not {ABI}; build it anew")
    library.c3d_keep_memory()
    return library


def status(path: Path = FOLDER / LIBRARY) -> Status:
    """What runs here, or why nothing does; loads the library."""
    try:
        library = load(path)
    except NotUsableError as fault:
        return Status(path, str(fault))
    return Status(path, None, library.c3d_isa().decode(), library.c3d_max_threads())


def check(answer: int, doing: str) -> None:
    """Pass if a call of the library went well.

    Raises:
        MemoryError: it found no memory.
        ValueError: it refused its arguments.
    """
    if answer == NO_MEMORY:
        raise MemoryError(f"no memory for {doing}")
    if answer < 0:
        raise ValueError(f"the native engine refused its arguments while {doing}")


def _why_not_built(path: Path) -> str:
    note = path.with_name(REASON)
    reason = note.read_text(encoding="utf-8").strip() if note.is_file() else ""
    return f"it was not built: {reason}" if reason else "it was not built"
