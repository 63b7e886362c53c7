from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from sparse_cells import EDGE, random_cells
from torch import Tensor

from clip3d_cli.sparse.backend import Backend, Epilogue
from clip3d_cli.sparse.plan import Plan


def to_dense(cells: Tensor, feats: Tensor, edge: int = EDGE) -> Tensor:
    """(B, C, X, Y, Z), zero where no cell is."""
    batch, x, y, z = (cells - cells.new_tensor([0, -4, -6, -2])).long().unbind(1)
    dense = feats.new_zeros(2, edge, edge, edge, feats.shape[1])
    dense = dense.index_put((batch, x, y, z), feats)
    return dense.permute(0, 4, 1, 2, 3)


def from_dense(cells: Tensor, dense: Tensor) -> Tensor:
    batch, x, y, z = (cells - cells.new_tensor([0, -4, -6, -2])).long().unbind(1)
    return dense.permute(0, 2, 3, 4, 1)[batch, x, y, z]


def dense_weight(weight: Tensor, size: int) -> Tensor:
    """(K³, Cin, Cout), x slowest → conv3d's (Cout, Cin, X, Y, Z)."""
    return weight.view(size, size, size, *weight.shape[1:]).permute(4, 3, 0, 1, 2)


def coarse(cells: Tensor) -> Tensor:
    """The cells twice as wide, shifted so that `to_dense` finds their low corner."""
    wide = torch.cat((cells[:, :1], cells[:, 1:] // 2), dim=1).unique(dim=0)
    return wide + wide.new_tensor([0, -2, -3, -1])


def submanifold(plan: Plan, cells: Tensor, feats: Tensor, weight: Tensor, size: int) -> Tensor:
    del cells, size
    return plan.convolve(feats, weight, 1)


def submanifold_dense(
    plan: Plan, cells: Tensor, feats: Tensor, weight: Tensor, size: int
) -> Tensor:
    del plan
    full = F.conv3d(to_dense(cells, feats), dense_weight(weight, size), padding=size // 2)
    return from_dense(cells, full)


def down(plan: Plan, cells: Tensor, feats: Tensor, weight: Tensor, size: int) -> Tensor:
    del cells, size
    return plan.convolve_down(feats, weight, 1)


def down_dense(plan: Plan, cells: Tensor, feats: Tensor, weight: Tensor, size: int) -> Tensor:
    del plan
    full = F.conv3d(to_dense(cells, feats), dense_weight(weight, size), stride=2)
    return from_dense(coarse(cells), full)


def up(plan: Plan, cells: Tensor, feats: Tensor, weight: Tensor, size: int) -> Tensor:
    del cells, size
    return plan.convolve_up(feats, weight, 2)


def up_dense(plan: Plan, cells: Tensor, feats: Tensor, weight: Tensor, size: int) -> Tensor:
    del plan
    kernel = dense_weight(weight, size).transpose(0, 1)
    full = F.conv_transpose3d(to_dense(coarse(cells), feats, EDGE // 2), kernel, stride=2)
    return from_dense(cells, full)


Convolution = Callable[[Plan, Tensor, Tensor, Tensor, int], Tensor]
CASES: list[tuple[Convolution, Convolution, int]] = [
    (submanifold, submanifold_dense, 3),
    (submanifold, submanifold_dense, 5),
    (down, down_dense, 2),
    (up, up_dense, 2),
]


@pytest.mark.parametrize(("ours", "dense", "size"), CASES)
@pytest.mark.parametrize("channels", [1, 7, 32])
@pytest.mark.parametrize("rows", [600, 40, 1])
def test_equals_dense_convolution_and_all_its_gradients(
    backend: Backend,
    device: str,
    ours: Convolution,
    dense: Convolution,
    size: int,
    channels: int,
    rows: int,
) -> None:
    cells = random_cells(rows)
    plan = Plan(cells.to(device), backend)
    sources = len(plan.level(2 if ours is up else 1))
    draw = torch.Generator().manual_seed(1)
    feats = torch.randn(sources, channels, generator=draw).requires_grad_()
    weight = torch.randn(size**3, channels, channels + 2, generator=draw).requires_grad_()
    wanted = dense(plan, cells, feats, weight, size)
    found = ours(plan, cells, feats.to(device), weight.to(device), size).cpu()
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    pull = torch.randn(wanted.shape, generator=draw)
    for mine, theirs in zip(
        torch.autograd.grad(found, (feats, weight), pull),
        torch.autograd.grad(wanted, (feats, weight), pull),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize(("ours", "size"), [(submanifold, 3), (down, 2), (up, 2)])
def test_gradients_are_those_of_finite_differences(ours: Convolution, size: int) -> None:
    cells = random_cells(30)
    plan = Plan(cells)
    sources = len(plan.level(2 if ours is up else 1))
    feats = torch.randn(sources, 2, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(size**3, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda f, w: ours(plan, cells, f, w, size), (feats, weight), fast_mode=False
    )


def test_many_tiles_equal_one(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = random_cells(900)
    weight = torch.randn(27, 4, 5, requires_grad=True)
    feats = torch.randn(900, 4, requires_grad=True)
    answers = []
    for rows in (64, 4096):
        monkeypatch.setattr("clip3d_cli.sparse.backends.torch.rulebook.CPU_TILE_ROWS", rows)
        found = Plan(cells).convolve(feats, weight, 1)
        answers.append((found, *torch.autograd.grad(found.square().sum(), (feats, weight))))
    for small, large in zip(*answers, strict=True):
        torch.testing.assert_close(small, large, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_fill_all_tiles_and_their_epilogues(
    monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    cells, feats, weight = random_cells(900), torch.randn(900, 4), torch.randn(27, 4, 5)
    residual, scale = torch.randn(900, 5), torch.rand(5) + 0.5
    wanted = (Plan(cells).convolve(feats, weight, 1) * scale + residual).relu()
    monkeypatch.setattr("clip3d_cli.sparse.backends.torch.rulebook.CPU_TILE_ROWS", 64)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.no_grad():
            epilogue = Epilogue(scale, None, residual, relu=True)
            found = Plan(cells).convolve(feats, weight, 1, epilogue)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_a_weight_that_does_not_fit_is_refused(backend: Backend, device: str) -> None:
    plan = Plan(random_cells(20).to(device), backend)
    feats = torch.randn(20, 3, device=device)
    with pytest.raises(ValueError, match=r"weight of shape \(27, 4, 8\) does not fit"):
        plan.convolve(feats, torch.randn(27, 4, 8, device=device), 1)
    with pytest.raises(ValueError, match="feats have 19 rows"):
        plan.convolve(feats[:19], torch.randn(27, 3, 8, device=device), 1)
