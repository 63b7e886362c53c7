"""Sparse convolution by the native engine, on CPUs, forward and backward."""

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
    check_fit,
    refuse_gradients,
)
from clip3d_cli.sparse.backends.native import calls
from clip3d_cli.sparse.backends.native.calls import NativeKernelMap, PackedWeights, Passage
from clip3d_cli.sparse.backends.native.norm import normalise


class NativeBackend:
    """The fast backend of CPUs: maps, convolutions and normalisation in compiled code.

    Results are bitwise the same for any number of threads, and a cloud's the same alone or in a
    batch. Packed weights are kept from one inference to the next.

    Args:
        precision: ``fast`` asks for bf16 features where the CPU multiplies them (AMX), and for
            float32 elsewhere, where ``high`` and ``fast`` compute as ``exact``.
    """

    name = "native"
    device_types: tuple[str, ...] = ("cpu",)

    def __init__(self, *, precision: Precision = "exact") -> None:
        self.precision: Precision = precision
        halves = precision == "fast" and native.status().isa == "amx"
        self.dtype = torch.bfloat16 if halves else torch.float32
        self._packed = PackedWeights()

    def available(self) -> str | None:
        """Why it cannot run here, or None if it can."""
        return native.status().reason

    def coarser(self, fine: Level) -> tuple[Tensor, Tensor]:
        """The next coarser level: see `Coarsener.coarser`."""
        keys = _cpu_keys(fine)
        parents = torch.empty_like(keys)
        parent_rows = torch.empty(len(keys), dtype=torch.int32)
        count = native.load().c3d_coarsen(
            keys.data_ptr(), len(keys), parents.data_ptr(), parent_rows.data_ptr()
        )
        native.check(min(count, 0), "finding coarser cells")
        # Not a view: it would hold the room for as many parents as there are cells.
        return parents[:count].clone(), parent_rows

    def kernel_map(self, source: Level, target: Level, size: int) -> NativeKernelMap:
        """A map between two levels: see `Backend.kernel_map`.

        Raises:
            ValueError: a size that is none, keys that are not sorted and unique, or a level that
                does not know its parents.
            MemoryError: there is no memory for it.
        """
        keys, rows = _cpu_keys(source), (len(target), len(source))
        if size == 1 and source.stride == target.stride:
            return NativeKernelMap(None, 1, rows)
        if source.stride == target.stride:
            if size not in (3, 5):
                raise ValueError(f"a submanifold kernel has 1, 3 or 5 cells an edge, not {size}")
            handle = native.load().c3d_map_submanifold(
                keys.data_ptr(), len(keys), size, torch.get_num_threads()
            )
        else:
            if source.parent_rows is None or len(source.parent_rows) != len(source):
                raise ValueError(
                    "the level does not know its parents: ask for the coarser level first"
                )
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
        """The convolved features: see `Backend.convolve`.

        float16 and float64 features are computed through float32.

        Raises:
            ValueError: the weight does not fit the features or the map, a tensor lies elsewhere
                than on the CPU or is not floating, or gradients of an epilogue are asked.
        """
        parts = feats if isinstance(feats, tuple) else (feats,)
        passage = Passage(kernel_map, transposed)
        for part in parts:
            calls.refuse_foreign(part, "feats")
        calls.refuse_foreign(weight, "weights")
        check_fit(feats, weight, kernel_map.offsets, passage.sources)
        refuse_gradients(epilogue, weight, feats)
        dtype = reduce(torch.promote_types, (part.dtype for part in parts))
        inside = dtype if dtype in calls.TYPES else torch.float32
        if epilogue is not None:
            epilogue = _checked(epilogue, passage.targets, weight)
        result: Tensor = _Convolution.apply(
            self._packed,
            _How(passage, epilogue, native.PRODUCTS[self.precision], not torch.is_grad_enabled()),
            weight.float(),
            *(part.to(inside) for part in parts),
        )
        return result.to(dtype)

    def normalise(
        self, feats: Tensor, norm: nn.BatchNorm1d, *, residual: Tensor | None, relu: bool
    ) -> Tensor:
        """See `Backend.normalise`.

        Raises:
            ValueError: fewer than two rows, or tensors that do not fit or lie elsewhere.
        """
        return normalise(feats, norm, residual=residual, relu=relu)


