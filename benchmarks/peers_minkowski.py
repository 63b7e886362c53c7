"""Adapter of MinkowskiEngine 0.5 for `PeerUNet`."""

from __future__ import annotations

from typing import Any

import MinkowskiEngine as ME  # noqa: N817
import torch
from torch import Tensor, nn

VERSION = ME.__version__


class MinkowskiKit:
    """MinkowskiEngine's convolutions; its offsets have x fastest."""

    def tensor(self, cells: Tensor, feats: Tensor) -> Any:
        return ME.SparseTensor(feats, coordinates=cells)

    def feats(self, sparse: Any) -> Tensor:
        feats: Tensor = sparse.F
        return feats

    def with_feats(self, sparse: Any, feats: Tensor) -> Any:
        return ME.SparseTensor(
            feats,
            coordinate_map_key=sparse.coordinate_map_key,
            coordinate_manager=sparse.coordinate_manager,
        )

    def same(self, weight: Tensor, level: int) -> nn.Module:
        del level
        layer = ME.MinkowskiConvolution(*weight.shape[1:], kernel_size=3, dimension=3)
        return self._filled(layer, weight, 3)

    def down(self, weight: Tensor, level: int) -> nn.Module:
        del level
        layer = ME.MinkowskiConvolution(*weight.shape[1:], kernel_size=2, stride=2, dimension=3)
        return self._filled(layer, weight, 2)

    def up(self, weight: Tensor, level: int) -> nn.Module:
        del level
        layer = ME.MinkowskiConvolutionTranspose(
            *weight.shape[1:], kernel_size=2, stride=2, dimension=3
        )
        return self._filled(layer, weight, 2)

    def build_maps(self, cells: Tensor) -> None:
        manager = ME.CoordinateManager(D=3)
        key, _ = manager.insert_and_map(cells, [1, 1, 1])
        for level in range(5):
            manager.kernel_map(key, key, kernel_size=3)
            if level < 4:
                coarse = manager.stride(key, 2)
                manager.kernel_map(key, coarse, stride=2, kernel_size=2)
                key = coarse

    def _filled(self, layer: Any, weight: Tensor, size: int) -> nn.Module:
        turned = weight.view(size, size, size, *weight.shape[1:]).transpose(0, 2)
        with torch.no_grad():
            layer.kernel.copy_(turned.reshape(weight.shape))
        return layer


Kit = MinkowskiKit
