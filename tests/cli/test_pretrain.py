"""``clip3d pretrain`` as its users meet it; what it trains is tested elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from command_line import CommandLine
from small_runs import write_scenes

from clip3d_cli.cli.app import app
from clip3d_cli.cli.errors import run
from clip3d_cli.cli.terminal import Reporter
from clip3d_cli.cli.training_output import StepReporter, duration
from clip3d_cli.training.loop import StepReport
from clip3d_cli.training.toml_text import toml_table


@pytest.fixture(scope="module")
def done(scenes: Path, quick: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is finished; nobody changes it."""
    folder = tmp_path_factory.mktemp("runs") / "done"
    arguments = ["pretrain", "--dataset", "folder", "--root", str(scenes), "-o", str(folder)]
    assert run(app, [*arguments, *quick, "--device", "cpu", "-q"]) == 0
    return folder


def test_a_run_ends_with_weights_that_label_takes(
    clip3d: CommandLine, wanted: list[str], scenes: Path, tmp_path: Path, scan: Path
) -> None:
    said = clip3d(*wanted, "-o", "run", "--set", "data.eval_split=val", "--json", "-v")
    assert said.code == 0, said.err
    document = said.document
    assert document["schema"] == "clip3d.pretrain/1"
    assert (document["finished"], document["steps"]) == (True, 3)
    assert document["weights"] == "run/points.safetensors"
    judged = document["evaluation"]
    assert [entry["name"] for entry in judged["classes"]] == ["floor", "box"]
    assert judged["points"] == 400
    assert "scenes: 2; steps: 3" in said.err
    assert "step 3/3  loss " in said.err
    assert "encoder.layers = 14" in said.err
    assert "mIoU" in said.err
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 3
    (line,) = (line for line in said.err.splitlines() if line.startswith("next: "))
    command = line.removeprefix("next: clip3d ").replace("scan.ply", str(scan)).split()
    assert clip3d(*command, "-o", "labelled.ply").code == 0


def test_quiet_says_nothing(clip3d: CommandLine, done: Path) -> None:
    said = clip3d("pretrain", "--resume", "-o", done, "-q")
    assert (said.code, said.out, said.err) == (0, "", "")


def test_a_run_is_not_begun_twice(clip3d: CommandLine, wanted: list[str], done: Path) -> None:
    said = clip3d(*wanted, "-o", done)
    assert said.code == 1
    assert "error[E_EXISTS]" in said.err
    assert "--resume" in said.err


def test_resuming_may_not_contradict(clip3d: CommandLine, done: Path) -> None:
    said = clip3d("pretrain", "--resume", "-o", done, "--set", "loss.start=0.9")
    assert said.code == 1
    assert "loss.start was 0.5 and is 0.9" in said.err
    said = clip3d("pretrain", "--resume", "-o", done, "--split", "val")
    assert "data.split was '' and is 'val'" in said.err
    said = clip3d("pretrain", "--resume", "-o", done, "--device", "cpu", "--set", "loss.start=0.5")
    assert said.code == 0, said.err


def test_curves_are_drawn_where_asked_for(
    clip3d: CommandLine, wanted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[int, list[str]]] = []

    @contextmanager
    def curves(folder: Path, done: int) -> Iterator[Any]:
        assert (folder, done) == (Path("run/tensorboard"), 0)
        yield SimpleNamespace(add=lambda step, numbers: drawn.append((step, sorted(numbers))))

    monkeypatch.setattr("clip3d_cli.training.tensorboard.open_tensorboard", curves)
    assert clip3d(*wanted, "-o", "run", "--set", "run.tensorboard=true").code == 0
    assert drawn == [(n, ["agreement", "consistency", "loss", "semantic"]) for n in (1, 2, 3)]


def test_only_a_run_can_be_resumed(clip3d: CommandLine) -> None:
    said = clip3d("pretrain", "--resume", "-o", "nothing")
    assert said.code == 1
    assert "error[E_NOT_FOUND]: nothing: holds no run to resume" in said.err


USAGE = [
    (("-o", "run", "--set", "loss.strat=0.3"), "E_CONFIG", "Did you mean start?"),
    (("-o", "run", "--set", "loss=0.3"), "E_CONFIG", "is not table.key=value"),
    (("-o", "run", "--set", "loss.semantic=papr"), "E_CONFIG", "is none of its values"),
    (("-o", "run", "--config", "gone.toml"), "E_CONFIG", "gone.toml"),
    (("-o", "run", "--method", "clip2scenes"), "E_UNKNOWN_NAME", "Did you mean clip2scene?"),
    (("-o", "run", "--dataset", "nuscene"), "E_UNKNOWN_NAME", "Did you mean nuscenes?"),
    (("-o", "run", "--split", "trian"), "E_UNKNOWN_NAME", "train"),
    ((), "E_USAGE", "no run folder is given"),
    (("--check", "--dry-run"), "E_USAGE", "cannot both be given"),
    (("--check", "--resume"), "E_USAGE", "cannot both be given"),
    (("-o", "run", "--nodes", "2"), "E_USAGE", "--meet host:29500"),
    (("-o", "run", "--nodes", "2", "--meet", "here"), "E_USAGE", "is not host:port"),
    (("-o", "run", "--meet", "here:1"), "E_USAGE", "is for several machines"),
    (("-o", "run", "--device", "tpu"), "E_DEVICE", "there is no 'tpu'"),
    (("-o", "run", "--gpus", "2", "--device", "cuda:1"), "E_DEVICE", "one device for all"),
]


