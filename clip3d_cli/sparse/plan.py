"""Convolution plan: the levels and kernel maps of a cloud, built once and shared by all layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from clip3d_cli.sparse import keys as voxel_keys
from clip3d_cli.sparse.backend import Backend, Coarsener, Epilogue, Features, Level
from clip3d_cli.sparse.backends.torch.backend import TorchBackend


class Plan:
    """Levels and kernel maps of a cloud or a batch of clouds, built on first use.

    Inside a plan all rows are in key order (batch, x, y, z). `to_plan_order` and
    `to_caller_order` convert features, so callers may pass their rows in any order.

    Args:
        cells: (M, 4) int32: batch, x, y, z at stride 1; unique rows in any order; M may be 0.
        backend: computes kernel maps and convolutions; plain PyTorch by default.

    Raises:
        InputError: E_VOXEL_RANGE, a cell that no key can hold.
        TypeError: ``cells`` is not int32.
        ValueError: ``cells`` has another shape, or a duplicate row.
    """

    def __init__(self, cells: Tensor, backend: Backend | None = None) -> None:
        self.backend: Backend = TorchBackend() if backend is None else backend
        keys = voxel_keys.pack_cells(cells)
        # (M,) int64: the caller's row of each plan row; None if the caller's rows are sorted.
        self._caller_row_of_plan_row: Tensor | None = None
        if not bool((keys[1:] > keys[:-1]).all()):
            keys, self._caller_row_of_plan_row = keys.sort()
            if bool((keys[1:] == keys[:-1]).any()):
                raise ValueError("cells must be unique: a cell occurs more than once")
        self._levels = {1: Level(keys, 1)}
        # By source stride, target stride and kernel size.
        self._kernel_maps: dict[tuple[int, int, int], Any] = {}

    def __len__(self) -> int:
        return len(self._levels[1])

    @property
    def device(self) -> torch.device:
        """Device of the plan's tensors."""
        return self._levels[1].keys.device

    def to_plan_order(self, feats: Tensor) -> Tensor:
        """Return the caller's rows in key order.

        Args:
            feats: (M, C), one row per cell, in the order of the cells given to the plan.

        Raises:
            ValueError: not one row per cell, or another device.
        """
        if len(feats) != len(self):
            raise ValueError(f"feats have {len(feats)} rows, the plan has {len(self)}")
        if feats.device != self.device:
            raise ValueError(f"feats are on {feats.device} and the plan on {self.device}: move one")
        order = self._caller_row_of_plan_row
        return feats if order is None else feats[order]

    def to_caller_order(self, feats: Tensor) -> Tensor:
        """Return rows in key order, (M, C), in the order of the cells given to the plan."""
        order = self._caller_row_of_plan_row
        if order is None:
            return feats
        plan_row_of_caller_row = torch.empty_like(order)
        plan_row_of_caller_row[order] = torch.arange(len(order), device=self.device)
        return feats[plan_row_of_caller_row]

    def level(self, stride: int) -> Level:
        """Return the cells at ``stride``: the unique floor(c / stride) of the plan's cells.

        Args:
            stride: 1, 2, 4, …

        Raises:
            ValueError: ``stride`` is not a power of two.
        """
        if stride not in self._levels:
            if stride < 1 or stride & (stride - 1):
                raise ValueError(f"a stride must be a power of two, not {stride}")
            self._add_coarser_level(self.level(stride // 2))
        return self._levels[stride]

    def ancestor_rows(self, stride: int) -> Tensor:
        """Return the row, at ``stride``, of the cell that contains each finest cell.

        Args:
            stride: 1, 2, 4, …

        Returns:
            (M,) int64 rows of ``level(stride)``, in plan order.
        """
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
        """Submanifold convolution: the output has the cells of the input.

        Args:
            feats: (M, Cin) in plan order, one row per cell of the level, or a tuple of such whose
                columns are side by side.
            weight: (K³, Cin, Cout), offsets with x slowest and z fastest; K odd.
            stride: stride of the level.
            epilogue: see `Backend.convolve`.

        Returns:
            (M, Cout), in plan order.

        Source: Graham et al., "3D Semantic Segmentation with Submanifold Sparse Convolutional
        Networks" (2018).
        """
        size = round(len(weight) ** (1 / 3))
        kernel_map = self._kernel_map(stride, stride, size)
        return self.backend.convolve(feats, weight, kernel_map, epilogue=epilogue)

    def convolve_down(
        self, feats: Features, weight: Tensor, stride: int, epilogue: Epilogue | None = None
    ) -> Tensor:
        """Strided convolution of 2³ cells, from ``stride`` to twice that.

        Args:
            feats: (M, Cin), rows of the level at ``stride``.
            weight: (8, Cin, Cout), offsets with x slowest.
            stride: stride of the input.
            epilogue: see `Backend.convolve`.

        Returns:
            (M', Cout), rows of the level at ``2 * stride``.
        """
        kernel_map = self._kernel_map(stride, 2 * stride, 2)
        return self.backend.convolve(feats, weight, kernel_map, epilogue=epilogue)

    def convolve_up(
        self, feats: Features, weight: Tensor, stride: int, epilogue: Epilogue | None = None
    ) -> Tensor:
        """Transposed convolution of 2³ cells, from ``stride`` to half of it.

        Args:
            feats: (M, Cin), rows of the level at ``stride``.
            weight: (8, Cin, Cout), offsets with x slowest.
            stride: stride of the input, at least 2.
            epilogue: see `Backend.convolve`.

        Returns:
            (M', Cout), rows of the level at ``stride // 2``.
        """
        kernel_map = self._kernel_map(stride // 2, stride, 2)
        return self.backend.convolve(feats, weight, kernel_map, transposed=True, epilogue=epilogue)

    def _kernel_map(self, source_stride: int, target_stride: int, size: int) -> Any:
        wanted = (source_stride, target_stride, size)
        if wanted not in self._kernel_maps:
            # First the target: making the coarser level gives the finer one its parent rows.
            target = self.level(target_stride)
            source = self.level(source_stride)
            self._kernel_maps[wanted] = self.backend.build_kernel_map(source, target, size)
        return self._kernel_maps[wanted]

    def _add_coarser_level(self, fine: Level) -> None:
        if isinstance(self.backend, Coarsener):
            keys, parent_rows = self.backend.coarsen(fine)
        else:
            keys, rows = torch.unique(voxel_keys.parent_keys(fine.keys), return_inverse=True)
            parent_rows = rows.int()
        self._levels[fine.stride] = Level(fine.keys, fine.stride, parent_rows)
        self._levels[2 * fine.stride] = Level(keys, 2 * fine.stride)
