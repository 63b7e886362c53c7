"""Ways to damage any file, and paths that are no regular files."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import plyfile
from sample_clouds import write_ply

Build = Callable[[Path], Path]
SUFFIXES = ("ply", "las", "laz", "pcd", "bin", "npy", "npz")
NAMES = (b"two words.ply", b'it\'s "it".ply', b"two\nlines.ply", b"\xff\xfe.ply", b"-leading.ply")
CUT = "--allow-truncated"


def written(name: str, content: bytes) -> Build:
    """A file of those bytes."""

    def build(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content)
        return path

    return build


def cut(build: Build, share: float) -> Build:
    """The first part of a file, of an odd number of bytes."""

    def shorter(folder: Path) -> Path:
        path = build(folder)
        raw = path.read_bytes()
        path.write_bytes(raw[: int(len(raw) * share) | 1])
        return path

    return shorter


def renamed(build: Build, name: str) -> Build:
    def other_name(folder: Path) -> Path:
        return build(folder).rename(folder / name)

    return other_name


def patched(build: Build, place: int, layout: str, *values: float) -> Build:
    """A file with numbers of ``struct`` layout written over its bytes at a place."""

    def changed(folder: Path) -> Path:
        path = build(folder)
        raw = bytearray(path.read_bytes())
        struct.pack_into(layout, raw, place, *values)
        path.write_bytes(raw)
        return path

    return changed


def strange_name(name: bytes) -> Build:
    return lambda folder: write_ply(folder / os.fsdecode(name), 5)


def missing_with_a_sibling(folder: Path) -> Path:
    write_ply(folder / "Scan.PLY", 5)
    return folder / "scan.ply"


def unreadable(folder: Path) -> Path:
    path = write_ply(folder / "secret.ply", 5)
    path.chmod(0)
    return path


def looped_link(folder: Path) -> Path:
    path = folder / "loop.ply"
    path.symlink_to(path)
    return path


def pipe(folder: Path) -> Path:
    path = folder / "pipe.ply"
    os.mkfifo(path)
    return path


def listener(folder: Path) -> Path:
    """A socket; its path must be short, so the folder is entered."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        with socket.socket(socket.AF_UNIX) as unix:
            unix.bind("s.ply")
    finally:
        os.chdir(before)
    return folder / "s.ply"


def points(xyz: np.ndarray) -> Build:
    return lambda folder: ply_of(folder / "points.ply", xyz)


def ply_of(path: Path, xyz: np.ndarray) -> Path:
    """A PLY of those points in double."""
    table = np.zeros(len(xyz), [("x", "f8"), ("y", "f8"), ("z", "f8")])
    for axis, name in enumerate("xyz"):
        table[name] = xyz[:, axis]
    plyfile.PlyData([plyfile.PlyElement.describe(table, "vertex")]).write(path)
    return path
