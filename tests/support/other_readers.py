"""Contents of files as independent readers see them: columns by name, and all other content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import laspy
import numpy as np
import plyfile
from sample_clouds import lzf_unpack

PREFIXES = {".ply": "scalar_", ".las": "clip3d_", ".laz": "clip3d_", ".pcd": "", ".npz": ""}


def columns_in(path: Path) -> dict[str, np.ndarray]:
    """Every column of a file, read by another library than clip3d where there is one."""
    return {
        ".ply": _ply_columns,
        ".las": _las_columns,
        ".laz": _las_columns,
        ".pcd": _pcd_columns,
        ".bin": lambda path: {"": np.fromfile(path, "<f4")},
        ".npy": lambda path: {"points": np.load(path)},
        ".npz": lambda path: dict(np.load(path)),
        ".label": lambda path: {"label": np.fromfile(path, "<u4")},
    }[path.suffix](path)


def surroundings_of(path: Path) -> list[Any]:
    """Faces, comments, headers and records, which a copy must keep."""
    if path.suffix == ".ply":
        ply = plyfile.PlyData.read(path)
        faces = [row.tolist() for row in ply["face"]["vertex_indices"]]
        own = [text for text in ply.comments if not text.startswith("clip3d_class")]
        return [faces, own, ply.obj_info, ply["vertex"].comments, ply.text, ply.byte_order]
    if path.suffix in (".las", ".laz"):
        with laspy.open(path) as reader:
            header, evlrs = reader.header, reader.evlrs or []
            records = [
                (v.user_id, v.record_id, v.record_data_bytes()) for v in [*header.vlrs, *evlrs]
            ]
            kept = [r for r in records if r[:2] not in _OWN_RECORDS]
            numbers = [
                *header.scales,
                *header.offsets,
                *header.mins,
                *header.maxs,
                header.point_count,
            ]
            return [kept, numbers, header.uuid, str(header.version), header.point_format.id]
    if path.suffix == ".pcd":
        own = ("FIELDS", "SIZE", "TYPE", "COUNT")
        head = path.read_bytes().split(b"DATA")[0].decode("latin-1").splitlines()
        return [line for line in head if not line.startswith(own)]
    return []


_OWN_RECORDS = (("LASF_Spec", 4), ("clip3d", 1), ("laszip encoded", 22204))


def _ply_columns(path: Path) -> dict[str, np.ndarray]:
    table = plyfile.PlyData.read(path, mmap=False)["vertex"].data
    return {name: table[name] for name in table.dtype.names}


def _las_columns(path: Path) -> dict[str, np.ndarray]:
    las = laspy.read(path)
    return {name: np.array(las[name]) for name in las.point_format.dimension_names}


def _pcd_columns(path: Path) -> dict[str, np.ndarray]:
    head, _, rest = path.read_bytes().partition(b"DATA ")
    layout, _, body = rest.partition(b"\n")
    entries = {line.split()[0]: line.split()[1:] for line in head.decode().splitlines() if line}
    kinds = zip(entries["TYPE"], entries["SIZE"], entries["COUNT"], strict=True)
    fields = [(f"<{kind.lower()}{size}", (int(count),)) for kind, size, count in kinds]
    names, points = entries["FIELDS"], int(entries["POINTS"][0])
    dtype = np.dtype([(name, *field) for name, field in zip(names, fields, strict=True)])
    if layout == b"binary":
        table = np.frombuffer(body, dtype, points)
        return {name: table[name] for name in names}
    columns, at = {}, 0
    if layout == b"ascii":
        values = np.array([line.split() for line in body.splitlines()], float)
        values = values.reshape(points, sum(count for _, (count,) in fields))
        for name, (kind, (count,)) in zip(names, fields, strict=True):
            columns[name] = values[:, at : at + count].astype(kind)
            at += count
        return columns
    raw = lzf_unpack(body[8 : 8 + int.from_bytes(body[:4], "little")])
    assert len(raw) == int.from_bytes(body[4:8], "little") == points * dtype.itemsize
    for name, (kind, (count,)) in zip(names, fields, strict=True):
        size = points * count * np.dtype(kind).itemsize
        columns[name] = np.frombuffer(raw[at : at + size], kind).reshape(points, count)
        at += size
    return columns
