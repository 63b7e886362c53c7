"""Bindings of the native library: the functions of ``engine.h`` declared for ctypes.

Arrays are passed as addresses, so this module imports neither torch nor numpy. ctypes releases
Python's global interpreter lock during a call. The library is loaded on first use.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, c_char_p, c_int32, c_int64, c_void_p
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from clip3d_cli.native.build import FAILURE_NOTE, FOLDER, LIBRARY

# Constants of engine.h: interface version, return codes, storage types, precisions.
ABI = 3
OK, NO_MEMORY, BAD_ARGUMENT = 0, -1, -2
F32, BF16 = 0, 1
PRECISION_CODES = {"exact": 0, "high": 1, "fast": 2}


class RowMatrix(Structure):
    """``c3d_rows``: a matrix in memory; element (i, j) is ``data[i * pitch + j]``.

    The structure does not keep the memory alive: the caller does, until the call returns.

    Fields:
        data: address of the first element.
        rows: number of rows.
        pitch: elements from one row to the next, at least ``channels``.
        channels: number of columns, without gaps between them.
        type: `F32` or `BF16`.
    """

    _fields_ = (
        ("data", c_void_p),
        ("rows", c_int64),
        ("pitch", c_int64),
        ("channels", c_int32),
        ("type", c_int32),
    )


class EpilogueStruct(Structure):
    """``c3d_epilogue``: y = relu((sum + base) * scale + shift + residual); None leaves a part out.

    Fields:
        scale: address of (channels,) float32, or None.
        shift: address of (channels,) float32, or None.
        base: ``ctypes.pointer(RowMatrix(...))``, or None; may be the rows that are written.
        residual: ``ctypes.pointer(RowMatrix(...))``, or None; may be the rows that are written.
        relu: whether negative results become 0.
    """

    _fields_ = (
        ("scale", c_void_p),
        ("shift", c_void_p),
        ("base", POINTER(RowMatrix)),
        ("residual", POINTER(RowMatrix)),
        ("relu", c_int32),
    )


_ROWS = POINTER(RowMatrix)
_EPILOGUE = POINTER(EpilogueStruct)
_MAP = c_void_p

# Name of a function: (type of its result, types of its arguments), in the order of engine.h.
# Arrays are addresses (c_void_p).
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
class EngineStatus:
    """Whether the native library can be used on this machine.

    Attributes:
        path: path of the library, whether it exists or not.
        fault: why it cannot be used, without a full stop; None if it can.
        isa: instruction set in use: ``amx``, ``avx512``, ``avx2`` or ``portable``.
        max_threads: default number of threads: OMP_NUM_THREADS, else the CPUs this process may
            run on; 1 if the library was built without OpenMP.
    """

    path: Path
    fault: str | None
    isa: str | None = None
    max_threads: int = 1


class EngineUnavailableError(Exception):
    """The library was not built or does not fit; the message says why, without a full stop."""


def load(path: Path = FOLDER / LIBRARY) -> Any:
    """Return the library, its functions under their C names with declared types.

    A path is loaded once; later calls return the same object. Loading also makes the process keep
    the memory that it frees: see ``c3d_keep_memory`` in engine.h.

    Raises:
        EngineUnavailableError: the library was not built, cannot be loaded, or has another
            interface version.
    """
    return _load(path.resolve())


@cache
def _load(path: Path) -> Any:
    if not path.is_file():
        raise EngineUnavailableError(_build_fault(path))
    try:
        library = ctypes.CDLL(str(path))
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise EngineUnavailableError(f"{path} cannot be loaded: {error}; build it again") from error
    version = library.c3d_abi()
    if version != ABI:
        raise EngineUnavailableError(
            f"{path} has interface version {version}, not {ABI}; build it again"
        )
    library.c3d_keep_memory()
    return library


def engine_status(path: Path = FOLDER / LIBRARY) -> EngineStatus:
    """Load the library and return whether it can be used, and with which instruction set."""
    try:
        library = load(path)
    except EngineUnavailableError as error:
        return EngineStatus(path, str(error))
    return EngineStatus(path, None, library.c3d_isa().decode(), library.c3d_max_threads())


def check_return_code(code: int, action: str) -> None:
    """Raise if a call of the library failed.

    Args:
        code: what the function returned; counts of 0 or more mean success.
        action: what was being done, such as "convolving".

    Raises:
        MemoryError: the library could not allocate memory.
        ValueError: the library rejected its arguments.
    """
    if code == NO_MEMORY:
        raise MemoryError(f"no memory for {action}")
    if code < 0:
        raise ValueError(f"the native engine rejected its arguments while {action}")


def _build_fault(path: Path) -> str:
    note = path.with_name(FAILURE_NOTE)
    fault = note.read_text(encoding="utf-8").strip() if note.is_file() else ""
    return f"it was not built: {fault}" if fault else "it was not built"
