"""PLY: any table in any byte order comes back with the same bytes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import plyfile
import pytest
from bad_clouds import ascii_ply, list_ply, splats
from hypothesis import given, settings
from hypothesis import strategies as st
from other_readers import columns_in
from sample_clouds import read_with_facts, some_labels

from clip3d_cli.formats.cloud_file import read_cloud, write_labels

NUMBERS = ["i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8"]
NAMES = st.text("abcdefgh_", min_size=1, max_size=8).filter(
    lambda name: name not in ("b", "g") and not name.startswith("scalar_")
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[np.ndarray, str]:
    """A vertex table with x, y, z anywhere in it, and its byte order (``=`` for text)."""
    extra = draw(st.dictionaries(NAMES, st.sampled_from(NUMBERS), max_size=5))
    axes = {name: draw(st.sampled_from(["f4", "f8", "i4"])) for name in "xyz"}
    fields = draw(st.permutations(list({**extra, **axes}.items())))
    count = draw(st.integers(0, 12))
    table = np.zeros(count, fields)
    for name, kind in fields:
        values = st.floats(width=32, allow_nan=False) if kind[0] == "f" else st.integers(0, 120)
        table[name] = draw(st.lists(values, min_size=count, max_size=count))
    return table, draw(st.sampled_from("<>="))


@settings(max_examples=60, deadline=None)
@given(tables(), st.sampled_from([None, 2]))
def test_any_table_survives(made: tuple[np.ndarray, str], ranks: int | None) -> None:
    table, order = made
    with tempfile.TemporaryDirectory() as folder:
        path, target = Path(folder) / "a.ply", Path(folder) / "b.ply"
        element = plyfile.PlyElement.describe(table, "vertex")
        plyfile.PlyData([element], text=order == "=", byte_order=order).write(path)
        labels = some_labels(len(table), ranks)
        write_labels(labels, path, target)
        before, after = columns_in(path), columns_in(target)
        assert [*before, "scalar_label", "scalar_score"] == list(after)[: len(before) + 2]
        for name, values in before.items():
            assert after[name].tobytes() == values.tobytes()
        assert after["scalar_label"].tolist() == labels.class_id.tolist()
        assert after["scalar_score"].tolist() == labels.score.tolist()


def test_lists_before_and_inside_the_vertices(tmp_path: Path) -> None:
    path = list_ply(tmp_path)
    cloud = read_cloud(path)
    assert cloud.xyz.tolist() == [[1, 2, 3], [4, 5, 6]]
    labels = some_labels(2)
    write_labels(labels, path, tmp_path / "out.ply")
    write_labels(labels, tmp_path / "out.ply", tmp_path / "again.ply", overwrite=True)
    assert (tmp_path / "again.ply").read_bytes() == (tmp_path / "out.ply").read_bytes()
    ply = plyfile.PlyData.read(tmp_path / "out.ply")
    assert [row.tolist() for row in ply["face"]["vertex_indices"]] == [[0, 1, 0], [0, 1, 0, 1]]
    assert [row.tolist() for row in ply["vertex"]["seen_by"]] == [[8, 9], []]
    assert ply["vertex"]["echo"].tolist() == [-1, -2]
    assert ply["vertex"]["scalar_label"].tolist() == labels.class_id.tolist()


def test_text_keeps_its_spelling(tmp_path: Path) -> None:
    properties = (
        "property float x\nproperty list uchar int ids\nproperty float y\nproperty float z\n"
    )
    lines = "1.50 2 7 8 2e0  3.000 \n\n-0 0 +5 6\n"
    path = ascii_ply(2, lines, properties, newline="\r\n")(tmp_path)
    assert read_cloud(path).xyz.tolist() == [[1.5, 2, 3], [0, 5, 6]]
    labels = some_labels(2)
    write_labels(labels, path, tmp_path / "out.ply")
    head, body = (tmp_path / "out.ply").read_bytes().split(b"end_header\r\n")
    words = [b"%d %.9g" % pair for pair in zip(labels.class_id, labels.score, strict=True)]
    assert body == b"1.50 2 7 8 2e0  3.000 %b \r\n\r\n-0 0 +5 6 %b\r\n" % tuple(words)
    assert b"\r\nproperty uchar scalar_label\r\nproperty float scalar_score\r\n" in head


def test_the_header_keeps_its_lines(tmp_path: Path) -> None:
    more = "comment  two  spaces\nobj_info from a test\nelement camera 1\nproperty float fov\n"
    path = ascii_ply(1, "60\n1 2 3\n", more=more)(tmp_path)
    write_labels(some_labels(1), path, tmp_path / "out.ply")
    text = (tmp_path / "out.ply").read_text()
    added = [line for line in text.splitlines() if line not in path.read_text().splitlines()]
    assert added[:3] == [
        "comment clip3d_class 1 car",
        "comment clip3d_class 2 plastic bag",
        "comment clip3d_class 3 tree",
    ]
    assert added[3:5] == ["property uchar scalar_label", "property float scalar_score"]
    assert len(added) == 6


def test_names_of_any_kind_stay_on_one_line(tmp_path: Path) -> None:
    path = ascii_ply(1, "1 2 3\n")(tmp_path)
    labels = some_labels(1, names="two\nlines,größe")
    write_labels(labels, path, tmp_path / "out.ply")
    comments = plyfile.PlyData.read(tmp_path / "out.ply").comments
    assert comments == ["clip3d_class 1 two lines", "clip3d_class 2 gr\\xf6\\xdfe"]


def test_many_classes_need_wider_labels(tmp_path: Path) -> None:
    path = ascii_ply(1, "1 2 3\n")(tmp_path)
    labels = some_labels(1, names=",".join(f"class {number}" for number in range(300)))
    write_labels(labels, path, tmp_path / "out.ply")
    assert columns_in(tmp_path / "out.ply")["scalar_label"].dtype == "u2"


COLORS: list[tuple[str, list[Any], list[int] | None]] = [
    ("u1", [10, 20, 30], [10, 20, 30]),
    ("u2", [2560, 5120, 65535], [10, 20, 255]),
    ("f4", [0.0, 0.5, 1.0], [0, 127, 255]),
    ("u1", [0, 0, 0], None),
]


@pytest.mark.parametrize(("kind", "color", "expected"), COLORS)
@pytest.mark.parametrize("prefix", ["", "diffuse_"])
def test_colors_of_every_kind(
    tmp_path: Path, kind: str, color: list[Any], expected: list[int] | None, prefix: str
) -> None:
    names = [f"{prefix}{name}" for name in ("red", "green", "blue")]
    table = np.zeros(2, [(name, "f4") for name in "xyz"] + [(name, kind) for name in names])
    for name, value in zip(names, color, strict=True):
        table[name] = value
    plyfile.PlyData([plyfile.PlyElement.describe(table, "vertex")]).write(tmp_path / "a.ply")
    rgb = read_cloud(tmp_path / "a.ply").rgb
    assert (None if rgb is None else rgb[0].tolist()) == expected


def test_splats_have_the_color_of_their_base(tmp_path: Path) -> None:
    cloud, facts = read_with_facts(splats(tmp_path))
    assert any("Gaussian splat" in note for note in facts.notes)
    assert cloud.rgb is not None
    assert cloud.rgb[0].tolist() == [199, 127, 127]
