"""Trainings that are stopped, and go on to the same bits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_state import ADAM, batch_of, loss_of, same, state_of, train
from torch import nn

from clip3d_cli.errors import Clip3DError
from clip3d_cli.training.batch_loader import BatchLoader
from clip3d_cli.training.checkpoints import Checkpoints
from clip3d_cli.training.signals import stop_on_signals
from clip3d_cli.training.state import LoopOptions, OptimizerName, TrainState

SGD = LoopOptions(6, 0.1, 1e-4, warmup_steps=0, average_decay=0, optimizer="sgd")
MUON = LoopOptions(6, 0.01, optimizer="muon", schedule="constant")
TWICE = LoopOptions(6, 0.05, batches_per_step=2, seed=5)


def _until(state: TrainState, last: int, workers: int = 0) -> None:
    """Train until a number of steps is done, or to the end."""
    with stop_on_signals() as stop:

        def ask(*_: object) -> None:
            stop.requested = state.steps_done >= last

        finished = train(state, BatchLoader(batch_of, workers), loss_of, ask, stop=stop)
    assert finished == (state.steps_done == state.options.steps)


@pytest.mark.parametrize("options", [ADAM, SGD, MUON, TWICE], ids=["adamw", "sgd", "muon", "twice"])
def test_a_resumed_training_ends_with_the_same_bits(options: LoopOptions, tmp_path: Path) -> None:
    whole = state_of(options)
    _until(whole, 6)
    first = state_of(options)
    _until(first, 3)
    Checkpoints(tmp_path).save(first.snapshot())
    second = state_of(options, seed=99)
    found = Checkpoints(tmp_path).load_latest()
    assert found is not None
    second.restore(found.snapshot)
    assert second.steps_done == 3
    _until(second, 6)
    assert same(second.snapshot(), whole.snapshot())
    assert not same(second.snapshot(), first.snapshot())


def test_a_cooldown_starts_from_a_run_of_constant_rate() -> None:
    first = state_of(MUON)
    _until(first, 3)
    cooldown = state_of(replace(MUON, steps=4, schedule="linear", warmup_steps=0), seed=99)
    cooldown.start_from(first.snapshot())
    assert cooldown.steps_done == 0
    started, left = cooldown.snapshot().tensors, first.snapshot().tensors
    assert started.keys() == left.keys()
    assert all(torch.equal(started[name], left[name]) for name in left)
    _until(cooldown, 4)
    assert cooldown.is_finished


def test_a_snapshot_does_not_change_while_training_goes_on() -> None:
    state = state_of(ADAM)
    _until(state, 2)
    taken = state.snapshot()
    before = {name: value.clone() for name, value in taken.tensors.items()}
    _until(state, 4)
    assert all(torch.equal(before[name], value) for name, value in taken.tensors.items())


def test_what_loads_a_snapshot_does_not_share_it() -> None:
    state = state_of(ADAM)
    _until(state, 2)
    taken = state.snapshot()
    other = state_of(ADAM)
    other.restore(taken)
    _until(other, 6)
    assert same(taken, state.snapshot())


def test_workers_make_the_same_batches_after_a_resume() -> None:
    whole, first, second = (state_of(ADAM) for _ in range(3))
    _until(whole, 6)
    _until(first, 2, workers=2)
    second.restore(first.snapshot())
    _until(second, 6, workers=2)
    assert same(second.snapshot(), whole.snapshot())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"learning_rate": 0.1}, "learning_rate 0.05 instead of 0.1"),
        ({"optimizer": "sgd"}, "optimizer 'adamw' instead of 'sgd'"),
    ],
)
def test_other_options_are_refused(change: dict[str, float | OptimizerName], said: str) -> None:
    taken = state_of(ADAM).snapshot()
    other = LoopOptions(**{**taken.scalars["options"], **change})
    with pytest.raises(Clip3DError, match=said) as fault:
        state_of(other).restore(taken)
    assert fault.value.code == "E_CONFIG"


def test_other_networks_are_refused() -> None:
    taken = state_of(ADAM).snapshot()
    with pytest.raises(Clip3DError, match="another network") as fault:
        TrainState(nn.Linear(3, 1), ADAM).restore(taken)
    assert fault.value.code == "E_CONFIG"


SIGNALLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from small_state import batch_of, loss_of, state_of, train
from clip3d_cli.training.checkpoints import Checkpoints
from clip3d_cli.training.batch_loader import BatchLoader
from clip3d_cli.training.signals import stop_on_signals
from clip3d_cli.training.state import LoopOptions

state = state_of(LoopOptions(10**6))
said = lambda step: (time.sleep(0.01), print(step.number, flush=True))
with stop_on_signals() as stop:
    finished = train(state, BatchLoader(batch_of, {workers}), loss_of, said, stop=stop)
Checkpoints(Path({folder!r})).save(state.snapshot())
print("finished" if finished else "stopped", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("number", "workers"), [(signal.SIGTERM, 2), (signal.SIGINT, 2)])
def test_a_signal_lets_the_step_end_and_the_state_be_saved(
    tmp_path: Path, number: int, workers: int
) -> None:
    tests = str(Path(__file__).parents[1] / "support")
    program = SIGNALLED.format(tests=tests, folder=str(tmp_path), workers=workers)
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert child.stdout is not None
    steps = [child.stdout.readline() for _ in range(3)]
    assert steps == ["1\n", "2\n", "3\n"]
    os.killpg(child.pid, number)  # workers too, as torchrun and terminals do
    said, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    *steps, last = said.split()
    assert last == "stopped"
    found = Checkpoints(tmp_path).load_latest()
    assert found is not None
    assert found.snapshot.scalars["done"] == int(steps[-1] if steps else 3)


def test_the_second_signal_does_what_it_did_before() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        with stop_on_signals() as stop:
            signal.raise_signal(signal.SIGTERM)
            time.sleep(0.01)
            assert stop.requested
            assert heard == []
            signal.raise_signal(signal.SIGTERM)
            assert heard == [signal.SIGTERM]
        signal.raise_signal(signal.SIGTERM)
        assert heard == [signal.SIGTERM, signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)
