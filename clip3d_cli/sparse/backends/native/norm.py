"""Batch normalisation over rows by the native engine, with what follows it, in few passes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from clip3d_cli.native import library as native
from clip3d_cli.sparse.backends.native.calls import (
    TYPES,
    floats_at,
    readable,
    refuse_foreign,
    rows_at,
)


def normalise(
    feats: Tensor, norm: nn.BatchNorm1d, *, residual: Tensor | None, relu: bool
) -> Tensor:
    """See `clip3d_cli.sparse.backend.Backend.normalise`.

    Raises:
        ValueError: fewer than two rows, or tensors that do not fit or lie elsewhere.
    """
    refuse_foreign(feats, "feats")
    if feats.shape[1:] != (norm.num_features,):
        raise ValueError(
            f"feats of shape {tuple(feats.shape)} do not fit {norm.num_features} channels"
        )
    if len(feats) < 2:
        raise ValueError(f"{len(feats)} rows have no spread: normalising takes two at least")
    inside = feats.dtype if feats.dtype in TYPES else torch.float32
    if residual is not None:
        refuse_foreign(residual, "residuals")
        if residual.shape != feats.shape:
            raise ValueError(
                f"residuals of shape {tuple(residual.shape)} do not fit feats of "
                f"shape {tuple(feats.shape)}"
            )
        residual = residual.to(inside)
    weight, bias = (None if each is None else each.float() for each in (norm.weight, norm.bias))
    result, mean, variance = _Normalisation.apply(
        feats.to(inside), weight, bias, residual, (norm.eps, relu)
    )
    _follow(norm, mean, variance, len(feats))
    answer: Tensor = result.to(feats.dtype)
    return answer


def _follow(norm: nn.BatchNorm1d, mean: Tensor, variance: Tensor, rows: int) -> None:
    """Let the running statistics follow, as PyTorch's own normalisation does."""
    if not norm.training or not norm.track_running_stats:
        return
    running_mean, running_var = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
    batches = norm.get_buffer("num_batches_tracked").add_(1)
    pace = 1 / float(batches) if norm.momentum is None else norm.momentum
    running_mean.lerp_(mean.to(running_mean.dtype), pace)
    running_var.lerp_((variance * (rows / (rows - 1))).to(running_var.dtype), pace)


class _Normalisation(torch.autograd.Function):
    """The rows' own mean and variance leave with the result, for the running statistics."""

    @staticmethod
    def forward(
        ctx: Any,
        feats: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        residual: Tensor | None,
        how: tuple[float, bool],
    ) -> tuple[Tensor, Tensor, Tensor]:
        eps, relu = how
        feats = readable(feats)
        mean, variance = (torch.empty(feats.shape[1], dtype=torch.float32) for _ in range(2))
        library, threads = native.load(), torch.get_num_threads()
        answer = library.c3d_moments(rows_at(feats), floats_at(mean), floats_at(variance), threads)
        native.check(answer, "finding means and variances")
        inverse_std = torch.rsqrt(variance + eps)
        scale = inverse_std if weight is None else inverse_std * weight
        shift = -mean * scale if bias is None else bias - mean * scale
        beside = None if residual is None else readable(residual)
        result = torch.empty_like(feats, memory_format=torch.contiguous_format)
        answer = library.c3d_scale_shift(
            rows_at(feats),
            floats_at(scale),
            floats_at(shift),
            None if beside is None else rows_at(beside),
            int(relu),
            rows_at(result),
            threads,
        )
        native.check(answer, "normalising")
        ctx.save_for_backward(feats, result if relu else None, mean, inverse_std, weight)
        ctx.has_bias = bias is not None
        ctx.mark_non_differentiable(mean, variance)
        return result, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        feats, result, mean, inverse_std, weight = ctx.saved_tensors
        grad = readable(grads[0])
        feats_grad = torch.empty_like(feats, memory_format=torch.contiguous_format)
        residual_grad = torch.empty_like(feats_grad) if ctx.needs_input_grad[3] else None
        weight_grad = None if weight is None else torch.empty_like(weight)
        bias_grad = torch.empty_like(mean) if ctx.has_bias else None
        weight = None if weight is None else weight.contiguous()
        answer = native.load().c3d_norm_gradient(
            rows_at(grad),
            None if result is None else rows_at(result),
            rows_at(feats),
            floats_at(mean),
            floats_at(inverse_std),
            floats_at(weight),
            rows_at(feats_grad),
            None if residual_grad is None else rows_at(residual_grad),
            floats_at(weight_grad),
            floats_at(bias_grad),
            torch.get_num_threads(),
        )
        native.check(answer, "finding the gradients of a normalisation")
        return feats_grad, weight_grad, bias_grad, residual_grad, None
