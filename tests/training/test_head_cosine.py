"""Cosines through a head's products with itself, against those of its answers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from clip3d_cli.training.head_cosine import head_cosines, paired_head_cosines


def _case(bias: bool) -> tuple[Tensor, nn.Linear, Tensor]:
    torch.manual_seed(3)
    return torch.randn(50, 6).relu().requires_grad_(), nn.Linear(6, 20, bias), torch.randn(7, 20)


@pytest.mark.parametrize("bias", [True, False])
def test_cosines_are_those_of_the_answers(bias: bool) -> None:
    trunk, head, vectors = _case(bias)
    vectors = normalize(vectors, dim=1)
    if not bias:
        trunk = trunk + 0.1  # no row may be all zeros: it would have no direction
    quick = head_cosines(trunk, head, vectors)
    plain = normalize(head(trunk), dim=1) @ vectors.T
    torch.testing.assert_close(quick, plain, atol=1e-6, rtol=1e-5)
    wanted = torch.autograd.grad(plain.square().sum(), [*head.parameters()], retain_graph=True)
    found = torch.autograd.grad(quick.square().sum(), [*head.parameters()], retain_graph=True)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_agreement_is_that_of_two_answers() -> None:
    trunk, head, _ = _case(bias=True)
    other_trunk, other = torch.randn(50, 9), nn.Linear(9, 20)
    quick = paired_head_cosines(trunk, head, other_trunk, other)
    plain = (normalize(head(trunk), dim=1) * normalize(other(other_trunk), dim=1)).sum(dim=1)
    torch.testing.assert_close(quick, plain, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(paired_head_cosines(trunk, head, trunk, head), torch.ones(50))


def test_an_answer_of_nothing_agrees_with_nothing() -> None:
    head = nn.Linear(4, 8, bias=False)
    trunk = torch.zeros(3, 4, requires_grad=True)
    cosines = head_cosines(trunk, head, normalize(torch.randn(2, 8), dim=1))
    assert not cosines.any()
    cosines.sum().backward()  # type: ignore[no-untyped-call]
    assert trunk.grad is not None
    assert torch.isfinite(trunk.grad).all()
