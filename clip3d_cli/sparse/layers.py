"""Layers of sparse U-Nets: convolutions, batch normalization and residual blocks.

Every layer is called with features in plan order, the plan, and the stride of the features.
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
from clip3d_cli.sparse.backends.fallback import concatenate
from clip3d_cli.sparse.plan import Plan

Convolution = Callable[[Epilogue | None], Tensor]
"""A convolution of which only the epilogue is still open; returns (M, C)."""


class _Kernel(nn.Module):
    """Base of the convolutions: a weight of shape (K³, Cin, Cout), offsets with x slowest."""

    def __init__(self, in_channels: int, out_channels: int, size: int) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.size = in_channels, out_channels, size
        weight = torch.empty(size**3, in_channels, out_channels)
        # He et al. (2015), Eq. 10.
        nn.init.normal_(weight, std=math.sqrt(2 / (size**3 * in_channels)))
        self.weight = nn.Parameter(weight)

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, size={self.size}"


class SubmanifoldConv3d(_Kernel):
    """Submanifold convolution, whose output has the cells of its input.

    Args:
        in_channels: Cin.
        out_channels: Cout.
        size: edge of the kernel in cells: 1, 3 or 5.
    """

    def __init__(self, in_channels: int, out_channels: int, size: int = 3) -> None:
        super().__init__(in_channels, out_channels, size)

    def forward(
        self, feats: Features, plan: Plan, stride: int, epilogue: Epilogue | None = None
    ) -> Tensor:
        """Return (M, Cout) features of the level at ``stride``: see `Plan.convolve`."""
        return plan.convolve(feats, self.weight, stride, epilogue)


class DownConv3d(_Kernel):
    """Strided convolution of 2³ cells, to cells of twice the stride."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 2)

    def forward(
        self, feats: Features, plan: Plan, stride: int, epilogue: Epilogue | None = None
    ) -> Tensor:
        """Return (M', Cout) features at ``2 * stride``: see `Plan.convolve_down`."""
        return plan.convolve_down(feats, self.weight, stride, epilogue)


class UpConv3d(_Kernel):
    """Transposed convolution of 2³ cells, to the plan's cells of half the stride."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 2)

    def forward(
        self, feats: Features, plan: Plan, stride: int, epilogue: Epilogue | None = None
    ) -> Tensor:
        """Return (M', Cout) features at ``stride // 2``: see `Plan.convolve_up`."""
        return plan.convolve_up(feats, self.weight, stride, epilogue)


class BatchNorm(nn.BatchNorm1d):
    """Batch normalization over rows, for any number of rows and any floating-point dtype.

    One row has no variance and no rows have no mean: in training too, fewer than two rows are
    normalized by the running statistics.
    """

    def forward(self, feats: Tensor) -> Tensor:
        """Return the normalized features, (M, C) → (M, C)."""
        if self.training and len(feats) >= 2:
            return super().forward(feats)
        return F.batch_norm(
            feats, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )

    def folded(self) -> tuple[Tensor, Tensor]:
        """Return the normalization by the running statistics as a scale and a shift.

        Returns:
            scale (C,) and shift (C,), so that norm(x) = x · scale + shift.
        """
        mean, variance = self.get_buffer("running_mean"), self.get_buffer("running_var")
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return scale, self.bias - mean * scale


def conv_norm_relu(
    convolution: Convolution,
    norm: BatchNorm,
    plan: Plan,
    *,
    residual: Tensor | None = None,
    relu: bool = True,
    overwrite_residual: bool = False,
) -> Tensor:
    """Return relu(norm(convolution) + residual), in as few passes over memory as possible.

    In inference everything is part of the convolution's epilogue. In training the backend
    normalizes by the batch's statistics and adds residual and ReLU in the same pass.

    Args:
        convolution: returns (M, C), with the epilogue it is called with applied.
        norm: normalization of C channels.
        plan: its backend computes.
        residual: (M, C) in plan order, or None.
        relu: whether negative results become 0.
        overwrite_residual: whether the result may be written into the memory of ``residual``;
            used in inference only.

    Returns:
        (M, C), in plan order.
    """
    if not norm.training and not torch.is_grad_enabled():
        scale, shift = norm.folded()
        return convolution(Epilogue(scale, shift, residual, relu, overwrite_residual))
    feats = convolution(None)
    if norm.training and len(feats) >= 2:
        return plan.backend.batch_norm(feats, norm, residual=residual, relu=relu)
    normalized = norm(feats)
    if residual is not None:
        normalized = normalized + residual
    return F.relu(normalized) if relu else normalized


class ResidualBlock(nn.Module):
    """Two 3³ convolutions and a shortcut: (M, Cin) → (M, Cout).

    Source: He et al., "Deep Residual Learning for Image Recognition" (2016), Fig. 2.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = SubmanifoldConv3d(in_channels, out_channels)
        self.norm1 = BatchNorm(out_channels)
        self.conv2 = SubmanifoldConv3d(out_channels, out_channels)
        self.norm2 = BatchNorm(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = _Shortcut(in_channels, out_channels)

    def forward(
        self, feats: Features, plan: Plan, stride: int, *, overwrite_input: bool = False
    ) -> Tensor:
        """Return (M, Cout) features of the level at ``stride``.

        Args:
            feats: (M, Cin) in plan order, or a tuple of such whose columns are side by side.
            plan: plan of the cells.
            stride: stride of the features.
            overwrite_input: whether the result may be written into the memory of ``feats``; used
                in inference only.
        """
        inner = conv_norm_relu(partial(self.conv1, feats, plan, stride), self.norm1, plan)
        if isinstance(self.shortcut, _Shortcut):
            # The shortcut's result is a new tensor, so it may always be overwritten.
            residual, overwrite = self.shortcut(feats, plan, stride), True
        else:
            residual, overwrite = concatenate(feats), overwrite_input
        return conv_norm_relu(
            partial(self.conv2, inner, plan, stride),
            self.norm2,
            plan,
            residual=residual,
            overwrite_residual=overwrite,
        )


class _Shortcut(nn.ModuleList):
    """Linear layer and normalization of a shortcut: a convolution of one cell without ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            [nn.Linear(in_channels, out_channels, bias=False), BatchNorm(out_channels)]
        )

    def forward(self, feats: Features, plan: Plan, stride: int) -> Tensor:
        linear, norm = cast(nn.Linear, self[0]), cast(BatchNorm, self[1])
        # (Cout, Cin) of a linear layer → (1, Cin, Cout) of a kernel of one cell.
        weight = linear.weight.T.unsqueeze(0)
        return conv_norm_relu(partial(plan.convolve, feats, weight, stride), norm, plan, relu=False)
