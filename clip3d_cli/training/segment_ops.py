"""Sums and softmaxes over rows that share a number, repeatable to the bit on a CPU.

Everywhere ``segment`` is (N,) int64 in 0 … count−1 and rows come in any order.
"""

from __future__ import annotations

from torch import Tensor


def segment_sum(values: Tensor, segment: Tensor, count: int) -> Tensor:
    """(count, …) of (N, …): the sum of the rows of every segment, 0 for one without rows."""
    return values.new_zeros((count, *values.shape[1:])).index_add(0, segment, values)


def segment_logsumexp(values: Tensor, segment: Tensor, count: int) -> Tensor:
    """(count,) of (N,) finite numbers: log Σ exp of every segment, −inf for one without rows."""
    highest = _highest(values, segment, count)
    return segment_sum((values - highest[segment]).exp(), segment, count).log() + highest


def segment_softmax(values: Tensor, segment: Tensor, count: int) -> Tensor:
    """(N,) of (N,) finite numbers: each one's share of its segment; shares sum to 1 in each."""
    shares = (values - _highest(values, segment, count)[segment]).exp()
    return shares / segment_sum(shares, segment, count)[segment]


def _highest(values: Tensor, segment: Tensor, count: int) -> Tensor:
    """(count,): the greatest of each segment, 0 for one without rows; without gradients.

    It only keeps exponents in range: what it is subtracted from does not depend on it.
    """
    constant = values.detach()
    return constant.new_zeros(count).scatter_reduce(
        0, segment, constant, "amax", include_self=False
    )
