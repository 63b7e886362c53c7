"""NPY, NPZ and headless tables: which arrays and columns are points, and limits of memory."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from bad_records import zeros_npz
from sample_clouds import read_with_facts, some_labels, street, write_bin

from clip3d_cli.errors import Clip3DError
from clip3d_cli.formats.cloud_file import open_cloud, read_cloud, write_labels
from clip3d_cli.formats.colors import unit_intensity
from clip3d_cli.formats.format import memory_budget

COUNT = 50
XYZ = street(COUNT)
FIELDS = np.zeros(COUNT, [("i", "u2"), ("z", "f4"), ("y", "f4"), ("x", "f8")])
for _axis, _name in enumerate("xyz"):
    FIELDS[_name] = XYZ[:, _axis]

ARCHIVES = {
    "xyz": {"xyz": XYZ},
    "points": {"points": XYZ.astype(">f4"), "other": np.zeros((9, 3))},
    "fortran": {"coord": np.asfortranarray(XYZ)},
    "axes": {"x": XYZ[:, 0], "y": XYZ[:, 1], "z": XYZ[:, 2], "label_map": np.zeros((4, 7))},
    "alone": {"cloud": XYZ, "time": np.arange(COUNT)},
    "fields": {"points": FIELDS},
    "wide": {"points": np.c_[XYZ, np.ones((COUNT, 5))]},
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_points_are_found_by_name_or_shape(tmp_path: Path, name: str) -> None:
    np.savez(tmp_path / "a.npz", **ARCHIVES[name])
    cloud = read_cloud(tmp_path / "a.npz")
    np.testing.assert_allclose(cloud.xyz, XYZ, atol=1e-5)


@pytest.mark.parametrize(
    "arrays",
    [
        {"a": XYZ, "b": XYZ},
        {"points": XYZ.T},
        {"points": XYZ.astype(complex)},
        {"x": XYZ[:, 0], "y": XYZ[:, 1]},
        {"x": XYZ[:, 0], "y": XYZ[:, 1], "z": XYZ[:-1, 2]},
    ],
    ids=["two-tables", "transposed", "complex", "no-z", "short-z"],
)
def test_what_cannot_be_points_is_refused(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(Clip3DError, match="E_NO_XYZ"):
        read_cloud(tmp_path / "a.npz")


def test_whole_numbers_are_metres(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(30, dtype=np.int16).reshape(10, 3))
    assert read_cloud(tmp_path / "a.npy").xyz[3].tolist() == [9, 10, 11]


def test_colors_and_intensity_by_name(tmp_path: Path) -> None:
    rgb, bright = np.full((COUNT, 3), [10, 20, 30], np.uint8), np.arange(COUNT, dtype=np.uint8)
    np.savez(tmp_path / "a.npz", xyz=XYZ, colors=rgb, intensity=bright[:, None])
    cloud = read_cloud(tmp_path / "a.npz")
    assert cloud.rgb is not None
    assert cloud.intensity is not None
    assert cloud.rgb[7].tolist() == [10, 20, 30]
    np.testing.assert_allclose(cloud.intensity, bright / 255, rtol=1e-6)


def test_columns_are_named_on_request(tmp_path: Path) -> None:
    table = np.c_[np.full((COUNT, 3), [0, 51, 255]), XYZ]
    np.save(tmp_path / "a.npy", table)
    names = ("red", "green", "blue", "x", "y", "z")
    cloud = read_cloud(tmp_path / "a.npy", columns=names)
    np.testing.assert_array_equal(cloud.xyz, XYZ)
    assert cloud.rgb is not None
    assert cloud.rgb[0].tolist() == [0, 51, 255]
    with pytest.raises(Clip3DError, match="E_COLUMNS"):
        read_cloud(tmp_path / "a.npy", columns=("x", "y", "z"))


def test_a_bomb_is_refused_before_it_inflates(tmp_path: Path) -> None:
    path = zeros_npz(2_000_000)(tmp_path)
    assert path.stat().st_size < 300_000
    with pytest.raises(Clip3DError, match="E_TOO_LARGE"):
        read_cloud(path, max_memory=100_000_000)


def test_members_of_an_archive_are_copied_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, xyz=XYZ)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr("about.txt", "read me")
        with archive.open("objects.npy", "w") as file:
            np.lib.format.write_array(file, np.array([{}]), allow_pickle=True)
    write_labels(some_labels(COUNT), path, tmp_path / "out.npz")
    with zipfile.ZipFile(path) as before, zipfile.ZipFile(tmp_path / "out.npz") as after:
        for member in before.infolist():
            copied = after.getinfo(member.filename)
            assert after.read(copied) == before.read(member)
            assert copied.compress_type == member.compress_type
        assert after.namelist()[-2:] == ["label.npy", "score.npy"]


@pytest.mark.parametrize(("width", "count"), [(4, 50), (5, 40), (4, 1), (5, 3), (4, 2000)])
def test_tables_without_header_tell_their_width(tmp_path: Path, width: int, count: int) -> None:
    path = write_bin(tmp_path / "a.bin", count, width)
    cloud, facts = read_with_facts(path)
    np.testing.assert_allclose(cloud.xyz, street(count), rtol=1e-6)
    assert len(facts.fields) == width


def test_rings_are_whole_numbers(tmp_path: Path) -> None:
    ahead = np.abs(street(40))
    np.c_[ahead, np.ones(40)].astype("<f4").tofile(tmp_path / "a.bin")
    np.testing.assert_allclose(read_cloud(tmp_path / "a.bin").xyz, ahead, rtol=1e-6)


def test_other_columns_must_be_named(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    np.c_[XYZ, np.ones((COUNT, 3))].astype("<f4").tofile(path)
    with pytest.raises(Clip3DError, match="E_COLUMNS"):
        read_cloud(path)
    names = ("x", "y", "z", "intensity", "ring", "time")
    cloud = read_cloud(path, columns=names)
    np.testing.assert_allclose(cloud.xyz, XYZ, rtol=1e-6)
    with pytest.raises(Clip3DError, match="E_BAD_SIZE"):
        read_cloud(path, columns=(*names, "echo"))
    with pytest.raises(Clip3DError, match="E_COLUMNS"):
        read_cloud(path, columns=("x", "y", "y", "intensity"))


INTENSITIES = [
    (np.array([0, 0.25, 1.0], "f4"), [0, 0.25, 1]),
    (np.array([0, 51, 255], "f4"), [0, 0.2, 1]),
    (np.array([0, 1], "u1"), [0, 1 / 255]),
    (np.array([0, 4095], "u2"), [0, 1]),
    (np.array([0, 65535], "u2"), [0, 1]),
    (np.array([0, 1e6], "f8"), [0, 1]),
    (np.array([-5, np.nan, np.inf, 0.5], "f4"), [0, 0, 0, 0.5]),
    (np.array([], "f4"), []),
]


@pytest.mark.parametrize(("values", "expected"), INTENSITIES)
def test_intensity_is_a_share_of_full_scale(values: np.ndarray, expected: list[float]) -> None:
    np.testing.assert_allclose(unit_intensity(values), expected, rtol=1e-6)


def test_the_budget_is_less_than_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 << 28 < memory_budget() < 1 << 45
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (400_000_000, 500_000_000))
    assert memory_budget() == 300_000_000


def test_real_files_keep_their_arrays(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "driving" / "pandaset_001" / "00.npz"
    cloud_file = open_cloud(path)
    cloud = cloud_file.read()
    labels = some_labels(len(cloud))
    target = tmp_path / "out.npz"
    cloud_file.write(labels, target, overwrite=True)
    before, after = np.load(path), np.load(target)
    np.testing.assert_array_equal(cloud.xyz, before["xyz"])
    np.testing.assert_array_equal(after["label"], labels.class_id)
    for name in set(before.files) - {"label"}:
        np.testing.assert_array_equal(after[name], before[name])
