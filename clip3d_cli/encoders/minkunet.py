"""The MinkUNet family in PyTorch: residual U-Nets of sparse convolutions (Choy et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from clip3d_cli.encoders.minkunet_shape import MinkUNetShape
from clip3d_cli.sparse.backend import Features
from clip3d_cli.sparse.layers import (
    BatchNorm,
    DownConv3d,
    ResidualBlock,
    SubmanifoldConv3d,
    UpConv3d,
    conv_norm_relu,
)
from clip3d_cli.sparse.plan import Plan
from clip3d_cli.sparse.tensor import SparseTensor


class ResidualBlocks(nn.ModuleList):
    """Residual blocks in sequence, at one stride.

    Args:
        in_channels: Cin of the first block.
        out_channels: Cout of all blocks.
        count: number of blocks.
    """

    def __init__(self, in_channels: int, out_channels: int, count: int) -> None:
        first = [ResidualBlock(in_channels, out_channels)]
        super().__init__(
            first + [ResidualBlock(out_channels, out_channels) for _ in range(count - 1)]
        )

    def forward(self, feats: Features, plan: Plan, stride: int) -> Tensor:
        """Return (M, Cout) features; ``feats`` may be a tuple whose columns are side by side."""
        first, *others = self
        result: Tensor = first(feats, plan, stride)
        for block in others:
            # The result of the block before is not used anywhere else.
            result = block(result, plan, stride, overwrite_input=True)
        return result


class DownStage(nn.Module):
    """Stage of the encoder: a convolution to twice the stride, then residual blocks.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the result.
        blocks: number of residual blocks.
    """

    def __init__(self, in_channels: int, out_channels: int, blocks: int) -> None:
        super().__init__()
        self.conv = DownConv3d(in_channels, in_channels)
        self.norm = BatchNorm(in_channels)
        self.blocks = ResidualBlocks(in_channels, out_channels, blocks)

    def forward(self, feats: Tensor, plan: Plan, stride: int) -> Tensor:
        """Return the features at ``2 * stride`` of features at ``stride``."""
        feats = conv_norm_relu(partial(self.conv, feats, plan, stride), self.norm, plan)
        result: Tensor = self.blocks(feats, plan, 2 * stride)
        return result


class UpStage(nn.Module):
    """Stage of the decoder: a transposed convolution to half the stride, then residual blocks.

    The residual blocks read the result of the convolution and, beside it, the skip connection.

    Args:
        in_channels: channels of the input.
        skip_channels: channels of the skip connection.
        out_channels: channels of the result.
        blocks: number of residual blocks.
    """

    def __init__(
        self, in_channels: int, skip_channels: int, out_channels: int, blocks: int
    ) -> None:
        super().__init__()
        self.conv = UpConv3d(in_channels, out_channels)
        self.norm = BatchNorm(out_channels)
        self.blocks = ResidualBlocks(out_channels + skip_channels, out_channels, blocks)

    def forward(self, feats: Tensor, skip: Tensor, plan: Plan, stride: int) -> Tensor:
        """Return the features at ``stride // 2``.

        Args:
            feats: features at ``stride``.
            skip: features of the way down at ``stride // 2``.
            plan: plan of the cells.
            stride: stride of ``feats``.
        """
        upsampled = conv_norm_relu(partial(self.conv, feats, plan, stride), self.norm, plan)
        result: Tensor = self.blocks((upsampled, skip), plan, stride // 2)
        return result


class MinkUNet(nn.Module):
    """U-Net with four stages down and four up: (M, C) voxel features → (M, D).

    Args: see `MinkUNetShape`.

    Attributes:
        stride: edge of the coarsest cells, in voxels.
        reach: radius of the receptive field, in voxels.
    """

    stride = 16

    def __init__(  # noqa: PLR0913 - the keys of a weights file
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
        shape = MinkUNetShape(
            in_channels, out_channels, layers, width, stem_kernel, head_bias, channels, blocks
        )
        self.stem = SubmanifoldConv3d(in_channels, shape.stem_channels, stem_kernel)
        self.stem_norm = BatchNorm(shape.stem_channels)
        self.down = nn.ModuleList(
            DownStage(stage.in_channels, stage.out_channels, stage.blocks) for stage in shape.down
        )
        self.up = nn.ModuleList(
            UpStage(stage.in_channels, stage.skip_channels, stage.out_channels, stage.blocks)
            for stage in shape.up
        )
        self.head = nn.Linear(shape.trunk_channels, out_channels, bias=head_bias)
        self.reach = shape.reach

    def forward(self, tensor: SparseTensor, plan: Plan | None = None) -> Tensor:
        """Return (M, D), a vector for every cell, in the order of the tensor's rows.

        Args:
            tensor: M cells at stride 1 with ``in_channels`` features.
            plan: plan of the same cells; built if not given.
        """
        feats = self.trunk(tensor, plan or Plan(tensor.cells))
        bias = None if self.head.bias is None else self.head.bias.to(feats.dtype)
        return F.linear(feats, self.head.weight.to(feats.dtype), bias)

    def trunk(self, tensor: SparseTensor, plan: Plan) -> Tensor:
        """Return the features that the head reads, (M, trunk channels), in the tensor's order.

        Separate from `forward` because training applies heads to some rows only.
        """
        feats = plan.to_plan_order(tensor.feats)
        feats = conv_norm_relu(partial(self.stem, feats, plan, 1), self.stem_norm, plan)
        skips = [feats]
        for level, stage in enumerate(self.down):
            feats = stage(feats, plan, 1 << level)
            skips.append(feats)
        # The last entry is the coarsest level itself.
        skips.pop()
        for level, stage in enumerate(self.up):
            feats = stage(feats, skips.pop(), plan, self.stride >> level)
        return plan.to_caller_order(feats)
