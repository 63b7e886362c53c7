from __future__ import annotations

import copy

import pytest
import torch
from sparse_cells import random_cells
from torch import Tensor, nn

from clip3d_cli.errors import InputError
from clip3d_cli.native import library as native
from clip3d_cli.sparse.backend import Epilogue
from clip3d_cli.sparse.backends.native.backend import NativeBackend
from clip3d_cli.sparse.backends.torch.backend import TorchBackend
from clip3d_cli.sparse.key_layout import HIGHEST_CELL, LOWEST_CELL
from clip3d_cli.sparse.plan import Plan

pytestmark = pytest.mark.skipif(
    native.engine_status().fault is not None,
    reason=f"native engine: {native.engine_status().fault}",
)


def plan_of(cells: Tensor | list[list[int]]) -> Plan:
    return Plan(torch.as_tensor(cells, dtype=torch.int32).reshape(-1, 4), NativeBackend())


@pytest.mark.parametrize(
    "cells",
    [
        [],
        [[0, 1, 2, 3]],
        [[2, 1, 2, 3], [2, 1, 2, 4], [7, 1, 2, 5]],
        [[0, x, y, z] for x in (LOWEST_CELL, HIGHEST_CELL) for y in (0, 1) for z in (-1, 0)],
    ],
    ids=["empty", "one voxel", "empty clouds between", "at the edge"],
)
def test_few_cells_convolve_as_in_torch(cells: list[list[int]]) -> None:
    torch.manual_seed(0)
    shapes = ((125, 3, 4), (8, 4, 5), (1, 5, 5), (8, 5, 6), (27, 10, 2))
    weights = [torch.randn(s, requires_grad=True) for s in shapes]
    feats = torch.randn(len(cells), 3, requires_grad=True)
    answers = []
    for backend in (NativeBackend(), TorchBackend()):
        plan = Plan(torch.tensor(cells, dtype=torch.int32).reshape(-1, 4), backend)
        fine = plan.convolve(feats, weights[0], 1)
        coarse = plan.convolve(plan.convolve_down(fine, weights[1], 1), weights[2], 2)
        found = plan.convolve((plan.convolve_up(coarse, weights[3], 2), fine), weights[4], 1)
        grads = torch.autograd.grad(found.square().sum(), (feats, *weights))
        answers.append((found, *grads))
    for mine, theirs in zip(*answers, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-2)


def test_cells_that_are_none_are_refused() -> None:
    with pytest.raises(InputError, match="voxels along x"):
        plan_of([[0, HIGHEST_CELL + 1, 0, 0]])
    with pytest.raises(ValueError, match="a cell occurs more than once"):
        plan_of([[0, 1, 1, 1], [0, 1, 1, 1]])


@pytest.mark.parametrize(
    ("feats", "weight", "fault"),
    [
        (torch.zeros(9, 3), torch.zeros(27, 3, 2), "feats have 9 rows, the kernel map has 20"),
        (torch.zeros(20, 3), torch.zeros(27, 4, 2), r"shape \(27, 4, 2\) does not fit"),
        (
            (torch.zeros(20, 3), torch.zeros(19, 1)),
            torch.zeros(27, 4, 2),
            "feats have 19 rows, the kernel map has 20",
        ),
        (
            torch.zeros(20, 3).long(),
            torch.zeros(27, 3, 2),
            r"feats must be floating point, not torch\.i",
        ),
        (
            torch.zeros(20, 3),
            torch.zeros(27, 3, 2).int(),
            r"weights must be floating point, not torch\.i",
        ),
        (torch.zeros(20, 3, device="meta"), torch.zeros(27, 3, 2), "on the CPU, feats are on meta"),
        (torch.zeros(20, 3), torch.zeros(27, 3, 2, device="meta"), "CPU, weights are on meta"),
        (
            torch.zeros(20, 0),
            torch.zeros(27, 0, 2),
            "rejected its arguments while packing a weight",
        ),
    ],
)
def test_features_and_weights_that_do_not_fit_are_refused(
    feats: Tensor | tuple[Tensor, ...], weight: Tensor, fault: str
) -> None:
    with pytest.raises(ValueError, match=fault):
        plan_of(random_cells(20)).convolve(feats, weight, 1)


@pytest.mark.parametrize(
    ("epilogue", "fault"),
    [
        (Epilogue(scale=torch.ones(3)), r"numbers must have shape \(2,\), not \(3,\)"),
        (Epilogue(shift=torch.ones(1)), r"numbers must have shape \(2,\), not \(1,\)"),
        (Epilogue(residual=torch.ones(19, 2)), r"rows must have shape \(20, 2\), not \(19, 2\)"),
        (Epilogue(shift=torch.ones(2, device="meta")), "numbers are on meta"),
        (Epilogue(residual=torch.ones(20, 2).int()), "residual's rows must be floating point"),
    ],
)
def test_epilogues_that_do_not_fit_are_refused(epilogue: Epilogue, fault: str) -> None:
    with pytest.raises(ValueError, match=fault), torch.no_grad():
        plan_of(random_cells(20)).convolve(torch.zeros(20, 3), torch.zeros(27, 3, 2), 1, epilogue)


