"""Features that only LAS and LAZ have, read back by laspy."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import laspy
import lazrs
import numpy as np
import pytest
from other_readers import columns_in, surroundings_of
from sample_clouds import WKT_METRES, read_with_facts, some_labels, write_las

from clip3d_cli.core.labels import Labels
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.errors import InputError
from clip3d_cli.formats.cloud_file import inspect_cloud, open_cloud, read_cloud, write_labels
from clip3d_cli.formats.las.header import read_las_header

COUNT = 400


def labelled(source: Path, name: str, labels: Labels | None = None) -> Path:
    labels = some_labels(len(read_cloud(source))) if labels is None else labels
    target = source.with_name(name)
    write_labels(labels, source, target)
    return target


@pytest.mark.parametrize("point_format", range(11))
@pytest.mark.parametrize("suffix", [".las", ".laz"])
def test_every_point_format_survives(tmp_path: Path, point_format: int, suffix: str) -> None:
    version = "1.4" if point_format > 5 else "1.3"
    source = write_las(tmp_path / "tile.las", COUNT, point_format, version, extra=1)
    target = labelled(source, f"out{suffix}")
    after = columns_in(target)
    for name, values in columns_in(source).items():
        np.testing.assert_array_equal(after[name], values, err_msg=name)
    assert surroundings_of(target) == surroundings_of(source)


def test_raw_points_are_the_same_bytes(tmp_path: Path) -> None:
    source = write_las(tmp_path / "tile.las", COUNT, 7)
    target = labelled(source, "out.las")
    raw, copy = (np.frombuffer(path.read_bytes(), np.uint8) for path in (source, target))
    old, new = read_las_header(source), read_las_header(target)
    points = raw[old.points_start : old.points_stop].reshape(COUNT, -1)
    copies = copy[new.points_start : new.points_stop].reshape(COUNT, -1)
    np.testing.assert_array_equal(copies[:, : old.record_bytes], points)
    # The header differs only where it says how long points and records are.
    same = np.ones(375, bool)
    same[96:108] = same[104:107] = False
    np.testing.assert_array_equal(copy[:375][same], raw[:375][same])


def test_more_points_than_a_chunk(tmp_path: Path) -> None:
    count = 120_001
    source = write_las(tmp_path / "tile.laz", count, 7)
    cloud = read_cloud(source)
    np.testing.assert_array_equal(cloud.xyz, np.array(laspy.read(source).xyz))
    labels = some_labels(count)
    target = labelled(source, "out.laz", labels)
    np.testing.assert_array_equal(laspy.read(target).clip3d_label, labels.class_id)


def test_extended_records_survive(tmp_path: Path) -> None:
    source = write_las(tmp_path / "tile.laz", COUNT, 6, wkt_evlr=WKT_METRES)
    assert inspect_cloud(source).crs == "UTM 32N"
    target = labelled(source, "out.laz")
    assert laspy.read(target).evlrs[0].record_data_bytes().startswith(WKT_METRES.encode())
    assert inspect_cloud(target).crs == "UTM 32N"


def test_cloud_optimised_files_become_plain(tmp_path: Path) -> None:
    source = write_las(tmp_path / "tile.laz", COUNT, 6, wkt_evlr=WKT_METRES)
    raw = source.read_bytes()
    header = read_las_header(source)
    start, evlr = header.points_start, header.evlrs[0]
    info = struct.pack("<H16sHH32s", 0, b"copc", 1, 160, b"") + bytes(160)
    pages = struct.pack("<H16sHQ32s", 0, b"copc", 1000, 8, b"") + bytes(8)
    head = bytearray(raw[:start])
    struct.pack_into("<II", head, 96, start + len(info), len(header.vlrs) + 1)
    struct.pack_into("<QI", head, 235, evlr.start + len(info), 2)
    body = bytearray(raw[start:])
    struct.pack_into("<q", body, 0, struct.unpack_from("<q", body)[0] + len(info))
    path = tmp_path / "tile.copc.laz"
    path.write_bytes(bytes(head[:375]) + info + bytes(head[375:]) + bytes(body) + pages)

    cloud, facts = read_with_facts(path)
    assert facts.format.endswith("(COPC)")
    np.testing.assert_array_equal(cloud.xyz, read_cloud(source).xyz)
    las = laspy.read(labelled(path, "out.laz"))
    assert not [v for v in [*las.vlrs, *las.evlrs] if v.user_id == "copc"]
    assert [record.record_id for record in las.evlrs] == [2112]
    assert len(las) == COUNT


def test_waveforms_inside_the_file_survive(tmp_path: Path) -> None:
    source = write_las(tmp_path / "tile.las", COUNT, 4, "1.3")
    raw = bytearray(source.read_bytes())
    packets = struct.pack("<H16sHQ32s", 0, b"LASF_Spec", 65535, 500, b"") + bytes(range(250)) * 2
    struct.pack_into("<Q", raw, 227, len(raw))
    struct.pack_into("<H", raw, 6, 2)
    source.write_bytes(bytes(raw) + packets)
    copy = labelled(source, "out.las").read_bytes()
    assert copy[struct.unpack_from("<Q", copy, 227)[0] :] == packets


def test_bytes_without_description_stay_where_readers_expect(tmp_path: Path) -> None:
    source = write_las(tmp_path / "tile.las", COUNT, 6, extra=1)
    raw = bytearray(source.read_bytes())
    at = raw.index(b"LASF_Spec")
    raw[at : at + 9] = b"elsewhere"
    source.write_bytes(raw)
    labels = some_labels(COUNT)
    las = laspy.read(labelled(source, "out.las", labels))
    np.testing.assert_array_equal(las.clip3d_label, labels.class_id)
    np.testing.assert_array_equal(las.clip3d_score, labels.score)
    unknown = np.array(las["undocumented_30"])
    assert unknown[:, :4].copy().view("<f4")[:, 0].tolist() == (np.arange(COUNT) / 8).tolist()


def test_class_names_travel_in_a_record(tmp_path: Path) -> None:
    source = write_las(tmp_path / "tile.laz", COUNT)
    once = labelled(source, "once.laz")
    twice = tmp_path / "twice.laz"
    write_labels(some_labels(COUNT, names="ä,b"), once, twice, overwrite=True)
    records = [v for v in laspy.read(twice).vlrs if v.user_id == "clip3d"]
    assert [record.record_id for record in records] == [1]
    table = json.loads(records[0].record_data_bytes())
    assert table == {"unlabeled": 0, "classes": {"1": "ä", "2": "b"}}


@pytest.mark.parametrize(("classes", "dtype"), [(254, "u1"), (255, "u2"), (5000, "u2")])
def test_labels_are_as_narrow_as_they_can_be(tmp_path: Path, classes: int, dtype: str) -> None:
    source = write_las(tmp_path / "tile.las", COUNT)
    vocabulary = Vocabulary.from_names([f"class {number}" for number in range(classes)])
    index = np.arange(COUNT, dtype=np.int32) * 31 % classes
    labels = Labels(index, np.ones(COUNT, np.float32), vocabulary)
    found = columns_in(labelled(source, "out.las", labels))["clip3d_label"]
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, index + 1)


@pytest.mark.parametrize("high", [255, 65_535])
def test_colors_of_eight_bits_are_not_darkened(tmp_path: Path, high: int) -> None:
    source = write_las(tmp_path / "tile.las", 256, 2, "1.2")
    las = laspy.read(source)
    las.red = np.arange(256) * (high // 255)
    las.green = las.blue = np.zeros(256)
    las.write(source)
    rgb = read_cloud(source).rgb
    assert rgb is not None
    np.testing.assert_array_equal(rgb[:, 0], np.arange(256))


def test_black_is_no_color(tmp_path: Path) -> None:
    source = write_las(tmp_path / "tile.las", COUNT, 2, "1.2")
    las = laspy.read(source)
    las.red = las.green = las.blue = np.zeros(COUNT)
    las.write(source)
    assert read_cloud(source).rgb is None


@pytest.mark.parametrize("name", ["PanicException", "LazrsError"])
def test_faults_of_the_unpacker_are_refusals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    source = write_las(tmp_path / "tile.laz", COUNT)
    fault = getattr(lazrs, name, None) or type(name, (BaseException,), {})

    def fail(*_: object) -> None:
        raise fault("at the first byte")

    monkeypatch.setattr(lazrs, "ParLasZipDecompressor", fail)
    with pytest.raises(InputError, match="E_CORRUPT"):
        read_cloud(source)


def test_an_interrupt_is_no_fault_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    source = write_las(tmp_path / "tile.laz", COUNT)
    monkeypatch.setattr(lazrs, "ParLasZipDecompressor", interrupt)
    with pytest.raises(KeyboardInterrupt):
        read_cloud(source)


REAL = [
    pytest.param("ahn3_delft.laz", marks=pytest.mark.slow),
    "autzen_trim.laz",
    "file_with_both_wkt_and_geotiff_vlrs.las",
    "ign_77055_627760.laz",
    pytest.param("lone-star.laz", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("name", REAL)
def test_real_files_survive(shared_data: Path, tmp_path: Path, name: str) -> None:
    source = shared_data / "aerial" / name
    cloud_file = open_cloud(source)
    labels = some_labels(cloud_file.facts.points)
    target = tmp_path / f"out{source.suffix}"
    cloud_file.write(labels, target)
    before, after = columns_in(source), columns_in(target)
    assert all(np.array_equal(after[column], before[column]) for column in before)
    np.testing.assert_array_equal(after["clip3d_label"], labels.class_id)
    assert surroundings_of(target) == surroundings_of(source)
