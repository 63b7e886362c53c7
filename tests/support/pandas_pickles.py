"""Pickles as pandas 2 writes them, without pandas: stand-ins under its names."""

from __future__ import annotations

import copyreg
import gzip
import pickle
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np


def _named(module: str, name: str) -> Any:
    """A class that pickles as ``module.name`` and reduces to what its instances hold."""

    class Standin:
        def __init__(self, *args: Any) -> None:
            self.args = args

        def __reduce__(self) -> tuple[Any, ...]:
            kind = type(self)
            return kind, self.args

    Standin.__module__, Standin.__qualname__, Standin.__name__ = module, name, name
    return Standin


@contextmanager
def _modules(**classes: Any) -> Iterator[None]:
    """The stand-ins where a pickler looks for what it names."""
    before: dict[str, ModuleType | None] = {}
    for kind in classes.values():
        parts = kind.__module__.split(".")
        for depth in range(1, len(parts) + 1):
            name = ".".join(parts[:depth])
            before.setdefault(name, sys.modules.get(name))
            sys.modules.setdefault(name, ModuleType(name))
        setattr(sys.modules[kind.__module__], kind.__name__, kind)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def frame_bytes(columns: Mapping[str, np.ndarray], index: np.ndarray | None = None) -> bytes:
    """The pickle of a table: one block per column."""
    frame = _named("pandas.core.frame", "DataFrame")
    # As pandas does: made empty, then given its state.
    frame.__reduce__ = lambda self: (copyreg.__newobj__, (frame,), self.args[0])
    manager = _named("pandas.core.internals.managers", "BlockManager")
    block = _named("pandas._libs.internals", "_unpickle_block")
    new_index = _named("pandas.core.indexes.base", "_new_Index")
    base = _named("pandas.core.indexes.base", "Index")
    steps = _named("pandas.core.indexes.range", "RangeIndex")
    length = len(next(iter(columns.values())))
    names = np.array(list(columns), dtype=object)
    rows = (
        (steps, {"name": None, "start": 0, "stop": length, "step": 1})
        if index is None
        else (base, {"data": index, "name": None})
    )
    axes = [new_index(base, {"data": names, "name": None}), new_index(*rows)]
    blocks = tuple(
        block(values[None, :], slice(place, place + 1, 1), 2)
        for place, values in enumerate(columns.values())
    )
    made = frame({"_mgr": manager(blocks, axes), "_typ": "dataframe", "_metadata": []})
    with _modules(a=frame, b=manager, c=block, d=new_index, e=base, f=steps):
        return pickle.dumps(made, protocol=4)


def write_frame(
    path: Path, columns: Mapping[str, np.ndarray], index: np.ndarray | None = None
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(frame_bytes(columns, index), 1))
