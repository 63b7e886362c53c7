"""Sums and softmaxes over rows of the same segment, repeatable to the bit on a CPU.

In all functions ``segment`` is (N,) int64: the segment 0 … count−1 of each row, in any order.
"""

from __future__ import annotations

from torch import Tensor


def segment_sum(values: Tensor, segment: Tensor, count: int) -> Tensor:
    """Return the sum of the rows of every segment, (N, …) → (count, …); 0 without rows."""
    return values.new_zeros((count, *values.shape[1:])).index_add(0, segment, values)


def segment_logsumexp(values: Tensor, segment: Tensor, count: int) -> Tensor:
    """Return log Σ exp of every segment, (N,) → (count,), of finite values; −inf without rows."""
    highest = _segment_max(values, segment, count)
    return segment_sum((values - highest[segment]).exp(), segment, count).log() + highest


def segment_softmax(values: Tensor, segment: Tensor, count: int) -> Tensor:
    """Return the softmax of finite values within their segments, (N,) → (N,)."""
    shifted = (values - _segment_max(values, segment, count)[segment]).exp()
    return shifted / segment_sum(shifted, segment, count)[segment]


def _segment_max(values: Tensor, segment: Tensor, count: int) -> Tensor:
    """Return the greatest value of each segment, (count,), as a constant; 0 without rows.

    It is subtracted before exp() so that nothing overflows. The result does not depend on it, so it
    needs no gradient.
    """
    constant = values.detach()
    return constant.new_zeros(count).scatter_reduce(
        0, segment, constant, "amax", include_self=False
    )
