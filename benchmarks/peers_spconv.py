"""Adapter of spconv 2.3 for `PeerUNet`."""

from __future__ import annotations

from typing import Any

import spconv.pytorch as spconv
import torch
from spconv import __version__ as spconv_version
from spconv.pytorch import ops
from torch import Tensor, nn

VERSION = spconv_version


class SpconvKit:
    """spconv's convolutions, with its own choice of algorithm."""

    def __init__(self) -> None:
        self._edges: list[int] | None = None
        if not torch.cuda.is_available():
            # The backward function of the CPU wheel gets a CUDA stream that it does not use.
            ops.get_current_stream = lambda: 0

    def tensor(self, cells: Tensor, feats: Tensor) -> Any:
        return spconv.SparseConvTensor(feats, cells, self._shape(cells), 1)

    def feats(self, sparse: Any) -> Tensor:
        feats: Tensor = sparse.features
        return feats

    def with_feats(self, sparse: Any, feats: Tensor) -> Any:
        return sparse.replace_feature(feats)

    def same(self, weight: Tensor, level: int) -> nn.Module:
        layer = spconv.SubMConv3d(*weight.shape[1:], 3, bias=False, indice_key=f"same{level}")
        return self._filled(layer, weight, 3)

    def down(self, weight: Tensor, level: int) -> nn.Module:
        layer = spconv.SparseConv3d(
            *weight.shape[1:], 2, stride=2, bias=False, indice_key=f"down{level}"
        )
        return self._filled(layer, weight, 2)

    def up(self, weight: Tensor, level: int) -> nn.Module:
        layer = spconv.SparseInverseConv3d(
            *weight.shape[1:], 2, bias=False, indice_key=f"down{level}"
        )
        return self._filled(layer, weight, 2)

    def build_maps(self, cells: Tensor) -> None:
        shape = self._shape(cells)
        for level in range(5):
            self._pairs(cells, shape, 3, 1)
            if level < 4:
                cells = self._pairs(cells, shape, 2, 2)
                shape = [edge // 2 for edge in shape]

    def _pairs(self, cells: Tensor, shape: list[int], size: int, stride: int) -> Tensor:
        geometry = ([size] * 3, [stride] * 3, [size // 2 if stride == 1 else 0] * 3, [1] * 3)
        native, implicit = spconv.ConvAlgo.Native, spconv.ConvAlgo.MaskImplicitGemm
        if cells.is_cuda:
            pairs = ops.get_indice_pairs_implicit_gemm(
                cells, 1, shape, implicit, *geometry, [0] * 3, stride == 1
            )
        else:
            pairs = ops.get_indice_pairs(cells, 1, shape, native, *geometry, [0] * 3, stride == 1)
        coarse: Tensor = pairs[0]
        return coarse

    def _shape(self, cells: Tensor) -> list[int]:
        """Return the edges of the lattice, multiples of 16; computed once, as users know theirs."""
        if self._edges is None:
            highest = cells[:, 1:].amax(dim=0).tolist()
            self._edges = [(edge // 16 + 1) * 16 for edge in highest]
        return self._edges

    def _filled(self, layer: Any, weight: Tensor, size: int) -> nn.Module:
        turned = weight.view(size, size, size, *weight.shape[1:]).permute(4, 0, 1, 2, 3)
        with torch.no_grad():
            layer.weight.copy_(turned)
        return layer


Kit = SpconvKit