@pytest.mark.parametrize(("arguments", "code", "part"), USAGE)
def test_refusals_of_command_lines(
    clip3d: CommandLine, scenes: Path, tmp_path: Path, arguments: Any, code: str, part: str
) -> None:
    said = clip3d("pretrain", "--dataset", "folder", "--root", scenes, *arguments)
    assert said.code == 2, said.err
    assert f"error[{code}]" in said.err
    assert part in said.err
    assert not (tmp_path / "run").exists()


def test_scenes_must_be_named(clip3d: CommandLine) -> None:
    for arguments in ((), ("--dataset", "folder"), ("--root", ".")):
        said = clip3d("pretrain", *arguments, "-o", "run")
        assert said.code == 2
        assert "Use --dataset NAME --root DIR" in said.err


def test_scenes_must_be_there_with_images(
    clip3d: CommandLine, quick: list[str], tmp_path: Path
) -> None:
    said = clip3d("pretrain", "--dataset", "folder", "--root", "gone", *quick, "-o", "run")
    assert said.code == 1
    assert "error[E_NOT_FOUND]" in said.err
    write_scenes(tmp_path / "blind", images=False)
    said = clip3d("pretrain", "--dataset", "folder", "--root", "blind", *quick, "-o", "run")
    assert said.code == 1
    assert "has no posed images" in said.err
    assert not (tmp_path / "run").exists()


def test_a_dry_run_prints_a_configuration_that_can_be_given_back(
    clip3d: CommandLine,
    wanted: list[str],
    scenes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("clip3d_cli.pipelines.pretrain.run.prepare_targets", None)
    said = clip3d(*wanted, "--dry-run", "-o", "run", "--gpus", "2")
    assert said.code == 0, said.err
    assert f"folder: 2 scenes in {scenes}" in said.err
    assert "3 steps of 1 scene, processes: 2" in said.err
    tables = toml_table(said.out)
    assert tables["encoder"]["layers"] == 14
    assert [path.name for path in tmp_path.iterdir()] == []
    (tmp_path / "all.toml").write_text(said.out)
    again = clip3d("pretrain", "--config", "all.toml", "--dry-run", "--json").document
    assert again["config"] == json.loads(json.dumps(tables))
    assert (again["schema"], again["scenes"], again["steps"]) == ("clip3d.pretrain-plan/1", 2, 3)


def test_the_later_of_two_options_counts(clip3d: CommandLine, scenes: Path, tmp_path: Path) -> None:
    config = '[data]\ndataset = "folder"\nroot = "nowhere"\n[loss]\nstart = 0.1\nlambda = 3\n'
    (tmp_path / "mine.toml").write_text(config)
    said = clip3d("pretrain", "--config", "mine.toml", "--dry-run")
    assert (said.code, "mine.toml: loss: there is no key" in said.err) == (2, True)
    (tmp_path / "mine.toml").write_text(config.replace("lambda = 3\n", "temperature = 0.7\n"))
    arguments = ("--set", "loss.start=0.2", "--set", "data.split=val", "--root", scenes)
    said = clip3d("pretrain", "--config", "mine.toml", "--dry-run", "--json", *arguments)
    tables = said.document["config"]
    assert (tables["loss"]["start"], tables["loss"]["temperature"]) == (0.2, 0.7)
    assert (tables["data"]["root"], tables["data"]["split"]) == (str(scenes), "val")
    # The presets of the data set that the file names.
    assert tables["batch"]["scenes"] == 2


def test_help_is_a_manual_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom clip3d_cli.cli.app import main\n"
        "try: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, "pretrain", "-h"], capture_output=True, text=True, check=True
    )
    assert not {"torch", "numpy", "rich"} & set(said.stderr.split())
    examples = said.stdout.partition("Examples:")[2].splitlines()[1:4]
    assert [line.split()[:2] for line in examples] == [["clip3d", "pretrain"]] * 3


def test_steps_are_said_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    with StepReporter(Reporter()) as lines:
        lines.start(1000, 500)
        for number, seconds in ((501, 2.0), (502, 4.0), (517, 34.0), (1000, 35.0)):
            lines.step(StepReport(number, 0.5, {"ssr": 0.2, "scr": 0.3}, 0.1, 1.0, seconds))
    first, *said, last = capsys.readouterr().err.splitlines()
    assert first == "resumed at step 500 of 1,000"
    assert said == [
        f"step {step}/1,000  loss 0.500  0.50 steps/s  {left} left  (scr 0.300, ssr 0.200)"
        for step, left in ((501, "17 min"), (517, "16 min"))
    ]
    assert last.startswith("step 1,000/1,000")
    assert "  0 s left  (" in last


def test_durations_are_read_by_people() -> None:
    assert [duration(s) for s in (0.4, 119, 121, 7140, 11100)] == [
        "0 s", "119 s", "2 min", "119 min", "3 h 05 min",
    ]  # fmt: skip
