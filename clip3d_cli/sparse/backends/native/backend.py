"""Sparse convolution of PyTorch CPU tensors by the native library, forward and backward."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from clip3d_cli.native import library as native
from clip3d_cli.sparse.backend import (
    Epilogue,
    Features,
    Level,
    Precision,
    check_no_gradients,
    check_shapes,
)
from clip3d_cli.sparse.backends.native import bindings
from clip3d_cli.sparse.backends.native.batch_norm import batch_norm
from clip3d_cli.sparse.backends.native.bindings import (
    DirectedMap,
    NativeKernelMap,
    PackedWeightCache,
)


class NativeBackend:
    """Fast backend for CPUs: kernel maps, convolutions and batch normalization in compiled C.

    Results have the same bits for any number of threads, and a cloud has the same bits alone and
    in a batch. Packed weights are kept from one inference to the next.

    Args:
        precision: ``fast`` sets ``dtype`` to bfloat16 where the CPU multiplies it (AMX). On other
            CPUs ``high`` and ``fast`` compute as ``exact``, in float32.
    """

    name = "native"
    device_types: tuple[str, ...] = ("cpu",)

    def __init__(self, *, precision: Precision = "exact") -> None:
        self.precision: Precision = precision
        uses_bf16 = precision == "fast" and native.engine_status().isa == "amx"
        self.dtype = torch.bfloat16 if uses_bf16 else torch.float32
        self._packed = PackedWeightCache()

    def unavailable_reason(self) -> str | None:
        """Return why the library cannot be used here, or None if it can."""
        return native.engine_status().fault

    def coarsen(self, fine: Level) -> tuple[Tensor, Tensor]:
        """Return the next coarser level: see `Coarsener.coarsen`."""
        keys = _cpu_keys(fine)
        parents = torch.empty_like(keys)
        parent_rows = torch.empty(len(keys), dtype=torch.int32)
        count = native.load().c3d_coarsen(
            keys.data_ptr(), len(keys), parents.data_ptr(), parent_rows.data_ptr()
        )
        native.check_return_code(min(count, 0), "building a coarser level")
        # A copy: a view would keep memory for as many parents as there are cells.
        return parents[:count].clone(), parent_rows

    def build_kernel_map(self, source: Level, target: Level, size: int) -> NativeKernelMap:
        """Return the map between two levels: see `Backend.build_kernel_map`.

        Raises:
            ValueError: an unsupported size, keys that are not sorted and unique, or a level
                without parent rows.
            MemoryError: no memory for the map.
        """
        keys, rows = _cpu_keys(source), (len(target), len(source))
        if size == 1 and source.stride == target.stride:
            return NativeKernelMap(None, 1, rows)
        if source.stride == target.stride:
            if size not in (3, 5):
                raise ValueError(f"a submanifold kernel has an edge of 1, 3 or 5 cells, not {size}")
            handle = native.load().c3d_map_submanifold(
                keys.data_ptr(), len(keys), size, torch.get_num_threads()
            )
        else:
            if source.parent_rows is None or len(source.parent_rows) != len(source):
                raise ValueError("the level has no parent_rows: build the next coarser level first")
            parent_rows = source.parent_rows.int().contiguous()
            handle = native.load().c3d_map_strided(
                keys.data_ptr(),
                len(keys),
                parent_rows.data_ptr(),
                len(target),
                torch.get_num_threads(),
            )
        if handle is None:
            if bool((keys[1:] <= keys[:-1]).any()):
                raise ValueError("the keys of a level must be sorted and unique")
            raise MemoryError("no memory for a kernel map")
        return NativeKernelMap(handle, size**3, rows)

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

        float16 and float64 features are converted to float32 and back.

        Raises:
            ValueError: the weight does not match the features or the map, a tensor is not on the
                CPU or not floating point, or an epilogue with gradients enabled.
        """
        parts = feats if isinstance(feats, tuple) else (feats,)
        directed_map = DirectedMap(kernel_map, transposed)
        for part in parts:
            bindings.check_cpu_float(part, "feats")
        bindings.check_cpu_float(weight, "weights")
        check_shapes(feats, weight, kernel_map.offsets, directed_map.read_rows)
        check_no_gradients(epilogue, weight, feats)
        dtype = reduce(torch.promote_types, (part.dtype for part in parts))
        computed_dtype = dtype if dtype in bindings.DTYPE_CODES else torch.float32
        if epilogue is not None:
            epilogue = _checked_epilogue(epilogue, directed_map.filled_rows, weight)
        result: Tensor = _Convolution.apply(
            self._packed,
            _Call(
                directed_map,
                epilogue,
                native.PRECISION_CODES[self.precision],
                # In training weights change with every step: keeping them packed is useless.
                keep_packed=not torch.is_grad_enabled(),
            ),
            weight.float(),
            *(part.to(computed_dtype) for part in parts),
        )
        return result.to(dtype)

    def batch_norm(
        self, feats: Tensor, norm: nn.BatchNorm1d, *, residual: Tensor | None, relu: bool
    ) -> Tensor:
        """Return relu(batch_norm(feats) + residual): see `Backend.batch_norm`.

        Raises:
            ValueError: fewer than two rows, shapes that do not match, or tensors not on the CPU.
        """
        return batch_norm(feats, norm, residual=residual, relu=relu)


