"""Trainings in processes of their own: stopped, several together, each failing in its way."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from command_line import CommandLine
from small_runs import child, ended, wait_for_a_step

from clip3d_cli.cli.distributed import (
    PEER_LOST,
    Processes,
    Signals,
    _exit_code,
    device_type_for_all,
)
from clip3d_cli.errors import Clip3DError, UsageError


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
    assert f"saved step {stopped['steps']}; continue with: " in said.err
    said = clip3d("pretrain", "--resume", "-o", folder, "--json")
    assert said.code == 0, said.err
    assert f"resumed at step {stopped['steps']} of 60" in said.err
    assert said.document["steps"] == 60
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    numbers = [json.loads(line)["step"] for line in lines]
    assert numbers == list(range(1, 61))


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
    again = f"continue with: clip3d pretrain --resume -o {folder} --gpus 2\n"
    assert said.err.count(again) == 1
    assert said.err.count("interrupted") == 1
    assert "Traceback" not in said.err
    assert list((folder / "checkpoints").iterdir())


def test_the_code_is_that_of_the_process_at_fault() -> None:
    assert _exit_code({0: -signal.SIGTERM, 1: 4}) == 4
    assert _exit_code({0: 1, 1: -signal.SIGTERM}) == 1
    assert _exit_code({0: -signal.SIGKILL, 1: 1}) == 1
    # Ended while it was still starting.
    assert _exit_code({0: 4, 1: 130}) == 4
    assert _exit_code({0: 130, 1: 130}) == 130
    for left in (PEER_LOST, 130):
        with pytest.raises(Clip3DError, match="process 1: was killed by signal 9"):
            _exit_code({0: left, 1: -signal.SIGKILL})


def test_a_second_signal_does_not_cut_off_the_saving() -> None:
    leaving = Signals()
    with pytest.raises(SystemExit):
        leaving(signal.SIGTERM, None)
    leaving.training_started()
    leaving(signal.SIGTERM, None)


def test_machines_are_asked_for_again() -> None:
    assert Processes(1).options == []
    assert Processes(4, 2, "a:1").options == ["--gpus", "4", "--nodes", "2", "--meet", "a:1"]


def test_many_processes_need_many_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "clip3d_cli.labelling.device.choose_device", lambda _: ("cpu", "found no GPU")
    )
    assert device_type_for_all("cpu") == "cpu"
    with pytest.raises(UsageError, match="found no GPU"):
        device_type_for_all("auto")
