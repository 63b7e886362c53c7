"""Layers over the rows of a plan.

Every layer is called with features in plan order, the plan, and the stride the features are at.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from clip3d_cli.sparse.plan import Plan


class _Kernel(nn.Module):
    """A weight in the canonical layout: (K³, Cin, Cout), offsets with x slowest."""

    def __init__(self, in_channels: int, out_channels: int, size: int) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.size = in_channels, out_channels, size
        weight = torch.empty(size**3, in_channels, out_channels)
        nn.init.normal_(weight, std=math.sqrt(2 / (size**3 * in_channels)))
        self.weight = nn.Parameter(weight)

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, size={self.size}"


class SubmanifoldConv3d(_Kernel):
    """Convolution onto the same cells: (M, Cin) → (M, Cout); size 3 or 5."""

    def __init__(self, in_channels: int, out_channels: int, size: int = 3) -> None:
        super().__init__(in_channels, out_channels, size)

    def forward(self, feats: Tensor, plan: Plan, stride: int) -> Tensor:
        """The features at the same stride."""
        return plan.convolve(feats, self.weight, stride)


class DownConv3d(_Kernel):
    """Convolution of 2³ cells onto cells twice as wide."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 2)

    def forward(self, feats: Tensor, plan: Plan, stride: int) -> Tensor:
        """The features at twice the stride."""
        return plan.convolve_down(feats, self.weight, stride)


class UpConv3d(_Kernel):
    """Transposed convolution of 2³ cells onto the plan's cells half as wide."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 2)

    def forward(self, feats: Tensor, plan: Plan, stride: int) -> Tensor:
        """The features at half the stride."""
        return plan.convolve_up(feats, self.weight, stride)


class RowNorm(nn.BatchNorm1d):
    """Batch normalisation over rows, for any number of rows.

    One row has no spread, and none has no mean: then the running statistics are used, also in
    training. Without gradients the answer overwrites the argument, which every layer before it
    makes anew: that saves a third of the time and half of the memory.
    """

    def forward(self, feats: Tensor) -> Tensor:
        """(M, C) → (M, C)."""
        if self.training and len(feats) >= 2:
            return super().forward(feats)
        if torch.is_grad_enabled() or feats.dtype != self.weight.dtype:
            return F.batch_norm(
                feats, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        mean, variance = self.get_buffer("running_mean"), self.get_buffer("running_var")
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return torch.addcmul(self.bias - mean * scale, feats, scale, out=feats)


class ResidualBlock(nn.Module):
    """Two 3³ convolutions beside a shortcut: (M, Cin) → (M, Cout) (He et al. 2016, Fig. 2)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = SubmanifoldConv3d(in_channels, out_channels)
        self.norm1 = RowNorm(out_channels)
        self.conv2 = SubmanifoldConv3d(out_channels, out_channels)
        self.norm2 = RowNorm(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Linear(in_channels, out_channels, bias=False), RowNorm(out_channels)
            )

    def forward(self, feats: Tensor, plan: Plan, stride: int) -> Tensor:
        """The features at the same stride."""
        inner = F.relu_(self.norm1(self.conv1(feats, plan, stride)))
        inner = self.norm2(self.conv2(inner, plan, stride))
        inner += self.shortcut(feats)
        return F.relu_(inner)
