"""What ``clip3d eval`` refuses, each in one line that says where, what and what to do."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from command_line import CommandLine
from datasets_trees_folder import write_tree

from clip3d_cli.weights_files import DEFAULT_WEIGHTS

MINE = ("--dataset", "folder", "--root", "mine")


@pytest.fixture(autouse=True)
def here(clip3d: CommandLine, tmp_path: Path) -> Path:
    """The folder in which commands run, with one's own scenes and files for options."""
    write_tree(tmp_path / "mine")
    write_tree(tmp_path / "nameless")
    (tmp_path / "nameless" / "vocabulary.toml").unlink()
    (tmp_path / "empty").mkdir()
    texts = {
        "there.json": "{}",
        "sofa.toml": '[[class]]\nname = "sofa"\n',
        "box.toml": '[[class]]\nname = "box"\nwords = ["crate"]\n',
        "typo.toml": '[[class]]\nname = "box"\nword = ["crate"]\n',
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


REFUSALS = {
    "no data set": ((), 2, "E_USAGE", "--dataset: is not given", "scannet200, pandaset, folder."),
    "no root": (
        ("--dataset", "nuscenes"),
        2,
        "E_USAGE",
        "--root: is not given",
        "--dataset NAME --root DIR",
    ),
    "unknown data set": (
        ("--dataset", "nuscene", "--root", "mine"),
        2,
        "E_UNKNOWN_NAME",
        "--dataset: there is no 'nuscene'",
        "Did you mean nuscenes?",
    ),
    "no folder": (
        ("--dataset", "folder", "--root", "nowhere"),
        1,
        "E_NOT_FOUND",
        "nowhere: is not a folder",
        "Check --root.",
    ),
    "another layout": (
        ("--dataset", "semantickitti", "--root", "mine"),
        1,
        "E_NOT_FOUND",
        "mine",
        "sequences",
    ),
    "unknown split": (
        (*MINE, "--split", "vla"),
        2,
        "E_UNKNOWN_NAME",
        "there is no 'vla'",
        "Did you mean val? There is: all, train, val.",
    ),
    "no classes": (
        ("--dataset", "folder", "--root", "nameless"),
        2,
        "E_DATASET",
        "nameless: has no vocabulary, which an evaluation needs",
        "Add vocabulary.toml.",
    ),
    "no truth": (
        (*MINE, "--split", "train"),
        2,
        "E_DATASET",
        "split train: no scene has ground truth",
        "--submission DIR",
    ),
    "ignore": (
        (*MINE, "--ignore", "floor,bxo"),
        2,
        "E_UNKNOWN_NAME",
        "--ignore: there is no 'bxo'",
        "Did you mean box? There is: floor, box.",
    ),
    "novel": (
        (*MINE, "--novel", "wall"),
        2,
        "E_UNKNOWN_NAME",
        "--novel: there is no 'wall'",
        "There is: floor, box.",
    ),
    "falling bands": (
        (*MINE, "--bands", "40,20"),
        2,
        "E_BAD_VALUE",
        "--bands: '40,20' is not a rising list of distances above 0",
        "Give metres, such as 20,40.",
    ),
    "band of nothing": ((*MINE, "--bands", "0,20"), 2, "E_BAD_VALUE", "--bands: '0,20'", "metres"),
    "endless band": ((*MINE, "--bands", "20,inf"), 2, "E_BAD_VALUE", "'20,inf'", "metres"),
    "band of words": ((*MINE, "--bands", "near"), 2, "E_BAD_VALUE", "--bands: 'near'", "metres"),
    "no objects": (
        (*MINE, "--panoptic"),
        2,
        "E_DATASET",
        "--panoptic: the ground truth of folder has no instances",
        "Leave out --panoptic.",
    ),
    "no prompts": (
        (*MINE, "--prompts", "none.toml"),
        2,
        "E_CLASSES",
        "--prompts: there is no file none.toml",
        "Check the path.",
    ),
    "prompts of others": (
        (*MINE, "--prompts", "sofa.toml"),
        2,
        "E_UNKNOWN_NAME",
        "sofa.toml: there is no 'sofa'",
        "There is: floor, box.",
    ),
    "wrong prompts": (
        (*MINE, "--prompts", "typo.toml"),
        1,
        "E_VOCABULARY",
        "typo.toml: class 1 (box) has an unknown key 'word'",
        "Known keys",
    ),
    "a scan as prompts": (
        (*MINE, "--prompts", "mine/hall/cloud.ply"),
        1,
        "E_VOCABULARY",
        "mine/hall/cloud.ply: is not TOML",
        "clip3d vocabularies",
    ),
    "unknown templates": (
        (*MINE, "--templates", "foto"),
        2,
        "E_UNKNOWN_NAME",
        "there is no 'foto'",
        "photo",
    ),
    "no closed head": (
        (*MINE, "--head", "closed"),
        4,
        "E_WEIGHTS",
        f"{DEFAULT_WEIGHTS}.safetensors: has no closed head",
        "clip3d finetune",
    ),
    "no weights": (
        (*MINE, "--weights", "mine.safetensors"),
        4,
        "E_WEIGHTS",
        "mine.safetensors: is not there",
        "--weights",
    ),
    "another space": (
        (*MINE, "--weights", "other-space"),
        4,
        "E_SPACE_MISMATCH",
        "lives in tests/tiny (16), the points in tests/other (16)",
        "tests/other",
    ),
    "there already": (
        (*MINE, "-o", "there.json"),
        2,
        "E_EXISTS",
        "there.json: exists already",
        "Replace it with --overwrite, or use -o.",
    ),
    "a folder": (
        (*MINE, "-o", "empty", "--overwrite"),
        2,
        "E_EXISTS",
        "empty: is a folder",
        "Name another file with -o.",
    ),
    "no such folder": (
        (*MINE, "-o", "nowhere/found.json"),
        1,
        "E_NOT_WRITABLE",
        "nowhere: is not a folder",
        "Make it first.",
    ),
    "an input": (
        (*MINE, "--prompts", "box.toml", "-o", "box.toml", "--overwrite"),
        2,
        "E_SAME_FILE",
        "box.toml: is an input",
        "clip3d never overwrites its input.",
    ),
    "no server": (
        (*MINE, "--submission", "send"),
        2,
        "E_UNSUPPORTED",
        "--submission: there is no benchmark server for folder",
        "Submissions can be written for nuscenes, semantickitti, scannet",
    ),
    "metric": ((*MINE, "--metric", "mean"), 2, "E_USAGE", "'mean' is not one of", "--help"),
    "limit": ((*MINE, "--limit", "0"), 2, "E_USAGE", "'--limit'", "--help"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(clip3d: CommandLine, here: Path, name: str) -> None:
    options, exit_code, code, fault, remedy = REFUSALS[name]
    before = sorted(path for path in here.rglob("*"))
    said = clip3d("eval", *options, "--json", "-q")
    assert (said.code, said.out) == (exit_code, "")
    first, hint = said.err.splitlines()
    assert first.startswith(f"error[{code}]: ")
    assert fault in first
    assert hint.startswith("hint: ")
    assert remedy in hint
    assert sorted(path for path in here.rglob("*")) == before


def test_a_part_of_a_split_is_no_submission(clip3d: CommandLine, here: Path) -> None:
    importlib.import_module("datasets_trees_semantickitti").write_tree(here / "kitti")
    where = ("--dataset", "semantickitti", "--root", "kitti", "--submission", "send")
    said = clip3d("eval", *where, "--limit", 1)
    assert said.code == 2
    assert "error[E_USAGE]: --submission: and --limit cannot both be given" in said.err
    assert not (here / "send").exists()
