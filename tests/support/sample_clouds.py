"""Small valid files of every format, written by other libraries than clip3d if there is one."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import laspy
import numpy as np
import plyfile

from clip3d_cli.core.labels import Labels
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.formats.cloud_file import CloudFacts, ReadOptions, open_cloud

# GeoTIFF keys as files store them: key, record of the value, number of values, value.
Keys = list[tuple[int, ...]]
UTM = (500_000.0, 5_400_000.0, 300.0)
WKT_FEET = 'PROJCS["x",GEOGCS["g",UNIT["degree",0.0174532925199433]],UNIT["foot",0.3048]]'
WKT_DEGREES = 'GEOGCS["WGS 84",DATUM["d",SPHEROID["s",6378137,298.257]],UNIT["degree",0.0174]]'
WKT_METRES = 'PROJCS["UTM 32N",GEOGCS["g",UNIT["degree",0.0174532925199433]],UNIT["metre",1]]'


def street(count: int, seed: int = 0) -> np.ndarray:
    """(N, 3) float64 metres: a scan around the sensor."""
    random = np.random.default_rng(seed)
    return random.normal(0, (20, 20, 2), (count, 3))


def some_labels(
    count: int, ranks: int | None = None, names: str = "car,plastic bag,tree"
) -> Labels:
    """Random labels of N points with or without a ranking, some of them unlabeled."""
    random = np.random.default_rng(count)
    vocabulary = Vocabulary.from_names(names.split(","))
    classes = len(vocabulary)
    index = random.integers(-1, classes, count).astype(np.int32)
    score = random.random(count).astype(np.float32)
    if ranks is None:
        return Labels(index, score, vocabulary)
    ranking = random.integers(-1, classes, (count, ranks)).astype(np.int32)
    return Labels(index, score, vocabulary, ranking, random.random((count, ranks)).astype("f4"))


def read_with_facts(
    path: Path, options: ReadOptions | None = None
) -> tuple[PointCloud, CloudFacts]:
    """The points of a file, and the facts about it after they were read."""
    cloud_file = open_cloud(path, options)
    cloud = cloud_file.read()
    return cloud, cloud_file.facts


def ply_table(count: int, xyz_type: str = "f4") -> np.ndarray:
    """A vertex table with a column of most dtypes."""
    names = [("x", xyz_type), ("y", xyz_type), ("z", xyz_type)]
    names += [("red", "u1"), ("green", "u1"), ("blue", "u1"), ("intensity", "f4"), ("time", "f8")]
    table = np.zeros(count, [*names, ("echo", "i2")])
    for axis, name in enumerate("xyz"):
        table[name] = street(count)[:, axis]
    for step, name in enumerate(("red", "green", "blue", "echo"), start=1):
        table[name] = np.arange(count) * step % 251
    table["intensity"] = np.arange(count) % 200
    table["time"] = np.linspace(0, 1, count)
    return table


def write_ply(path: Path, count: int, kind: str = "<", xyz_type: str = "f4") -> Path:
    """A PLY mesh: ``kind`` is ``<``, ``>`` or ``ascii``."""
    faces = np.zeros(min(count, 5), [("vertex_indices", "O")])
    faces["vertex_indices"] = [list(range(3 + row % 2)) for row in range(len(faces))]
    elements = [
        plyfile.PlyElement.describe(ply_table(count, xyz_type), "vertex", comments=["of points"]),
        plyfile.PlyElement.describe(
            faces, "face", val_types={"vertex_indices": "i4"}, len_types={"vertex_indices": "u1"}
        ),
    ]
    order = "=" if kind == "ascii" else kind
    ply = plyfile.PlyData(
        elements, kind == "ascii", order, comments=["made by a test"], obj_info=["of no object"]
    )
    ply.write(path)
    return path


def write_las(
    path: Path, count: int = 1000, point_format: int = 7, version: str = "1.4", **more: object
) -> Path:
    """A LAS or LAZ file; ``more`` may hold xyz, scale, offset, wkt, wkt_evlr, extra."""
    header = laspy.LasHeader(point_format=point_format, version=version)
    scale = float(str(more.get("scale", 0.001)))
    header.scales, header.offsets = np.full(3, scale), np.array(more.get("offset", UTM))
    if "extra" in more:
        header.add_extra_dim(laspy.ExtraBytesParams("height", "f4", "above ground"))
        header.add_extra_dim(laspy.ExtraBytesParams("plane id", "u2"))
    las = laspy.LasData(header)
    xyz = more.get("xyz")
    las.xyz = street(count) + header.offsets if xyz is None else np.asarray(xyz)
    las.intensity = np.arange(len(las)) * 7 % 60_000
    las.classification = np.arange(len(las)) % 12
    las.point_source_id = np.arange(len(las)) % 99
    if point_format in (2, 3, 5, 7, 8, 10):
        las.red, las.green, las.blue = (np.arange(len(las)) * n % 65_536 for n in (13, 17, 19))
    if "extra" in more:
        las["height"] = np.arange(len(las)) / 8
        las["plane id"] = np.arange(len(las)) % 1000
    if "wkt" in more:
        las.header.vlrs.append(_wkt_record(str(more["wkt"])))
    if "wkt_evlr" in more:
        las.evlrs = laspy.vlrs.vlrlist.VLRList([_wkt_record(str(more["wkt_evlr"]))])
    las.write(path)
    return path


def write_keys(
    path: Path,
    keys: Keys,
    count: int = 400,
    citation: str = "",
    doubles: tuple[float, ...] = (),
    xyz: np.ndarray | None = None,
) -> Path:
    """A LAS 1.2 file with GeoTIFF keys, as most programs write them."""
    xyz = street(count) + UTM if xyz is None else xyz
    header = laspy.LasHeader(point_format=1, version="1.2")
    header.offsets, header.scales = np.floor(xyz[0]), np.full(3, 0.001)
    las = laspy.LasData(header)
    las.xyz = xyz
    text = f"{citation}|\0".encode()
    if citation:
        keys = [*keys, (3073, 34737, len(citation) + 1, 0)]
    body = b"".join(struct.pack("<4H", *key) for key in [(1, 1, 0, len(keys)), *keys])
    values = struct.pack(f"<{len(doubles)}d", *doubles)
    for number, content in ((34735, body), (34736, values), (34737, text)):
        las.header.vlrs.append(laspy.VLR("LASF_Projection", number, "", content))
    las.write(path)
    return path


def write_pcd(path: Path, count: int, layout: str = "binary", height: int = 1) -> Path:
    """A PCD file with padding, packed colors, a field of three numbers and a missing point."""
    fields = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("_", "<u1", (4,)), ("rgb", "<u4")]
    table = np.zeros(count, [*fields, ("normal", "<f4", (3,)), ("intensity", "<f4")])
    for axis, name in enumerate("xyz"):
        table[name] = street(count)[:, axis]
    table["_"] = 7
    table["rgb"] = np.arange(count) * 257 % (1 << 24)
    table["normal"] = np.arange(count * 3).reshape(-1, 3)
    table["intensity"] = np.arange(count) % 256
    if count > 1:
        table["x"][1] = table["y"][1] = table["z"][1] = np.nan
    head = (
        "# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\n"
        "FIELDS x y z _ rgb normal intensity\nSIZE 4 4 4 1 4 4 4\nTYPE F F F U U F F\n"
        f"COUNT 1 1 1 4 1 3 1\nWIDTH {count // height}\nHEIGHT {height}\n"
        f"VIEWPOINT 1 2 3 1 0 0 0\nPOINTS {count}\nDATA {layout}\n"
    )
    path.write_bytes(head.encode() + pcd_body(table, layout))
    return path


def pcd_body(table: np.ndarray, layout: str) -> bytes:
    """The points in one of the three layouts."""
    if layout == "binary":
        return table.tobytes()
    if layout == "binary_compressed":
        raw = b"".join(np.ascontiguousarray(table[name]).tobytes() for name in table.dtype.names)
        packed = lzf_pack(raw)
        return struct.pack("<II", len(packed), len(raw)) + packed
    lines = []
    for row in table:
        words = [repr(float(v)) for name in table.dtype.names for v in np.ravel(row[name])]
        lines.append(" ".join(word.removesuffix(".0") for word in words) + "\n")
    return "".join(lines).encode()


def lzf_pack(raw: bytes) -> bytes:
    """A simple LZF packer: three bytes that occurred before start a copy."""
    packed, seen, at, literal = bytearray(), {}, 0, bytearray()

    def flush() -> None:
        for first in range(0, len(literal), 32):
            run = literal[first : first + 32]
            packed.extend([len(run) - 1, *run])
        literal.clear()

    while at < len(raw):
        key = raw[at : at + 3]
        source = seen.get(key, -1)
        seen[key] = at
        if len(key) < 3 or source < 0 or at - source > 8191:
            literal.append(raw[at])
            at += 1
            continue
        length = 3
        while length < 264 and at + length < len(raw) and raw[source + length] == raw[at + length]:
            length += 1
        flush()
        back = at - source - 1
        if length - 2 < 7:
            packed.extend([(length - 2) << 5 | back >> 8, back & 255])
        else:
            packed.extend([7 << 5 | back >> 8, length - 9, back & 255])
        at += length
    flush()
    return bytes(packed)


def write_bin(path: Path, count: int, width: int = 4) -> Path:
    """A KITTI (4) or nuScenes (5) scan."""
    table = np.zeros((count, width), "<f4")
    table[:, :3] = street(count)
    table[:, 3] = np.linspace(0, 1 if width == 4 else 255, count)
    if width > 4:
        table[:, 4] = np.arange(count) % 32
    table.tofile(path)
    return path


def write_npz(path: Path, count: int) -> Path:
    """Arrays by name, one of them not of the cloud's length."""
    np.savez_compressed(
        path,
        xyz=street(count),
        intensity=np.arange(count) % 256,
        pose=np.eye(4),
        name=np.array("a"),
    )
    return path