@dataclass(frozen=True, slots=True, eq=False)
class _How:
    """What a convolution is, besides its numbers; keep: hold on to the packed weights."""

    passage: Passage
    epilogue: Epilogue | None
    products: int
    keep: bool


class _Convolution(torch.autograd.Function):
    """One call of the engine for every part of the features, forward and backward."""

    @staticmethod
    def forward(
        ctx: Any,
        packed: PackedWeights,
        how: _How,
        weight: Tensor,
        *parts: Tensor,
    ) -> Tensor:
        passage, products = how.passage, how.products
        ctx.save_for_backward(weight, *parts)
        ctx.packed, ctx.how = packed, how
        result = _room(parts[0], passage.targets, weight.shape[2], how.epilogue)
        # Sums stay in float32 until all parts are in.
        spare = how.epilogue is not None and how.epilogue.spare
        in_place = result.dtype == torch.float32 and not spare
        sums = result if in_place or len(parts) == 1 else torch.empty(result.shape)
        first = 0
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            matrices = weight[:, first : first + part.shape[1]]
            calls.convolve(
                passage,
                calls.readable(part),
                packed.of(matrices, products, keep=how.keep),
                result if last else sums,
                how.epilogue if last else None,
                sums if number else None,
            )
            first += part.shape[1]
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        weight, *parts = ctx.saved_tensors
        passage, products = ctx.how.passage, ctx.how.products
        grad = calls.readable(grads[0])
        weight_grad = torch.empty_like(weight, memory_format=torch.contiguous_format)
        part_grads: list[Tensor | None] = []
        first = 0
        for part, wanted in zip(parts, ctx.needs_input_grad[3:], strict=True):
            own = slice(first, first + part.shape[1])
            first += part.shape[1]
            part_grads.append(None)
            if wanted:
                turned = weight[:, own].transpose(1, 2)
                part_grad = torch.empty_like(part, memory_format=torch.contiguous_format)
                packed = ctx.packed.of(turned, products, keep=False)
                calls.convolve(passage.turned(), grad, packed, part_grad)
                part_grads[-1] = part_grad
            if ctx.needs_input_grad[2]:
                calls.weight_gradient(
                    passage, calls.readable(part), grad, weight_grad[:, own], products
                )
        return None, None, weight_grad if ctx.needs_input_grad[2] else None, *part_grads


def _room(like: Tensor, rows: int, channels: int, epilogue: Epilogue | None) -> Tensor:
    """Where the answer goes: the residual's memory where that is spare."""
    spare = epilogue.residual if epilogue is not None and epilogue.spare else None
    if spare is not None and spare.dtype == like.dtype and spare.is_contiguous():
        return spare
    return like.new_empty(rows, channels)


def _cpu_keys(level: Level) -> Tensor:
    if level.keys.device.type != "cpu":
        raise ValueError(
            f"the native engine computes on the CPU, the cells lie on {level.keys.device}"
        )
    if level.keys.dtype != torch.int64:
        raise ValueError(f"keys must be torch.int64, not {level.keys.dtype}")
    return level.keys.contiguous()


def _checked(epilogue: Epilogue, rows: int, weight: Tensor) -> Epilogue:
    """The epilogue in the engine's types, its shapes fitting."""
    wide = weight.shape[2]
    scale, shift = (
        None if numbers is None else _fitting(numbers, (wide,), "an epilogue's numbers").float()
        for numbers in (epilogue.scale, epilogue.shift)
    )
    residual = epilogue.residual
    if residual is not None:
        residual = _fitting(residual, (rows, wide), "a residual's rows")
        residual = residual if residual.dtype in calls.TYPES else residual.float()
    return Epilogue(
        None if scale is None else scale.contiguous(),
        None if shift is None else shift.contiguous(),
        residual,
        epilogue.relu,
        epilogue.spare,
    )


def _fitting(tensor: Tensor, shape: tuple[int, ...], name: str) -> Tensor:
    calls.refuse_foreign(tensor, name)
    if tensor.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, not {tuple(tensor.shape)}")
    return tensor
