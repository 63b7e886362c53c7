from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import plyfile
import pytest
from command_line import CommandLine

from clip3d_cli.cli.doctor import synthetic_street, write_scan
from clip3d_cli.core.vocabulary import load_vocabulary
from clip3d_cli.weights_files import DEFAULT_WEIGHTS

WORDS = ("--classes", "car,tire,plastic bag")


def labels_in(path: Path) -> Counter[int]:
    return Counter(plyfile.PlyData.read(path)["vertex"]["scalar_label"].tolist())


def test_labels_a_scan_beside_itself(clip3d: CommandLine, scan: Path) -> None:
    before = scan.read_bytes()
    said = clip3d("label", scan, *WORDS)
    assert said.code == 0, said.err
    assert said.out == ""
    assert "1,000 points" in said.err
    assert "device: cpu" in said.err or "device: cuda" in said.err
    assert scan.read_bytes() == before
    assert sorted(path.name for path in scan.parent.iterdir()) == [
        "scan.clip3d.classes.json",
        "scan.clip3d.ply",
        "scan.ply",
    ]


def test_the_document_says_what_is_in_the_file(
    clip3d: CommandLine, scan: Path, tiny_weights: Path
) -> None:
    said = clip3d("label", scan, *WORDS, "--json", "-o", "out.ply", "--voxel", "0.3")
    document = said.document
    assert document["schema"] == "clip3d.label/1"
    digest = hashlib.sha256((tiny_weights / f"{DEFAULT_WEIGHTS}.safetensors").read_bytes())
    assert document["weights"]["sha256"] == digest.hexdigest()
    assert document["text_encoder"] == "tiny"
    assert document["space"] == {"name": "tests/tiny", "dim": 16}
    assert document["seconds"]["load"] >= 0
    (result,) = document["results"]
    assert result["output"] == "out.ply"
    assert result["points"] == 1000
    assert result["voxel_m"] == 0.3
    assert set(result["seconds"]) == {"read", "label", "write"}
    counts = {entry["id"]: entry["points"] for entry in result["classes"]}
    assert [entry["name"] for entry in result["classes"]] == ["car", "tire", "plastic bag"]
    written = labels_in(scan.with_name("out.ply"))
    assert {number: written.get(number, 0) for number in (1, 2, 3)} == counts
    assert sum(counts.values()) + result["unlabeled"] == 1000


def test_stdout_holds_nothing_but_the_document(clip3d: CommandLine, scan: Path) -> None:
    said = clip3d("label", scan, *WORDS, "-v", "--json")
    assert said.out.startswith("{\n")
    assert said.out.endswith("}\n")
    assert "device:" in said.err


def test_quiet_says_nothing(clip3d: CommandLine, scan: Path) -> None:
    said = clip3d("label", scan, "--classes", "car,car,tree", "-q")
    assert (said.code, said.out, said.err) == (0, "", "")


def test_two_runs_give_the_same_bytes(clip3d: CommandLine, scan: Path) -> None:
    for name in ("a.ply", "b.ply"):
        assert clip3d("label", scan, *WORDS, "-o", name).code == 0
    assert scan.with_name("a.ply").read_bytes() == scan.with_name("b.ply").read_bytes()


def test_a_vocabulary_brings_its_numbers(clip3d: CommandLine, scan: Path) -> None:
    said = clip3d("label", scan, "--vocabulary", "semantickitti", "--json")
    numbers = [entry["id"] for entry in said.document["results"][0]["classes"]]
    assert numbers[0] == 10
    assert set(labels_in(scan.with_name("scan.clip3d.ply"))) <= {0, *numbers}


def test_a_threshold_leaves_points_unlabeled(clip3d: CommandLine, scan: Path) -> None:
    said = clip3d("label", scan, *WORDS, "--unknown-threshold", "1", "--json")
    assert said.document["results"][0]["unlabeled"] == 1000
    assert set(labels_in(scan.with_name("scan.clip3d.ply"))) == {0}
    assert "unlabeled" in said.err


