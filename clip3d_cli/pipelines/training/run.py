"""One training in its folder, whatever is learned: begun or taken up, heard, and ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from clip3d_cli.labelling.label import Progress, silent
from clip3d_cli.pipelines.training.config import TrainingConfig
from clip3d_cli.training.distributed import World
from clip3d_cli.training.environment import versions_here
from clip3d_cli.training.loop import Loss, Step
from clip3d_cli.training.prefetch import Prefetched
from clip3d_cli.training.run_folder import RunFolder
from clip3d_cli.training.session import Session
from clip3d_cli.training.state import Trainee

WEIGHTS = "points.safetensors"


class Batch(Protocol):
    """What a network learns from in one turn."""

    def to(self, device: torch.device | str) -> Any:
        """The same batch on a device."""


def _nothing(*_: object) -> None:
    """Hear and forget."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """Who hears how a training goes.

    Attributes:
        progress: wraps what is looked at before and after the steps.
        note: told lines for people.
        on_step: told of every step.
        steps: told how many there are in all, and how many were done before.
    """

    progress: Progress = silent
    note: Callable[[str], None] = _nothing
    on_step: Callable[[Step], None] = _nothing
    steps: Callable[[int, int], None] = _nothing


@dataclass(frozen=True, slots=True)
class Ended:
    """How a training ended.

    Attributes:
        finished: whether all steps were done; False when a signal stopped it.
        steps: how many were done in all.
        folder: the run's.
        weights: the encoder of the averaged weights; None when stopped.
    """

    finished: bool
    steps: int
    folder: Path
    weights: Path | None


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """What one process knows of a run.

    Attributes:
        config: every option.
        path: the folder where all results go.
        free: dotted keys that may differ when it is resumed.
        resume: go on with the run that is there.
        world: this process among others.
        command_line: what the user typed, for the records.
        hearing: who hears how it goes.
    """

    config: TrainingConfig
    path: Path
    free: Sequence[str]
    resume: bool
    world: World
    command_line: Sequence[str]
    hearing: Hearing

    @property
    def folder(self) -> RunFolder:
        """Its files."""
        return RunFolder(self.path, self.config.run.keep_last)

    def require_same(self) -> None:
        """Refuse to resume what is not there, or was configured otherwise.

        Raises:
            InputError: E_NOT_FOUND, E_CONFIG or E_CORRUPT.
        """
        if self.resume:
            self.folder.require_same_config(self.config.tables(), resumable_keys=self.free)

    def begin(self) -> None:
        """Make the folder of a new run: all that can be refused has been.

        Raises:
            OutputError: another run is there, or it cannot be written.
        """
        if self.world.leads and not self.resume:
            self.folder.create(self.config.tables(), self._versions())

    def train(self, trainee: Trainee, batch_of: Callable[[int], Batch], told: str) -> bool:
        """Take the trainee up where it was left, and train it to the end or to a signal.

        Args:
            trainee: at its start.
            batch_of: the batch of any number.
            told: a line for people, of what it learns from.

        Returns:
            whether all steps are done.

        Raises:
            Clip3DError: no checkpoint can be read, or a step went wrong; the last checkpoint is
                there.
        """
        hearing = self.hearing
        session = Session(
            self.folder,
            self.config.run.save_every,
            self.world,
            on_step=lambda step, _: hearing.on_step(step),
        )
        if self.resume:
            self._take_up(session, trainee)
        hearing.note(told)
        hearing.steps(trainee.options.steps, trainee.done)
        batches = Prefetched(batch_of, self.config.run.workers)
        return session.run(trainee, batches, _loss_on(self.world.device))

    def _take_up(self, session: Session, trainee: Trainee) -> None:
        found = session.take_up(trainee)
        for refusal in found.passed_over if found else ():
            self.hearing.note(f"a checkpoint was passed over: {refusal}")
        if self.world.leads:
            self.folder.resume(
                self.config.tables(), self._versions(), trainee.done, resumable_keys=self.free
            )

    def _versions(self) -> dict[str, Any]:
        return versions_here(self.command_line, self.world.device)


def _loss_on(device: torch.device) -> Callable[[nn.Module, Batch, int], Loss]:
    def loss_of(network: nn.Module, batch: Batch, done: int) -> Loss:
        answer: tuple[Tensor, dict[str, Tensor]] = network(batch.to(device), done)
        return answer

    return loss_of
