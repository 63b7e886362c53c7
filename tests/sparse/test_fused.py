from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from sparse_cells import random_cells
from torch import Tensor

from clip3d_cli.sparse.backend import Backend, Epilogue
from clip3d_cli.sparse.layers import BatchNorm
from clip3d_cli.sparse.plan import Plan

Convolve = Callable[[Plan, Tensor | tuple[Tensor, ...], Tensor, Epilogue | None], Tensor]


def submanifold(
    plan: Plan, feats: Tensor | tuple[Tensor, ...], weight: Tensor, epilogue: Epilogue | None
) -> Tensor:
    return plan.convolve(feats, weight, 1, epilogue)


def down(
    plan: Plan, feats: Tensor | tuple[Tensor, ...], weight: Tensor, epilogue: Epilogue | None
) -> Tensor:
    return plan.convolve_down(feats, weight, 1, epilogue)


def up(
    plan: Plan, feats: Tensor | tuple[Tensor, ...], weight: Tensor, epilogue: Epilogue | None
) -> Tensor:
    return plan.convolve_up(feats, weight, 2, epilogue)


KINDS: list[tuple[Convolve, int, int]] = [
    (submanifold, 27, 1),
    (submanifold, 1, 1),
    (down, 8, 1),
    (up, 8, 2),
]


@pytest.mark.parametrize(("convolve", "offsets", "stride"), KINDS)
@pytest.mark.parametrize("parts", ["none", "scale", "residual", "relu", "all"])
def test_an_epilogue_is_what_it_says(
    backend: Backend, device: str, convolve: Convolve, offsets: int, stride: int, parts: str
) -> None:
    torch.manual_seed(0)
    plan = Plan(random_cells(500).to(device), backend)
    feats = torch.randn(len(plan.level(stride)), 9, device=device)
    weight = torch.randn(offsets, 9, 13, device=device) / 9
    with torch.no_grad():
        plain = convolve(plan, feats, weight, None)
        given = {
            "scale": torch.rand(13, device=device) + 0.5,
            "shift": torch.randn(13, device=device),
            "residual": torch.randn_like(plain),
        }
        wanted_parts = {"scale": ("scale", "shift"), "residual": ("residual",), "all": tuple(given)}
        used = {name: given[name] for name in wanted_parts.get(parts, ())}
        epilogue = Epilogue(**used, relu=parts in ("relu", "all"))
        untouched = [each.clone() for each in given.values()]
        found = convolve(plan, feats, weight, epilogue)
    wanted = plain * used.get("scale", 1) + used.get("shift", 0) + used.get("residual", 0)
    if epilogue.relu:
        wanted = wanted.relu()
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    assert all(map(torch.equal, given.values(), untouched))


@pytest.mark.parametrize(("convolve", "offsets", "stride"), KINDS)
def test_features_side_by_side_are_features_joined(
    backend: Backend, device: str, convolve: Convolve, offsets: int, stride: int
) -> None:
    torch.manual_seed(0)
    plan = Plan(random_cells(400).to(device), backend)
    rows = len(plan.level(stride))
    parts = tuple(
        torch.randn(rows, channels, device=device, requires_grad=True) for channels in (5, 1, 12)
    )
    weight = torch.randn(offsets, 18, 7, device=device, requires_grad=True)
    answers = []
    for feats in (parts, torch.cat(parts, dim=1)):
        found = convolve(plan, feats, weight, None)
        answers.append((found, *torch.autograd.grad(found.square().sum(), (*parts, weight))))
    for split, joined in zip(*answers, strict=True):
        torch.testing.assert_close(split, joined, rtol=1e-4, atol=1e-3)
    with torch.no_grad():
        epilogue = Epilogue(shift=torch.full((7,), 0.5, device=device), relu=True)
        fused = convolve(plan, parts, weight, epilogue)
    torch.testing.assert_close(fused, (answers[0][0] + 0.5).relu(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("rows", [2, 700])
def test_normalising_is_batch_norm_and_all_its_gradients(
    backend: Backend, device: str, residual: bool, relu: bool, rows: int
) -> None:
    torch.manual_seed(rows)
    ours = BatchNorm(11).to(device)
    torch.nn.init.uniform_(ours.weight, 0.5, 2.0)
    torch.nn.init.normal_(ours.bias)
    theirs = copy.deepcopy(ours)
    feats = (3 * torch.randn(rows, 11, device=device) + 20).requires_grad_()
    beside = torch.randn(rows, 11, device=device, requires_grad=True)
    upper = torch.randn(rows, 11, device=device)
    found = backend.batch_norm(feats, ours, residual=beside if residual else None, relu=relu)
    wanted = torch.nn.BatchNorm1d.forward(theirs, feats)
    wanted = wanted + beside if residual else wanted
    wanted = F.relu(wanted) if relu else wanted
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    assert int(ours.num_batches_tracked) == 1
    for name, buffer in theirs.named_buffers():
        torch.testing.assert_close(ours.get_buffer(name), buffer, rtol=1e-4, atol=1e-4)
    inputs = [feats, *([beside] if residual else [])]
    mine = torch.autograd.grad(found, [*inputs, ours.weight, ours.bias], upper)
    other = torch.autograd.grad(wanted, [*inputs, theirs.weight, theirs.bias], upper)
    for one, two in zip(mine, other, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_answers_have_the_dtype_of_the_features(
    backend: Backend, device: str, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    plan = Plan(random_cells(300).to(device), backend)
    feats = torch.randn(300, 16, device=device, requires_grad=True)
    weight = (torch.randn(27, 16, 16, device=device) / 12).requires_grad_()
    exact = plan.convolve(feats, weight, 1)
    rough = plan.convolve(feats.to(dtype), weight, 1)
    assert rough.dtype == dtype
    assert (rough.float() - exact).norm() < 0.02 * exact.norm()
    for mine, theirs in zip(
        torch.autograd.grad(rough.float().square().sum(), (feats, weight)),
        torch.autograd.grad(exact.square().sum(), (feats, weight)),
        strict=True,
    ):
        assert mine.dtype == torch.float32
        assert (mine - theirs).norm() < 0.03 * theirs.norm()


def test_a_spare_residual_changes_no_answer(backend: Backend, device: str) -> None:
    torch.manual_seed(0)
    plan = Plan(random_cells(400).to(device), backend)
    parts = tuple(torch.randn(400, channels, device=device) for channels in (5, 12))
    weight, residual = torch.randn(27, 17, 6, device=device), torch.randn(400, 6, device=device)
    with torch.no_grad():
        for feats in (parts, torch.cat(parts, dim=1)):
            kept = plan.convolve(feats, weight, 1, Epilogue(residual=residual))
            spent = Epilogue(residual=residual.clone(), overwrite_residual=True)
            assert torch.equal(plan.convolve(feats, weight, 1, spent), kept)


def test_an_epilogue_is_refused_where_gradients_are_asked(backend: Backend, device: str) -> None:
    plan = Plan(random_cells(40).to(device), backend)
    feats = torch.randn(40, 4, device=device)
    weight = torch.randn(27, 4, 4, device=device, requires_grad=True)
    with pytest.raises(ValueError, match="an epilogue has no gradients"):
        plan.convolve(feats, weight, 1, Epilogue(relu=True))
