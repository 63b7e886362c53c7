"""Red, green and blue of every format, written by hand: none may take the place of another."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import laspy
import numpy as np
import plyfile
import pytest
from other_readers import columns_in
from sample_clouds import lzf_pack, some_labels, street

from clip3d_cli.formats.cloud_file import ReadOptions, open_cloud, read_cloud

# (4, 3): every channel of every point has a value of its own.
RGB = np.array([[200, 100, 50], [1, 2, 3], [7, 250, 90], [33, 44, 255]])
XYZ = street(len(RGB))
SPLAT_RGB = np.array([[255, 127, 0], [0, 255, 127], [127, 0, 255], [255, 0, 127]])

Write = Callable[[Path], Path]


def las(point_format: int, suffix: str, bits: int) -> Write:
    """LAS stores three uint16; many programs put 8-bit values into them."""

    def write(folder: Path) -> Path:
        version = "1.4" if point_format > 5 else "1.3"
        file = laspy.LasData(laspy.LasHeader(point_format=point_format, version=version))
        file.xyz = XYZ
        stored = RGB if bits == 8 else RGB * 256 + 17
        file.red, file.green, file.blue = stored.T
        if point_format in (8, 10):
            file.nir = np.array([9, 8, 7, 6])
        file.write(folder / f"scan{suffix}")
        return folder / f"scan{suffix}"

    return write


def ply(names: tuple[str, ...], dtype: str, order: str, scale: float = 1) -> Write:
    """A PLY whose colors stand before the coordinates, in the order of ``names``."""

    def write(folder: Path) -> Path:
        channel_of_name = {"r": 0, "g": 1, "b": 2}
        fields = [(name, dtype) for name in names] + [(axis, "f4") for axis in "xyz"]
        table = np.zeros(len(RGB), fields)
        for name in names:
            letter = name.removeprefix("diffuse_")[0]
            table[name] = RGB[:, channel_of_name[letter]] * scale
        for axis, name in enumerate("xyz"):
            table[name] = XYZ[:, axis]
        element = plyfile.PlyElement.describe(table, "vertex")
        path = folder / "scan.ply"
        is_text, byte_order = order == "ascii", ">" if order == "big" else "<"
        plyfile.PlyData([element], text=is_text, byte_order=byte_order).write(path)
        return path

    return write


def splats(folder: Path) -> Path:
    table = np.zeros(
        len(RGB), [(f"f_dc_{n}", "f4") for n in (2, 0, 1)] + [(a, "f4") for a in "xyz"]
    )
    for channel in range(3):
        table[f"f_dc_{channel}"] = (SPLAT_RGB[:, channel] / 255 - 0.5) * 2 * np.sqrt(np.pi)
    path = folder / "scan.ply"
    plyfile.PlyData([plyfile.PlyElement.describe(table, "vertex")]).write(path)
    return path


def pcd(name: str, kind: str, layout: str) -> Write:
    """A PCD with packed colors: 0xAARRGGBB as uint32, or as the float of the same bits."""

    def write(folder: Path) -> Path:
        red, green, blue = RGB.T
        packed = (255 << 24 if name == "rgba" else 0) | red << 16 | green << 8 | blue
        table = np.zeros(len(RGB), [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("c", "<u4")])
        table["x"], table["y"], table["z"] = XYZ.T
        table["c"] = packed
        head = (
            f"VERSION 0.7\nFIELDS x y z {name}\nSIZE 4 4 4 4\nTYPE F F F {kind}\nCOUNT 1 1 1 1\n"
            f"WIDTH {len(RGB)}\nHEIGHT 1\nPOINTS {len(RGB)}\nDATA {layout}\n"
        )
        body = table.tobytes()
        if layout == "binary_compressed":
            raw = b"".join(table[field].tobytes() for field in table.dtype.names)
            body = struct.pack("<II", len(lzf_pack(raw)), len(raw)) + lzf_pack(raw)
        elif layout == "ascii":
            colors = table["c"].view("<f4") if kind == "F" else table["c"]
            rows = zip(*(table[axis] for axis in "xyz"), colors, strict=True)
            lines = (" ".join(f"{value:.9g}" for value in row[:3]) + f" {row[3]!s}" for row in rows)
            body = "\n".join(lines).encode() + b"\n"
        path = folder / "scan.pcd"
        path.write_bytes(head.encode() + body)
        return path

    return write


def split_pcd(folder: Path) -> Path:
    """A PCD with a field of a byte for each channel, blue first."""
    fields = [("b", "u1"), ("g", "u1"), ("r", "u1"), ("x", "<f4"), ("y", "<f4"), ("z", "<f4")]
    table = np.zeros(len(RGB), fields)
    table["r"], table["g"], table["b"] = RGB.T
    table["x"], table["y"], table["z"] = XYZ.T
    head = (
        "VERSION 0.7\nFIELDS b g r x y z\nSIZE 1 1 1 4 4 4\nTYPE U U U F F F\nCOUNT 1 1 1 1 1 1\n"
        f"WIDTH {len(RGB)}\nHEIGHT 1\nPOINTS {len(RGB)}\nDATA binary\n"
    )
    path = folder / "scan.pcd"
    path.write_bytes(head.encode() + table.tobytes())
    return path


def npz(folder: Path) -> Path:
    np.savez(folder / "scan.npz", xyz=XYZ, rgb=RGB.astype(np.uint8))
    return folder / "scan.npz"


def npy_fields(folder: Path) -> Path:
    table = np.zeros(len(RGB), [(name, "f4") for name in "bgrzyx"])
    table["r"], table["g"], table["b"] = RGB.T
    table["x"], table["y"], table["z"] = XYZ.T
    np.save(folder / "scan.npy", table)
    return folder / "scan.npy"


COLUMNS = ("blue", "green", "red", "x", "y", "z")


def npy_columns(folder: Path) -> Path:
    np.save(folder / "scan.npy", np.c_[RGB[:, ::-1], XYZ])
    return folder / "scan.npy"


def bin_columns(folder: Path) -> Path:
    np.c_[RGB[:, ::-1], XYZ].astype("<f4").tofile(folder / "scan.bin")
    return folder / "scan.bin"


NAMES = ("red", "green", "blue")
FILES: dict[str, Write] = {
    **{
        f"las-{f}-{bits}-bit": las(f, ".las", bits) for f in (2, 3, 5, 7, 8, 10) for bits in (8, 16)
    },
    "laz": las(7, ".laz", 16),
    "laz-1.2": las(2, ".laz", 8),
    "ply": ply(NAMES, "u1", "little"),
    "ply-blue-first": ply(NAMES[::-1], "u1", "big"),
    "ply-ascii": ply(("green", "blue", "red"), "u1", "ascii"),
    "ply-diffuse": ply(("diffuse_blue", "diffuse_red", "diffuse_green"), "u1", "little"),
    "ply-letters": ply(("g", "r", "b"), "u1", "little"),
    "ply-16-bit": ply(NAMES, "u2", "little", scale=256),
    "ply-float": ply(NAMES, "f8", "little", scale=1 / 255),
    **{
        f"pcd-{name}-{kind}-{layout}": pcd(name, kind, layout)
        for name, kind in (("rgb", "U"), ("rgb", "F"), ("rgba", "U"))
        for layout in ("ascii", "binary", "binary_compressed")
    },
    "pcd-split": split_pcd,
    "npz": npz,
    "npy-fields": npy_fields,
    "npy-columns": npy_columns,
    "bin-columns": bin_columns,
}


def options_of(name: str) -> ReadOptions:
    return ReadOptions(COLUMNS if name.endswith("-columns") else None)


@pytest.mark.parametrize("name", FILES)
def test_channels_are_read_as_they_were_written(tmp_path: Path, name: str) -> None:
    cloud = open_cloud(FILES[name](tmp_path), options_of(name)).read()
    assert cloud.rgb is not None
    assert cloud.rgb.dtype == np.uint8
    tolerance = 1 if name == "ply-float" else 0  # a float such as 0.1999 rounds down
    np.testing.assert_allclose(cloud.rgb.astype(int), RGB, atol=tolerance)


def test_channels_of_splats(tmp_path: Path) -> None:
    rgb = read_cloud(splats(tmp_path)).rgb
    assert rgb is not None
    np.testing.assert_allclose(rgb.astype(int), SPLAT_RGB, atol=1)


@pytest.mark.parametrize("name", [name for name in FILES if not name.startswith("bin")])
def test_copies_keep_the_channels(tmp_path: Path, name: str) -> None:
    path = FILES[name](tmp_path)
    before = columns_in(path)
    cloud_file = open_cloud(path, options_of(name))
    target = cloud_file.target_path()
    cloud_file.write(some_labels(len(RGB)), target)
    after = columns_in(target)
    for column, values in before.items():
        np.testing.assert_array_equal(after[column], values, err_msg=column)
    rgb = open_cloud(target, options_of(name)).read().rgb
    assert rgb is not None
    np.testing.assert_allclose(rgb.astype(int), RGB, atol=1 if name == "ply-float" else 0)


@pytest.mark.parametrize("name", FILES)
def test_exports_have_the_channels(tmp_path: Path, name: str) -> None:
    path = FILES[name](tmp_path)
    cloud_file = open_cloud(path, options_of(name))
    out = tmp_path / "out.ply"
    cloud_file.write(some_labels(len(RGB)), out)
    if path.suffix == ".ply":  # a copy, not an export: it keeps the names of its properties
        return
    columns = columns_in(out)
    found = np.stack([columns[channel] for channel in NAMES], axis=1)
    np.testing.assert_array_equal(found, RGB)
