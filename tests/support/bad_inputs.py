"""A table of damaged, wrong and unusual input files, and what clip3d must do with each.

Errors must name the code and the file; unusual files that are valid must be read.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import inf, nan
from pathlib import Path

import bad_clouds as clouds
import bad_files as files
import bad_records as records
import numpy as np
from bad_files import Build
from sample_clouds import street, write_bin, write_npz, write_ply


@dataclass(frozen=True)
class Case:
    """One input file and the expected outcome.

    Attributes:
        row: number of the kind of fault; cases of one kind share it.
        name: name of the case.
        build: function that makes the file in an empty folder and returns its path.
        code: code of the expected error, or None if the file must be read.
        says: text that the error, or the JSON document, must contain.
        options: more arguments of ``clip3d info``.
        exits: expected exit code of the process.
    """

    row: int
    name: str
    build: Build
    code: str | None
    says: str = ""
    options: tuple[str, ...] = ()
    exits: int = 1


def refuse(row: int, name: str, code: str, build: Build, says: str = "", exits: int = 1) -> Case:
    return Case(row, name, build, code, says, (), exits)


def accept(row: int, name: str, says: str, build: Build, *options: str) -> Case:
    return Case(row, name, build, None, says, options, 0)


TRILLION = 10**12
HTML = b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
FAR = np.vstack([street(500), [[1e9, 0, 0]]])
MISSING = np.vstack([street(20), [[nan] * 3, [inf, 0, 0]]])
LIST_BOMB = struct.pack("<3fBI", 1, 2, 3, 3, 0xFFFFFFF0)

FILES = [
    refuse(1, "missing", "E_NOT_FOUND", files.missing_with_a_sibling, "Scan.PLY"),
    refuse(2, "folder", "E_NO_INPUT", lambda folder: folder),
    refuse(3, "unreadable", "E_PERMISSION", files.unreadable),
    *[
        refuse(4, f"empty-{s}", "E_EMPTY_FILE", files.written(f"a.{s}", b""))
        for s in files.SUFFIXES
    ],
    *[accept(5, f"no-points-{n}", "there are no points", b) for n, b in records.NO_POINTS.items()],
    accept(6, "ply-named-las", "the content is ply", files.renamed(clouds.small_ply, "scan.las")),
    accept(6, "laz-named-ply", "the content is las", files.renamed(records.laz(), "scan.ply")),
    accept(6, "laz-named-las", "(LAZ)", files.renamed(records.laz(), "scan.las")),
    refuse(7, "html", "E_NOT_A_CLOUD", files.written("a.laz", HTML), "HTML page"),
    refuse(7, "html-as-bin", "E_NOT_A_CLOUD", files.written("a.bin", HTML), "HTML page"),
    refuse(7, "pointer", "E_NOT_A_CLOUD", files.written("a.ply", POINTER), "Git LFS pointer"),
    refuse(7, "noise", "E_NOT_A_CLOUD", files.written("a.las", bytes(range(256)) * 20)),
    refuse(59, "looped-link", "E_NOT_FOUND", files.looped_link),
    refuse(59, "pipe", "E_NOT_A_CLOUD", files.pipe, "not a regular file"),
    refuse(59, "device", "E_NOT_A_CLOUD", lambda _: Path("/dev/zero"), "not a regular file"),
    refuse(59, "socket", "E_NOT_A_CLOUD", files.listener, "not a regular file"),
    *[
        accept(64, f"name-{i}", '"points": 5', files.strange_name(name))
        for i, name in enumerate(files.NAMES)
    ],
]

LAS = [
    refuse(8, "short-header", "E_TRUNCATED", files.cut(records.las(), 0.005), "227 bytes"),
    refuse(
        9, "trillion-points", "E_COUNT_MISMATCH", files.patched(records.las(), 247, "<Q", TRILLION)
    ),
    refuse(
        10,
        "twice-the-points",
        "E_TRUNCATED",
        files.patched(records.las(), 247, "<Q", 2000),
        "after 1,000",
    ),
    accept(
        10,
        "twice-allowed",
        '"points": 1000',
        files.patched(records.las(), 247, "<Q", 2000),
        files.CUT,
    ),
    accept(11, "half-the-points", "500 points more", files.patched(records.las(), 247, "<Q", 500)),
    refuse(
        12,
        "endless-vlrs",
        "E_BAD_HEADER",
        files.patched(records.las(), 100, "<I", 0xFFFFFFFF),
        "VLRs",
    ),
    refuse(
        13, "points-beyond-end", "E_BAD_HEADER", files.patched(records.las(), 96, "<I", 1 << 31)
    ),
    refuse(13, "points-in-header", "E_BAD_HEADER", files.patched(records.las(), 96, "<I", 100)),
    refuse(14, "short-points", "E_BAD_HEADER", files.patched(records.las(), 105, "<H", 12)),
    refuse(
        15, "format-63", "E_UNSUPPORTED", files.patched(records.las(), 104, "B", 63), "format 63"
    ),
    refuse(
        15, "version-9.9", "E_UNSUPPORTED", files.patched(records.las(), 24, "BB", 9, 9), "LAS 9.9"
    ),
    *[
        refuse(16, f"scale-{v}", "E_BAD_HEADER", files.patched(records.las(), 131, "<d", v))
        for v in records.NO_SCALE
    ],
    *[
        refuse(16, f"offset-{v}", "E_BAD_HEADER", files.patched(records.las(), 163, "<d", v))
        for v in (nan, inf)
    ],
    accept(17, "far-bounds", "header's bounds", files.patched(records.las(), 179, "<2d", 9e9, 8e9)),
    refuse(18, "cut-laz", "E_TRUNCATED", files.cut(records.laz(), 0.6)),
    refuse(19, "no-chunk-table", "E_TRUNCATED", records.unfinished_laz, "interrupted"),
    refuse(
        20,
        "laz-trillion-points",
        "E_COUNT_MISMATCH",
        files.patched(records.laz(), 247, "<Q", TRILLION),
    ),
    refuse(21, "corrupt-chunk", "E_CORRUPT", records.corrupt_middle),
    refuse(21, "lying-layers", "E_CORRUPT", records.lying_layers),
    refuse(
        22,
        "killed-writer",
        "E_TRUNCATED",
        files.patched(records.las(), 247, "<Q", 0),
        "interrupted",
    ),
    refuse(22, "killed-laz-writer", "E_TRUNCATED", records.killed_laz, "interrupted"),
    *[accept(23, f"waveforms-{f}", "waveform", records.las(point_format=f)) for f in (4, 5, 9, 10)],
    refuse(24, "extra-bytes-lie", "E_BAD_HEADER", records.lying_extra_bytes, "extra bytes"),
    refuse(29, "degrees", "E_GEOGRAPHIC_CRS", records.degrees, "WGS 84"),
    accept(29, "feet", "converted to metres", records.feet),
    accept(29, "feet-by-code", "converted to metres", records.feet_by_code),
    accept(29, "no-crs", "no coordinate reference system", records.las()),
    accept(30, "utm", '"points": 1000', records.las(offset=(4_500_000, 5_400_000, 0))),
]

PLY = [
    accept(31, "far-outlier", "1 points lie far", files.points(FAR)),
    accept(33, "missing-coordinates", "2 of 22 points have no", files.points(MISSING)),
    accept(34, "one-point", '"points": 1', files.points(street(1))),
    accept(34, "one-place", '"points": 9', files.points(np.ones((9, 3)))),
    accept(34, "one-line", '"points": 9', files.points(np.outer(np.arange(9), [1, 2, 3]))),
    accept(34, "one-plane", '"points": 9', files.points(street(9) * [1, 1, 0])),
    accept(35, "duplicates", '"points": 40', files.points(np.tile(street(20), (2, 1)))),
    refuse(36, "trillion-vertices", "E_COUNT_MISMATCH", clouds.binary_ply(TRILLION, bytes(1200))),
    refuse(37, "endless-ascii", "E_COUNT_MISMATCH", clouds.ascii_ply(2 * 10**9, "1 2 3\n")),
    refuse(38, "negative-count", "E_BAD_HEADER", clouds.binary_ply(-5, bytes(120))),
    refuse(39, "cut", "E_TRUNCATED", clouds.binary_ply(100, bytes(12 * 41 + 5)), "after 41"),
    refuse(39, "cut-ascii", "E_TRUNCATED", clouds.ascii_ply(4, "1 2 3\n4 5 6\n7 8"), "after 2"),
    refuse(39, "cut-faces", "E_TRUNCATED", files.cut(clouds.small_ply, 0.9)),
    accept(
        39, "cut-allowed", '"points": 41', clouds.binary_ply(100, bytes(12 * 41 + 5)), files.CUT
    ),
    refuse(
        40,
        "endless-header",
        "E_BAD_HEADER",
        files.written("a.ply", b"ply\n" + b"comment " * 200_000),
    ),
    accept(
        41, "face-bomb", '"points": 1', clouds.binary_ply(1, LIST_BOMB, clouds.XYZ + clouds.FACES)
    ),
    refuse(
        41, "list-bomb", "E_TRUNCATED", clouds.binary_ply(1, LIST_BOMB, clouds.XYZ + clouds.LIST)
    ),
    accept(42, "big-endian", '"points": 300', lambda f: write_ply(f / "a.ply", 300, ">", "f8")),
    accept(42, "crlf", '"points": 2', clouds.ascii_ply(2, "1 2 3\n4 5 6\n", newline="\r\n")),
    accept(42, "lists", '"points": 2', clouds.list_ply),
    accept(
        42, "more-elements", '"points": 1', clouds.ascii_ply(1, "7\n1 2 3\n", more=clouds.BEFORE)
    ),
    refuse(
        42,
        "two-x",
        "E_BAD_HEADER",
        clouds.ascii_ply(1, "1 2 3 4\n", clouds.XYZ + "property float x\n"),
    ),
    refuse(42, "no-z", "E_NO_XYZ", clouds.ascii_ply(1, "1 2\n", clouds.XYZ.replace("z", "w"))),
    refuse(
        42, "no-vertex", "E_NO_XYZ", files.written("a.ply", b"ply\nformat ascii 1.0\nend_header\n")
    ),
    refuse(42, "unknown-type", "E_BAD_HEADER", clouds.ascii_ply(1, "1\n", "property half x\n")),
    refuse(42, "words", "E_PARSE", clouds.ascii_ply(2, "1 2 3\n4 five 6\n")),
    refuse(42, "ragged", "E_PARSE", clouds.ascii_ply(3, "1.5 2.5 3.5\n4.5 5.5\n7.5 8.5 9.5\n")),
    accept(43, "splats", "Gaussian splat", clouds.splats),
]

PCD = [
    refuse(45, "pcd-trillion-points", "E_COUNT_MISMATCH", clouds.pcd_claims(TRILLION)),
    refuse(46, "cut-at-row", "E_TRUNCATED", clouds.pcd_claims(100), "after 50"),
    *[
        refuse(47, f"cut-pcd-{k}", "E_TRUNCATED", files.cut(clouds.pcd(k), 0.8))
        for k in clouds.LAYOUTS
    ],
    refuse(48, "packed-bomb", "E_COUNT_MISMATCH", clouds.packed_bomb),
    refuse(48, "packed-noise", "E_CORRUPT", clouds.packed_noise),
    refuse(49, "extent", "E_BAD_HEADER", clouds.pcd_with("HEIGHT 1", "HEIGHT 7"), "POINTS"),
    refuse(50, "no-x", "E_NO_XYZ", clouds.pcd_with("FIELDS x", "FIELDS u")),
    refuse(50, "unknown-kind", "E_BAD_HEADER", clouds.pcd_with("TYPE F", "TYPE Q")),
    refuse(50, "unknown-layout", "E_UNSUPPORTED", clouds.pcd_with("DATA binary", "DATA base64")),
    *[accept(50, f"padding-{k}", "have no coordinates", clouds.pcd(k)) for k in clouds.LAYOUTS],
]

ARRAYS = [
    refuse(51, "bin-size", "E_BAD_SIZE", files.written("a.bin", bytes(1003))),
    accept(52, "nuscenes", "intensity,ring (inferred)", lambda f: write_bin(f / "a.bin", 100, 5)),
    accept(52, "kitti", "z,intensity (inferred)", lambda f: write_bin(f / "a.bin", 100, 4)),
    refuse(
        52, "undecidable", "E_COLUMNS", files.written("flat.bin", bytes(400)), "--columns", exits=2
    ),
    accept(52, "told", "(as given)", files.written("flat.bin", bytes(400)), "--columns", "x,y,z,i"),
    refuse(54, "pickle", "E_PICKLE", records.pickled),
    refuse(55, "lying-shape", "E_COUNT_MISMATCH", records.lying_npy),
    refuse(55, "no-header", "E_TRUNCATED", files.written("a.npy", b"\x93NUMPY\x01\x00\xff\xff{")),
    accept(56, "bomb", '"points": 20000000', records.zeros_npz(20_000_000)),
    refuse(56, "encrypted", "E_UNSUPPORTED", records.encrypted, "encrypted"),
    refuse(56, "cut-npz", "E_TRUNCATED", files.cut(lambda f: write_npz(f / "a.npz", 99), 0.7)),
    accept(56, "zip-slip", '"points": 10', records.zip_slip),
    refuse(56, "no-points", "E_NO_XYZ", records.no_points_npz),
]

CASES = [*FILES, *LAS, *PLY, *PCD, *ARRAYS]
