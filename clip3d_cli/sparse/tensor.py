"""Sparse tensor: features on the occupied cells of a lattice."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class SparseTensor:
    """Features on the occupied cells of one cloud or of a batch of clouds.

    Attributes:
        cells: (M, 4) int32: batch, x, y, z, in units of ``stride``; unique rows in any order.
        feats: (M, C) floating point, on the device of ``cells``.
        stride: edge of a cell, in finest cells.

    Raises:
        TypeError: wrong dtype of ``cells`` or ``feats``.
        ValueError: wrong shape, different numbers of rows, or different devices.
    """

    cells: Tensor
    feats: Tensor
    stride: int = 1

    def __post_init__(self) -> None:
        if self.cells.dtype != torch.int32:
            raise TypeError(f"cells must be torch.int32, not {self.cells.dtype}")
        if self.cells.ndim != 2 or self.cells.shape[1] != 4:
            raise ValueError(f"cells must have shape (M, 4), not {tuple(self.cells.shape)}")
        if not self.feats.is_floating_point():
            raise TypeError(f"feats must be floating point, not {self.feats.dtype}")
        if self.feats.ndim != 2 or len(self.feats) != len(self.cells):
            raise ValueError(
                f"feats must have one row for each of the {len(self.cells)} cells, "
                f"not shape {tuple(self.feats.shape)}"
            )
        if self.feats.device != self.cells.device:
            raise ValueError(
                f"feats are on {self.feats.device} and cells on {self.cells.device}: move one"
            )

    def __len__(self) -> int:
        return len(self.cells)

    def with_feats(self, feats: Tensor) -> SparseTensor:
        """Return a tensor with the same cells and other features.

        Args:
            feats: (M, C') floating point, on the same device.

        Raises:
            TypeError: ``feats`` is not floating point.
            ValueError: not one row per cell, or another device.
        """
        return replace(self, feats=feats)

    def to(self, device: torch.device | str) -> SparseTensor:
        """Return the same tensor on ``device``."""
        return SparseTensor(self.cells.to(device), self.feats.to(device), self.stride)
