"""``clip3d pretrain`` as its users meet it; what it trains is tested elsewhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from command_line import CommandLine, Said
from datasets_trees_folder import VOCABULARY, room, write_ply
from posed_camera import camera_entry, write_image, write_json
from tiny_clip import VIT, save_model, settings

from clip3d_cli.commands.app import app
from clip3d_cli.commands.door import run
from clip3d_cli.commands.terminal import Voice
from clip3d_cli.commands.training_launch import _code_of
from clip3d_cli.commands.training_rank import LEFT_ALONE, _Leaving, device_type_of_many
from clip3d_cli.commands.training_request import Machines
from clip3d_cli.commands.training_show import StepLines, duration
from clip3d_cli.errors import Clip3DError, UsageError
from clip3d_cli.training.loop import Step
from clip3d_cli.training.toml_text import toml_table

ROOT = Path(__file__).resolve().parents[2]
SPACE = {"name": "openclip/ViT-B-32/openai", "dim": 512}
SCENES = {"barn": "train", "yard": "train", "hall": "val"}


def write_scenes(root: Path, images: bool = True) -> Path:
    """Two scenes to learn from and one to judge, all before one camera."""
    (root / "splits").mkdir(parents=True)
    (root / "vocabulary.toml").write_text(VOCABULARY, encoding="utf-8")
    for number, (scene, split) in enumerate(SCENES.items()):
        with (root / "splits" / f"{split}.txt").open("a", encoding="utf-8") as names:
            names.write(f"{scene}\n")
        write_ply(root / scene / "cloud.ply", room(600, seed=number))
        np.save(root / scene / "labels.npy", np.resize([0, 1, 3], 600))
        cameras = []
        if images:
            write_image(root / scene / "images" / "a.png")
            cameras = [camera_entry("images/a.png")]
        write_json(root / scene / "cameras.json", {"cameras": cameras})
    return root


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("data") / "scenes")


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Settings of a training that takes a second: a random teacher, a tiny network."""
    folder = save_model(
        settings(VIT) | {"embed_dim": 512}, tmp_path_factory.mktemp("teacher") / "tiny"
    )
    (folder / "clip3d.json").write_text(json.dumps({"space": SPACE, "text_encoder": "mini"}))
    chosen = {
        "teacher.model": folder,
        "words.vocabulary": "dataset",
        "encoder.layers": 14,
        "encoder.width": 0.25,
        "encoder.voxel_sizes_m": "[0.4]",
        "batch.scenes": 1,
        "optimizer.steps": 3,
        "run.workers": 0,
    }
    return [f"--set={key}={value}" for key, value in chosen.items()]


@pytest.fixture
def wanted(scenes: Path, quick: list[str]) -> list[str]:
    return ["pretrain", "--dataset", "folder", "--root", str(scenes), *quick]


