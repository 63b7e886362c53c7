"""Run folders, environments and curves."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from clip3d_cli.errors import Clip3DError
from clip3d_cli.training.environment import environment_info
from clip3d_cli.training.run_folder import RunFolder, with_current_keys
from clip3d_cli.training.tensorboard import open_tensorboard
from clip3d_cli.training.toml_text import flatten_tables, toml_table, toml_text

CONFIG = {"dataset": "folder", "train": {"steps": 6, "rate": 1e-05, "workers": 2}}


@pytest.mark.parametrize(
    "table",
    [
        {},
        CONFIG,
        {"a": 'ä "b" \\ \n\t\x00\x1b\x7f 🚲', "b": [1, 2.5, True, "x"], "c": [[1, 2], []]},
        {"x": 1e16, "y": -0.0, "z": math.inf, "w": -math.inf, "v": 123456789012345678},
        {"a b.c": 1, "": 2, "traffic cone": {"ä": {"deep-er_1": False}}, "last": 3},
    ],
)
def test_toml_is_read_back(table: dict[str, object]) -> None:
    assert toml_table(toml_text(table)) == table


def test_toml_leaves_out_what_is_none_and_refuses_what_it_cannot_say() -> None:
    assert toml_text({"a": None, "b": {"c": None, "d": (1, 2)}}) == "[b]\nd = [1, 2]\n"
    assert flatten_tables({"a": None, "b": {"c": None, "d": (1, 2)}}) == {"b.d": [1, 2]}
    with pytest.raises(TypeError, match=r"b\.d"):
        toml_text({"b": {"d": object()}})


def test_versions_say_what_could_change_a_number() -> None:
    told = environment_info(["clip3d", "pretrain"], torch.device("cpu"))
    assert json.loads(json.dumps(told)) == told
    assert told["torch"].startswith(torch.__version__.split("+")[0])
    assert told["command_line"] == ["clip3d", "pretrain"]
    assert None not in (told["numpy"], told["open_clip_torch"], told["clip3d"])


def test_a_new_run_says_what_it_is(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "runs" / "a")
    folder.create(CONFIG, {"clip3d": "1"})
    assert toml_table((folder.path / "config.toml").read_text()) == CONFIG
    (start,) = json.loads((folder.path / "versions.json").read_text())
    assert (start["clip3d"], start["after_step"]) == ("1", 0)


@pytest.mark.parametrize("name", ["config.toml", "metrics.jsonl", "versions.json", "checkpoints"])
def test_a_new_run_does_not_mix_with_another(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(Clip3DError) as fault:
        RunFolder(tmp_path).create(CONFIG, {})
    assert fault.value.code == "E_EXISTS"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_folder_with_other_things_may_hold_a_run(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    RunFolder(tmp_path).create(CONFIG, {})


def test_what_is_no_run_is_not_resumed(tmp_path: Path) -> None:
    with pytest.raises(Clip3DError) as fault:
        RunFolder(tmp_path).resume(CONFIG, {}, 0)
    assert fault.value.code == "E_NOT_FOUND"


def test_another_configuration_is_not_resumed(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.create(CONFIG, {})
    other = {"dataset": "folder", "train": {"steps": 7, "rate": 1e-05, "workers": 0}}
    with pytest.raises(Clip3DError, match=r"train\.steps was 6 and is 7") as fault:
        folder.resume(other, {}, 0, resumable_keys={"train.workers"})
    assert fault.value.code == "E_CONFIG"
    assert "workers" not in str(fault.value)
    with pytest.raises(Clip3DError, match=r"more was None and is 1"):
        folder.resume({**CONFIG, "more": 1}, {}, 0)
    assert len(json.loads((folder.path / "versions.json").read_text())) == 1


def test_a_config_with_keys_of_an_earlier_version_is_resumed(tmp_path: Path) -> None:
    now = {"data": {"root": "scans", "eval_split": "val"}, "run": {"seed": 1}}
    RunFolder(tmp_path).create(now, {})
    text = (tmp_path / "config.toml").read_text()
    (tmp_path / "config.toml").write_text(text.replace("eval_split", "judged"))
    RunFolder(tmp_path).require_same_config(now)
    was = toml_table((tmp_path / "config.toml").read_text())
    assert "judged" in was["data"]
    assert with_current_keys(was) == now
    other = {**now, "data": {"root": "scans", "eval_split": "test"}}
    with pytest.raises(Clip3DError, match=r"data\.eval_split was 'val' and is 'test'"):
        RunFolder(tmp_path).require_same_config(other)
    # Other tables keep keys of that name.
    assert with_current_keys({"run": {"judged": 1}}) == {"run": {"judged": 1}}


def test_resuming_cuts_off_what_comes_again(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.create(CONFIG, {})
    for step in range(1, 6):
        folder.record({"step": step, "loss": 0.5})
    with folder.metrics.open("a") as file:
        file.write('{"step": 6, "lo')
    folder.resume(CONFIG, {"clip3d": "2"}, 3)
    folder.record({"step": 4})
    lines = [json.loads(line)["step"] for line in folder.metrics.read_text().splitlines()]
    assert lines == [1, 2, 3, 4]
    starts = json.loads((folder.path / "versions.json").read_text())
    assert [start["after_step"] for start in starts] == [0, 3]


@pytest.mark.parametrize("name", ["config.toml", "metrics.jsonl", "versions.json"])
def test_broken_runs_are_refused(tmp_path: Path, name: str) -> None:
    folder = RunFolder(tmp_path)
    folder.create(CONFIG, {})
    (tmp_path / name).write_text("{[broken\n")
    with pytest.raises(Clip3DError) as fault:
        folder.resume(CONFIG, {}, 0)
    assert fault.value.code == "E_CORRUPT"
    assert name in fault.value.where


def test_curves_need_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(Clip3DError) as fault, open_tensorboard(tmp_path):
        pass
    assert fault.value.code == "E_CONFIG"


def test_curves_are_written_and_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[object, ...]] = []

    class Writer:
        def __init__(self, folder: str, purge_step: int) -> None:
            said.append((folder, purge_step))

        def add_scalar(self, name: str, value: float, step: int) -> None:
            said.append((name, value, step))

        def close(self) -> None:
            said.append(("closed",))

    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    with open_tensorboard(tmp_path, steps_done=4) as curves:
        curves.add(5, {"loss": 0.5})
    assert said == [(str(tmp_path), 5), ("loss", 0.5, 5), ("closed",)]