def test_topk_writes_the_runners_up(clip3d: CommandLine, scan: Path) -> None:
    assert clip3d("label", scan, *WORDS, "--scores", "topk", "--top-k", "2").code == 0
    vertex = plyfile.PlyData.read(scan.with_name("scan.clip3d.ply"))["vertex"]
    assert (vertex["scalar_label"] != vertex["scalar_label_2"]).all()
    assert (vertex["scalar_score"] >= vertex["scalar_score_2"]).all()


def test_one_bad_file_does_not_stop_the_others(clip3d: CommandLine, scan: Path) -> None:
    bad = scan.with_name("bad.ply")
    bad.write_bytes(scan.read_bytes()[:500])
    said = clip3d("label", bad, scan, "missing.ply", *WORDS, "-O", "made/here", "--json")
    assert said.code == 3
    assert "error[E_NOT_FOUND]: missing.ply" in said.err
    first, second, third = said.document["results"]
    assert (first["input"], first["error"]["code"]) == (str(bad), "E_TRUNCATED")
    assert second["output"] == "made/here/scan.clip3d.ply"
    assert third["error"]["code"] == "E_NOT_FOUND"
    assert labels_in(scan.parent / "made" / "here" / "scan.clip3d.ply").total() == 1000


def test_all_bad_is_failure(clip3d: CommandLine) -> None:
    assert clip3d("label", "a.ply", "b.ply", *WORDS).code == 1
    assert clip3d("label", "a.ply", *WORDS).code == 1


def test_skip_existing_leaves_results_alone(clip3d: CommandLine, scan: Path) -> None:
    result = scan.with_name("scan.clip3d.ply")
    result.write_text("mine")
    said = clip3d("label", scan, *WORDS, "--skip-existing")
    assert said.code == 0
    assert "skipped" in said.err
    assert result.read_text() == "mine"


def test_overwrite_replaces(clip3d: CommandLine, scan: Path) -> None:
    result = scan.with_name("scan.clip3d.ply")
    result.write_text("mine")
    assert clip3d("label", scan, *WORDS, "--overwrite").code == 0
    assert labels_in(result).total() == 1000


