from __future__ import annotations

import gc
from collections.abc import Callable, Iterator

import pytest
import torch
from sparse_cells import random_cells
from torch import Tensor, nn

from clip3d_cli.native import library as native
from clip3d_cli.sparse.backend import Epilogue
from clip3d_cli.sparse.backends.native.backend import NativeBackend
from clip3d_cli.sparse.backends.torch.backend import TorchBackend
from clip3d_cli.sparse.plan import Plan

pytestmark = pytest.mark.skipif(
    native.engine_status().fault is not None,
    reason=f"native engine: {native.engine_status().fault}",
)


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def small_network(plan: Plan, feats: Tensor, weights: list[Tensor], norm: nn.BatchNorm1d) -> Tensor:
    """Every kind of call: 5³, normalisation, down, one cell, up, joined features, 3³."""
    fine = plan.backend.batch_norm(
        plan.convolve(feats, weights[0], 1), norm, residual=None, relu=True
    )
    coarse = plan.convolve(plan.convolve_down(fine, weights[1], 1), weights[2], 2)
    return plan.convolve((plan.convolve_up(coarse, weights[3], 2), fine), weights[4], 1)


def drawn_weights() -> list[Tensor]:
    draw = torch.Generator().manual_seed(7)
    shapes = ((125, 5, 24), (8, 24, 40), (1, 40, 33), (8, 33, 17), (27, 41, 19))
    return [(torch.randn(s, generator=draw) / 9).requires_grad_() for s in shapes]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_all_numbers_are_the_same_for_any_number_of_threads(dtype: torch.dtype) -> None:
    cells = random_cells(1900)
    weights, norm = drawn_weights(), nn.BatchNorm1d(24)
    draw = torch.Generator().manual_seed(1)
    feats = torch.randn(len(cells), 5, generator=draw, dtype=dtype).requires_grad_()
    answers = []
    for threads in (1, 2, 3, 4):
        torch.set_num_threads(threads)
        found = small_network(Plan(cells, NativeBackend()), feats, weights, norm)
        inputs = (feats, norm.weight, norm.bias, *weights)
        answers.append((found, *torch.autograd.grad(found.float().square().sum(), inputs)))
    for answer in answers[1:]:
        assert all(map(torch.equal, answer, answers[0]))


def test_a_cloud_is_the_same_alone_in_a_batch_and_in_another_tile() -> None:
    own = random_cells(700, clouds=1)
    mates = random_cells(900, clouds=1, seed=1)
    before, behind = mates + torch.tensor([0, -200, 0, 0]), mates + torch.tensor([0, 0, 400, 0])
    weights, norm = drawn_weights(), nn.BatchNorm1d(24).eval()
    feats = torch.randn(len(own), 5, generator=torch.Generator().manual_seed(1))

    def rows_of(cells: Tensor, first: int) -> Tensor:
        there = torch.ones(len(cells), 5)
        there[first : first + len(own)] = feats
        plan = Plan(cells.int(), NativeBackend())
        there = plan.to_plan_order(there)
        with torch.no_grad():
            fine = plan.convolve(there, weights[0], 1, Epilogue(*folded(norm), relu=True))
            coarse = plan.convolve(plan.convolve_down(fine, weights[1], 1), weights[2], 2)
            joined = (plan.convolve_up(coarse, weights[3], 2), fine)
            found = plan.convolve(joined, weights[4], 1)
        return plan.to_caller_order(found)[first : first + len(own)]

    alone = rows_of(own, 0)
    batch = torch.cat((mates, own + torch.tensor([2, 0, 0, 0])))
    tile = torch.cat((behind, own, before))
    assert torch.equal(rows_of(batch, len(mates)), alone)
    assert torch.equal(rows_of(tile, len(mates)), alone)