@dataclass(frozen=True, slots=True, eq=False)
class _Call:
    """The arguments of one convolution other than tensors with gradients."""

    directed_map: DirectedMap
    epilogue: Epilogue | None
    precision_code: int
    keep_packed: bool


class _Convolution(torch.autograd.Function):
    """One call of the library per part of the features, forward and backward."""

    @staticmethod
    def forward(
        ctx: Any,
        packed: PackedWeightCache,
        call: _Call,
        weight: Tensor,
        *parts: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(weight, *parts)
        ctx.packed, ctx.call = packed, call
        rows, channels_out = call.directed_map.filled_rows, weight.shape[2]
        result = _result_memory(parts[0], rows, channels_out, call.epilogue)
        # The sums of all parts but the last are intermediate. They go straight into the result
        # unless it is bfloat16 (every part would be rounded) or holds the residual, which the
        # last part still reads.
        overwrites_residual = call.epilogue is not None and call.epilogue.overwrite_residual
        sums_in_result = result.dtype == torch.float32 and not overwrites_residual
        sums = result if sums_in_result or len(parts) == 1 else torch.empty(result.shape)
        first = 0
        for number, part in enumerate(parts):
            is_last = number == len(parts) - 1
            # (offsets, C of this part, Cout).
            part_weight = weight[:, first : first + part.shape[1]]
            bindings.convolve(
                call.directed_map,
                bindings.with_dense_rows(part),
                packed.get(part_weight, call.precision_code, keep=call.keep_packed),
                result if is_last else sums,
                call.epilogue if is_last else None,
                sums if number else None,
            )
            first += part.shape[1]
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        weight, *parts = ctx.saved_tensors
        directed_map, precision_code = ctx.call.directed_map, ctx.call.precision_code
        grad = bindings.with_dense_rows(grads[0])
        weight_grad = torch.empty_like(weight, memory_format=torch.contiguous_format)
        part_grads: list[Tensor | None] = []
        first = 0
        for part, needs_grad in zip(parts, ctx.needs_input_grad[3:], strict=True):
            channels = slice(first, first + part.shape[1])
            first += part.shape[1]
            part_grads.append(None)
            if needs_grad:
                # A convolution of the output's gradient over the reversed map with Wᵀ.
                transposed_weight = weight[:, channels].transpose(1, 2)
                part_grad = torch.empty_like(part, memory_format=torch.contiguous_format)
                packed = ctx.packed.get(transposed_weight, precision_code, keep=False)
                bindings.convolve(directed_map.reversed(), grad, packed, part_grad)
                part_grads[-1] = part_grad
            if ctx.needs_input_grad[2]:
                bindings.weight_gradient(
                    directed_map,
                    bindings.with_dense_rows(part),
                    grad,
                    weight_grad[:, channels],
                    precision_code,
                )
        return None, None, weight_grad if ctx.needs_input_grad[2] else None, *part_grads


def _result_memory(like: Tensor, rows: int, channels: int, epilogue: Epilogue | None) -> Tensor:
    """Return memory for the result: the residual's where it may be overwritten, else new."""
    if epilogue is not None and epilogue.overwrite_residual:
        residual = epilogue.residual
        if residual is not None and residual.dtype == like.dtype and residual.is_contiguous():
            return residual
    return like.new_empty(rows, channels)


def _cpu_keys(level: Level) -> Tensor:
    if level.keys.device.type != "cpu":
        raise ValueError(
            f"the native engine computes on the CPU, the cells are on {level.keys.device}"
        )
    if level.keys.dtype != torch.int64:
        raise ValueError(f"keys must be torch.int64, not {level.keys.dtype}")
    return level.keys.contiguous()


def _checked_epilogue(epilogue: Epilogue, rows: int, weight: Tensor) -> Epilogue:
    """Return the epilogue in the library's dtypes, after checking its shapes."""
    channels_out = weight.shape[2]
    scale, shift = (
        None
        if numbers is None
        else _checked(numbers, (channels_out,), "an epilogue's numbers").float()
        for numbers in (epilogue.scale, epilogue.shift)
    )
    residual = epilogue.residual
    if residual is not None:
        residual = _checked(residual, (rows, channels_out), "a residual's rows")
        residual = residual if residual.dtype in bindings.DTYPE_CODES else residual.float()
    return Epilogue(
        None if scale is None else scale.contiguous(),
        None if shift is None else shift.contiguous(),
        residual,
        epilogue.relu,
        epilogue.overwrite_residual,
    )


def _checked(tensor: Tensor, shape: tuple[int, ...], name: str) -> Tensor:
    bindings.check_cpu_float(tensor, name)
    if tensor.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, not {tuple(tensor.shape)}")
    return tensor
