"""One training in its run folder: started or resumed, recorded step by step, saved at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from clip3d_cli.labelling.label import Progress, silent
from clip3d_cli.pipelines.training.config import TrainingConfig
from clip3d_cli.training.batch_loader import BatchLoader
from clip3d_cli.training.distributed import World
from clip3d_cli.training.environment import environment_info
from clip3d_cli.training.loop import Loss, StepReport, train_steps
from clip3d_cli.training.run_folder import RunFolder
from clip3d_cli.training.signals import stop_on_signals
from clip3d_cli.training.state import TrainState

WEIGHTS = "points.safetensors"


class Batch(Protocol):
    """Input of a network in training."""

    def to(self, device: torch.device | str) -> Any:
        """Return the batch on a device."""


def _ignore(*_: object) -> None:
    """Do nothing: the default of a callback."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Callbacks:
    """Functions that a training calls to report how it goes; by default they do nothing.

    Attributes:
        progress: wraps the items of long loops before and after the steps.
        note: receives lines for people.
        on_start: receives the number of steps in all and the number done in earlier runs, before
            the first step.
        on_step: receives the report of every step, after it was recorded and saved.
    """

    progress: Progress = silent
    note: Callable[[str], None] = _ignore
    on_start: Callable[[int, int], None] = _ignore
    on_step: Callable[[StepReport], None] = _ignore


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """Result of a training.

    Attributes:
        finished: whether all steps were done; False when a signal stopped the training.
        steps: number of steps done, those of earlier runs included.
        folder: the run folder.
        weights: file with the trained encoder; None when the training was stopped.
    """

    finished: bool
    steps: int
    folder: Path
    weights: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRun:
    """A run of one process. Rank 0 writes the folder; all processes read checkpoints from it.

    Attributes:
        config: all options.
        path: the run folder.
        resumable_keys: dotted keys that may change when the run is resumed.
        resume: continue the run in the folder instead of starting a new one.
        world: this process among those that train together.
        command_line: what the user typed, for the records.
        callbacks: functions that are called with the progress of the training.
    """

    config: TrainingConfig
    path: Path
    resumable_keys: Sequence[str]
    resume: bool
    world: World
    command_line: Sequence[str]
    callbacks: Callbacks

    @property
    def folder(self) -> RunFolder:
        """Files of the run."""
        return RunFolder(self.path, self.config.run.keep_last)

    def require_resumable(self) -> None:
        """Raise an error if a run is to be resumed that does not exist or has another config.

        Raises:
            InputError: E_NOT_FOUND, E_CONFIG or E_CORRUPT.
        """
        if self.resume:
            self.folder.require_same_config(
                self.config.tables(), resumable_keys=self.resumable_keys
            )

    def create_folder(self) -> None:
        """Create the folder of a new run. Call it when nothing else can be rejected.

        Raises:
            OutputError: the folder holds another run, or cannot be written.
        """
        if self.world.is_rank_0 and not self.resume:
            self.folder.create(self.config.tables(), self._environment())

    def train(self, state: TrainState, batch_of: Callable[[int], Batch], summary: str) -> bool:
        """Train to the last step, or until a signal stops it; restore the state first if resumed.

        After every step its numbers are recorded. The state is saved every ``run.save_every``
        steps and when the training ends, so that it can be resumed.

        Args:
            state: network and optimiser at their start.
            batch_of: returns the batch of a number.
            summary: line for people about the data and the length of the training.

        Returns:
            Whether all steps are done.

        Raises:
            Clip3DError: no checkpoint can be read, or a step failed; checkpoints are kept.
        """
        if self.resume:
            self._restore(state)
        self.callbacks.note(summary)
        self.callbacks.on_start(state.options.steps, state.steps_done)
        batches = BatchLoader(batch_of, self.config.run.workers)
        loss_of = _loss_on(self.world.device)
        with stop_on_signals() as stop:
            for report in train_steps(state, batches, loss_of, world=self.world, stop=stop):
                if self.world.is_rank_0:
                    self.folder.record(_metrics(report))
                    if self._is_save_due(state):
                        self.folder.checkpoints.save(state.snapshot())
                self.callbacks.on_step(report)
            # The signals are held back until the state is saved.
            if self.world.is_rank_0 and not self._is_save_due(state):
                self.folder.checkpoints.save(state.snapshot())
        return state.is_finished

    def _restore(self, state: TrainState) -> None:
        """Restore the newest checkpoint, if there is one, and cut the metrics off behind it."""
        checkpoint = self.folder.checkpoints.load_latest()
        if checkpoint is not None:
            state.restore(checkpoint.snapshot)
            for error in checkpoint.unreadable:
                self.callbacks.note(f"a newer checkpoint was skipped: {error}")
        if self.world.is_rank_0:
            self.folder.resume(
                self.config.tables(),
                self._environment(),
                state.steps_done,
                resumable_keys=self.resumable_keys,
            )

    def _is_save_due(self, state: TrainState) -> bool:
        return state.steps_done % self.config.run.save_every == 0

    def _environment(self) -> dict[str, Any]:
        return environment_info(self.command_line, self.world.device)


def _metrics(report: StepReport) -> dict[str, float]:
    return {
        "step": report.number,
        "loss": report.loss,
        **report.parts,
        "learning_rate": report.learning_rate,
        "gradient_norm": report.gradient_norm,
        "seconds": round(report.seconds, 3),
    }


def _loss_on(device: torch.device) -> Callable[[nn.Module, Batch, int], Loss]:
    """Return the loss function of networks that compute their own loss, on a device."""

    def loss_of(network: nn.Module, batch: Batch, steps_done: int) -> Loss:
        loss: tuple[Tensor, dict[str, Tensor]] = network(batch.to(device), steps_done)
        return loss

    return loss_of