def folded(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    return norm.weight.detach() * 1.25, norm.bias.detach() + 0.1


@pytest.mark.parametrize(("offsets", "stride"), [(27, 1), (125, 1), (1, 1), (8, 1), (8, 2)])
@pytest.mark.parametrize(("channels", "wide"), [(1, 513), (7, 1), (513, 7), (40, 40)])
def test_equals_the_torch_backend(offsets: int, stride: int, channels: int, wide: int) -> None:
    torch.manual_seed(0)
    plans = [Plan(random_cells(1500), backend) for backend in (NativeBackend(), TorchBackend())]
    rows = len(plans[0].level(stride))
    feats = torch.randn(rows, channels, requires_grad=True)
    weight = (torch.randn(offsets, channels, wide) / (channels + 5) ** 0.5).requires_grad_()
    answers = []
    for plan in plans:
        found = run(plan, feats, weight, stride)
        pull = torch.linspace(-1, 1, found.numel()).view_as(found)
        answers.append((found, *torch.autograd.grad(found, (feats, weight), pull)))
    for mine, theirs in zip(*answers, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-3)


def run(plan: Plan, feats: Tensor, weight: Tensor, stride: int) -> Tensor:
    if len(weight) != 8:
        return plan.convolve(feats, weight, stride)
    call: Callable[..., Tensor] = plan.convolve_down if stride == 1 else plan.convolve_up
    return call(feats, weight, stride)


@pytest.mark.parametrize(("offsets", "stride"), [(27, 1), (8, 1), (8, 2)])
def test_gradients_are_those_of_finite_differences(offsets: int, stride: int) -> None:
    torch.manual_seed(0)
    plan = Plan(random_cells(40), NativeBackend())
    feats = torch.randn(len(plan.level(stride)), 3, dtype=torch.float64)
    weight = torch.randn(offsets, 3, 2, dtype=torch.float64)
    # It computes in float32; but a convolution is linear in each, so steps may be long.
    assert torch.autograd.gradcheck(
        lambda f, w: run(plan, f, w, stride),
        (feats.requires_grad_(), weight.requires_grad_()),
        eps=0.25,
        atol=1e-3,
        rtol=1e-3,
        nondet_tol=0.0,
    )


def test_strides_of_features_weights_and_gradients_do_not_matter() -> None:
    torch.manual_seed(0)
    plan = Plan(random_cells(600), NativeBackend())
    feats, weight = torch.randn(600, 8), torch.randn(27, 8, 6)
    wanted = plan.convolve(feats, weight, 1)
    padded = torch.zeros(600, 20)
    padded[:, 3:11] = feats
    for strided in (padded[:, 3:11], feats.T.contiguous().T, feats.repeat_interleave(2, 0)[::2]):
        assert torch.equal(plan.convolve(strided, weight, 1), wanted)
    room = torch.zeros(27, 10, 9)
    room[:, 1:9, 2:8] = weight
    for strided in (room[:, 1:9, 2:8], weight.transpose(1, 2).contiguous().transpose(1, 2)):
        assert torch.equal(plan.convolve(feats, strided, 1), wanted)
    linear = nn.Linear(8, 6, bias=False)
    torch.testing.assert_close(plan.convolve(feats, linear.weight.T[None], 1), linear(feats))
    one = feats[:1].expand(600, 8)
    assert torch.equal(plan.convolve(one, weight, 1), plan.convolve(one.clone(), weight, 1))
    weight.requires_grad_()
    grads = [
        torch.autograd.grad(plan.convolve(feats, weight, 1), weight, pull)[0]
        for pull in (torch.ones(600, 6), torch.ones(1, 1).expand(600, 6))
    ]
    assert torch.equal(*grads)


def test_kept_weights_are_never_stale() -> None:
    torch.manual_seed(0)
    backend = NativeBackend()
    plan = Plan(random_cells(300), backend)
    feats, layer = torch.randn(300, 4), nn.Linear(4, 6, bias=False)
    kernel = nn.Parameter(torch.randn(27, 4, 6))

    def now() -> tuple[Tensor, Tensor]:
        fresh = Plan(random_cells(300), NativeBackend())
        answers = []
        for weight in (kernel, layer.weight.T.unsqueeze(0)):
            answers.append(plan.convolve(feats, weight, 1))
            assert torch.equal(answers[-1], fresh.convolve(feats, weight, 1))
        return answers[0], answers[1]

    with torch.no_grad():
        before = now()
        assert len(backend._packed._entries) == 2
        assert all(map(torch.equal, now(), before))
        assert len(backend._packed._entries) == 2
        kernel.mul_(2)
        layer.weight.add_(1)
        assert not any(map(torch.equal, now(), before))
        layer.load_state_dict({"weight": torch.randn(6, 4)})
        kernel.data = torch.randn(27, 4, 6)
        now()
        for _ in range(5):
            plan.convolve(feats, torch.randn(27, 4, 6), 1)
        gc.collect()
        now()
        plan.convolve(feats, torch.randn(27, 4, 6), 1)
        assert len(backend._packed._entries) <= 4
    with torch.inference_mode():
        assert torch.equal(plan.convolve(feats, kernel, 1), now()[0])
        now()
        inside = kernel * 1
        first = plan.convolve(feats, inside, 1)
        inside.mul_(2)
        torch.testing.assert_close(plan.convolve(feats, inside, 1), 2 * first)


def test_a_weight_and_its_transpose_are_kept_apart() -> None:
    """Both have the same memory, shape and version."""
    plan = Plan(random_cells(300), NativeBackend())
    feats, weight = torch.randn(300, 5), torch.randn(27, 5, 5)
    with torch.no_grad():
        for each in (weight, weight.transpose(1, 2)):
            wanted = Plan(random_cells(300)).convolve(feats, each, 1)
            torch.testing.assert_close(plan.convolve(feats, each, 1), wanted, rtol=1e-4, atol=1e-4)


def test_training_leaves_nothing_kept() -> None:
    backend = NativeBackend()
    plan = Plan(random_cells(300), backend)
    weight = torch.randn(27, 4, 6, requires_grad=True)
    plan.convolve(torch.randn(300, 4), weight, 1).sum().backward()
    assert not backend._packed._entries


def test_halves_side_by_side_are_rounded_once() -> None:
    torch.manual_seed(0)
    plan, weight = Plan(random_cells(300), NativeBackend()), torch.randn(27, 9, 6)
    parts = tuple(torch.randn(300, 3, dtype=torch.bfloat16) for _ in range(3))
    exact = plan.convolve(torch.cat(parts, dim=1).float(), weight, 1)
    found = plan.convolve(parts, weight, 1)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), exact, rtol=2**-8, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_other_floats_are_computed_through_float32(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    backend = NativeBackend()
    plan = Plan(random_cells(300), backend)
    feats = torch.randn(300, 4, dtype=dtype, requires_grad=True)
    weight = torch.randn(27, 4, 6, dtype=dtype, requires_grad=True)
    found = plan.convolve(feats, weight, 1)
    wanted = plan.convolve(feats.float(), weight.float(), 1)
    assert torch.equal(found, wanted.to(dtype))
    for grad in torch.autograd.grad(found.sum(), (feats, weight)):
        assert grad.dtype == dtype
    normed = backend.batch_norm(found, nn.BatchNorm1d(6), residual=found, relu=True)
    assert normed.dtype == dtype
