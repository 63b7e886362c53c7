"""LAS, LAZ and numpy files with wrong headers or damage, and unusual ones that are valid."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
from bad_files import Build
from sample_clouds import (
    WKT_DEGREES,
    WKT_FEET,
    street,
    write_keys,
    write_las,
    write_npy,
    write_npz,
    write_pcd,
    write_ply,
)

NO_SCALE = (0.0, -0.01, float("nan"), float("inf"))


def las(**more: object) -> Build:
    return lambda folder: write_las(folder / "tile.las", **more)


def laz(**more: object) -> Build:
    return lambda folder: write_las(folder / "tile.laz", **more)


def feet(folder: Path) -> Path:
    return write_las(folder / "tile.las", 50, wkt=WKT_FEET)


def feet_by_code(folder: Path) -> Path:
    """A LAS file in feet, which only its EPSG code (New York East) says."""
    return write_keys(folder / "tile.las", [(1024, 0, 1, 1), (3072, 0, 1, 2260)])


def degrees(folder: Path) -> Path:
    xyz = [11.5, 48.1, 100] + street(50) * 1e-5
    return write_las(folder / "tile.las", xyz=xyz, scale=1e-7, offset=(0, 0, 0), wkt=WKT_DEGREES)


def corrupt_middle(folder: Path) -> Path:
    path = write_las(folder / "tile.laz", 60_000, 1, "1.2")
    raw = bytearray(path.read_bytes())
    start = struct.unpack_from("<I", raw, 96)[0]
    middle = (start + len(raw)) // 2
    raw[middle : middle + 4000] = b"\xff" * 4000
    path.write_bytes(raw)
    return path


def lying_layers(folder: Path) -> Path:
    """A LAZ chunk whose first layer claims 4 GB: lazrs would end the process."""
    path = write_las(folder / "tile.laz", 100, 6)
    raw = bytearray(path.read_bytes())
    start = struct.unpack_from("<I", raw, 96)[0]
    struct.pack_into("<I", raw, start + 8 + 30 + 4, 0xFFFFFFF0)
    path.write_bytes(raw)
    return path


def unfinished_laz(folder: Path) -> Path:
    """A LAZ file whose writer stopped before it wrote the chunk table."""
    path = write_las(folder / "tile.laz", 1000)
    raw = bytearray(path.read_bytes())
    start = struct.unpack_from("<I", raw, 96)[0]
    table = struct.unpack_from("<q", raw, start)[0]
    struct.pack_into("<q", raw, start, -1)
    path.write_bytes(raw[: table - 20])
    return path


def killed_laz(folder: Path) -> Path:
    """The same, with 0 points in the header, as such a writer leaves it."""
    path = unfinished_laz(folder)
    raw = bytearray(path.read_bytes())
    struct.pack_into("<Q", raw, 247, 0)
    struct.pack_into("<I", raw, 107, 0)
    path.write_bytes(raw)
    return path


def lying_extra_bytes(folder: Path) -> Path:
    """Extra bytes that take more room than a point has: a float32 said to be a double."""
    path = write_las(folder / "tile.las", 100, extra=1)
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"height") - 2] = 10
    path.write_bytes(raw)
    return path


def pickled(folder: Path) -> Path:
    path = folder / "objects.npy"
    np.save(path, np.array([{"x": 1}, print], dtype=object), allow_pickle=True)
    return path


def encrypted(folder: Path) -> Path:
    path = write_npz(folder / "locked.npz", 10)
    raw = bytearray(path.read_bytes())
    at = 0
    while (at := raw.find(b"PK\x01\x02", at)) >= 0:
        raw[at + 8] |= 1
        at += 4
    at = 0
    while (at := raw.find(b"PK\x03\x04", at)) >= 0:
        raw[at + 6] |= 1
        at += 4
    path.write_bytes(raw)
    return path


def zip_slip(folder: Path) -> Path:
    path = write_npz(folder / "slip.npz", 10)
    with zipfile.ZipFile(path, "a") as archive:
        archive.write(write_npy(folder / "evil.npy", 3), "../../evil.npy")
    (folder / "evil.npy").unlink()
    return path


def lying_npy(folder: Path) -> Path:
    path = write_npy(folder / "huge.npy", 10)
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"(10, 4), }" + b" " * 11, b"(1000000000000, 4), }"))
    return path


def zeros_npz(rows: int) -> Build:
    """A decompression bomb: rows of zeros, a thousand times smaller on disk."""

    def build(folder: Path) -> Path:
        path = folder / "bomb.npz"
        head = {"descr": "<f8", "fortran_order": False, "shape": (rows, 3)}
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
            archive.open("xyz.npy", "w", force_zip64=True) as file,
        ):
            np.lib.format.write_array_header_1_0(file, head)
            for first in range(0, rows * 24, 1 << 24):
                file.write(bytes(min(1 << 24, rows * 24 - first)))
        return path

    return build


def no_points_npz(folder: Path) -> Path:
    """Arrays, none of which can be points."""
    path = folder / "poses.npz"
    np.savez(path, pose=np.eye(2), name=np.array("a"), flags=np.zeros(9, bool))
    return path


def _no_points_pcd(layout: str) -> Build:
    return lambda folder: write_pcd(folder / "a.pcd", 0, layout)


NO_POINTS: dict[str, Build] = {
    "ply": lambda folder: write_ply(folder / "a.ply", 0),
    "ply-ascii": lambda folder: write_ply(folder / "a.ply", 0, "ascii"),
    "las": las(count=0),
    "laz": laz(count=0),
    "laz-1.2": laz(count=0, point_format=1, version="1.2"),
    "npy": lambda folder: write_npy(folder / "a.npy", 0),
    "npz": lambda folder: write_npz(folder / "a.npz", 0),
    **{f"pcd-{kind}": _no_points_pcd(kind) for kind in ("ascii", "binary", "binary_compressed")},
}
