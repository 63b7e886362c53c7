"""Results are written completely or not at all, and never over their source."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import plyfile
import pytest
from other_readers import columns_in
from sample_clouds import WKT_FEET, some_labels, street, write_bin, write_las, write_pcd, write_ply

from clip3d_cli.core.labels import Labels
from clip3d_cli.errors import Clip3DError
from clip3d_cli.formats import atomic
from clip3d_cli.formats.cloud_file import (
    open_cloud,
    write_labels,
)
from clip3d_cli.formats.exports import write_label_file
from clip3d_cli.formats.file_checks import require_unchanged
from clip3d_cli.formats.ply.format import PlyFile

COUNT = 20


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write_ply(tmp_path / "scan.ply", COUNT)


def refusal_of(source: Path, target: Path, overwrite: bool = False) -> str:
    """The code of the error that writing raises; no file may be changed or left behind."""
    before = {path.name: path.read_bytes() for path in source.parent.iterdir() if path.is_file()}
    with pytest.raises(Clip3DError) as refusal:
        write_labels(some_labels(COUNT), source, target, overwrite=overwrite)
    after = {path.name: path.read_bytes() for path in source.parent.iterdir() if path.is_file()}
    assert after == before
    return refusal.value.code


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("scan.ply", "scan.clip3d.ply"),
        ("Scan.PLY", "Scan.clip3d.ply"),
        ("tile.las", "tile.clip3d.las"),
        ("tile.laz", "tile.clip3d.laz"),
        ("tile.copc.laz", "tile.clip3d.laz"),
        ("scan.pcd", "scan.clip3d.pcd"),
        ("000000.bin", "000000.clip3d.label"),
        ("lidar.pcd.bin", "lidar.clip3d.label"),
    ],
)
def test_the_copy_is_named_after_its_source(tmp_path: Path, name: str, target: str) -> None:
    path = tmp_path / name
    writer = {".ply": write_ply, ".pcd": write_pcd, ".bin": write_bin}.get(
        path.suffix.lower(), write_las
    )
    writer(path, 5)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    cloud_file = open_cloud(path)
    assert cloud_file.target_path() == tmp_path / target
    assert cloud_file.target_path(elsewhere) == elsewhere / target
    assert cloud_file.target_path(tmp_path / "x.npz") == tmp_path / "x.npz"


def test_the_bytes_name_the_copy_of_a_misnamed_file(tmp_path: Path) -> None:
    path = write_ply(tmp_path / "scan.ply", 5).rename(tmp_path / "scan.las")
    assert open_cloud(path).target_path() == tmp_path / "scan.clip3d.ply"


def test_existing_files_are_kept(scan: Path) -> None:
    target = open_cloud(scan).target_path()
    target.write_text("mine")
    assert refusal_of(scan, target) == "E_EXISTS"
    write_labels(some_labels(COUNT), scan, target, overwrite=True)
    assert len(plyfile.PlyData.read(target)["vertex"].data) == COUNT


def test_an_existing_sidecar_is_kept(scan: Path) -> None:
    (scan.parent / "scan.clip3d.classes.json").write_text("mine")
    assert refusal_of(scan, open_cloud(scan).target_path()) == "E_EXISTS"


@pytest.mark.parametrize("name", ["out.ply", "out.classes.json"])
def test_a_folder_is_no_target(scan: Path, name: str) -> None:
    (scan.parent / name).mkdir()
    assert refusal_of(scan, scan.parent / "out.ply", overwrite=True) == "E_EXISTS"


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_the_source_is_never_the_target(scan: Path, link: str) -> None:
    assert refusal_of(scan, scan, overwrite=True) == "E_SAME_FILE"
    other = scan.with_name("other.ply")
    getattr(other, link)(scan)
    assert refusal_of(scan, other, overwrite=True) == "E_SAME_FILE"
    assert refusal_of(other, scan, overwrite=True) == "E_SAME_FILE"


@pytest.mark.parametrize("name", ["out.laz", "out.xyz", "out"])
def test_unknown_kinds_are_refused(scan: Path, name: str) -> None:
    assert refusal_of(scan, scan.with_name(name)) == "E_UNSUPPORTED"


def test_a_missing_folder_is_refused(scan: Path) -> None:
    assert refusal_of(scan, scan.parent / "missing" / "out.ply") == "E_NOT_WRITABLE"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_closed_folder_is_refused(scan: Path) -> None:
    scan.parent.chmod(0o500)
    try:
        assert refusal_of(scan, scan.with_name("out.ply")) == "E_NOT_WRITABLE"
    finally:
        scan.parent.chmod(0o700)


def test_a_disk_too_small_is_seen_before(scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(atomic.shutil, "disk_usage", lambda _: usage)
    assert refusal_of(scan, scan.with_name("out.ply")) == "E_NO_SPACE"


@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, "E_NO_SPACE"), (errno.EIO, "E_NOT_WRITABLE")]
)
def test_a_failing_disk_leaves_nothing(
    scan: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(atomic.os, "fsync", fail)
    assert refusal_of(scan, scan.with_name("out.ply")) == code


@pytest.mark.parametrize("name", ["out.ply", "out.label", "out.npz"])
@pytest.mark.parametrize("failing", ["first sync", "second sync", "copy", "interrupt", "changed"])
def test_a_failed_overwrite_keeps_the_old_result(
    scan: Path, monkeypatch: pytest.MonkeyPatch, name: str, failing: str
) -> None:
    target = scan.with_name(name)
    write_labels(some_labels(COUNT, names="old"), scan, target)
    before = {path.name: path.read_bytes() for path in scan.parent.iterdir()}
    calls, works = [], atomic.os.fsync

    def sync(number: int) -> None:
        calls.append(number)
        if len(calls) == ("first sync", "second sync").index(failing) + 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        works(number)

    def fail(*_: object) -> None:
        raise KeyboardInterrupt if failing == "interrupt" else OSError(errno.EIO, "I/O error")

    cloud_file = open_cloud(scan)
    cloud_file.read()
    if failing.endswith("sync"):
        monkeypatch.setattr(atomic.os, "fsync", sync)
    elif failing == "changed":
        stamps = iter([True, False])
        monkeypatch.setattr(
            "clip3d_cli.formats.cloud_file.require_unchanged",
            lambda path, stamp: require_unchanged(path, stamp if next(stamps) else (0, 0)),
        )
    else:
        monkeypatch.setattr(PlyFile, "write_copy", fail)
        for function in ("write_label_file", "write_npz_file"):
            monkeypatch.setattr(f"clip3d_cli.formats.cloud_file.{function}", fail)
    with pytest.raises(KeyboardInterrupt if failing == "interrupt" else Clip3DError):
        cloud_file.write(some_labels(COUNT, names="new,labels"), target, overwrite=True)
    assert {path.name: path.read_bytes() for path in scan.parent.iterdir()} == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's disk that is full")
def test_a_label_file_says_that_the_disk_is_full() -> None:
    with pytest.raises(OSError, match="No space left") as fault:
        write_label_file(some_labels(COUNT), Path("/dev/full"))
    assert fault.value.errno == errno.ENOSPC


def test_an_interrupt_leaves_nothing(scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: PlyFile, labels: Labels, target: Path, suffix: str) -> None:
        target.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(PlyFile, "write_copy", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_labels(some_labels(COUNT), scan, scan.with_name("out.ply"))
    assert [path.name for path in scan.parent.iterdir()] == ["scan.ply"]


def test_a_copy_that_came_out_short_is_not_kept(
    scan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_copy = PlyFile.write_copy

    def write_short(self: PlyFile, labels: Labels, target: Path, suffix: str) -> None:
        write_copy(self, labels, target, suffix)
        target.write_bytes(target.read_bytes()[:-200])

    monkeypatch.setattr(PlyFile, "write_copy", write_short)
    assert refusal_of(scan, scan.with_name("out.ply")) == "E_TRUNCATED"


@pytest.mark.parametrize("content", [b"", b"ply\n", None], ids=["emptied", "cut", "written anew"])
def test_a_source_that_changed_is_refused(scan: Path, content: bytes | None) -> None:
    cloud_file = open_cloud(scan)
    cloud_file.read()
    if content is None:
        write_ply(scan, COUNT, "ascii")
    else:
        scan.write_bytes(content or b" ")
    target = scan.with_name("out.ply")
    with pytest.raises(Clip3DError, match="E_CHANGED"):
        cloud_file.write(some_labels(COUNT), target)
    assert not target.exists()


def test_a_source_that_changed_is_not_read(scan: Path) -> None:
    cloud_file = open_cloud(scan)
    write_ply(scan, COUNT + 1)
    with pytest.raises(Clip3DError, match="E_CHANGED"):
        cloud_file.read()


@pytest.mark.parametrize("was_read", [False, True])
@pytest.mark.parametrize("name", ["out.ply", "out.label", "out.npz"])
def test_labels_of_another_cloud_are_refused(scan: Path, name: str, was_read: bool) -> None:
    cloud_file = open_cloud(scan)
    if was_read:
        cloud_file.read()
    with pytest.raises(Clip3DError, match="E_CHANGED"):
        cloud_file.write(some_labels(COUNT + 1), scan.with_name(name))
    assert [path.name for path in scan.parent.iterdir()] == ["scan.ply"]


def test_labels_alone_need_no_second_read(scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud_file = open_cloud(scan)
    cloud_file.read()
    monkeypatch.delattr(PlyFile, "read")
    for name in ("out.label", "other.npz"):
        cloud_file.write(some_labels(COUNT), scan.with_name(name))


def test_a_name_as_long_as_disks_take_is_written(scan: Path) -> None:
    target = scan.with_name("測" * 78 + ".ply")  # 238 bytes; the sidecar's name has 248
    write_labels(some_labels(COUNT), scan, target)
    assert target.is_file()


def test_what_a_killed_run_left_is_in_nobodys_way(scan: Path) -> None:
    left = scan.with_name("scan.clip3d.ply.0a1b2c3d.part")
    left.write_bytes(b"half")
    write_labels(some_labels(COUNT), scan, open_cloud(scan).target_path())
    assert left.read_bytes() == b"half"


def test_checking_a_target_writes_nothing(scan: Path) -> None:
    cloud_file = open_cloud(scan)
    cloud_file.check_target(cloud_file.target_path())
    assert [path.name for path in scan.parent.iterdir()] == ["scan.ply"]


def test_the_sidecar_names_the_classes(scan: Path) -> None:
    labels = some_labels(COUNT, names="car=sedan|van,plastic bag,größe")
    _, sidecar = write_labels(labels, scan, scan.with_name("out.ply"))
    table = json.loads(sidecar.read_text(encoding="utf-8"))
    assert sidecar.name == "out.classes.json"
    assert table["unlabeled"] == 0
    assert [entry["id"] for entry in table["classes"]] == [1, 2, 3]
    assert [entry["name"] for entry in table["classes"]] == ["car", "plastic bag", "größe"]
    assert table["classes"][0]["words"] == ["car", "sedan", "van"]
    assert all(len(entry["color"]) == 3 for entry in table["classes"])


@pytest.mark.parametrize("suffix", [".ply", ".las", ".laz", ".pcd", ".bin"])
def test_labels_of_any_source_fit_other_kinds(tmp_path: Path, suffix: str) -> None:
    writers = {".ply": write_ply, ".pcd": write_pcd, ".bin": write_bin}
    path = writers.get(suffix, write_las)(tmp_path / f"scan{suffix}", COUNT)
    labels = some_labels(COUNT, 2)
    cloud_file = open_cloud(path)
    cloud = cloud_file.read()
    for kind in ("label", "npz", "ply"):
        cloud_file.write(labels, tmp_path / f"{kind}.{kind}")
    assert (np.fromfile(tmp_path / "label.label", "<u4") == labels.class_id).all()
    arrays = np.load(tmp_path / "npz.npz")
    np.testing.assert_array_equal(arrays["label"], labels.class_id)
    np.testing.assert_array_equal(arrays["score"], labels.score)
    np.testing.assert_array_equal(arrays["topk_score"], labels.ranking_score)
    columns = columns_in(tmp_path / "ply.ply")
    np.testing.assert_array_equal(columns["scalar_label"], labels.class_id)
    for axis, name in enumerate("xyz"):
        expected = cloud.xyz[:, axis]
        np.testing.assert_array_equal(columns[name], expected)


def test_the_points_of_an_export_are_metres(tmp_path: Path) -> None:
    path = write_las(tmp_path / "feet.las", COUNT, wkt=WKT_FEET)
    write_labels(some_labels(COUNT), path, tmp_path / "out.ply")
    found = columns_in(tmp_path / "out.ply")["y"]
    np.testing.assert_allclose(found, (street(COUNT)[:, 1] + 5.4e6) * 0.3048, atol=1e-3)
