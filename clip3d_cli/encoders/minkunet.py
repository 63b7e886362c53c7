"""The MinkUNet family: residual U-Nets of sparse convolutions (Choy et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from clip3d_cli.encoders.unet import UNetShape
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
            answer = block(answer, plan, stride, spare=True)
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

    Args: see `UNetShape`.
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
        channels: Sequence[int] = (),
        blocks: Sequence[int] = (),
    ) -> None:
        super().__init__()
        shape = UNetShape(
            in_channels, out_channels, layers, width, stem_kernel, head_bias, channels, blocks
        )
        self.stem = SubmanifoldConv3d(in_channels, shape.stem, stem_kernel)
        self.stem_norm = RowNorm(shape.stem)
        self.down = nn.ModuleList(
            DownStage(stage.inner, stage.outer, stage.blocks) for stage in shape.down
        )
        self.up = nn.ModuleList(
            UpStage(stage.inner, stage.skip, stage.outer, stage.blocks) for stage in shape.up
        )
        self.head = nn.Linear(shape.trunk, out_channels, bias=head_bias)
        self.reach = shape.reach

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
