"""The spconv adapter against a plain rewriting of the two calls it makes.

This shows that pairs, counts and weights are handed over in the order those calls read them (as in
spconv 2.3.8); where spconv is installed, the contract tests show that the calls do.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from sparse_cells import random_cells
from torch import Tensor

from clip3d_cli.sparse.backends.spconv import SpconvBackend
from clip3d_cli.sparse.plan import Plan


class RewrittenOperations:
    """Notes how many threads torch has while it is called."""

    def __init__(self) -> None:
        self.threads: set[int] = set()

    def indice_conv(
        self, feats: Tensor, filters: Tensor, pairs: Tensor, counts: Tensor, rows: int,
        inverse: bool, subm: bool,
    ) -> Tensor:  # fmt: skip
        self.threads.add(torch.get_num_threads())
        result = feats.new_zeros(rows, len(filters))
        if subm:
            result += feats @ filters[:, filters.shape[1] // 2].T
        for offset, sources, targets in _lists(pairs, counts, inverse, subm):
            result[targets] += feats[sources] @ filters[:, offset].T
        return result

    def indice_conv_backward(
        self, feats: Tensor, filters: Tensor, grad: Tensor, pairs: Tensor, counts: Tensor,
        inverse: bool, subm: bool,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        self.threads.add(torch.get_num_threads())
        grad_feats, grad_filters = torch.zeros_like(feats), torch.zeros_like(filters)
        if subm:
            middle = filters.shape[1] // 2
            grad_feats += grad @ filters[:, middle]
            grad_filters[:, middle] = grad.T @ feats
        for offset, sources, targets in _lists(pairs, counts, inverse, subm):
            grad_feats[sources] += grad[targets] @ filters[:, offset]
            grad_filters[:, offset] = grad[targets].T @ feats[sources]
        return grad_feats, grad_filters


def _lists(
    pairs: Tensor, counts: Tensor, inverse: bool, subm: bool
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Offset, source rows, target rows; a submanifold map tells the first half of the counts."""
    for offset in range(len(counts)):
        middle = len(counts) // 2
        if subm and offset == middle:
            continue
        known = len(counts) - 1 - offset if subm and offset > middle else offset
        count = int(counts[known])
        one, other = pairs[:, offset, :count].long()
        yield (offset, other, one) if inverse else (offset, one, other)


@pytest.fixture
def operations(monkeypatch: pytest.MonkeyPatch) -> RewrittenOperations:
    rewritten = RewrittenOperations()
    monkeypatch.setattr("clip3d_cli.sparse.backends.spconv._operations", lambda: rewritten)
    return rewritten


@pytest.mark.parametrize(
    ("convolve", "offsets", "stride"),
    [("convolve", 27, 1), ("convolve", 125, 1), ("convolve_down", 8, 1), ("convolve_up", 8, 2)],
)
@pytest.mark.parametrize("rows", [1, 300])
def test_pairs_are_handed_over_as_spconv_reads_them(
    operations: RewrittenOperations, convolve: str, offsets: int, stride: int, rows: int
) -> None:
    del operations
    cells = random_cells(rows)
    draw = torch.Generator().manual_seed(1)
    feats = torch.randn(len(Plan(cells).level(stride)), 5, generator=draw).requires_grad_()
    weight = torch.randn(offsets, 5, 6, generator=draw).requires_grad_()
    answers = []
    for backend in (None, SpconvBackend()):
        found = getattr(Plan(cells, backend), convolve)(feats, weight, stride)
        answers.append((found, *torch.autograd.grad(found.square().sum(), (feats, weight))))
    for plain, adapted in zip(*answers, strict=True):
        torch.testing.assert_close(adapted, plain, rtol=1e-4, atol=1e-3)


def test_on_a_cpu_it_is_called_with_one_thread(operations: RewrittenOperations) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        weight = torch.randn(27, 2, 3, requires_grad=True)
        found = Plan(random_cells(50), SpconvBackend()).convolve(torch.randn(50, 2), weight, 1)
        found.sum().backward()
        assert operations.threads == {1}
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_an_empty_cloud_has_no_answer_and_a_gradient_of_zero() -> None:
    weight = torch.randn(27, 2, 3, requires_grad=True)
    cells = torch.empty(0, 4, dtype=torch.int32)
    found = Plan(cells, SpconvBackend()).convolve(torch.empty(0, 2), weight, 1)
    found.sum().backward()
    assert found.shape == (0, 3)
    assert weight.grad is not None
    assert not weight.grad.any()
