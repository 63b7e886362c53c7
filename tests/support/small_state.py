"""A trainee of a few weights, its batches and its loss."""

from __future__ import annotations

import torch
from torch import nn

from clip3d_cli.training.loop import Loss
from clip3d_cli.training.state import LoopOptions, Snapshot, Trainee

ADAM = LoopOptions(6, 0.05, warmup_steps=2, average_decay=0.9)


class Small(nn.Module):
    """Everything that makes resuming hard: running statistics, drop-out, an unused weight."""

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


def trainee_of(options: LoopOptions, seed: int = 1) -> Trainee:
    torch.manual_seed(seed)
    return Trainee(Small(), options)


def same(one: Snapshot, two: Snapshot) -> bool:
    """Whether two snapshots are equal to the bit."""
    return (
        one.scalars == two.scalars
        and set(one.tensors) == set(two.tensors)
        and all(torch.equal(one.tensors[name], two.tensors[name]) for name in one.tensors)
    )
