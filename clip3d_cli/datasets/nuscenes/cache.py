"""The index of large tables, kept between runs in the user's cache."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

import numpy as np

from clip3d_cli.datasets.nuscenes.index import TABLES, FrameIndex, scan_tables
from clip3d_cli.errors import OutputError
from clip3d_cli.formats.atomic import landing

# Smaller tables are read again in a second or two: nothing is left behind for them.
WORTH_KEEPING = 64 << 20

_LAYOUT = "2"


def frame_index(folder: Path, *, worth_keeping: int = WORTH_KEEPING) -> FrameIndex:
    """The index of a version's folder: from the cache if the tables are as they were then.

    The cache is ``$XDG_CACHE_HOME/clip3d``, else ``~/.cache/clip3d``; without a place to write,
    tables are read each time.

    Args:
        folder: holds the tables.
        worth_keeping: bytes of tables from which an index is kept.

    Raises:
        InputError: a table is missing or broken.
    """
    stamps = _stamps(folder)
    if sum(size for size, _ in stamps) < worth_keeping:
        return scan_tables(folder)
    kept = _file_of(folder, stamps)
    index = _load(kept)
    if index is None:
        index = scan_tables(folder)
        _store(index, kept)
    return index


def _stamps(folder: Path) -> list[tuple[int, int]]:
    paths = [folder / f"{table}.json" for table in (*TABLES, "lidarseg")]
    states = [path.stat() for path in paths if path.is_file()]
    return [(state.st_size, state.st_mtime_ns) for state in states]


def _file_of(folder: Path, stamps: list[tuple[int, int]]) -> Path:
    said = f"{_LAYOUT} {folder.resolve()} {stamps}"
    key = hashlib.sha256(said.encode(errors="surrogateescape")).hexdigest()[:16]
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
        with landing(path) as part, part.open("wb") as file:
            np.savez(file, **index.arrays())
    except (OSError, OutputError):
        return
