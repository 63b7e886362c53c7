"""The geometry of a cloud, worked out once and shared by all layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from clip3d_cli.sparse import keys as cell_keys
from clip3d_cli.sparse.backend import Backend, Coarsener, Epilogue, Features, Level
from clip3d_cli.sparse.backends.torch.backend import TorchBackend


class Plan:
    """All levels and kernel maps of a cloud or batch; layers ask for what they need.

    Inside a plan rows are in key order (batch, x, y, z). `to_plan_order` and `to_caller_order`
    carry features in and out, so callers may bring their rows in any order.

    Args:
        cells: (M, 4) int32: batch, x, y, z at stride 1; unique, in any order; M may be 0.
        backend: computes the convolutions; plain PyTorch if not given.

    Raises:
        InputError: E_VOXEL_RANGE, a cell beyond what keys hold.
        TypeError: cells are not int32.
        ValueError: cells have another shape, or a cell comes twice.
    """

    def __init__(self, cells: Tensor, backend: Backend | None = None) -> None:
        self.backend: Backend = TorchBackend() if backend is None else backend
        keys = cell_keys.pack(cells)
        self._order: Tensor | None = None
        if not bool((keys[1:] > keys[:-1]).all()):
            keys, self._order = keys.sort()
            if bool((keys[1:] == keys[:-1]).any()):
                raise ValueError("cells must be unique: a cell comes twice")
        self._levels = {1: Level(keys, 1)}
        self._maps: dict[tuple[int, int, int], Any] = {}

    def __len__(self) -> int:
        return len(self._levels[1])

    @property
    def device(self) -> torch.device:
        """Where the plan lies."""
        return self._levels[1].keys.device

    def to_plan_order(self, feats: Tensor) -> Tensor:
        """Rows as the caller has them → rows in key order.

        Raises:
            ValueError: not one row per cell, or another device.
        """
        if len(feats) != len(self):
            raise ValueError(f"feats have {len(feats)} rows, the plan {len(self)}")
        if feats.device != self.device:
            raise ValueError(f"feats lie on {feats.device}, the plan on {self.device}: move one")
        return feats if self._order is None else feats[self._order]

    def to_caller_order(self, feats: Tensor) -> Tensor:
        """Rows in key order → rows as the caller has them."""
        if self._order is None:
            return feats
        place = torch.empty_like(self._order)
        place[self._order] = torch.arange(len(self._order), device=self.device)
        return feats[place]

    def level(self, stride: int) -> Level:
        """The cells at a stride (1, 2, 4, …): floor(c / stride) of the given cells.

        Raises:
            ValueError: the stride is no power of two.
        """
        if stride not in self._levels:
            if stride < 1 or stride & (stride - 1):
                raise ValueError(f"a stride must be a power of two, not {stride}")
            self._add_coarser(self.level(stride // 2))
        return self._levels[stride]

    def ancestor_rows(self, stride: int) -> Tensor:
        """(M,) int64: the row at ``stride`` of the cell that holds each finest cell."""
        self.level(stride)
        rows = torch.arange(len(self), device=self.device)
        finer = 1
        while finer < stride:
            parent_rows = self._levels[finer].parent_rows
            if parent_rows is not None:
                rows = parent_rows[rows]
            finer *= 2
        return rows.long()

    def convolve(
        self, feats: Features, weight: Tensor, stride: int, epilogue: Epilogue | None = None
    ) -> Tensor:
        """Submanifold convolution at a stride: (M, Cin) → (M, Cout), rows in key order.

        Args:
            feats: (M, Cin), one row per cell of the level, or several side by side.
            weight: (K³, Cin, Cout), offsets with x slowest; K odd.
            stride: of the level.
            epilogue: see `Backend.convolve`.
        """
        size = round(len(weight) ** (1 / 3))
        kernel_map = self._kernel_map(stride, stride, size)
        return self.backend.convolve(feats, weight, kernel_map, epilogue=epilogue)

    def convolve_down(
        self, feats: Features, weight: Tensor, stride: int, epilogue: Epilogue | None = None
    ) -> Tensor:
        """Strided convolution from ``stride`` to twice that: weight (8, Cin, Cout)."""
        kernel_map = self._kernel_map(stride, 2 * stride, 2)
        return self.backend.convolve(feats, weight, kernel_map, epilogue=epilogue)

    def convolve_up(
        self, feats: Features, weight: Tensor, stride: int, epilogue: Epilogue | None = None
    ) -> Tensor:
        """Transposed convolution from ``stride`` to half of it: weight (8, Cin, Cout)."""
        kernel_map = self._kernel_map(stride // 2, stride, 2)
        return self.backend.convolve(feats, weight, kernel_map, transposed=True, epilogue=epilogue)

    def _kernel_map(self, source: int, target: int, size: int) -> Any:
        wanted = (source, target, size)
        if wanted not in self._maps:
            coarse = self.level(target)
            self._maps[wanted] = self.backend.kernel_map(self.level(source), coarse, size)
        return self._maps[wanted]

    def _add_coarser(self, fine: Level) -> None:
        if isinstance(self.backend, Coarsener):
            keys, parent_rows = self.backend.coarser(fine)
        else:
            keys, rows = torch.unique(cell_keys.parents(fine.keys), return_inverse=True)
            parent_rows = rows.int()
        self._levels[fine.stride] = Level(fine.keys, fine.stride, parent_rows)
        self._levels[2 * fine.stride] = Level(keys, 2 * fine.stride)