@pytest.fixture(scope="module")
def done(scenes: Path, quick: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is finished; nobody changes it."""
    folder = tmp_path_factory.mktemp("runs") / "done"
    arguments = ["pretrain", "--dataset", "folder", "--root", str(scenes), "-o", str(folder)]
    assert run(app, [*arguments, *quick, "--device", "cpu", "-q"]) == 0
    return folder


def child(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "clip3d_cli", *(str(each) for each in arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str]) -> Said:
    out, err = process.communicate(timeout=120)
    return Said(process.returncode, out, err)


def wait_for_a_step(folder: Path, process: subprocess.Popen[str]) -> None:
    metrics = folder / "metrics.jsonl"
    while process.poll() is None and not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.01)


def test_a_run_ends_with_weights_that_label_takes(
    clip3d: CommandLine, wanted: list[str], scenes: Path, tmp_path: Path, scan: Path
) -> None:
    said = clip3d(*wanted, "-o", "run", "--set", "data.judged=val", "--json", "-v")
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

    monkeypatch.setattr("clip3d_cli.commands.training_run.open_curves", curves)
    assert clip3d(*wanted, "-o", "run", "--set", "run.tensorboard=true").code == 0
    assert drawn == [(n, ["agreement", "consistency", "loss", "semantic"]) for n in (1, 2, 3)]


def test_only_a_run_can_be_resumed(clip3d: CommandLine) -> None:
    said = clip3d("pretrain", "--resume", "-o", "nothing")
    assert said.code == 1
    assert "error[E_NOT_FOUND]: nothing: holds no run to resume" in said.err


@pytest.mark.slow
def test_a_stopped_run_goes_on_alone(
    clip3d: CommandLine, wanted: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    steps = ("--set", "optimizer.steps=60", "--json", "--device", "cpu")
    process = child(*wanted, *steps, "-o", folder)
    wait_for_a_step(folder, process)
    process.send_signal(signal.SIGTERM)
    said = ended(process)
    assert said.code == 130, said.err
    stopped = said.document
    assert (stopped["finished"], stopped["weights"]) == (False, None)
    assert 1 <= stopped["steps"] < 60
    assert f"saved step {stopped['steps']}; go on with --resume" in said.err
    said = clip3d("pretrain", "--resume", "-o", folder, "--json")
    assert said.code == 0, said.err
    assert f"took up step {stopped['steps']} of 60" in said.err
    assert said.document["steps"] == 60
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    numbers = [json.loads(line)["step"] for line in lines]
    assert numbers == list(range(1, 61))


USAGE = [
    (("-o", "run", "--set", "loss.strat=0.3"), "E_CONFIG", "Did you mean start?"),
    (("-o", "run", "--set", "loss=0.3"), "E_CONFIG", "is not table.key=value"),
    (("-o", "run", "--set", "loss.semantic=papr"), "E_CONFIG", "is none of its values"),
    (("-o", "run", "--config", "gone.toml"), "E_CONFIG", "gone.toml"),
    (("-o", "run", "--method", "clip2scenes"), "E_UNKNOWN_NAME", "Did you mean clip2scene?"),
    (("-o", "run", "--dataset", "nuscene"), "E_UNKNOWN_NAME", "Did you mean nuscenes?"),
    (("-o", "run", "--split", "trian"), "E_UNKNOWN_NAME", "train"),
    ((), "E_USAGE", "no folder of the run is given"),
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
        assert "Say which scenes: --dataset NAME --root DIR" in said.err


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


def test_a_check_draws_pictures(
    clip3d: CommandLine, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clip3d_cli.pipelines.pretrain.targets_of", None)
    arguments = ("pretrain", "--dataset", "folder", "--root", scenes, "--check", "--json")
    said = clip3d(*arguments)
    assert said.code == 0, said.err
    document = said.document
    assert document["schema"] == "clip3d.pretrain-check/1"
    assert [scene["name"] for scene in document["scenes"]] == ["barn", "yard"]
    for scene in document["scenes"]:
        assert 0 < scene["seen"] < scene["points"] == 600
        assert f"{scene['name']}: {scene['seen_share']:.1%} of 600 points are seen" in said.err
        (view,) = scene["views"]
        assert Path(view["picture"]).is_relative_to("clip3d-check")
        assert (tmp_path / view["picture"]).stat().st_size > 0
    said = clip3d(*arguments, "--limit", "1", "--split", "val", "-o", "seen")
    assert [scene["name"] for scene in said.document["scenes"]] == ["hall"]
    assert (tmp_path / "seen" / "hall").is_dir()


def test_a_check_looks_at_a_few_scenes(
    clip3d: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[int] = []
    monkeypatch.setattr(
        "clip3d_cli.commands.pretrain_check.check",
        lambda config, *_, **__: limits.append(config.data.limit) or 0,
    )
    for more in ((), ("--limit", "7")):
        assert clip3d("pretrain", "--dataset", "folder", "--root", ".", "--check", *more).code == 0
    assert limits == [3, 7]


def test_a_check_fails_where_nothing_is_seen(clip3d: CommandLine, tmp_path: Path) -> None:
    root = write_scenes(tmp_path / "scenes")
    for scene, code in (("barn", 3), ("yard", 1)):
        away = camera_entry("images/a.png", world_from_camera=turned_away().tolist())
        write_json(root / scene / "cameras.json", {"cameras": [away, away]})
        said = clip3d("pretrain", "--dataset", "folder", "--root", root, "--check")
        assert said.code == code
        assert f"warning: {scene}: no image sees any of its points" in said.err
        assert "and 1 more image" in said.err


def turned_away() -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = [[-1, 0, 0], [0, 0, -1], [0, -1, 0]]
    return pose


def test_a_dry_run_prints_a_configuration_that_can_be_given_back(
    clip3d: CommandLine,
    wanted: list[str],
    scenes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("clip3d_cli.pipelines.pretrain.targets_of", None)
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
    assert (said.code, "mine.toml: [loss]" in said.err) == (2, True)
    (tmp_path / "mine.toml").write_text(config.replace("lambda = 3\n", "temperature = 0.7\n"))
    arguments = ("--set", "loss.start=0.2", "--set", "data.split=val", "--root", scenes)
    said = clip3d("pretrain", "--config", "mine.toml", "--dry-run", "--json", *arguments)
    tables = said.document["config"]
    assert (tables["loss"]["start"], tables["loss"]["temperature"]) == (0.2, 0.7)
    assert (tables["data"]["root"], tables["data"]["split"]) == (str(scenes), "val")
    # The presets of the data set that the file names.
    assert tables["batch"]["scenes"] == 2


@pytest.mark.slow
def test_two_processes_train_and_one_speaks(wanted: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    several = ("--gpus", "2", "--device", "cpu")
    said = ended(child(*wanted, *several, "-o", folder, "--json"))
    assert said.code == 0, said.err
    assert said.document["finished"]
    assert said.err.count("scenes: 2; steps: 3") == 1
    assert "Warning" not in said.err
    assert (folder / "points.safetensors").is_file()
    # What each of them refuses is said once, without their launcher's traceback.
    said = ended(
        child(*wanted, *several, "-o", f"{folder}-b", "--set", "teacher.model=/gone/model")
    )
    assert said.code == 4
    assert said.err.count("error[E_WEIGHTS]") == 1
    assert "Traceback" not in said.err


@pytest.mark.slow
def test_two_processes_stop_together(wanted: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    several = ("--gpus", "2", "--device", "cpu", "--set", "optimizer.steps=400")
    process = child(*wanted, *several, "-o", folder)
    wait_for_a_step(folder, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    said = ended(process)
    assert said.code == 130, said.err
    again = f"go on with --resume: clip3d pretrain --resume -o {folder} --gpus 2\n"
    assert said.err.count(again) == 1
    assert said.err.count("interrupted") == 1
    assert "Traceback" not in said.err
    assert list((folder / "checkpoints").iterdir())


def test_help_is_a_manual_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom clip3d_cli.commands.app import main\n"
        "try: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, "pretrain", "-h"], capture_output=True, text=True, check=True
    )
    assert not {"torch", "numpy", "rich"} & set(said.stderr.split())
    examples = said.stdout.partition("Examples:")[2].splitlines()[1:4]
    assert [line.split()[:2] for line in examples] == [["clip3d", "pretrain"]] * 3


def test_steps_are_said_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    with StepLines(Voice()) as lines:
        lines.begin(1000, 500)
        for number, seconds in ((501, 2.0), (502, 4.0), (517, 34.0), (1000, 35.0)):
            lines.step(Step(number, 0.5, {"ssr": 0.2, "scr": 0.3}, 0.1, 1.0, seconds))
    first, *said, last = capsys.readouterr().err.splitlines()
    assert first == "took up step 500 of 1,000"
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


def test_the_code_is_that_of_the_process_at_fault() -> None:
    assert _code_of({0: -signal.SIGTERM, 1: 4}) == 4
    assert _code_of({0: 1, 1: -signal.SIGTERM}) == 1
    assert _code_of({0: -signal.SIGKILL, 1: 1}) == 1
    with pytest.raises(Clip3DError, match="process 1: was killed by signal 9"):
        _code_of({0: LEFT_ALONE, 1: -signal.SIGKILL})


def test_a_second_signal_does_not_cut_off_the_saving() -> None:
    leaving = _Leaving()
    with pytest.raises(SystemExit):
        leaving(signal.SIGTERM, None)
    leaving.begin()
    leaving(signal.SIGTERM, None)


def test_machines_are_asked_for_again() -> None:
    assert Machines(1).options == []
    assert Machines(4, 2, "a:1").options == ["--gpus", "4", "--nodes", "2", "--meet", "a:1"]


def test_many_processes_need_many_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "clip3d_cli.commands.training_rank.choose_device", lambda _: ("cpu", "found no GPU")
    )
    assert device_type_of_many("cpu") == "cpu"
    with pytest.raises(UsageError, match="found no GPU"):
        device_type_of_many("auto")
