"""The MinkUNet family: residual U-Nets of sparse convolutions (Choy et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from clip3d_cli.sparse.backend import Features
from clip3d_cli.sparse.layers import (
    DownConv3d,
    ResidualBlock,
    RowNorm,
    SubmanifoldConv3d,
    UpConv3d,
)
from clip3d_cli.sparse.plan import Plan
from clip3d_cli.sparse.tensor import SparseTensor

STEM_CHANNELS = 32
PLANES_A = (32, 64, 128, 256, 128, 128, 96, 96)
PLANES_C = (32, 64, 128, 256, 256, 128, 96, 96)


@dataclass(frozen=True, slots=True)
class _Variant:
    blocks: tuple[int, ...]
    planes: tuple[int, ...]


_VARIANTS = {
    14: _Variant((1, 1, 1, 1, 1, 1, 1, 1), PLANES_A),
    18: _Variant((2, 2, 2, 2, 2, 2, 2, 2), PLANES_A),
    34: _Variant((2, 3, 4, 6, 2, 2, 2, 2), PLANES_C),
}


class Blocks(nn.ModuleList):
    """Residual blocks one after another at one stride."""

    def __init__(self, in_channels: int, out_channels: int, count: int) -> None:
        first = [ResidualBlock(in_channels, out_channels)]
        super().__init__(
            first + [ResidualBlock(out_channels, out_channels) for _ in range(count - 1)]
        )

    def forward(self, feats: Features, plan: Plan, stride: int) -> Tensor:
        """The features at the same stride; several given ones stand side by side."""
        first, *rest = self
        answer: Tensor = first(feats, plan, stride)
        for block in rest:
            answer = block(answer, plan, stride)
        return answer


class DownStage(nn.Module):
    """To cells twice as wide, then residual blocks."""

    def __init__(self, in_channels: int, out_channels: int, blocks: int) -> None:
        super().__init__()
        self.conv = DownConv3d(in_channels, in_channels)
        self.norm = RowNorm(in_channels)
        self.blocks = Blocks(in_channels, out_channels, blocks)

    def forward(self, feats: Tensor, plan: Plan, stride: int) -> Tensor:
        """Features at ``stride`` → features at twice that."""
        feats = self.norm.after(partial(self.conv, feats, plan, stride), plan)
        blocks: Tensor = self.blocks(feats, plan, 2 * stride)
        return blocks


class UpStage(nn.Module):
    """To cells half as wide, joined with what the way down knew there, then residual blocks."""

    def __init__(
        self, in_channels: int, skip_channels: int, out_channels: int, blocks: int
    ) -> None:
        super().__init__()
        self.conv = UpConv3d(in_channels, out_channels)
        self.norm = RowNorm(out_channels)
        self.blocks = Blocks(out_channels + skip_channels, out_channels, blocks)

    def forward(self, feats: Tensor, skip: Tensor, plan: Plan, stride: int) -> Tensor:
        """Features at ``stride`` and at half of it → features at half of it."""
        upper = self.norm.after(partial(self.conv, feats, plan, stride), plan)
        blocks: Tensor = self.blocks((upper, skip), plan, stride // 2)
        return blocks


class MinkUNet(nn.Module):
    """Four stages down, four up, with skips: every voxel gets a vector.

    Args:
        in_channels: C of the input features.
        out_channels: D of the vectors.
        layers: 14, 18 or 34: one, two, or 2-3-4-6-2-2-2-2 residual blocks a stage.
        width: all inner channels times this, to the nearest multiple of eight.
        stem_kernel: the edge of the first convolution, 3 or 5 cells (OpenScene: 5).
        head_bias: whether the last, linear layer has a bias (OpenScene: no).

    Raises:
        ValueError: no such number of layers.
    """

    stride = 16

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        layers: int = 18,
        width: float = 1.0,
        stem_kernel: int = 3,
        head_bias: bool = True,
    ) -> None:
        super().__init__()
        if layers not in _VARIANTS:
            raise ValueError(f"a MinkUNet has {sorted(_VARIANTS)} layers, not {layers}")
        variant = _VARIANTS[layers]
        stages = scaled(variant.planes, width)
        (stem,) = scaled((STEM_CHANNELS,), width)
        self.stem = SubmanifoldConv3d(in_channels, stem, stem_kernel)
        self.stem_norm = RowNorm(stem)
        channels = (stem, *stages[:4])
        self.down = nn.ModuleList(
            DownStage(channels[i], channels[i + 1], variant.blocks[i]) for i in range(4)
        )
        skips = channels[-2::-1]
        heights = (channels[-1], *stages[4:])
        self.up = nn.ModuleList(
            UpStage(heights[i], skips[i], heights[i + 1], variant.blocks[4 + i]) for i in range(4)
        )
        self.head = nn.Linear(heights[-1], out_channels, bias=head_bias)
        self.reach = unet_reach(stem_kernel // 2, variant.blocks[:4], variant.blocks[4:])

    def forward(self, tensor: SparseTensor, plan: Plan | None = None) -> Tensor:
        """(M, D): a vector for every cell, in the order of the tensor's rows.

        Args:
            tensor: M cells at stride 1 with ``in_channels`` features.
            plan: of the same cells, if it is already made.
        """
        feats = self.trunk(tensor, plan or Plan(tensor.cells))
        bias = None if self.head.bias is None else self.head.bias.to(feats.dtype)
        return F.linear(feats, self.head.weight.to(feats.dtype), bias)

    def trunk(self, tensor: SparseTensor, plan: Plan) -> Tensor:
        """(M, C): what the head turns into vectors; training picks rows of it first."""
        feats = plan.to_plan_order(tensor.feats)
        feats = self.stem_norm.after(partial(self.stem, feats, plan, 1), plan)
        skips = [feats]
        for level, stage in enumerate(self.down):
            feats = stage(feats, plan, 1 << level)
            skips.append(feats)
        skips.pop()
        for level, stage in enumerate(self.up):
            feats = stage(feats, skips.pop(), plan, self.stride >> level)
        return plan.to_caller_order(feats)


def scaled(planes: Iterable[int], width: float) -> tuple[int, ...]:
    """Channels times ``width``, to the nearest multiple of eight, at least eight."""
    return tuple(max(8, round(channels * width / 8) * 8) for channels in planes)


def unet_reach(stem: int, down: Sequence[int], up: Sequence[int]) -> int:
    """How many cells away an input voxel can still change a U-Net's answer.

    An input cell's influence is followed through every level as an interval of cells, for every
    place the cell can have among the widest cells; the farthest end counts.

    Args:
        stem: reach of the convolutions at stride 1 before the first stage, in cells.
        down: residual blocks of each stage down; each block reaches two cells of its stride.
        up: residual blocks of each stage up.
    """
    farthest = 0
    for cell in range(1 << len(down)):
        first, last = cell - stem, cell + stem
        skips = []
        for blocks in down:
            skips.append((first, last))
            first, last = (first >> 1) - 2 * blocks, (last >> 1) + 2 * blocks
        for blocks in up:
            skip = skips.pop()
            first = min(2 * first, skip[0]) - 2 * blocks
            last = max(2 * last + 1, skip[1]) + 2 * blocks
        farthest = max(farthest, cell - first, last - cell)
    return farthest