def test_an_epilogue_that_would_lose_gradients_is_refused() -> None:
    weight = torch.zeros(27, 3, 2, requires_grad=True)
    with pytest.raises(ValueError, match="an epilogue has no gradient"):
        plan_of(random_cells(20)).convolve(torch.zeros(20, 3), weight, 1, Epilogue(relu=True))


def test_residuals_of_any_strides_and_floats_are_added() -> None:
    torch.manual_seed(0)
    plan, feats, weight = plan_of(random_cells(200)), torch.randn(200, 3), torch.randn(27, 3, 5)
    residual = torch.randn(200, 5)
    with torch.no_grad():
        wanted = plan.convolve(feats, weight, 1, Epilogue(residual=residual))
        for other in (residual.T.contiguous().T, residual.double()):
            found = plan.convolve(feats, weight, 1, Epilogue(residual=other))
            assert torch.equal(found, wanted)
        assert torch.isnan(
            plan.convolve(feats, weight, 1, Epilogue(scale=torch.full((5,), torch.nan), relu=True))
        ).all()


@pytest.mark.parametrize("rows", [0, 1])
def test_too_few_rows_to_normalise_are_refused(rows: int) -> None:
    with pytest.raises(ValueError, match=f"at least two rows, not {rows}"):
        NativeBackend().batch_norm(
            torch.zeros(rows, 4), nn.BatchNorm1d(4), residual=None, relu=True
        )


@pytest.mark.parametrize(
    ("feats", "residual", "fault"),
    [
        (torch.zeros(9, 3), None, r"shape \(9, 3\) do not fit 4 channels"),
        (torch.zeros(9, 4, device="meta"), None, "feats are on meta"),
        (torch.zeros(9, 4).int(), None, "feats must be floating"),
        (torch.zeros(9, 4), torch.zeros(9, 1), r"residuals of shape \(9, 1\) do not fit"),
        (torch.zeros(9, 4), torch.zeros(9, 4, device="meta"), "residuals are on meta"),
    ],
)
def test_rows_that_cannot_be_normalised_are_refused(
    feats: Tensor, residual: Tensor | None, fault: str
) -> None:
    with pytest.raises(ValueError, match=fault):
        NativeBackend().batch_norm(feats, nn.BatchNorm1d(4), residual=residual, relu=True)


@pytest.mark.parametrize("channels", [1, 7, 96, 513])
@pytest.mark.parametrize(
    ("momentum", "affine", "tracking"), [(0.1, True, True), (None, False, True), (0.3, True, False)]
)
def test_normalising_follows_pytorch(
    channels: int, momentum: float | None, affine: bool, tracking: bool
) -> None:
    torch.manual_seed(0)
    ours = nn.BatchNorm1d(channels, momentum=momentum, affine=affine, track_running_stats=tracking)
    # In float32 PyTorch itself is off by a thousandth on columns so far from 0.
    theirs = copy.deepcopy(ours).double()
    for _ in range(3):
        feats = torch.randn(3000, channels) * 3 + torch.linspace(-1000, 1000, channels)
        feats.requires_grad_()
        found = NativeBackend().batch_norm(feats, ours, residual=None, relu=False)
        wanted = theirs(feats.double())
        torch.testing.assert_close(found, wanted.float(), rtol=1e-3, atol=1e-3)
        pull = torch.randn_like(found)
        (mine,) = torch.autograd.grad(found, feats, pull)
        (other,) = torch.autograd.grad(wanted, feats, pull.double())
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-3)
    for name, buffer in theirs.named_buffers():
        mine = ours.get_buffer(name)
        torch.testing.assert_close(mine, buffer.to(mine.dtype), rtol=1e-4, atol=1e-4)


def test_far_columns_keep_their_variance() -> None:
    torch.manual_seed(0)
    feats = torch.randn(50_000, 4) + torch.tensor([0.0, 1e3, -1e4, 1e6])
    feats[0] += 500
    norm = nn.BatchNorm1d(4, momentum=1.0)
    NativeBackend().batch_norm(feats, norm, residual=None, relu=False)
    exact = feats.double()
    torch.testing.assert_close(norm.running_mean, exact.mean(0).float(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(norm.running_var, exact.var(0).float(), rtol=1e-5, atol=0)


def test_nan_is_not_hidden_by_the_relu() -> None:
    feats = torch.randn(300, 6)
    feats[7, 2] = torch.nan
    found = NativeBackend().batch_norm(feats, nn.BatchNorm1d(6), residual=None, relu=True)
    assert found[:, 2].isnan().all()
    assert not found[:, [0, 1, 3, 4, 5]].isnan().any()


def test_normalising_reads_rows_of_any_strides() -> None:
    torch.manual_seed(0)
    feats = torch.randn(300, 6)
    wanted = NativeBackend().batch_norm(feats, nn.BatchNorm1d(6), residual=feats, relu=True)
    wide = torch.zeros(300, 10)
    wide[:, 2:8] = feats
    for other in (wide[:, 2:8], feats.T.contiguous().T):
        found = NativeBackend().batch_norm(other, nn.BatchNorm1d(6), residual=other, relu=True)
        assert torch.equal(found, wanted)
