"""A network of a few weights in training, its batches and its loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from clip3d_cli.training.distributed import SINGLE_PROCESS, World
from clip3d_cli.training.loop import Loss, StepReport, train_steps
from clip3d_cli.training.signals import StopRequest
from clip3d_cli.training.state import LoopOptions, Snapshot, TrainState

ADAM = LoopOptions(6, 0.05, warmup_steps=2, average_decay=0.9)


class Small(nn.Module):
    """Everything that makes resuming hard: running statistics, dropout, an unused weight."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.linear = nn.Linear(3, 2)
        self.drop = nn.Dropout(0.5)
        self.unused = nn.Parameter(torch.ones(2))

    def forward(self, feats: torch.Tensor) -> torch.Tensor:
        return self.drop(self.linear(self.norm(feats)))


def batch_of(number: int) -> torch.Tensor:
    return torch.randn(16, 3, generator=torch.Generator().manual_seed(number)) + 1


def loss_of(network: nn.Module, batch: torch.Tensor, _: int = 0) -> Loss:
    return (network(batch) - batch[:, :2]).square().mean(), {}


def state_of(options: LoopOptions, seed: int = 1) -> TrainState:
    torch.manual_seed(seed)
    return TrainState(Small(), options)


def ignore(*_: object) -> None:
    """Do nothing with a report."""


def train(
    state: TrainState,
    batches: Callable[[range], Iterable[Any]],
    loss_of: Callable[[nn.Module, Any, int], Loss],
    on_step: Callable[[StepReport], object] = ignore,
    *,
    world: World = SINGLE_PROCESS,
    stop: StopRequest | None = None,
) -> bool:
    """Train, call a function after every step, and return whether all steps were done."""
    for report in train_steps(state, batches, loss_of, world=world, stop=stop):
        on_step(report)
    return state.is_finished


def same(one: Snapshot, two: Snapshot) -> bool:
    """Return whether two snapshots are equal to the bit."""
    return (
        one.scalars == two.scalars
        and set(one.tensors) == set(two.tensors)
        and all(torch.equal(one.tensors[name], two.tensors[name]) for name in one.tensors)
    )
