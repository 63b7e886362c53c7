"""Sparse convolution in Triton, which is installed together with PyTorch for CUDA.

The algorithm is a masked implicit GEMM: target rows are sorted by the set of neighbours they have
and cut into blocks. A block gathers, for every kernel offset that occurs in it, its source rows
straight into shared memory, multiplies them with the offset's matrix, and writes each result once,
with the epilogue applied. The gradient with respect to the features is the same kernel over the
reversed map with transposed weights.

Source: implicit GEMM as in TorchSparse++ (Tang et al. 2023) and spconv 2, where leaving out the
offsets that no row of a block has is called masking.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
from typing import Any

import torch
from torch import Tensor

from clip3d_cli.sparse.backend import (
    Epilogue,
    Features,
    Level,
    Precision,
    check_no_gradients,
    check_shapes,
)
from clip3d_cli.sparse.backends.fallback import TorchBatchNorm, concatenate

_MIN_CAPABILITY = (8, 0)
_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


class TritonBackend(TorchBatchNorm):
    """Backend of clip3d's own Triton kernels, for CUDA devices of compute capability 8.0 or more.

    With ``TRITON_INTERPRET=1`` in the environment the kernels run on the CPU instead, very slowly;
    this is how they are tested on machines without a GPU.

    Args:
        precision: ``exact`` multiplies float32 features in float32, ``high`` in TF32, ``fast`` in
            bfloat16. Half-precision features are always multiplied as they are.
    """

    name = "triton"

    def __init__(self, *, precision: Precision = "exact") -> None:
        self.precision: Precision = precision
        self.dtype = torch.bfloat16 if precision == "fast" else torch.float32
        self.device_types: tuple[str, ...] = ("cpu",) if _is_interpreted() else ("cuda",)

    def unavailable_reason(self) -> str | None:
        """Return why the kernels cannot run here, or None if they can."""
        if importlib.util.find_spec("triton") is None:
            return "triton is not installed"
        if _is_interpreted():
            return None
        if not torch.cuda.is_available() or torch.version.cuda is None:
            return "it needs a CUDA device"
        capability = torch.cuda.get_device_capability()
        if capability < _MIN_CAPABILITY:
            return "it needs a GPU of compute capability {}.{}, this one has {}.{}".format(
                *_MIN_CAPABILITY, *capability
            )
        return _driver_fault()

    def build_kernel_map(self, source: Level, target: Level, size: int) -> Any:
        """Return the blocks of rows in both directions: see `Backend.build_kernel_map`.

        Raises:
            ValueError: an unsupported size, or a level without parent rows.
        """
        maps = importlib.import_module("clip3d_cli.sparse.backends.triton.maps")
        with maps.on_device_of(source.keys):
            if source.stride == target.stride:
                return maps.submanifold_map(source, size)
            return maps.strided_map(source, target)

    def convolve(
        self,
        feats: Features,
        weight: Tensor,
        kernel_map: Any,
        *,
        transposed: bool = False,
        epilogue: Epilogue | None = None,
    ) -> Tensor:
        """Return the convolved features: see `Backend.convolve`.

        Raises:
            ValueError: the weight does not match the features or the map, tensors on different
                devices, a dtype other than float32, float16 or bfloat16, or an epilogue with
                gradients enabled.
        """
        direction = kernel_map.reversed() if transposed else kernel_map
        parts = _at_most_two(feats)
        _check(parts, weight, direction.forward)
        check_no_gradients(epilogue, weight, feats)
        if epilogue is not None:
            epilogue = _as_kernels_read(epilogue)
        result: Tensor = _Convolution.apply(weight, direction, self.precision, epilogue, *parts)
        return result


class _Convolution(torch.autograd.Function):
    """Launches of the kernels, forward and backward."""

    @staticmethod
    def forward(
        ctx: Any,
        weight: Tensor,
        kernel_map: Any,
        precision: Precision,
        epilogue: Epilogue | None,
        *parts: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(weight, *parts)
        ctx.kernel_map, ctx.precision = kernel_map, precision
        result: Tensor = _launch().convolve(kernel_map.forward, parts, weight, precision, epilogue)
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        weight, *parts = ctx.saved_tensors
        needs_weight_grad, _, _, _, *needs_part_grads = ctx.needs_input_grad
        grad = _with_dense_rows(grads[0])
        grad_weight = None
        if needs_weight_grad:
            grad_weight = _launch().weight_gradient(
                ctx.kernel_map.forward, tuple(parts), grad, ctx.precision
            )
            grad_weight = grad_weight.to(weight.dtype)
        grad_parts: list[Tensor | None] = []
        begin = 0
        for part, needs_grad in zip(parts, needs_part_grads, strict=True):
            end = begin + part.shape[1]
            # (offsets, Cout, channels of this part).
            transposed_weight = weight[:, begin:end].transpose(1, 2)
            begin = end
            grad_parts.append(
                _launch().convolve(
                    ctx.kernel_map.backward,
                    (grad,),
                    transposed_weight,
                    ctx.precision,
                    mirrored=ctx.kernel_map.mirrored,
                )
                if needs_grad
                else None
            )
        return grad_weight, None, None, None, *grad_parts


def _launch() -> Any:
    """Return the module of launches; not imported above, as triton may not be installed."""
    return importlib.import_module("clip3d_cli.sparse.backends.triton.launch")


def _is_interpreted() -> bool:
    # Importing triton takes a third of a second: only do so where it is going to be used.
    if not os.environ.get("TRITON_INTERPRET") or importlib.util.find_spec("triton") is None:
        return False
    return bool(importlib.import_module("triton").knobs.runtime.interpret)


def _driver_fault() -> str | None:
    """Return why Triton cannot launch kernels, or None; it first compiles a small C module."""
    try:
        importlib.import_module("triton").runtime.driver.active.get_current_target()
    except (RuntimeError, OSError, AssertionError, ImportError, subprocess.SubprocessError) as e:
        return f"triton cannot be started, it needs a C compiler and Python's headers: {e}"
    return None


def _at_most_two(feats: Features) -> tuple[Tensor, ...]:
    """Return features as one or two tensors with dense rows: the kernel reads at most two."""
    if isinstance(feats, Tensor):
        return (_with_dense_rows(feats),)
    parts = feats if len(feats) <= 2 else (feats[0], concatenate(feats[1:]))
    return tuple(_with_dense_rows(part) for part in parts)


def _with_dense_rows(feats: Tensor) -> Tensor:
    return feats if feats.stride(-1) == 1 else feats.contiguous()


def _as_kernels_read(epilogue: Epilogue) -> Epilogue:
    """Return the epilogue with float32 scale and shift, and a residual with dense rows."""
    scale, shift, residual = epilogue.scale, epilogue.shift, epilogue.residual
    return Epilogue(
        None if scale is None else scale.float().contiguous(),
        None if shift is None else shift.float().contiguous(),
        None if residual is None else _with_dense_rows(residual),
        epilogue.relu,
    )


def _check(parts: tuple[Tensor, ...], weight: Tensor, blocks: Any) -> None:
    first = parts[0]
    channels = sum(part.shape[1] for part in parts)
    # Only the shape is checked: a view of one number stands for the concatenated features.
    shaped = first if len(parts) == 1 else first.new_empty(()).expand(len(first), channels)
    check_shapes(shaped, weight, blocks.offsets.shape[1], blocks.sources)
    if any(len(part) != len(first) or part.dtype != first.dtype for part in parts):
        raise ValueError("feats side by side must have equal numbers of rows and equal dtypes")
    if first.dtype not in _DTYPES:
        raise ValueError(
            f"the triton backend computes in float32, float16 or bfloat16, not {first.dtype}"
        )
    if any(each.device != blocks.targets.device for each in (*parts, weight)):
        raise ValueError(f"feats, weight and plan must be on one device, {blocks.targets.device}")
