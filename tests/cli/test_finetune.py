"""``clip3d finetune`` as its users meet it; what it trains is tested elsewhere."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine
from labelled_rooms import write_rooms
from small_runs import child, ended, wait_for_a_step

from clip3d_cli.training.toml_text import toml_table

SETTINGS = {
    "encoder.layers": 14,
    "encoder.width": 0.25,
    "encoder.voxel_sizes_m": "[0.4]",
    "batch.scenes": 1,
    "optimizer.steps": 3,
    "run.workers": 0,
}
QUICK = [f"--set={key}={value}" for key, value in SETTINGS.items()]


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rooms(tmp_path_factory.mktemp("data") / "rooms")


@pytest.fixture
def wanted(rooms: Path) -> list[str]:
    return ["finetune", "--dataset", "folder", "--root", str(rooms), *QUICK]


def test_a_run_ends_with_two_heads_that_label_takes(
    clip3d: CommandLine, wanted: list[str], scan: Path, tmp_path: Path
) -> None:
    said = clip3d(*wanted, "-o", "run", "--fraction", "0.5", "--json", "-v")
    assert said.code == 0, said.err
    document = said.document
    assert document["schema"] == "clip3d.finetune/1"
    assert (document["finished"], document["steps"], document["labelled_scenes"]) == (True, 3, 2)
    assert (document["weights"], document["split"]) == ("run/points.safetensors", "val")
    for head in ("closed", "text"):
        found = document["evaluations"][head]
        assert found["head"] == head
        assert json.loads((tmp_path / "run" / f"eval.val.{head}.json").read_text()) == found
    assert "start: " in said.err
    assert "labelled scenes: 2; steps: 3; classes: floor, box" in said.err
    assert "data.fraction = 0.5" in said.err
    columns = [line.split() for line in said.err.splitlines() if line.startswith(("class", "mIoU"))]
    titles = "class points before IoU closed head IoU text head IoU"
    assert columns[0] == titles.split()
    evaluations = [document["before"], *document["evaluations"].values()]
    assert [each["head"] for each in evaluations] == ["text", "closed", "text"]
    mious = [each["scores"]["miou"] for each in evaluations]
    assert columns[1][2:] == [f"{miou:.1%}" for miou in mious]
    lines = [line for line in said.err.splitlines() if ": clip3d label" in line]
    assert len(lines) == 2
    for line, name in zip(lines, ("closed", "text"), strict=True):
        command = line.partition(": clip3d ")[2].replace("'", "").replace("plastic bag", "bag")
        labelled = clip3d(*command.replace("scan.ply", str(scan)).split(), "-o", f"{name}.ply")
        assert labelled.code == 0, labelled.err


def test_a_start_is_named_or_a_file(
    clip3d: CommandLine, wanted: list[str], tiny_weights: Path, tmp_path: Path
) -> None:
    def start(*arguments: object) -> object:
        said = clip3d(*wanted, "--dry-run", "--json", *arguments)
        assert said.code == 0, said.err
        return said.document["config"]["start"]["weights"]

    assert start() == ""
    assert start("--from", "points-default") == "points-default"
    assert start("--from", "scratch") == "scratch"
    (tmp_path / "mine.safetensors").write_bytes(
        (tiny_weights / "points-default.safetensors").read_bytes()
    )
    # It leads to the same file from anywhere.
    assert start("--from", "mine.safetensors") == str(tmp_path / "mine.safetensors")


def test_a_probe_trains_one_layer(clip3d: CommandLine, wanted: list[str], tmp_path: Path) -> None:
    said = clip3d(*wanted, "-o", "run", "--linear-probe", "-q")
    assert (said.code, said.out, said.err) == (0, "", "")
    assert toml_table((tmp_path / "run" / "config.toml").read_text())["loss"]["linear_probe"]
    first = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0]
    assert "words" not in json.loads(first)
    again = clip3d("finetune", "--resume", "-o", "run", "--linear-probe", "-q")
    assert again.code == 0, again.err


@pytest.mark.slow
def test_a_stopped_run_goes_on_alone(
    clip3d: CommandLine, wanted: list[str], tmp_path: Path
) -> None:
    steps = ("--set", "optimizer.steps=60", "--from", "scratch", "--json", "--device", "cpu")
    whole = ended(child(*wanted, *steps, "-o", tmp_path / "whole"))
    assert whole.code == 0, whole.err
    process = child(*wanted, *steps, "-o", tmp_path / "run")
    wait_for_a_step(tmp_path / "run", process)
    process.send_signal(signal.SIGTERM)
    said = ended(process)
    assert said.code == 130, said.err
    stopped = said.document
    assert (stopped["finished"], stopped["weights"]) == (False, None)
    assert 1 <= stopped["steps"] < 60
    again = f"continue with: clip3d finetune --resume -o {tmp_path / 'run'}"
    assert again in said.err
    said = clip3d("finetune", "--resume", "-o", tmp_path / "run", "--json")
    assert said.code == 0, said.err
    assert f"resumed at step {stopped['steps']} of 60" in said.err
    weights = [(tmp_path / run / "points.safetensors").read_bytes() for run in ("whole", "run")]
    assert weights[0] == weights[1]


@pytest.mark.slow
@pytest.mark.parametrize("probe", [False, True])
def test_two_processes_train_and_one_speaks(wanted: list[str], tmp_path: Path, probe: bool) -> None:
    several = ("--gpus", "2", "--device", "cpu", "--from", "scratch", "--json")
    more = ("--linear-probe",) if probe else ()
    said = ended(child(*wanted, *several, *more, "-o", tmp_path / "run"))
    assert said.code == 0, said.err
    assert said.document["finished"]
    assert said.document["evaluations"].keys() == {"closed", "text"}
    assert said.err.count("labelled scenes: 4; steps: 3") == 1
    assert "Warning" not in said.err


USAGE = [
    (("-o", "run", "--fraction", "0"), 2, "E_USAGE", "--fraction: 0 is not above 0"),
    (("-o", "run", "--fraction", "1.5"), 2, "E_USAGE", "--fraction: 1.5 is not above 0"),
    (("-o", "run", "--fraction", "-1"), 2, "E_USAGE", "--fraction: -1 is not above 0"),
    (("-o", "run", "--fraction", "nan"), 2, "E_USAGE", "--fraction: nan is not above 0"),
    (
        ("-o", "run", "--set", "data.fraction=2"),
        2,
        "E_CONFIG",
        "is 2, but must be at most 1",
    ),
    (("-o", "run", "--set", "loss.lovas_weight=2"), 2, "E_CONFIG", "Did you mean lovasz_weight?"),
    (("-o", "run", "--dataset", "nuscene"), 2, "E_UNKNOWN_NAME", "Did you mean nuscenes?"),
    (("-o", "run", "--split", "trian"), 2, "E_UNKNOWN_NAME", "Did you mean train?"),
    (("-o", "run", "--split", "test"), 1, "E_DATASET", "none of its 1 scenes has labels"),
    (("-o", "run", "--from", "gone.safetensors"), 4, "E_WEIGHTS", "gone.safetensors"),
    (("-o", "run", "--from", "model.pth"), 4, "E_PICKLE", "may run code"),
    (("-o", "run", "--from", "other-space"), 4, "E_SPACE_MISMATCH", "tests/other"),
    (("--resume",), 2, "E_USAGE", "no run folder is given"),
    ((), 2, "E_USAGE", "no run folder is given"),
    (("-o", "run", "--meet", "here:1"), 2, "E_USAGE", "is for several machines"),
]


@pytest.mark.parametrize(("arguments", "exit_code", "code", "part"), USAGE)
def test_refusals_leave_no_run(
    clip3d: CommandLine,
    rooms: Path,
    tmp_path: Path,
    arguments: Any,
    exit_code: int,
    code: str,
    part: str,
) -> None:
    said = clip3d("finetune", "--dataset", "folder", "--root", rooms, *arguments)
    assert said.code == exit_code, said.err
    assert f"error[{code}]" in said.err
    assert part in said.err
    assert not (tmp_path / "run").exists()


def test_scenes_must_be_named(clip3d: CommandLine) -> None:
    said = clip3d("finetune", "--dataset", "folder", "-o", "run")
    assert (said.code, "Use --dataset NAME" in said.err) == (2, True)


def test_resuming_may_not_contradict(
    clip3d: CommandLine, wanted: list[str], tmp_path: Path
) -> None:
    assert clip3d(*wanted, "-o", "run", "-q").code == 0
    said = clip3d("finetune", "--resume", "-o", "run", "--fraction", "0.5")
    assert said.code == 1
    assert "data.fraction was 1.0 and is 0.5" in said.err
    said = clip3d("finetune", "--resume", "-o", "run", "--from", "scratch")
    assert "E_CONFIG" in said.err
    said = clip3d(*wanted, "-o", "run")
    assert (said.code, "error[E_EXISTS]" in said.err) == (1, True)
    # A run of the other command is told apart by its keys.
    said = clip3d("pretrain", "--resume", "-o", "run")
    assert (said.code, "error[E_CONFIG]" in said.err) == (2, True)


def test_a_dry_run_prints_a_configuration_that_can_be_given_back(
    clip3d: CommandLine, wanted: list[str], rooms: Path, tmp_path: Path
) -> None:
    said = clip3d(*wanted, "--fraction", "0.5", "--dry-run", "--gpus", "2")
    assert said.code == 0, said.err
    assert f"folder: 2 scenes in {rooms}" in said.err
    assert "3 steps of 1 scene, processes: 2" in said.err
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "all.toml").write_text(said.out)
    again = clip3d("finetune", "--config", "all.toml", "--dry-run", "--json").document
    assert again["config"] == json.loads(json.dumps(toml_table(said.out)))
    told = (again["schema"], again["scenes"], again["steps"])
    assert told == ("clip3d.finetune-plan/1", 2, 3)


def test_help_is_a_manual_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom clip3d_cli.cli.app import main\n"
        "try: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, "finetune", "-h"], capture_output=True, text=True, check=True
    )
    assert not {"torch", "numpy", "rich"} & set(said.stderr.split())
    examples = said.stdout.partition("Examples:")[2].splitlines()[1:5]
    assert [line.split()[:2] for line in examples] == [["clip3d", "finetune"]] * 4
