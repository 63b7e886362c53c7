"""SPVCNN: a sparse U-Net with a branch of points that keeps fine detail (Tang et al. 2020).

The channels are those of CLIP2Scene's nuScenes network: the features of three point branches,
concatenated, go through one linear head. Where we depart from it: points are the finest voxels
themselves, each at its middle or at a given offset, so the network is voxels in, voxels out; a
voxel's features stand at its middle, not at its low corner, when points read them.
"""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from clip3d_cli.encoders.minkunet import DownStage, UpStage
from clip3d_cli.encoders.unet import scaled
from clip3d_cli.sparse.layers import RowNorm, SubmanifoldConv3d
from clip3d_cli.sparse.plan import Plan
from clip3d_cli.sparse.point_voxel import pool_mean, read_trilinear
from clip3d_cli.sparse.tensor import SparseTensor

PLANES = (32, 32, 64, 128, 256, 256, 128, 96, 96)
BLOCKS_A_STAGE = 2


class PointLayer(nn.Sequential):
    """A linear layer, batch normalisation and ReLU on points: (M, Cin) → (M, Cout)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Linear(in_channels, out_channels), RowNorm(out_channels), nn.ReLU(inplace=True)
        )


class SPVCNN(nn.Module):
    """Four stages down, four up, and points that read the widest, a middle and the finest level.

    Args:
        in_channels: C of the input features (CLIP2Scene: 1, intensity).
        out_channels: D of the vectors.
        width: all inner channels times this, to the nearest multiple of eight.
        dropout: share of channels dropped, in training, where points return to voxels.
    """

    stride = 16

    def __init__(
        self, in_channels: int, out_channels: int, *, width: float = 1.0, dropout: float = 0.3
    ) -> None:
        super().__init__()
        planes = scaled(PLANES, width)
        self.dropout = dropout
        self.stem = nn.ModuleList(
            (SubmanifoldConv3d(in_channels, planes[0]), SubmanifoldConv3d(planes[0], planes[0]))
        )
        self.stem_norm = nn.ModuleList((RowNorm(planes[0]), RowNorm(planes[0])))
        self.down = nn.ModuleList(
            DownStage(planes[i], planes[i + 1], BLOCKS_A_STAGE) for i in range(4)
        )
        self.up = nn.ModuleList(
            UpStage(planes[4 + i], planes[3 - i], planes[5 + i], BLOCKS_A_STAGE) for i in range(4)
        )
        self.points = nn.ModuleList(
            PointLayer(planes[i], planes[i + size]) for i, size in ((0, 4), (4, 2), (6, 2))
        )
        self.head = nn.Linear(planes[4] + planes[6] + planes[8], out_channels)
        self.reach = _reach()

    def forward(
        self, tensor: SparseTensor, plan: Plan | None = None, offsets: Tensor | None = None
    ) -> Tensor:
        """(M, D): a vector for every cell, in the order of the tensor's rows.

        Args:
            tensor: M cells at stride 1 with ``in_channels`` features.
            plan: of the same cells, if it is already made.
            offsets: (M, 3) floating, −0.5…0.5 cells from each cell's middle to the mean of its
                points; the middle itself if not given.
        """
        answer: Tensor = self.head(self.trunk(tensor, plan or Plan(tensor.cells), offsets))
        return answer

    def trunk(self, tensor: SparseTensor, plan: Plan, offsets: Tensor | None = None) -> Tensor:
        """(M, C): what the head turns into vectors; training picks rows of it first."""
        feats = plan.to_plan_order(tensor.feats)
        if offsets is not None:
            offsets = plan.to_plan_order(offsets)
        for conv, norm in zip(self.stem, self.stem_norm, strict=True):
            feats = cast(RowNorm, norm).after(partial(conv, feats, plan, 1), plan)
        points = read_trilinear(feats, plan, 1, offsets).to(self.head.weight.dtype)
        skips, deeper = [feats], points
        for level, stage in enumerate(self.down):
            deeper = stage(deeper, plan, 1 << level)
            skips.append(deeper)
        wide = self._join(skips.pop(), points, 0, (plan, 16, offsets))
        middle = self._join(self._climb(wide, skips, (16, 8), plan), wide, 1, (plan, 4, offsets))
        fine = self._join(self._climb(middle, skips, (4, 2), plan), middle, 2, (plan, 1, offsets))
        return plan.to_caller_order(torch.cat((wide, middle, fine), dim=1))

    def _join(
        self, feats: Tensor, points: Tensor, branch: int, place: tuple[Plan, int, Tensor | None]
    ) -> Tensor:
        """What points read from a level, plus what their branch makes of what they knew."""
        plan, stride, offsets = place
        joined: Tensor = self.points[branch](points)
        return joined + read_trilinear(feats, plan, stride, offsets).to(joined.dtype)

    def _climb(
        self, points: Tensor, skips: list[Tensor], strides: tuple[int, int], plan: Plan
    ) -> Tensor:
        """Points back into voxels, then two stages up."""
        feats = pool_mean(points, plan, strides[0]).to(skips[-1].dtype)
        feats = F.dropout(feats, self.dropout, self.training)
        for stride in strides:
            stage = self.up[4 - stride.bit_length() + 1]
            feats = stage(feats, skips.pop(), plan, stride)
        return feats


def _reach() -> int:
    """How many cells away an input voxel can still change an answer: see `unet_reach`."""
    farthest = 0
    blocks = 2 * BLOCKS_A_STAGE
    for cell in range(SPVCNN.stride):
        first, last = cell - 3, cell + 3
        skips = []
        for _ in range(4):
            skips.append((first, last))
            first, last = (first >> 1) - blocks, (last >> 1) + blocks
        for stride in (16, 8, 4, 2):
            if stride in (16, 4):
                first, last = first - 1, last + 1
                farthest = max(farthest, cell - stride * first, stride * (last + 1) - 1 - cell)
            skip = skips.pop()
            first = min(2 * first, skip[0]) - blocks
            last = max(2 * last + 1, skip[1]) + blocks
        farthest = max(farthest, cell - first + 1, last + 1 - cell)
    return farthest
