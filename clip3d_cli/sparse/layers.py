"""Layers over the rows of a plan.

Every layer is called with features in plan order, the plan, and the stride the features are at.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from clip3d_cli.sparse.backend import Epilogue, Features
from clip3d_cli.sparse.backends.fallback import joined
from clip3d_cli.sparse.plan import Plan

Convolve = Callable[[Epilogue | None], Tensor]


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
    """Convolution onto the same cells: (M, Cin) → (M, Cout); size 1, 3 or 5."""

    def __init__(self, in_channels: int, out_channels: int, size: int = 3) -> None:
        super().__init__(in_channels, out_channels, size)

    def forward(
        self, feats: Features, plan: Plan, stride: int, epilogue: Epilogue | None = None
    ) -> Tensor:
        """The features at the same stride."""
        return plan.convolve(feats, self.weight, stride, epilogue)


class DownConv3d(_Kernel):
    """Convolution of 2³ cells onto cells twice as wide."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 2)

    def forward(
        self, feats: Features, plan: Plan, stride: int, epilogue: Epilogue | None = None
    ) -> Tensor:
        """The features at twice the stride."""
        return plan.convolve_down(feats, self.weight, stride, epilogue)


class UpConv3d(_Kernel):
    """Transposed convolution of 2³ cells onto the plan's cells half as wide."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 2)

    def forward(
        self, feats: Features, plan: Plan, stride: int, epilogue: Epilogue | None = None
    ) -> Tensor:
        """The features at half the stride."""
        return plan.convolve_up(feats, self.weight, stride, epilogue)


class RowNorm(nn.BatchNorm1d):
    """Batch normalisation over rows, for any number of rows and any floating dtype.

    One row has no spread, and none has no mean: then the running statistics are used, also in
    training.
    """

    def forward(self, feats: Tensor) -> Tensor:
        """(M, C) → (M, C)."""
        if self.training and len(feats) >= 2:
            return super().forward(feats)
        return F.batch_norm(
            feats, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )

    def after(
        self,
        convolve: Convolve,
        plan: Plan,
        *,
        residual: Tensor | None = None,
        relu: bool = True,
        spare: bool = False,
    ) -> Tensor:
        """Normalise what a convolution gives, + residual, then ReLU, in as few passes as can be.

        Args:
            convolve: computes (M, C) with the epilogue it is given.
            plan: whose backend fuses what it can.
            residual: (M, C), or None.
            relu: whether negative numbers become 0.
            spare: whether the residual may be overwritten, in inference.
        """
        if not self.training and not torch.is_grad_enabled():
            scale, shift = self.folded()
            return convolve(Epilogue(scale, shift, residual, relu, spare))
        feats = convolve(None)
        if self.training and len(feats) >= 2:
            return plan.backend.normalise(feats, self, residual=residual, relu=relu)
        normed = self(feats)
        if residual is not None:
            normed = normed + residual
        return F.relu(normed) if relu else normed

    def folded(self) -> tuple[Tensor, Tensor]:
        """The scale and the shift, (C,) each, that normalise by the running statistics."""
        mean, variance = self.get_buffer("running_mean"), self.get_buffer("running_var")
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return scale, self.bias - mean * scale


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
            self.shortcut = _Shortcut(in_channels, out_channels)

    def forward(self, feats: Features, plan: Plan, stride: int, *, spare: bool = False) -> Tensor:
        """The features at the same stride; ``spare`` ones may be overwritten, in inference."""
        inner = self.norm1.after(partial(self.conv1, feats, plan, stride), plan)
        if isinstance(self.shortcut, _Shortcut):
            # What a shortcut makes is nobody else's.
            residual, spare = self.shortcut(feats, plan, stride), True
        else:
            residual = joined(feats)
        convolve = partial(self.conv2, inner, plan, stride)
        return self.norm2.after(convolve, plan, residual=residual, spare=spare)


class _Shortcut(nn.ModuleList):
    """A linear layer and its normalisation: a convolution of one cell."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__([nn.Linear(in_channels, out_channels, bias=False), RowNorm(out_channels)])

    def forward(self, feats: Features, plan: Plan, stride: int) -> Tensor:
        linear, norm = cast(nn.Linear, self[0]), cast(RowNorm, self[1])
        weight = linear.weight.T.unsqueeze(0)
        return norm.after(partial(plan.convolve, feats, weight, stride), plan, relu=False)
