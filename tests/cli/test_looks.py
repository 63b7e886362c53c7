from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from command_line import CommandLine

from clip3d_cli.cli.options import memory_bytes
from clip3d_cli.formats.format import memory_budget


def test_info_says_what_a_scan_holds(clip3d: CommandLine, scan: Path) -> None:
    said = clip3d("info", scan)
    assert said.code == 0
    assert said.err == ""
    for part in ("scan.ply: PLY", "1,000 in", "x float32", "per square metre", "not given"):
        assert part in said.out


def test_info_as_a_document(clip3d: CommandLine, scan: Path) -> None:
    document = clip3d("info", scan, "--json").document
    assert document["schema"] == "clip3d.info/1"
    (result,) = document["results"]
    assert result["points"] == 1000
    assert result["bytes"] == scan.stat().st_size
    assert -15 <= result["low"][0] < result["high"][0] <= 15
    assert 1 <= result["points_per_m2"] < 20
    assert result["label_fields"] == []


def test_a_size_of_memory_is_read_with_its_unit() -> None:
    assert memory_bytes("8GB") == memory_bytes("8000 mb") == 8 * 10**9
    assert memory_bytes("1.5k") == 1500
    assert memory_bytes("50%") == memory_budget() // 2


def test_info_of_several_goes_on(clip3d: CommandLine, scan: Path) -> None:
    said = clip3d("info", "missing.ply", scan, "--json")
    assert said.code == 3
    missing, found = said.document["results"]
    assert missing["error"]["code"] == "E_NOT_FOUND"
    assert found["points"] == 1000
    assert clip3d("info", "missing.ply").code == 1


def test_info_sees_the_labels_of_a_result(clip3d: CommandLine, scan: Path) -> None:
    clip3d("label", scan, "--classes", "car,tree")
    said = clip3d("info", "scan.clip3d.ply")
    assert "labels   scalar_label, scalar_score" in said.out


def test_vocabularies_are_listed_and_shown(clip3d: CommandLine) -> None:
    assert "semantickitti19" in clip3d("vocabularies").out
    assert "street" in clip3d("vocabularies", "nuscenes16").out
    document = clip3d("vocabularies", "asprs", "--json").document
    ground = next(
        entry for entry in document["vocabularies"][0]["classes"] if entry["name"] == "ground"
    )
    assert ground["id"] == 2
    assert clip3d("vocabularies", "nope").code == 2


def test_a_vocabulary_of_one_s_own_is_shown_as_it_is_read(
    clip3d: CommandLine, tmp_path: Path
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[[class]]\nname = "kerb"\nwords = ["kerb", "curb"]\nid = 7\n')
    said = clip3d("vocabularies", path)
    assert said.out.splitlines()[-1].split() == ["kerb", "kerb,", "curb", "7"]
    assert clip3d("vocabularies", "gone.toml").code == 1


@pytest.fixture
def light_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    """A doctor who does not import torchvision, which takes seconds."""
    monkeypatch.setattr("clip3d_cli.cli.doctor.import_module", lambda _: None)


@pytest.mark.usefixtures("light_doctor")
def test_the_doctor_labels_a_scan(clip3d: CommandLine) -> None:
    said = clip3d("doctor", "--json")
    document = said.document
    assert said.code == 0, document
    assert document["healthy"]
    state_of_look = {finding["what"]: finding["state"] for finding in document["findings"]}
    assert state_of_look["trial run"] == "good"
    assert state_of_look["weights"] == "good"
    assert {"clip3d", "packages", "devices", "cache"} <= set(state_of_look)


@pytest.mark.usefixtures("light_doctor")
def test_the_doctor_says_when_the_main_job_cannot_run(
    clip3d: CommandLine, tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "cut"
    shutil.copytree(tiny_weights, weights)
    for path in weights.iterdir():
        path.write_bytes(path.read_bytes()[:-100])
    monkeypatch.setenv("CLIP3D_WEIGHTS", str(weights))
    said = clip3d("doctor")
    assert said.code == 4
    assert "FAIL  trial run" in said.out
    assert "hint: " in said.out
