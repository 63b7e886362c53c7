"""The same MinkUNet with another library's convolutions.

A kit adapts the library: how it stores features, and its three convolutions.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

Weights = dict[str, Tensor]


class Kit(Protocol):
    """Adapter of a library. Weights are (K³, Cin, Cout), offsets with x slowest."""

    def tensor(self, cells: Tensor, feats: Tensor) -> Any:
        """Return the library's sparse tensor; cells (M, 4) int32 are unique and not negative."""

    def feats(self, sparse: Any) -> Tensor:
        """Return (M, C) features; at the finest level in the order of the cells."""

    def with_feats(self, sparse: Any, feats: Tensor) -> Any:
        """Return a tensor with the same cells and other features."""

    def same(self, weight: Tensor, level: int) -> nn.Module:
        """Return a submanifold convolution at a level (0 is the finest)."""

    def down(self, weight: Tensor, level: int) -> nn.Module:
        """Return a convolution of 2³ cells from a level to the next coarser one."""

    def up(self, weight: Tensor, level: int) -> nn.Module:
        """Return a transposed convolution of 2³ cells from the next coarser level to this one."""

    def build_maps(self, cells: Tensor) -> None:
        """Build all kernel maps of the network, and discard them."""


class PeerUNet(nn.Module):
    """MinkUNet with the weights of clip3d's: (M, 4) cells, (M, C) features → (M, D)."""

    def __init__(self, kit: Kit, weights: Weights) -> None:
        super().__init__()
        self.kit = kit
        self.stem = kit.same(weights["stem.weight"], 0)
        self.stem_norm = _norm(weights, "stem_norm")
        self.down = nn.ModuleList(_Down(kit, weights, level) for level in range(4))
        self.up = nn.ModuleList(_Up(kit, weights, number) for number in range(4))
        self.head = _linear(weights, "head")

    def forward(self, cells: Tensor, feats: Tensor) -> Tensor:
        sparse = self.stem(self.kit.tensor(cells, feats))
        sparse = _then(self.kit, sparse, self.stem_norm)
        skips = [sparse]
        for stage in self.down:
            sparse = stage(sparse)
            skips.append(sparse)
        skips.pop()
        for stage in self.up:
            sparse = stage(sparse, skips.pop())
        answer: Tensor = self.head(self.kit.feats(sparse))
        return answer


class _Block(nn.Module):
    def __init__(self, kit: Kit, weights: Weights, prefix: str, level: int) -> None:
        super().__init__()
        self.kit = kit
        self.conv1 = kit.same(weights[f"{prefix}.conv1.weight"], level)
        self.norm1 = _norm(weights, f"{prefix}.norm1")
        self.conv2 = kit.same(weights[f"{prefix}.conv2.weight"], level)
        self.norm2 = _norm(weights, f"{prefix}.norm2")
        self.shortcut: nn.Module = nn.Identity()
        if f"{prefix}.shortcut.0.weight" in weights:
            self.shortcut = nn.Sequential(
                _linear(weights, f"{prefix}.shortcut.0"), _norm(weights, f"{prefix}.shortcut.1")
            )

    def forward(self, sparse: Any) -> Any:
        inner = self.conv2(_then(self.kit, self.conv1(sparse), self.norm1))
        total = self.norm2(self.kit.feats(inner)) + self.shortcut(self.kit.feats(sparse))
        return self.kit.with_feats(inner, F.relu_(total))


class _Down(nn.Module):
    def __init__(self, kit: Kit, weights: Weights, level: int) -> None:
        super().__init__()
        self.kit = kit
        self.conv = kit.down(weights[f"down.{level}.conv.weight"], level)
        self.norm = _norm(weights, f"down.{level}.norm")
        self.blocks = _blocks(kit, weights, f"down.{level}.blocks", level + 1)

    def forward(self, sparse: Any) -> Any:
        return self.blocks(_then(self.kit, self.conv(sparse), self.norm))


class _Up(nn.Module):
    def __init__(self, kit: Kit, weights: Weights, number: int) -> None:
        super().__init__()
        self.kit = kit
        self.conv = kit.up(weights[f"up.{number}.conv.weight"], 3 - number)
        self.norm = _norm(weights, f"up.{number}.norm")
        self.blocks = _blocks(kit, weights, f"up.{number}.blocks", 3 - number)

    def forward(self, sparse: Any, skip: Any) -> Any:
        sparse = _then(self.kit, self.conv(sparse), self.norm)
        joined = torch.cat((self.kit.feats(sparse), self.kit.feats(skip)), dim=1)
        return self.blocks(self.kit.with_feats(sparse, joined))


def _then(kit: Kit, sparse: Any, norm: nn.Module) -> Any:
    return kit.with_feats(sparse, F.relu_(norm(kit.feats(sparse))))


def _blocks(kit: Kit, weights: Weights, prefix: str, level: int) -> nn.Sequential:
    count = len({name.split(".")[3] for name in weights if name.startswith(prefix + ".")})
    return nn.Sequential(*(_Block(kit, weights, f"{prefix}.{n}", level) for n in range(count)))


def _norm(weights: Weights, prefix: str) -> nn.BatchNorm1d:
    norm = nn.BatchNorm1d(len(weights[f"{prefix}.weight"]))
    return _filled(norm, weights, prefix)


def _linear(weights: Weights, prefix: str) -> nn.Linear:
    wide, narrow = weights[f"{prefix}.weight"].shape
    return _filled(nn.Linear(narrow, wide, bias=f"{prefix}.bias" in weights), weights, prefix)


def _filled(layer: Any, weights: Weights, prefix: str) -> Any:
    layer.load_state_dict({name: weights[f"{prefix}.{name}"] for name in layer.state_dict()})
    return layer
