"""Runs in their folders: recorded, saved, lost and resumed to the same bits."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_state import ADAM, Small, batch_of, loss_of
from torch import nn

from clip3d_cli.errors import Clip3DError
from clip3d_cli.pipelines.pretrain.config import PretrainConfig
from clip3d_cli.pipelines.training.run import Callbacks, TrainingRun
from clip3d_cli.training.distributed import SINGLE_PROCESS
from clip3d_cli.training.loop import Loss
from clip3d_cli.training.state import TrainState


class LostError(Exception):
    """What ends a process in the middle of a step."""


class Losing(nn.Module):
    """The small network with its own loss, which fails or is not a number at some step."""

    def __init__(self, lost_at: int, nan_at: int) -> None:
        super().__init__()
        self.small = Small()
        self._lost_at, self._nan_at = lost_at, nan_at

    def forward(self, batch: torch.Tensor, steps_done: int) -> Loss:
        if steps_done == self._lost_at:
            raise LostError
        loss, _ = loss_of(self.small, batch)
        return (loss * math.nan if steps_done == self._nan_at else loss), {"semantic": loss}


def state_of(seed: int = 1, *, lost_at: int = -1, nan_at: int = -1) -> TrainState:
    torch.manual_seed(seed)
    return TrainState(Losing(lost_at, nan_at), ADAM)


def run_in(
    path: Path, *, save_every: int, resume: bool = False, keys: tuple[str, ...] = (), **told: Any
) -> TrainingRun:
    config = PretrainConfig()
    return TrainingRun(
        config=replace(config, run=replace(config.run, save_every=save_every, workers=0)),
        path=path,
        resumable_keys=keys,
        resume=resume,
        world=SINGLE_PROCESS,
        command_line=(),
        callbacks=Callbacks(**told),
    )


def trained(run: TrainingRun, state: TrainState) -> bool:
    run.require_resumable()
    run.create_folder()
    return run.train(state, batch_of, "a small network")


def steps_of(path: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (path / "metrics.jsonl").read_text().splitlines()]


def test_a_lost_run_goes_on_from_its_checkpoint_to_the_same_bits(tmp_path: Path) -> None:
    whole, lost = tmp_path / "whole", tmp_path / "lost"
    assert trained(run_in(whole, save_every=2), state_of())
    with pytest.raises(LostError):
        trained(run_in(lost, save_every=2), state_of(lost_at=5))
    assert steps_of(lost) == [1, 2, 3, 4, 5]
    heard: list[int] = []
    begun: list[tuple[int, int]] = []
    again = run_in(
        lost,
        save_every=2,
        resume=True,
        on_step=lambda report: heard.append(report.number),
        on_start=lambda steps, done: begun.append((steps, done)),
    )
    assert trained(again, state_of(seed=7))
    assert (heard, begun) == ([5, 6], [(6, 4)])
    assert steps_of(lost) == [1, 2, 3, 4, 5, 6]
    name = "checkpoints/step-00000006.safetensors"
    assert (lost / name).read_bytes() == (whole / name).read_bytes()


def test_a_run_without_a_checkpoint_begins_again(tmp_path: Path) -> None:
    with pytest.raises(LostError):
        trained(run_in(tmp_path, save_every=4), state_of(lost_at=2))
    assert not (tmp_path / "checkpoints").exists()
    state = state_of()
    assert trained(run_in(tmp_path, save_every=4, resume=True), state)
    assert steps_of(tmp_path) == [1, 2, 3, 4, 5, 6]
    whole = state_of()
    assert trained(run_in(tmp_path / "whole", save_every=4), whole)
    for name, value in whole.snapshot().tensors.items():
        assert torch.equal(value, state.snapshot().tensors[name]), name


def test_a_run_that_is_over_changes_nothing(tmp_path: Path) -> None:
    assert trained(run_in(tmp_path, save_every=4), state_of())
    files = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert files == ["step-00000004.safetensors", "step-00000006.safetensors"]
    state = state_of()
    assert trained(run_in(tmp_path, save_every=4, resume=True), state)
    assert state.steps_done == 6
    assert steps_of(tmp_path) == [1, 2, 3, 4, 5, 6]


def test_a_step_gone_wrong_leaves_the_last_good_checkpoint(tmp_path: Path) -> None:
    run = run_in(tmp_path, save_every=2)
    with pytest.raises(Clip3DError, match="step 4: the loss is nan") as fault:
        trained(run, state_of(nan_at=3))
    assert "semantic" in str(fault.value)
    found = run.folder.checkpoints.load_latest()
    assert found is not None
    assert found.snapshot.scalars["done"] == 2
    assert all(value.isfinite().all() for value in found.snapshot.tensors.values())
    assert steps_of(tmp_path) == [1, 2, 3]


def test_a_broken_checkpoint_is_skipped_with_a_note(tmp_path: Path) -> None:
    assert trained(run_in(tmp_path, save_every=4), state_of())
    whole = (tmp_path / "checkpoints" / "step-00000006.safetensors").read_bytes()
    (tmp_path / "checkpoints" / "step-00000006.safetensors").write_bytes(whole[:100])
    notes: list[str] = []
    assert trained(run_in(tmp_path, save_every=4, resume=True, note=notes.append), state_of(7))
    assert notes[0].startswith("a newer checkpoint was skipped: error[E_CORRUPT]: ")
    assert notes[1:] == ["a small network"]
    assert (tmp_path / "checkpoints" / "step-00000006.safetensors").read_bytes() == whole
