"""Batch normalization by the native library, with residual and ReLU in the same pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from clip3d_cli.native import library as native
from clip3d_cli.sparse.backends.native.bindings import (
    DTYPE_CODES,
    address_of,
    check_cpu_float,
    row_matrix,
    with_dense_rows,
)


def batch_norm(
    feats: Tensor, norm: nn.BatchNorm1d, *, residual: Tensor | None, relu: bool
) -> Tensor:
    """Return relu(batch_norm(feats) + residual): see `Backend.batch_norm`.

    Args:
        feats: (M, C) floating point on the CPU, M ≥ 2.
        norm: normalization of C channels; its running statistics are updated.
        residual: (M, C), or None.
        relu: whether negative results become 0.

    Returns:
        (M, C), of the dtype of ``feats``.

    Raises:
        ValueError: fewer than two rows, shapes that do not match, or tensors not on the CPU.
    """
    check_cpu_float(feats, "feats")
    if feats.shape[1:] != (norm.num_features,):
        raise ValueError(
            f"feats of shape {tuple(feats.shape)} do not fit {norm.num_features} channels"
        )
    if len(feats) < 2:
        raise ValueError(f"batch normalization needs at least two rows, not {len(feats)}")
    computed_dtype = feats.dtype if feats.dtype in DTYPE_CODES else torch.float32
    if residual is not None:
        check_cpu_float(residual, "residuals")
        if residual.shape != feats.shape:
            raise ValueError(
                f"residuals of shape {tuple(residual.shape)} do not fit feats of "
                f"shape {tuple(feats.shape)}"
            )
        residual = residual.to(computed_dtype)
    weight, bias = (None if each is None else each.float() for each in (norm.weight, norm.bias))
    result, mean, variance = _BatchNorm.apply(
        feats.to(computed_dtype), weight, bias, residual, (norm.eps, relu)
    )
    _update_running_statistics(norm, mean, variance, len(feats))
    normalized: Tensor = result.to(feats.dtype)
    return normalized


def _update_running_statistics(
    norm: nn.BatchNorm1d, mean: Tensor, variance: Tensor, rows: int
) -> None:
    """Update the running mean and variance as ``nn.BatchNorm1d`` does."""
    if not norm.training or not norm.track_running_stats:
        return
    running_mean, running_var = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
    batches = norm.get_buffer("num_batches_tracked").add_(1)
    momentum = 1 / float(batches) if norm.momentum is None else norm.momentum
    running_mean.lerp_(mean.to(running_mean.dtype), momentum)
    # The batch is normalized by the biased variance; the running one is unbiased.
    running_var.lerp_((variance * (rows / (rows - 1))).to(running_var.dtype), momentum)


class _BatchNorm(torch.autograd.Function):
    """Normalization; also returns mean and variance of the rows, for the running statistics."""

    @staticmethod
    def forward(
        ctx: Any,
        feats: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        residual: Tensor | None,
        eps_and_relu: tuple[float, bool],
    ) -> tuple[Tensor, Tensor, Tensor]:
        eps, relu = eps_and_relu
        feats = with_dense_rows(feats)
        # (C,) each; variance is the biased one.
        mean, variance = (torch.empty(feats.shape[1], dtype=torch.float32) for _ in range(2))
        library, threads = native.load(), torch.get_num_threads()
        code = library.c3d_moments(
            row_matrix(feats), address_of(mean), address_of(variance), threads
        )
        native.check_return_code(code, "computing means and variances")
        # (x − mean) · inverse_std · weight + bias as one scale and one shift per channel.
        inverse_std = torch.rsqrt(variance + eps)
        scale = inverse_std if weight is None else inverse_std * weight
        shift = -mean * scale if bias is None else bias - mean * scale
        dense_residual = None if residual is None else with_dense_rows(residual)
        result = torch.empty_like(feats, memory_format=torch.contiguous_format)
        code = library.c3d_scale_shift(
            row_matrix(feats),
            address_of(scale),
            address_of(shift),
            None if dense_residual is None else row_matrix(dense_residual),
            int(relu),
            row_matrix(result),
            threads,
        )
        native.check_return_code(code, "normalizing")
        # Where the result is 0, the ReLU's gradient is 0: no mask has to be kept.
        ctx.save_for_backward(feats, result if relu else None, mean, inverse_std, weight)
        ctx.has_bias = bias is not None
        ctx.mark_non_differentiable(mean, variance)
        return result, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        feats, result, mean, inverse_std, weight = ctx.saved_tensors
        grad = with_dense_rows(grads[0])
        feats_grad = torch.empty_like(feats, memory_format=torch.contiguous_format)
        residual_grad = torch.empty_like(feats_grad) if ctx.needs_input_grad[3] else None
        weight_grad = None if weight is None else torch.empty_like(weight)
        bias_grad = torch.empty_like(mean) if ctx.has_bias else None
        weight = None if weight is None else weight.contiguous()
        code = native.load().c3d_norm_gradient(
            row_matrix(grad),
            None if result is None else row_matrix(result),
            row_matrix(feats),
            address_of(mean),
            address_of(inverse_std),
            address_of(weight),
            row_matrix(feats_grad),
            None if residual_grad is None else row_matrix(residual_grad),
            address_of(weight_grad),
            address_of(bias_grad),
            torch.get_num_threads(),
        )
        native.check_return_code(code, "computing the gradients of a normalization")
        return feats_grad, weight_grad, bias_grad, residual_grad, None