def write_npy(path: Path, count: int) -> Path:
    """One table of four columns."""
    np.save(path, np.c_[street(count), np.linspace(0, 1, count)].astype(">f4"))
    return path


def _wkt_record(text: str) -> laspy.VLR:
    return laspy.VLR("LASF_Projection", 2112, "WKT", text.encode() + b"\0")


# Format of the registry, suffix, and the writer of so many points.
SAMPLES: dict[str, tuple[str, str, Callable[[Path, int], Path]]] = {
    "ply-little": ("ply", ".ply", lambda path, n: write_ply(path, n, "<")),
    "ply-big-double": ("ply", ".ply", lambda path, n: write_ply(path, n, ">", "f8")),
    "ply-ascii": ("ply", ".ply", lambda path, n: write_ply(path, n, "ascii")),
    "las-1.2": ("las", ".las", lambda path, n: write_las(path, n, 3, "1.2")),
    "las-1.4": ("las", ".las", lambda path, n: write_las(path, n, 6, extra=1, wkt_evlr=WKT_METRES)),
    "laz-1.2": ("las", ".laz", lambda path, n: write_las(path, n, 1, "1.2", extra=1)),
    "laz-1.4": ("las", ".laz", lambda path, n: write_las(path, n, 8, wkt=WKT_METRES)),
    "pcd-ascii": ("pcd", ".pcd", lambda path, n: write_pcd(path, n, "ascii")),
    "pcd-binary": ("pcd", ".pcd", lambda path, n: write_pcd(path, n, "binary")),
    "pcd-packed": ("pcd", ".pcd", lambda path, n: write_pcd(path, n, "binary_compressed")),
    "kitti": ("bin", ".bin", lambda path, n: write_bin(path, n, 4)),
    "nuscenes": ("bin", ".pcd.bin", lambda path, n: write_bin(path, n, 5)),
    "npz": ("npy", ".npz", write_npz),
    "npy": ("npy", ".npy", write_npy),
}


def lzf_unpack(packed: bytes) -> bytes:
    """A simple LZF reader that works byte by byte."""
    out, at = bytearray(), 0
    while at < len(packed):
        control = packed[at]
        at += 1
        if control < 32:
            out += packed[at : at + control + 1]
            at += control + 1
            continue
        length = (control >> 5) + 2
        if length == 9:
            length += packed[at]
            at += 1
        source = len(out) - ((control & 31) << 8) - packed[at] - 1
        at += 1
        for step in range(length):
            out.append(out[source + step])
    return bytes(out)
