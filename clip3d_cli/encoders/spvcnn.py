"""SPVCNN in PyTorch: a sparse U-Net with a branch of points that keeps fine detail.

Source: Tang et al., "Searching Efficient 3D Architectures with Sparse Point-Voxel Convolution"
(2020). The channels are those of CLIP2Scene's nuScenes network: the features of three point
branches, concatenated, go through one linear head.

Differences: the points are the finest voxels, each at its middle or at a given offset, so that
input and output are voxels. The features of a voxel are located at its middle, not at its lowest
corner, when points read them.
"""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from clip3d_cli.encoders.minkunet import DownStage, UpStage
from clip3d_cli.encoders.minkunet_shape import scale_channels
from clip3d_cli.sparse.layers import BatchNorm, SubmanifoldConv3d, conv_norm_relu
from clip3d_cli.sparse.plan import Plan
from clip3d_cli.sparse.point_voxel import interpolate_trilinear, pool_mean
from clip3d_cli.sparse.tensor import SparseTensor

# Channels of the stem and of the eight stages, four down and four up.
PLANES = (32, 32, 64, 128, 256, 256, 128, 96, 96)
BLOCKS_PER_STAGE = 2


class PointLayer(nn.Sequential):
    """A linear layer, batch normalization and ReLU on points: (M, Cin) → (M, Cout)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Linear(in_channels, out_channels), BatchNorm(out_channels), nn.ReLU(inplace=True)
        )


class SPVCNN(nn.Module):
    """U-Net with four stages down, four up, and points that read strides 16, 4 and 1.

    Args:
        in_channels: C of the input features (CLIP2Scene: 1, the intensity).
        out_channels: D of the result.
        width: factor of all inner channels, which are rounded to multiples of eight.
        dropout: probability, in training, that a channel is dropped where points return to voxels.

    Attributes:
        stride: edge of the coarsest cells, in voxels.
        reach: radius of the receptive field, in voxels.
    """

    stride = 16

    def __init__(
        self, in_channels: int, out_channels: int, *, width: float = 1.0, dropout: float = 0.3
    ) -> None:
        super().__init__()
        planes = scale_channels(PLANES, width)
        self.dropout = dropout
        self.stem = nn.ModuleList(
            (SubmanifoldConv3d(in_channels, planes[0]), SubmanifoldConv3d(planes[0], planes[0]))
        )
        self.stem_norm = nn.ModuleList((BatchNorm(planes[0]), BatchNorm(planes[0])))
        self.down = nn.ModuleList(
            DownStage(planes[i], planes[i + 1], BLOCKS_PER_STAGE) for i in range(4)
        )
        self.up = nn.ModuleList(
            UpStage(planes[4 + i], planes[3 - i], planes[5 + i], BLOCKS_PER_STAGE) for i in range(4)
        )
        # From stem to stride 16, from there to stride 4, from there to stride 1.
        self.points = nn.ModuleList(
            PointLayer(planes[i], planes[i + stages]) for i, stages in ((0, 4), (4, 2), (6, 2))
        )
        self.head = nn.Linear(planes[4] + planes[6] + planes[8], out_channels)
        self.reach = _reach()

    def forward(
        self, tensor: SparseTensor, plan: Plan | None = None, offsets: Tensor | None = None
    ) -> Tensor:
        """Return (M, D), a vector for every cell, in the order of the tensor's rows.

        Args:
            tensor: M cells at stride 1 with ``in_channels`` features.
            plan: plan of the same cells; built if not given.
            offsets: (M, 3) floating point, −0.5…0.5 cells, from each cell's middle to the mean of
                its points; 0 if not given.
        """
        result: Tensor = self.head(self.trunk(tensor, plan or Plan(tensor.cells), offsets))
        return result

    def trunk(self, tensor: SparseTensor, plan: Plan, offsets: Tensor | None = None) -> Tensor:
        """Return the features that the head reads, (M, trunk channels), in the tensor's order.

        Separate from `forward` because training applies heads to some rows only.
        """
        feats = plan.to_plan_order(tensor.feats)
        if offsets is not None:
            offsets = plan.to_plan_order(offsets)
        for conv, norm in zip(self.stem, self.stem_norm, strict=True):
            feats = conv_norm_relu(partial(conv, feats, plan, 1), cast(BatchNorm, norm), plan)
        points = interpolate_trilinear(feats, plan, 1, offsets).to(self.head.weight.dtype)
        # As published, the way down starts from the points' features at stride 1.
        skips, feats = [feats], points
        for level, stage in enumerate(self.down):
            feats = stage(feats, plan, 1 << level)
            skips.append(feats)
        # (M, C) each: points after reading strides 16, 4 and 1.
        coarse = self._read_points(skips.pop(), points, 0, (plan, 16, offsets))
        feats = self._stages_up(coarse, skips, (16, 8), plan)
        middle = self._read_points(feats, coarse, 1, (plan, 4, offsets))
        feats = self._stages_up(middle, skips, (4, 2), plan)
        fine = self._read_points(feats, middle, 2, (plan, 1, offsets))
        return plan.to_caller_order(torch.cat((coarse, middle, fine), dim=1))

    def _read_points(
        self, feats: Tensor, points: Tensor, branch: int, where: tuple[Plan, int, Tensor | None]
    ) -> Tensor:
        """Return a level's features at the points, plus the branch's layer on their features."""
        plan, stride, offsets = where
        transformed: Tensor = self.points[branch](points)
        return transformed + interpolate_trilinear(feats, plan, stride, offsets).to(
            transformed.dtype
        )

    def _stages_up(
        self, points: Tensor, skips: list[Tensor], strides: tuple[int, int], plan: Plan
    ) -> Tensor:
        """Average the points in voxels at ``strides[0]``, then apply two stages up."""
        feats = pool_mean(points, plan, strides[0]).to(skips[-1].dtype)
        feats = F.dropout(feats, self.dropout, self.training)
        for stride in strides:
            # Stage 0 starts at stride 16, stage 3 at stride 2.
            stage = self.up[4 - stride.bit_length() + 1]
            feats = stage(feats, skips.pop(), plan, stride)
        return feats


def _reach() -> int:
    """Return the radius of the receptive field in voxels, as `unet_reach` computes it.

    In addition, points at strides 16, 4 and 1 read the eight cells around them: their influence is
    one cell of that stride wider, and they are part of the result.
    """
    farthest = 0
    block_radius = 2 * BLOCKS_PER_STAGE
    for cell in range(SPVCNN.stride):
        # Two convolutions of the stem, then points that may lie next to the neighbouring cell.
        first, last = cell - 3, cell + 3
        skips = []
        for _ in range(4):
            skips.append((first, last))
            first, last = (first >> 1) - block_radius, (last >> 1) + block_radius
        for stride in (16, 8, 4, 2):
            if stride in (16, 4):
                first, last = first - 1, last + 1
                farthest = max(farthest, cell - stride * first, stride * (last + 1) - 1 - cell)
            skip = skips.pop()
            first = min(2 * first, skip[0]) - block_radius
            last = max(2 * last + 1, skip[1]) + block_radius
        farthest = max(farthest, cell - first + 1, last + 1 - cell)
    return farthest
