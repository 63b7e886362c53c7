"""Cache of the index of large tables, in the user's cache folder."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

import numpy as np

from clip3d_cli.datasets.nuscenes.index import TABLES, FrameIndex, scan_tables
from clip3d_cli.errors import OutputError
from clip3d_cli.formats.atomic import atomic_write

# Smaller tables are read in a second or two, and need no file in the cache.
CACHED_FROM_BYTES = 64 << 20

# Part of the file's name: another number for other fields of FrameIndex.
_LAYOUT = "3"


def frame_index(folder: Path, *, cached_from_bytes: int = CACHED_FROM_BYTES) -> FrameIndex:
    """Return the index of a version's tables, from the cache if the tables have not changed.

    The cache is ``$XDG_CACHE_HOME/clip3d`` or ``~/.cache/clip3d``. If it cannot be written, the
    tables are read every time.

    Args:
        folder: folder of the tables.
        cached_from_bytes: size of the tables from which their index is cached, bytes.

    Raises:
        InputError: a table is missing or broken.
    """
    stamps = _stamps(folder)
    if sum(size for size, _ in stamps) < cached_from_bytes:
        return scan_tables(folder)
    path = _cache_file(folder, stamps)
    index = _load(path)
    if index is None:
        index = scan_tables(folder)
        _store(index, path)
    return index


def _stamps(folder: Path) -> list[tuple[int, int]]:
    """Return size and time of change of every table."""
    paths = [folder / f"{table}.json" for table in (*TABLES, "lidarseg")]
    states = [path.stat() for path in paths if path.is_file()]
    return [(state.st_size, state.st_mtime_ns) for state in states]


def _cache_file(folder: Path, stamps: list[tuple[int, int]]) -> Path:
    identity = f"{_LAYOUT} {folder.resolve()} {stamps}"
    key = hashlib.sha256(identity.encode(errors="surrogateescape")).hexdigest()[:16]
    return _cache_folder() / f"nuscenes-{folder.name}-{key}.npz"


def _cache_folder() -> Path:
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "clip3d"


def _load(path: Path) -> FrameIndex | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return FrameIndex(**arrays)
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile):
        return None


def _store(index: FrameIndex, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as part, part.open("wb") as file:
            np.savez(file, **index.arrays())
    except (OSError, OutputError):
        return
