"""A training in its folder: taken up where it was left, recorded, and saved when it stops."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from torch import nn

from clip3d_cli.training.checkpoints import Found
from clip3d_cli.training.distributed import ALONE, World
from clip3d_cli.training.loop import Loss, Step, train
from clip3d_cli.training.run_folder import RunFolder
from clip3d_cli.training.signals import stop_on_signals
from clip3d_cli.training.state import Trainee

Batch = TypeVar("Batch")


def hear_nothing(_: Step, __: Trainee) -> None:
    """Let a step pass."""


@dataclass(frozen=True, slots=True)
class Session:
    """How one process trains in a folder; the first of several writes for all.

    Attributes:
        folder: begun or resumed before.
        save_every: a checkpoint after so many steps, and one whenever training stops.
        world: this process among others, which all see the same folder.
        on_step: told of every step in every process, after it was recorded and perhaps saved.
    """

    folder: RunFolder
    save_every: int = 500
    world: World = ALONE
    on_step: Callable[[Step, Trainee], None] = hear_nothing

    def take_up(self, trainee: Trainee) -> Found | None:
        """Let a trainee be what the newest checkpoint holds; None where there is none yet.

        Raises:
            InputError: E_CORRUPT: no checkpoint can be read.
            SetupError: E_CONFIG: it is of another network or of other options.
        """
        found = self.folder.checkpoints.latest()
        if found is not None:
            trainee.load(found.snapshot)
        return found

    def run(
        self,
        trainee: Trainee,
        batches: Callable[[range], Iterable[Batch]],
        loss_of: Callable[[nn.Module, Batch, int], Loss],
    ) -> bool:
        """Train until all steps are done, or a signal asks to stop: see `train`.

        Returns:
            whether all steps are done; either way the last is saved.

        Raises:
            Clip3DError: E_BAD_VALUE, a step went wrong; E_NO_SPACE or E_NOT_WRITABLE. The last
                checkpoint is there.
        """
        with stop_on_signals() as stop:
            finished = train(
                trainee, batches, loss_of, self._after_step, world=self.world, stop=stop
            )
            if self.world.leads and not self._saves(trainee):
                self.folder.checkpoints.save(trainee.snapshot())
        return finished

    def _after_step(self, step: Step, trainee: Trainee) -> None:
        if self.world.leads:
            self.folder.record(
                {
                    "step": step.number,
                    "loss": step.loss,
                    **step.parts,
                    "learning_rate": step.learning_rate,
                    "gradient_norm": step.gradient_norm,
                    "seconds": round(step.seconds, 3),
                }
            )
            if self._saves(trainee):
                self.folder.checkpoints.save(trainee.snapshot())
        self.on_step(step, trainee)

    def _saves(self, trainee: Trainee) -> bool:
        return trainee.done % self.save_every == 0
