from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from clip3d_cli.sparse.layers import BatchNorm, DownConv3d, ResidualBlock, UpConv3d
from clip3d_cli.sparse.plan import Plan


@pytest.fixture
def plan() -> Plan:
    cells = torch.randint(-5, 5, (300, 3), generator=torch.Generator().manual_seed(0))
    return Plan(F.pad(cells.unique(dim=0), (1, 0)).int())


@pytest.fixture
def norm() -> BatchNorm:
    made = BatchNorm(6)
    for values in (made.weight, made.bias, made.running_mean, made.running_var):
        torch.nn.init.uniform_(values, 0.5, 2.0)
    return made


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
def test_norm_of_too_few_rows_uses_what_it_knows(norm: BatchNorm, rows: int) -> None:
    feats = torch.randn(rows, 6)
    before = norm.running_mean.clone()
    found = norm.train()(feats)
    assert torch.equal(norm.running_mean, before)
    torch.testing.assert_close(found, norm.eval()(feats))


def test_a_block_keeps_rows_and_changes_channels(plan: Plan) -> None:
    feats = torch.randn(len(plan), 8)
    same, wider = ResidualBlock(8, 8), ResidualBlock(8, 12)
    assert isinstance(same.shortcut, torch.nn.Identity)
    assert same(feats, plan, 1).shape == (len(plan), 8)
    assert wider(feats, plan, 1).shape == (len(plan), 12)


def test_a_block_leaves_its_input_alone(plan: Plan) -> None:
    feats = torch.randn(len(plan), 8)
    before = feats.clone()
    block = ResidualBlock(8, 8).eval()
    with torch.no_grad():
        block(feats, plan, 1)
    assert torch.equal(feats, before)


def test_up_undoes_the_shape_of_down(plan: Plan) -> None:
    feats = torch.randn(len(plan), 3)
    down = DownConv3d(3, 5)(feats, plan, 1)
    assert down.shape == (len(plan.level(2)), 5)
    assert UpConv3d(5, 2)(down, plan, 2).shape == (len(plan), 2)
