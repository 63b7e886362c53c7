"""Adapter of torchsparse 2.0 and 2.1 for `PeerUNet`."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torchsparse
import torchsparse.nn as spnn
from torch import Tensor, nn
from torchsparse.nn import functional
from torchsparse.nn.utils import get_kernel_offsets

VERSION = torchsparse.__version__
BATCH_LAST = VERSION.startswith("2.0")


class TorchsparseKit:
    """torchsparse's convolutions, in the order of offsets that it reports itself."""

    def __init__(self) -> None:
        if not hasattr(torchsparse.backend, "build_mask_from_kmap"):
            # A CPU build has no masks, which only the CUDA kernels read.
            empty = torch.empty(0, dtype=torch.int32)
            torchsparse.backend.build_mask_from_kmap = lambda *_: (empty, empty)

    def tensor(self, cells: Tensor, feats: Tensor) -> Any:
        return torchsparse.SparseTensor(coords=self._coords(cells), feats=feats)

    def feats(self, sparse: Any) -> Tensor:
        feats: Tensor = sparse.feats
        return feats

    def with_feats(self, sparse: Any, feats: Tensor) -> Any:
        # A shallow copy shares the caches of kernel maps, whatever a version calls them.
        changed = copy.copy(sparse)
        changed.feats = feats
        return changed

    def same(self, weight: Tensor, level: int) -> nn.Module:
        del level
        return self._filled(spnn.Conv3d(*weight.shape[1:], 3), weight, 3)

    def down(self, weight: Tensor, level: int) -> nn.Module:
        del level
        return self._filled(spnn.Conv3d(*weight.shape[1:], 2, stride=2), weight, 2)

    def up(self, weight: Tensor, level: int) -> nn.Module:
        del level
        layer = spnn.Conv3d(*weight.shape[1:], 2, stride=2, transposed=True)
        return self._filled(layer, weight, 2)

    def build_maps(self, cells: Tensor) -> None:
        coords = self._coords(cells)
        for level in range(5):
            functional.build_kernel_map(coords, 3, 1, 1 << level)
            if level < 4:
                coords = functional.build_kernel_map(coords, 2, 2, 1 << level)[2]

    def _coords(self, cells: Tensor) -> Tensor:
        return cells[:, [1, 2, 3, 0]].contiguous() if BATCH_LAST else cells

    def _filled(self, layer: Any, weight: Tensor, size: int) -> nn.Module:
        offsets = get_kernel_offsets(size).long() + (size - 1) // 2
        places = (offsets[:, 0] * size + offsets[:, 1]) * size + offsets[:, 2]
        with torch.no_grad():
            layer.kernel.copy_(weight[places])
        return layer


Kit = TorchsparseKit
