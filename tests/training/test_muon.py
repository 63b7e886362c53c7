"""Muon: orthogonalized updates of kernels, and AdamW for all else."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from clip3d_cli.training.muon import Muon, orthogonalized
from clip3d_cli.training.state import LoopOptions, TrainState


@pytest.mark.parametrize("shape", [(8, 8), (40, 12), (12, 40)])
def test_singular_values_become_about_one_and_vectors_stay(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    # Singular values from 0.2 to 1.
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    matrix = left @ torch.diag(torch.linspace(1, 0.2, min(shape))) @ right
    values = left.T @ orthogonalized(matrix) @ right.T
    assert ((values.diag() > 0.6) & (values.diag() < 1.3)).all()
    assert (values - torch.diag(values.diag())).abs().max() < 1e-3


def test_other_parameters_are_updated_as_by_adamw() -> None:
    ours, theirs = nn.Linear(5, 3), nn.Linear(5, 3)
    theirs.load_state_dict(ours.state_dict())
    groups = [{"params": list(ours.parameters())}]
    optimizers = [
        Muon(groups, lr=0.01, weight_decay=0.1),
        torch.optim.AdamW(theirs.parameters(), lr=0.01, weight_decay=0.1, betas=(0.9, 0.98)),
    ]
    for seed in range(5):
        batch = torch.randn(4, 5, generator=torch.Generator().manual_seed(seed))
        for network, optimizer in zip((ours, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            network(batch).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(ours.weight, theirs.weight)
    torch.testing.assert_close(ours.bias, theirs.bias)


class Kernels(nn.Module):
    """A convolution's kernel, one of a stem with two channels, and a bias."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.kernel = nn.Parameter(torch.randn(27, 8, 16))
        self.stem = nn.Parameter(torch.randn(27, 2, 8))
        self.bias = nn.Parameter(torch.randn(16))


def test_kernels_are_orthogonalized_and_stems_are_not() -> None:
    network = Kernels()
    state = TrainState(network, LoopOptions(10, 0.01, optimizer="muon", weight_decay=0))
    (orthogonal,) = [g for g in state.optimizer.param_groups if g["orthogonal"]]
    assert [id(p) for p in orthogonal["params"]] == [id(network.kernel)]
    before = network.kernel.detach().clone()
    for parameter in network.parameters():
        parameter.grad = torch.randn(parameter.shape)
    for group in state.optimizer.param_groups:
        group["lr"] = 0.01
    state.optimizer.step()
    change = (before - network.kernel.detach()).reshape(27 * 8, 16)
    # All directions change alike, and as much as by Adam: RMS about 0.2 of the rate.
    values = torch.linalg.svdvals(change)
    assert values.max() / values.min() < 2
    assert change.square().mean().sqrt().item() == pytest.approx(0.01 * 0.2, rel=0.3)
