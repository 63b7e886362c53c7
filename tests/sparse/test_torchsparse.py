"""The torchsparse adapter against a plain rewriting of the two kernels it calls.

This shows that pairs, counts and weights are handed over in the order those kernels read them (as
read in torchsparse 2.1.0); only the contract test on a GPU shows that the kernels do.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from clip3d_cli.sparse.backends.torchsparse import TorchsparseBackend
from clip3d_cli.sparse.plan import Plan


class RewrittenKernels:
    @staticmethod
    def conv_forward_gather_scatter_cuda(
        feats: Tensor, weight: Tensor, pairs: Tensor, counts: Tensor, *rest: Any
    ) -> Tensor:
        rows, turned = rest[2], int(rest[6])
        middle = len(weight) // 2 if len(weight) % 2 and rows == len(feats) else None
        result = feats.new_zeros(rows, weight.shape[2])
        if middle is not None:
            result += feats @ weight[middle]
        for offset, group in enumerate(pairs.long().split(counts.tolist())):
            if offset != middle:
                result[group[:, 1 - turned]] += feats[group[:, turned]] @ weight[offset]
        return result

    @staticmethod
    def conv_backward_gather_scatter_cuda(
        feats: Tensor, grad_feats: Tensor, grad: Tensor, weight: Tensor, grad_weight: Tensor,
        pairs: Tensor, counts: Tensor, transposed: bool,
    ) -> None:  # fmt: skip
        turned = int(transposed)
        for offset, group in enumerate(pairs.long().split(counts.tolist())):
            sources, targets = group[:, turned], group[:, 1 - turned]
            grad_weight[offset] = feats[sources].T @ grad[targets]
            grad_feats[sources] += grad[targets] @ weight[offset].T


@pytest.mark.parametrize(
    ("convolve", "offsets", "stride"),
    [("convolve", 27, 1), ("convolve", 125, 1), ("convolve_down", 8, 1), ("convolve_up", 8, 2)],
)
def test_pairs_are_handed_over_as_the_kernels_read_them(
    monkeypatch: pytest.MonkeyPatch, convolve: str, offsets: int, stride: int
) -> None:
    monkeypatch.setattr(
        "clip3d_cli.sparse.backends.torchsparse.cuda_kernels", lambda _: RewrittenKernels
    )
    cells = torch.randint(-4, 4, (200, 4), generator=torch.Generator().manual_seed(0))
    cells[:, 0] = cells[:, 0].abs() % 2
    cells = cells.unique(dim=0).int()
    rows = len(Plan(cells).level(stride))
    feats = torch.randn(rows, 5, requires_grad=True)
    weight = torch.randn(offsets, 5, 6, requires_grad=True)
    answers = []
    for backend in (None, TorchsparseBackend()):
        found = getattr(Plan(cells, backend), convolve)(feats, weight, stride)
        answers.append((found, *torch.autograd.grad(found.square().sum(), (feats, weight))))
    for plain, adapted in zip(*answers, strict=True):
        torch.testing.assert_close(adapted, plain, rtol=1e-4, atol=1e-3)


def test_features_on_a_cpu_are_refused() -> None:
    plan = Plan(torch.zeros(1, 4, dtype=torch.int32), TorchsparseBackend())
    with pytest.raises(ValueError, match="torchsparse computes on CUDA, not on cpu"):
        plan.convolve(torch.ones(1, 2), torch.ones(27, 2, 2), 1)
