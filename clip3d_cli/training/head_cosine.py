"""Cosines of the outputs of a linear head, without computing the outputs.

A text head maps a few dozen channels to hundreds of dimensions. The cosines of its outputs follow
from products of its matrix with itself, which takes less time and memory in training.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_LEAST_LENGTH = 1e-6


def head_cosines(trunk: Tensor, head: nn.Linear, vectors: Tensor) -> Tensor:
    """Return the cosine of the head's output for each row with each of some vectors, (M, W).

    With A = [weight, bias] and h = (row, 1) it is t·Ah / √(hᵀAᵀAh). That takes O(M C (C + W))
    operations instead of O(M D (C + W)).

    Args:
        trunk: (M, C) float32, input of the head.
        head: linear layer from C to D channels.
        vectors: (W, D) float32, unit length.
    """
    rows, matrix = _with_one(trunk), _matrix(head)
    return rows @ (vectors @ matrix).T / _output_lengths(rows, matrix)[:, None]


def paired_head_cosines(
    trunk: Tensor, head: nn.Linear, other_trunk: Tensor, other_head: nn.Linear
) -> Tensor:
    """Return the cosine of the outputs of two heads, row by row, (M,).

    Args:
        trunk: (M, C) float32, input of the first head.
        head: linear layer from C to D channels.
        other_trunk: (M, C′) float32, input of the second head.
        other_head: linear layer from C′ to D channels.
    """
    rows, matrix = _with_one(trunk), _matrix(head)
    other_rows, other_matrix = _with_one(other_trunk), _matrix(other_head)
    product = (rows @ (matrix.T @ other_matrix) * other_rows).sum(dim=1)
    return product / (_output_lengths(rows, matrix) * _output_lengths(other_rows, other_matrix))


def _output_lengths(rows: Tensor, matrix: Tensor) -> Tensor:
    """Return the length of the head's output for each row, (M,)."""
    squared = (rows @ (matrix.T @ matrix) * rows).sum(dim=1)
    # Rounding can make it negative, and the square root has no gradient at 0.
    return squared.clamp_min(_LEAST_LENGTH**2).sqrt()


def _with_one(rows: Tensor) -> Tensor:
    """Return the rows with a last column of ones, (M, C + 1), which multiplies the bias."""
    return functional.pad(rows, (0, 1), value=1.0)


def _matrix(head: nn.Linear) -> Tensor:
    """Return the weight with the bias as last column, (D, C + 1)."""
    bias = head.weight.new_zeros(head.out_features) if head.bias is None else head.bias
    return torch.cat((head.weight, bias[:, None]), dim=1)
