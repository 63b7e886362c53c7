"""The native engine over PyTorch's CPU tensors: what it is given, checked before it is called."""

from __future__ import annotations

import ctypes
import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from clip3d_cli.native import library as native
from clip3d_cli.sparse.backend import Epilogue

TYPES = {torch.float32: native.F32, torch.bfloat16: native.BF16}


class NativeKernelMap:
    """Which rows see which: the engine's own, freed with this object.

    Attributes:
        handle: what the engine knows it by; None where every row sees only itself.
        offsets: of the kernel.
        rows: how many targets and how many sources there are.
    """

    def __init__(self, handle: int | None, offsets: int, rows: tuple[int, int]) -> None:
        self.handle, self.offsets, self.rows = handle, offsets, rows
        if handle is not None:
            weakref.finalize(self, native.load().c3d_map_free, handle)


@dataclass(frozen=True, slots=True, eq=False)
class Passage:
    """A kernel map in one of its two directions."""

    kernel_map: NativeKernelMap
    reverse: bool

    @property
    def targets(self) -> int:
        """How many rows are filled."""
        return self.kernel_map.rows[int(self.reverse)]

    @property
    def sources(self) -> int:
        """How many rows are read."""
        return self.kernel_map.rows[int(not self.reverse)]

    def turned(self) -> Passage:
        """The way back."""
        return Passage(self.kernel_map, not self.reverse)


def refuse_foreign(tensor: Tensor, name: str) -> None:
    """Refuse what the engine cannot read.

    Raises:
        ValueError: not on the CPU, or not floating.
    """
    if tensor.device.type != "cpu":
        raise ValueError(f"the native engine computes on the CPU, {name} lie on {tensor.device}")
    if not tensor.is_floating_point():
        raise ValueError(f"{name} must be floating, not {tensor.dtype}")


def readable(feats: Tensor) -> Tensor:
    """The same numbers where the engine can read them: rows without gaps between columns."""
    rows, channels = feats.shape
    dense = channels == 1 or feats.stride(1) == 1
    apart = rows <= 1 or feats.stride(0) >= channels
    return feats if dense and apart else feats.contiguous()


def rows_at(feats: Tensor) -> Any:
    """A pointer to readable rows; they must outlive it."""
    rows, channels = feats.shape
    pitch = max(feats.stride(0), channels)
    return ctypes.pointer(native.Rows(feats.data_ptr(), rows, pitch, channels, TYPES[feats.dtype]))


def floats_at(numbers: Tensor | None) -> int | None:
    """Where contiguous float32 numbers begin; None for None."""
    return None if numbers is None else numbers.data_ptr()


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """Matrices in the engine's layout, and the products they were packed for."""

    memory: Tensor
    products: int


class PackedWeights:
    """Weights laid out for the engine, kept for as long as the weights live unchanged.

    What changes a weight without PyTorch's knowledge, as writing through ``.data`` does, is not
    noticed.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[Any, ...], tuple[StorageWeakRef, Packed]] = {}

    def of(self, matrices: Tensor, products: int, *, keep: bool) -> Packed:
        """Packed matrices.

        Args:
            matrices: (offsets, A, B) float32, of any strides: what rows of A are multiplied by.
            products: how they will be multiplied: see `clip3d_cli.native.library`.
            keep: whether they are likely to be asked for again.
        """
        if not keep or matrices.is_inference():
            return _pack(matrices, products)
        storage = matrices.untyped_storage()
        # The weak reference keeps the storage's address from being used again while it is kept.
        place = (storage._cdata, matrices.data_ptr(), matrices.shape, matrices.stride())
        key = (*place, matrices._version, products, native.load().c3d_isa())
        if key not in self._kept:
            self._kept = {
                other: (owner, packed)
                for other, (owner, packed) in self._kept.items()
                if other[:4] != place and not owner.expired()  # type: ignore[no-untyped-call]
            }
            owner = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
            self._kept[key] = owner, _pack(matrices, products)
        return self._kept[key][1]


def convolve(
    passage: Passage,
    source: Tensor,
    packed: Packed,
    target: Tensor,
    epilogue: Epilogue | None = None,
    base: Tensor | None = None,
) -> None:
    """Fill ``target`` with the convolved rows of ``source``, added to ``base``.

    Args:
        passage: from the sources to the targets.
        source: (sources, A), readable.
        packed: by `PackedWeights`.
        target: (targets, B), contiguous.
        epilogue: done to every sum.
        base: (targets, B), or None; may be ``target``.
    """
    asked = epilogue or Epilogue()
    residual = None if asked.residual is None else readable(asked.residual)
    parts = native.EpilogueParts(
        floats_at(asked.scale),
        floats_at(asked.shift),
        None if base is None else rows_at(base),
        None if residual is None else rows_at(residual),
        int(asked.relu),
    )
    answer = native.load().c3d_convolve(
        passage.kernel_map.handle,
        int(passage.reverse),
        rows_at(source),
        packed.memory.data_ptr(),
        rows_at(target),
        ctypes.pointer(parts),
        packed.products,
        torch.get_num_threads(),
    )
    native.check(answer, "convolving")


def weight_gradient(
    passage: Passage, source: Tensor, target_grad: Tensor, weight_grad: Tensor, products: int
) -> None:
    """Fill ``weight_grad``, (offsets, A, B) float32, a slice of contiguous memory.

    Args:
        passage: that the sources went.
        source: (sources, A), readable.
        target_grad: (targets, B), readable.
        weight_grad: what is filled.
        products: how numbers are multiplied.
    """
    answer = native.load().c3d_weight_gradient(
        passage.kernel_map.handle,
        int(passage.reverse),
        rows_at(source),
        rows_at(target_grad),
        weight_grad.data_ptr(),
        weight_grad.stride(0),
        weight_grad.stride(1),
        products,
        torch.get_num_threads(),
    )
    native.check(answer, "finding the gradient of a weight")


def _pack(matrices: Tensor, products: int) -> Packed:
    offsets, rows, columns = matrices.shape
    of_offset, of_row, of_column = matrices.stride()
    turned = (columns > 1 and of_column != 1) or (rows > 1 and of_row < columns)
    if turned and (of_row != 1 or of_column < rows):
        matrices, turned = matrices.contiguous(), False
        of_offset, of_row, _ = matrices.stride()
    if turned:
        rows, columns, of_row = columns, rows, of_column
    library = native.load()
    size = library.c3d_packed_bytes(offsets, rows, columns, products)
    native.check(min(size, 0), "packing a weight")
    packed = torch.empty(size, dtype=torch.uint8)
    answer = library.c3d_pack(
        matrices.data_ptr(),
        offsets,
        rows,
        columns,
        of_offset,
        max(of_row, columns),
        int(turned),
        products,
        packed.data_ptr(),
        torch.get_num_threads(),
    )
    native.check(answer, "packing a weight")
    return Packed(packed, products)
