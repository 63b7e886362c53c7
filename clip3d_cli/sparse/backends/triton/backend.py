"""Sparse convolution in Triton, which comes with PyTorch for CUDA: nothing else to install.

A masked implicit matrix product: rows are sorted by which neighbours they have and cut into
blocks; a block gathers, for every offset that occurs in it, the rows it sees straight into
shared memory, multiplies, and writes each result once, with what follows it done on the way.
The gradient of features is the same kernel over the turned map with the weights transposed.
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
    check_fit,
    refuse_gradients,
)
from clip3d_cli.sparse.backends.fallback import TorchNorm, joined

_LEAST_CAPABILITY = (8, 0)
_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


class TritonBackend(TorchNorm):
    """Runs our Triton kernels on a CUDA device.

    With ``TRITON_INTERPRET=1`` in the environment they run on a CPU instead, very slowly, which
    is how they are tested where there is no GPU.
    """

    name = "triton"

    def __init__(self, *, precision: Precision = "exact") -> None:
        self.precision: Precision = precision
        self.dtype = torch.bfloat16 if precision == "fast" else torch.float32
        self.device_types: tuple[str, ...] = ("cpu",) if _is_interpreted() else ("cuda",)

    def available(self) -> str | None:
        """Why it cannot run here, or None."""
        if importlib.util.find_spec("triton") is None:
            return "triton is not installed"
        if _is_interpreted():
            return None
        if not torch.cuda.is_available() or torch.version.cuda is None:
            return "it needs a CUDA device"
        capability = torch.cuda.get_device_capability()
        if capability < _LEAST_CAPABILITY:
            return "it needs a GPU of compute capability {}.{}, this has {}.{}".format(
                *_LEAST_CAPABILITY, *capability
            )
        return _driver_fault()

    def kernel_map(self, source: Level, target: Level, size: int) -> Any:
        """Blocks of rows in both directions: see `Backend.kernel_map`."""
        maps = importlib.import_module("clip3d_cli.sparse.backends.triton.maps")
        with maps.beside(source.keys):
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
        """The convolved features: see `Backend.convolve`.

        Raises:
            ValueError: the weight does not fit the features or the map; they lie elsewhere than
                the map; a dtype the kernels do not know; an epilogue where gradients are asked.
        """
        turned = kernel_map.turned() if transposed else kernel_map
        parts = _parts(feats)
        _check(parts, weight, turned.forward)
        refuse_gradients(epilogue, weight, feats)
        if epilogue is not None:
            epilogue = _plain(epilogue)
        result: Tensor = _Convolution.apply(weight, turned, self.precision, epilogue, *parts)
        return result


class _Convolution(torch.autograd.Function):
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
        wants_weight, _, _, _, *wants_parts = ctx.needs_input_grad
        grad = _rows(grads[0])
        grad_weight = None
        if wants_weight:
            grad_weight = _launch().weight_gradient(
                ctx.kernel_map.forward, tuple(parts), grad, ctx.precision
            )
            grad_weight = grad_weight.to(weight.dtype)
        grad_parts: list[Tensor | None] = []
        begin = 0
        for part, wanted in zip(parts, wants_parts, strict=True):
            end = begin + part.shape[1]
            turned = weight[:, begin:end].transpose(1, 2)
            begin = end
            grad_parts.append(
                _launch().convolve(
                    ctx.kernel_map.backward,
                    (grad,),
                    turned,
                    ctx.precision,
                    mirrored=ctx.kernel_map.mirrored,
                )
                if wanted
                else None
            )
        return grad_weight, None, None, None, *grad_parts


def _launch() -> Any:
    """The launches; not imported above, as triton is not installed everywhere."""
    return importlib.import_module("clip3d_cli.sparse.backends.triton.launch")


def _is_interpreted() -> bool:
    # Importing triton takes a third of a second: only where it will be used.
    if not os.environ.get("TRITON_INTERPRET") or importlib.util.find_spec("triton") is None:
        return False
    return bool(importlib.import_module("triton").knobs.runtime.interpret)


def _driver_fault() -> str | None:
    """Why Triton cannot launch kernels here, or None: it compiles a small C module first."""
    try:
        importlib.import_module("triton").runtime.driver.active.get_current_target()
    except (RuntimeError, OSError, AssertionError, ImportError, subprocess.SubprocessError) as e:
        return f"triton cannot be started, it needs a C compiler and Python's headers: {e}"
    return None


def _parts(feats: Features) -> tuple[Tensor, ...]:
    """One or two tensors whose rows are contiguous: the kernel reads no more than two."""
    if isinstance(feats, Tensor):
        return (_rows(feats),)
    several = feats if len(feats) <= 2 else (feats[0], joined(feats[1:]))
    return tuple(_rows(part) for part in several)


def _rows(feats: Tensor) -> Tensor:
    return feats if feats.stride(-1) == 1 else feats.contiguous()


def _plain(epilogue: Epilogue) -> Epilogue:
    """With tensors as the kernel reads them."""
    scale, shift, residual = epilogue.scale, epilogue.shift, epilogue.residual
    return Epilogue(
        None if scale is None else scale.float().contiguous(),
        None if shift is None else shift.float().contiguous(),
        None if residual is None else _rows(residual),
        epilogue.relu,
    )


def _check(parts: tuple[Tensor, ...], weight: Tensor, blocks: Any) -> None:
    first = parts[0]
    channels = sum(part.shape[1] for part in parts)
    whole = first if len(parts) == 1 else first.new_empty(()).expand(len(first), channels)
    check_fit(whole, weight, blocks.offsets.shape[1], blocks.sources)
    if any(len(part) != len(first) or part.dtype != first.dtype for part in parts):
        raise ValueError("feats that stand side by side must have equal rows and dtypes")
    if first.dtype not in _DTYPES:
        raise ValueError(
            f"the triton backend computes in float32, 16 or bfloat16, not {first.dtype}"
        )
    if any(each.device != blocks.targets.device for each in (*parts, weight)):
        raise ValueError(f"feats, weight and plan must lie on one device, {blocks.targets.device}")
