from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from sparse_cells import random_cells
from torch import Tensor

from clip3d_cli.sparse.backend import Backend
from clip3d_cli.sparse.layers import (
    BatchNorm,
    DownConv3d,
    ResidualBlock,
    SubmanifoldConv3d,
    UpConv3d,
    conv_norm_relu,
)
from clip3d_cli.sparse.plan import Plan

MODES = ["training", "evaluation with gradients", "inference"]


@pytest.fixture
def plan() -> Plan:
    cells = torch.randint(-5, 5, (300, 3), generator=torch.Generator().manual_seed(0))
    return Plan(F.pad(cells.unique(dim=0), (1, 0)).int())


@pytest.fixture
def norm() -> BatchNorm:
    return drawn(BatchNorm(6))


def drawn(norm: BatchNorm) -> BatchNorm:
    """A normalization whose parameters and running statistics change the features."""
    for values in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        torch.nn.init.uniform_(values, 0.5, 2.0)
    return norm


def normalized(norm: BatchNorm, feats: Tensor) -> Tensor:
    """The definition of batch normalization, by the batch's or by the running statistics."""
    mean, variance = norm.running_mean, norm.running_var
    if norm.training:
        mean, variance = feats.mean(dim=0), feats.var(dim=0, unbiased=False)
    return (feats - mean) / (variance + norm.eps).sqrt() * norm.weight + norm.bias


def test_norm_is_batch_norm(norm: BatchNorm) -> None:
    feats = torch.randn(50, 6)
    norm.eval()
    wanted = torch.nn.BatchNorm1d.forward(norm, feats)
    torch.testing.assert_close(norm(feats), wanted)
    with torch.no_grad():
        torch.testing.assert_close(norm(feats.clone()), wanted)
    norm.train()
    found = norm(feats).mean(dim=0)
    torch.testing.assert_close(found, norm.bias, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("rows", [0, 1])
def test_norm_of_too_few_rows_uses_the_running_statistics(norm: BatchNorm, rows: int) -> None:
    feats = torch.randn(rows, 6)
    before = norm.running_mean.clone()
    found = norm.train()(feats)
    assert torch.equal(norm.running_mean, before)
    torch.testing.assert_close(found, norm.eval()(feats))


@pytest.mark.parametrize("variance", [1e-6, 0.0, 3.0])
def test_a_folded_norm_is_the_norm(norm: BatchNorm, variance: float) -> None:
    norm.eval()
    with torch.no_grad():
        norm.get_buffer("running_var").fill_(variance)
        feats = torch.randn(50, 6) + norm.running_mean
        scale, shift = norm.folded()
        torch.testing.assert_close(feats * scale + shift, norm(feats), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("has_residual", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_convolution_norm_residual_and_relu_follow_each_other(
    backend: Backend, device: str, norm: BatchNorm, mode: str, has_residual: bool, relu: bool
) -> None:
    torch.manual_seed(0)
    plan = Plan(random_cells(300).to(device), backend)
    conv, norm = SubmanifoldConv3d(4, 6).to(device), norm.to(device)
    norm.train(mode == "training")
    feats = torch.randn(300, 4, device=device)
    residual = torch.randn(300, 6, device=device) if has_residual else None
    with torch.no_grad():
        wanted = normalized(norm, conv(feats, plan, 1)) + (0 if residual is None else residual)
        wanted = wanted.relu() if relu else wanted
    with torch.set_grad_enabled(mode != "inference"):
        found = conv_norm_relu(
            partial(conv, feats, plan, 1), norm, plan, residual=residual, relu=relu
        )
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    assert found.requires_grad == (mode != "inference")


@pytest.mark.parametrize("channels_out", [4, 7], ids=["identity", "linear shortcut"])
@pytest.mark.parametrize("mode", MODES)
def test_a_residual_block_is_two_convolutions_and_a_shortcut(
    backend: Backend, device: str, mode: str, channels_out: int
) -> None:
    torch.manual_seed(0)
    plan = Plan(random_cells(300).to(device), backend)
    block = ResidualBlock(4, channels_out).to(device).train(mode == "training")
    for module in block.modules():
        if isinstance(module, BatchNorm):
            drawn(module)
    feats = torch.randn(300, 4, device=device)
    with torch.no_grad():
        inner = normalized(block.norm1, block.conv1(feats, plan, 1)).relu()
        shortcut = feats
        if channels_out != 4:
            linear, norm = block.shortcut
            shortcut = normalized(norm, linear(feats))
        wanted = (normalized(block.norm2, block.conv2(inner, plan, 1)) + shortcut).relu()
    assert (shortcut < 0).any()
    with torch.set_grad_enabled(mode != "inference"):
        torch.testing.assert_close(block(feats, plan, 1), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_block_overwrites_its_input_only_if_it_may(
    backend: Backend, device: str, overwrite: bool
) -> None:
    torch.manual_seed(0)
    plan = Plan(random_cells(300).to(device), backend)
    block = ResidualBlock(8, 8).to(device).eval()
    feats = torch.randn(300, 8, device=device)
    before = feats.clone()
    with torch.no_grad():
        wanted = block(feats, plan, 1)
        assert torch.equal(feats, before)
        found = block(feats, plan, 1, overwrite_input=overwrite)
    assert torch.equal(found, wanted)
    assert torch.equal(feats, before) or overwrite


def test_a_block_keeps_rows_and_changes_channels(plan: Plan) -> None:
    feats = torch.randn(len(plan), 8)
    same, wider = ResidualBlock(8, 8), ResidualBlock(8, 12)
    assert isinstance(same.shortcut, torch.nn.Identity)
    assert same(feats, plan, 1).shape == (len(plan), 8)
    assert wider(feats, plan, 1).shape == (len(plan), 12)


def test_up_undoes_the_shape_of_down(plan: Plan) -> None:
    feats = torch.randn(len(plan), 3)
    down = DownConv3d(3, 5)(feats, plan, 1)
    assert down.shape == (len(plan.level(2)), 5)
    assert UpConv3d(5, 2)(down, plan, 2).shape == (len(plan), 2)
