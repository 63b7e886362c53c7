"""PLY and PCD files with wrong headers or damaged bodies, and unusual ones that are valid."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import plyfile
from bad_files import Build
from sample_clouds import street, write_pcd, write_ply

LAYOUTS = ("ascii", "binary", "binary_compressed")
PLY_HEAD = "ply\nformat {kind} 1.0\n{more}element vertex {count}\n{properties}end_header\n"
XYZ = "property float x\nproperty float y\nproperty float z\n"
LIST = "property list uchar uint seen_by\n"
FACES = "element face 1\n" + LIST
BEFORE = "element camera 1\nproperty int id\n"


def small_ply(folder: Path) -> Path:
    """A PLY mesh of ten vertices."""
    return write_ply(folder / "scan.ply", 10)


def binary_ply(
    count: int | str, body: bytes, properties: str = XYZ, kind: str = "binary_little_endian"
) -> Build:
    """A binary PLY of any header and any body."""

    def build(folder: Path) -> Path:
        head = PLY_HEAD.format(kind=kind, more="", count=count, properties=properties)
        path = folder / "cloud.ply"
        path.write_bytes(head.encode() + body)
        return path

    return build


def ascii_ply(
    count: int, lines: str, properties: str = XYZ, more: str = "", newline: str = "\n"
) -> Build:
    """An ascii PLY of any header and any lines."""

    def build(folder: Path) -> Path:
        text = PLY_HEAD.format(kind="ascii", more=more, count=count, properties=properties) + lines
        path = folder / "cloud.ply"
        path.write_bytes(text.replace("\n", newline).encode())
        return path

    return build


def list_ply(folder: Path) -> Path:
    """A PLY with a face element before the vertices, and a list inside the vertices."""
    head = (
        "ply\nformat binary_little_endian 1.0\nelement face 2\n"
        "property list uchar int vertex_indices\nelement vertex 2\nproperty float x\n"
        "property list uchar ushort seen_by\nproperty float y\nproperty float z\n"
        "property char echo\nend_header\n"
    )
    faces = struct.pack("<B3iB4i", 3, 0, 1, 0, 4, 0, 1, 0, 1)
    first = struct.pack("<fB2Hffb", 1.0, 2, 8, 9, 2.0, 3.0, -1)
    second = struct.pack("<fBffb", 4.0, 0, 5.0, 6.0, -2)
    path = folder / "lists.ply"
    path.write_bytes(head.encode() + faces + first + second)
    return path


def splats(folder: Path) -> Path:
    """A PLY as 3D Gaussian splatting writes it."""
    names = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity", "scale_0"]
    table = np.zeros(20, [(name, "f4") for name in names])
    for axis, name in enumerate("xyz"):
        table[name] = street(20)[:, axis]
    table["f_dc_0"] = 1.0
    path = folder / "splats.ply"
    plyfile.PlyData([plyfile.PlyElement.describe(table, "vertex")]).write(path)
    return path


def pcd(layout: str) -> Build:
    """A PCD of fifty points."""
    return lambda folder: write_pcd(folder / "cloud.pcd", 50, layout)


def pcd_with(old: str, new: str, layout: str = "binary", count: int = 50) -> Build:
    """A PCD whose header has one text replaced by another."""

    def build(folder: Path) -> Path:
        path = write_pcd(folder / "cloud.pcd", count, layout)
        raw = path.read_bytes()
        assert old.encode() in raw
        path.write_bytes(raw.replace(old.encode(), new.encode(), 1))
        return path

    return build


def pcd_claims(count: int) -> Build:
    """A PCD of fifty points whose header claims another number."""

    def build(folder: Path) -> Path:
        path = write_pcd(folder / "cloud.pcd", 50)
        raw = path.read_bytes()
        for key in (b"WIDTH", b"POINTS"):
            raw = raw.replace(key + b" 50", key + b" %d" % count)
        path.write_bytes(raw)
        return path

    return build


def packed_bomb(folder: Path) -> Path:
    """Sixteen packed bytes that claim to be four gigabytes."""
    path = pcd_claims(100_000_000)(folder)
    head = path.read_bytes().split(b"DATA")[0] + b"DATA binary_compressed\n"
    path.write_bytes(head + struct.pack("<II", 16, 3_600_000_000) + bytes(16))
    return path


def packed_noise(folder: Path) -> Path:
    """A packed stream that copies from before its start."""
    path = write_pcd(folder / "cloud.pcd", 50, "binary_compressed")
    raw = path.read_bytes()
    at = raw.index(b"compressed\n") + len(b"compressed\n") + 8
    path.write_bytes(raw[:at] + b"\xff" * (len(raw) - at))
    return path