def test_a_dry_run_says_the_plan_and_writes_nothing(
    clip3d: CommandLine, scan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clip3d_cli.labelling.open_encoder.read_weights", None)
    said = clip3d("label", scan, *WORDS, "--dry-run", "-O", "there")
    assert said.code == 0
    assert "(1,000 points) -> there/scan.clip3d.ply" in said.out
    assert [path.name for path in scan.parent.iterdir()] == ["scan.ply"]
    document = clip3d("label", scan, *WORDS, "--dry-run", "--json").document
    assert document["jobs"] == [
        {"input": str(scan), "output": str(scan.with_name("scan.clip3d.ply")), "points": 1000}
    ]


def test_a_dry_run_goes_on_after_a_bad_input(clip3d: CommandLine, scan: Path) -> None:
    scan.with_name("bad.ply").write_bytes(b"ply\nformat")
    said = clip3d("label", "bad.ply", scan, *WORDS, "--dry-run", "--json", "-O", "there")
    assert said.code == 3
    assert [each["input"] for each in said.document["jobs"]] == [str(scan)]
    assert said.document["failed"][0]["error"]["code"] == "E_BAD_HEADER"


def test_an_empty_scan_gets_an_empty_result(clip3d: CommandLine, tmp_path: Path) -> None:
    empty = tmp_path / "empty.ply"
    write_scan(empty, synthetic_street()[:0])
    said = clip3d("label", empty, *WORDS, "--json")
    assert said.code == 0
    assert f"warning[W_FILE]: {empty}: there are no points" in said.err.splitlines()
    (result,) = said.document["results"]
    assert (result["points"], result["voxel_m"]) == (0, None)
    (warning,) = result["warnings"]
    assert (warning["code"], warning["where"]) == ("W_FILE", str(empty))


def test_a_name_cannot_speak_to_the_terminal(clip3d: CommandLine, scan: Path) -> None:
    listed = scan.with_name("mine.toml")
    listed.write_text('class = [{ name = "[red]a[/red]" }, { name = "b\\u001b[31m\\u0007" }]')
    said = clip3d("label", scan, "--classes", listed)
    assert said.code == 1
    assert "error[E_VOCABULARY]" in said.err
    assert "\x1b" not in said.err
    assert "\x07" not in said.err
    listed.write_text('class = [{ name = "[red]a[/red]" }]')
    said = clip3d("label", scan, "--classes", listed, "--background", "none")
    assert said.code == 0
    assert "[red]a[/red]" in said.err
    assert "[red]a[/red]" in said.err or r"b\x1b[31m\x07" in said.err


def test_a_word_too_long_for_the_text_encoder_is_said(clip3d: CommandLine, scan: Path) -> None:
    said = clip3d("label", scan, "--classes", f"car,{'very ' * 100}long truck", "--json")
    assert said.code == 0
    assert "is too long for the text encoder" in said.err
    assert [warning["code"] for warning in said.document["warnings"]] == ["W_LONG_WORD"]


def test_a_kitti_scan_becomes_a_label_file(clip3d: CommandLine, tmp_path: Path) -> None:
    columns = np.zeros((len(synthetic_street()), 4), "<f4")
    columns[:, :3] = synthetic_street()
    columns.tofile(tmp_path / "000000.bin")
    said = clip3d("label", "000000.bin", "--vocabulary", "semantickitti", "-o", "000000.label")
    assert said.code == 0, said.err
    numbers = np.fromfile(tmp_path / "000000.label", "<u4")
    assert len(numbers) == len(columns)
    assert set(numbers.tolist()) <= {0, *load_vocabulary("semantickitti").class_ids.tolist()}


def test_several_files_share_one_table(clip3d: CommandLine, scan: Path) -> None:
    other = scan.with_name("other.ply")
    write_scan(other, synthetic_street()[::40])
    said = clip3d("label", scan, other, *WORDS, "--json")
    assert "2 of 2 files labelled" in said.err
    assert said.err.count("mean score") == 1
    results = said.document["results"]
    rows = {
        line.rsplit(maxsplit=3)[0]: int(line.rsplit(maxsplit=3)[1].replace(",", ""))
        for line in said.err.partition("mean score")[2].splitlines()
        if "%" in line
    }
    for position, name in enumerate(("car", "tire", "plastic bag")):
        points = [result["classes"][position]["points"] for result in results]
        assert rows.get(name, 0) == sum(points)


def test_a_skipped_file_counts_as_done(clip3d: CommandLine, scan: Path) -> None:
    scan.with_name("scan.clip3d.ply").write_text("mine")
    assert clip3d("label", scan, "missing.ply", *WORDS, "--skip-existing").code == 3


def unlabeled_of(said: object) -> int:
    (result,) = said.document["results"]  # type: ignore[attr-defined]
    return int(result["unlabeled"])


def test_what_competes_with_the_classes(clip3d: CommandLine, scan: Path) -> None:
    def unlabeled(*arguments: str) -> int:
        said = clip3d("label", scan, "--json", "--overwrite", *arguments)
        assert said.code == 0, said.err
        return unlabeled_of(said)

    every_day = unlabeled(*WORDS)
    assert every_day == unlabeled(*WORDS, "--background", "auto")
    assert unlabeled(*WORDS, "--background", "none") == 0
    # A rival with the words of a class itself never leads, one of other words sometimes does.
    alone = unlabeled(*WORDS, "--background", "car")
    assert alone <= unlabeled(*WORDS, "--background", "road,tree,car") <= 1000
    assert unlabeled("--vocabulary", "nuscenes16") == 0


@pytest.mark.parametrize("words", ["", " , "])
def test_a_background_without_words_is_refused(clip3d: CommandLine, scan: Path, words: str) -> None:
    said = clip3d("label", scan, *WORDS, "--background", words)
    assert said.code == 2
    assert "--background: names no word" in said.err


def test_points_of_no_class_have_a_row_in_the_table(clip3d: CommandLine, scan: Path) -> None:
    said = clip3d("label", scan, "--classes", "car", "--background", "road,tree,person,wall")
    assert said.code == 0, said.err
    count = labels_in(scan.with_name("scan.clip3d.ply"))[0]
    assert count > 0
    assert any(
        line.startswith("unlabeled") and f"{count:,}" in line for line in said.err.splitlines()
    )
