"""Cosines of a linear head's answers, without the answers.

A text head makes hundreds of numbers of a few dozen. What vectors' cosines need of them can be
had from products of its matrix with itself, which is as much faster and smaller in training.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_SHORTEST = 1e-6


def head_cosines(trunk: Tensor, head: nn.Linear, vectors: Tensor) -> Tensor:
    """(M, W): the cosine of what a head makes of each row with each of some vectors.

    With A = [weight, bias] and h = (row, 1): t·Ah / √(hᵀAᵀAh), in O(M C (C + W)) and not
    O(M D (C + W)).

    Args:
        trunk: (M, C) float32.
        head: from C to D channels.
        vectors: (W, D) float32, unit length.
    """
    rows, matrix = _with_one(trunk), _matrix(head)
    return rows @ (vectors @ matrix).T / _lengths(rows, matrix)[:, None]


def head_agreement(trunk: Tensor, head: nn.Linear, other_trunk: Tensor, other: nn.Linear) -> Tensor:
    """(M,): the cosine of what two heads make of two rows each.

    Args:
        trunk: (M, C) float32.
        head: from C to D channels.
        other_trunk: (M, C′) float32.
        other: from C′ to D channels.
    """
    ours, matrix = _with_one(trunk), _matrix(head)
    theirs, other_matrix = _with_one(other_trunk), _matrix(other)
    product = (ours @ (matrix.T @ other_matrix) * theirs).sum(dim=1)
    return product / (_lengths(ours, matrix) * _lengths(theirs, other_matrix))


def _lengths(rows: Tensor, matrix: Tensor) -> Tensor:
    squares = (rows @ (matrix.T @ matrix) * rows).sum(dim=1)
    # Rounding can leave less than nothing, and a root of nothing has no gradient.
    return squares.clamp_min(_SHORTEST**2).sqrt()


def _with_one(rows: Tensor) -> Tensor:
    return functional.pad(rows, (0, 1), value=1.0)


def _matrix(head: nn.Linear) -> Tensor:
    """(D, C + 1): the weight, and the bias in the last column."""
    bias = head.weight.new_zeros(head.out_features) if head.bias is None else head.bias
    return torch.cat((head.weight, bias[:, None]), dim=1)
