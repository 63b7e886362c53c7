"""PCD: packed colors, packed points, padding, missing points."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from other_readers import columns_in, surroundings_of
from sample_clouds import lzf_pack, lzf_unpack, some_labels, write_pcd

from clip3d_cli.formats.cloud_file import inspect_cloud, open_cloud, read_cloud, write_labels
from clip3d_cli.formats.pcd import lzf
from clip3d_cli.native import library as native

ORANGE = 0x00FF8000


@given(st.binary(max_size=400), st.integers(1, 40))
@settings(deadline=None)
def test_lzf_unpacks_what_others_pack(raw: bytes, times: int) -> None:
    whole = raw * times
    assert lzf.decompress(lzf_pack(whole), len(whole)) == whole


@given(st.binary(max_size=400), st.binary(max_size=400))
@settings(deadline=None)
def test_streams_can_be_joined(first: bytes, second: bytes) -> None:
    assert lzf_unpack(lzf_pack(first) + lzf.literal_runs(second)) == first + second
    packed = lzf_pack(first) + lzf.compress(second)
    assert lzf_unpack(packed) == first + second
    assert lzf.decompress(packed, len(first + second)) == first + second


@given(st.binary(max_size=60), st.integers(0, 300))
@settings(max_examples=300, deadline=None)
def test_any_bytes_unpack_to_the_size_or_not_at_all(packed: bytes, size: int) -> None:
    raw = lzf.decompress(packed, size)
    assert raw is None or (len(raw) == size and raw == lzf_unpack(packed))


def test_without_the_engine_python_does_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_pcd(tmp_path / "a.pcd", 500, "binary_compressed")
    expected = read_cloud(path).xyz
    write_labels(some_labels(500), path, tmp_path / "engine.pcd")

    def not_built() -> None:
        raise native.EngineUnavailableError("it was not built")

    monkeypatch.setattr(native, "load", not_built)
    np.testing.assert_array_equal(read_cloud(path).xyz, expected)
    write_labels(some_labels(500), path, tmp_path / "python.pcd")
    one, other = columns_in(tmp_path / "engine.pcd"), columns_in(tmp_path / "python.pcd")
    assert all(one[name].tobytes() == other[name].tobytes() for name in one)


@pytest.mark.parametrize("layout", ["ascii", "binary", "binary_compressed"])
def test_organised_clouds_stay_so(tmp_path: Path, layout: str) -> None:
    path = write_pcd(tmp_path / "a.pcd", 48, layout, height=6)
    assert "organised 8 x 6" in inspect_cloud(path).notes
    labels = some_labels(48)
    write_labels(labels, path, tmp_path / "out.pcd")
    assert "organised 8 x 6" in inspect_cloud(tmp_path / "out.pcd").notes
    assert surroundings_of(tmp_path / "out.pcd") == surroundings_of(path)
    columns = columns_in(tmp_path / "out.pcd")
    assert np.isnan(columns["x"][1])
    assert columns["_"].tolist() == [[7] * 4] * 48
    assert columns["label"].dtype == "u4"


PACKED: list[tuple[str, str, str, bytes, str]] = [
    ("U", "rgb", "binary", struct.pack("<I", ORANGE), ""),
    ("U", "rgba", "binary", struct.pack("<I", 0xFF000000 | ORANGE), ""),
    ("F", "rgb", "binary", struct.pack("<I", ORANGE), ""),
    ("U", "rgb", "ascii", b"", str(ORANGE)),
    ("F", "rgb", "ascii", b"", f"{ORANGE:.8e}"),
    ("F", "rgb", "ascii", b"", f"{struct.unpack('<f', struct.pack('<I', ORANGE))[0]:.9e}"),
]


@pytest.mark.parametrize(("kind", "name", "layout", "raw", "text"), PACKED)
def test_packed_colors(
    tmp_path: Path, kind: str, name: str, layout: str, raw: bytes, text: str
) -> None:
    head = (
        f"VERSION 0.7\nFIELDS x y z {name}\nSIZE 4 4 4 4\nTYPE F F F {kind}\n"
        f"WIDTH 1\nHEIGHT 1\nPOINTS 1\nDATA {layout}\n"
    )
    body = struct.pack("<3f", 1, 2, 3) + raw if layout == "binary" else f"1 2 3 {text}\n".encode()
    path = tmp_path / "a.pcd"
    path.write_bytes(head.encode() + body)
    cloud = read_cloud(path)
    assert cloud.rgb is not None
    assert cloud.rgb.tolist() == [[255, 128, 0]]
    write_labels(some_labels(1), path, tmp_path / "out.pcd")
    assert (tmp_path / "out.pcd").read_bytes().count(body.rstrip(b"\n")) == 1


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("indoor/osd_test0_compressed.pcd", marks=pytest.mark.slow),
        "indoor/redwood_fragment.pcd",
        "driving/pjlab/1/calib.pcd",
    ],
)
def test_real_files_survive(shared_data: Path, tmp_path: Path, name: str) -> None:
    path = shared_data / name
    cloud_file = open_cloud(path)
    labels = some_labels(cloud_file.facts.points)
    cloud_file.write(labels, tmp_path / "out.pcd", overwrite=True)
    before, after = read_cloud(path), read_cloud(tmp_path / "out.pcd")
    np.testing.assert_array_equal(after.xyz, before.xyz)
    np.testing.assert_array_equal(after.rgb, before.rgb)
    assert surroundings_of(tmp_path / "out.pcd") == surroundings_of(path)
