"""``clip3d eval --submission``: answers for the servers that keep the truth."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from command_line import CommandLine

from clip3d_cli import registry

WITH_BENCHMARK = [
    name
    for name in registry.names("datasets")
    if registry.load("datasets", name).submission is not None
]


@pytest.mark.parametrize("name", WITH_BENCHMARK)
def test_answers_are_written_for_a_server(
    clip3d: CommandLine, trees: dict[str, Path], tmp_path: Path, name: str
) -> None:
    where = ("eval", "--dataset", name, "--root", trees[name], "--submission", "made/send")
    said = clip3d(*where, "--json")
    assert said.code == 0, said.err
    assert Path(said.document["submission"]).exists()
    assert (tmp_path / "made" / "send").is_dir()
    assert f"submission: {said.document['submission']}" in said.err
    assert said.document["scores"]["miou"] is not None
    again = clip3d(*where)
    assert again.code == 2
    assert "error[E_EXISTS]" in again.err


def test_secret_truth_gives_a_submission_without_scores(
    clip3d: CommandLine, trees: dict[str, Path]
) -> None:
    root = trees["semantickitti"]
    where = ("eval", "--dataset", "semantickitti", "--root", root, "--split", "test", "--json")
    said = clip3d(*where, "--submission", "send")
    assert said.code == 0, said.err
    assert "no point has ground truth, so there are no scores" in said.err
    document = said.document
    assert document["scores"] == dict.fromkeys(("miou", "macc", "fwiou", "accuracy"))
    assert (document["points"], document["scenes_without_truth"]) == (0, 11)
    assert "3,300 points labelled" in said.err


def test_a_cut_off_scan_leaves_no_submission(clip3d: CommandLine, tmp_path: Path) -> None:
    importlib.import_module("datasets_trees_semantickitti").write_tree(tmp_path / "kitti")
    scans = sorted((tmp_path / "kitti").rglob("sequences/08/velodyne/*.bin"))
    scans[1].write_bytes(scans[1].read_bytes()[:-3])
    where = ("eval", "--dataset", "semantickitti", "--root", tmp_path / "kitti")
    said = clip3d(*where, "--submission", "send", "-o", "found.json")
    assert said.code == 1
    assert str(scans[1]) in said.err.splitlines()[-2]
    assert not {"send", "found.json"} & {path.name for path in tmp_path.iterdir()}
    assert not list(tmp_path.glob("*.part"))
