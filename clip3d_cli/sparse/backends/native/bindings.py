"""Calls of the native library with PyTorch CPU tensors."""

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

DTYPE_CODES = {torch.float32: native.F32, torch.bfloat16: native.BF16}


class NativeKernelMap:
    """A kernel map owned by the library, freed with this object.

    Args:
        handle: pointer to the library's map; None for a linear layer, where every row sees only
            itself.
        offsets: number of kernel offsets.
        rows: number of target rows, number of source rows.
    """

    def __init__(self, handle: int | None, offsets: int, rows: tuple[int, int]) -> None:
        self.handle, self.offsets, self.rows = handle, offsets, rows
        if handle is not None:
            weakref.finalize(self, native.load().c3d_map_free, handle)


@dataclass(frozen=True, slots=True, eq=False)
class DirectedMap:
    """A kernel map in one of its two directions.

    Attributes:
        kernel_map: the map.
        transposed: False to read its source rows and fill its target rows, True for the reverse.
    """

    kernel_map: NativeKernelMap
    transposed: bool

    @property
    def filled_rows(self) -> int:
        """Number of rows of the output."""
        return self.kernel_map.rows[int(self.transposed)]

    @property
    def read_rows(self) -> int:
        """Number of rows of the input."""
        return self.kernel_map.rows[int(not self.transposed)]

    def reversed(self) -> DirectedMap:
        """Return the map in the other direction."""
        return DirectedMap(self.kernel_map, not self.transposed)


def check_cpu_float(tensor: Tensor, name: str) -> None:
    """Check that the library can read a tensor.

    Args:
        tensor: any tensor.
        name: what it is called in the message, in the plural.

    Raises:
        ValueError: it is not on the CPU, or not floating point.
    """
    if tensor.device.type != "cpu":
        raise ValueError(f"the native engine computes on the CPU, {name} are on {tensor.device}")
    if not tensor.is_floating_point():
        raise ValueError(f"{name} must be floating point, not {tensor.dtype}")


def with_dense_rows(feats: Tensor) -> Tensor:
    """Return (M, C) features as the library reads them: columns contiguous, rows not overlapping.

    Only features of another layout, such as a transposed or an expanded tensor, are copied.
    """
    rows, channels = feats.shape
    dense = channels == 1 or feats.stride(1) == 1
    apart = rows <= 1 or feats.stride(0) >= channels
    return feats if dense and apart else feats.contiguous()


def row_matrix(feats: Tensor) -> Any:
    """Return a pointer to the library's description of dense rows, which must outlive it."""
    rows, channels = feats.shape
    pitch = max(feats.stride(0), channels)
    code = DTYPE_CODES[feats.dtype]
    return ctypes.pointer(native.RowMatrix(feats.data_ptr(), rows, pitch, channels, code))


def address_of(numbers: Tensor | None) -> int | None:
    """Return the address of contiguous float32 numbers; None for None."""
    return None if numbers is None else numbers.data_ptr()


@dataclass(frozen=True, slots=True, eq=False)
class PackedWeight:
    """A weight in the layout of the instruction set in use.

    Attributes:
        memory: (bytes,) uint8.
        precision_code: precision it was packed for: see `native.PRECISION_CODES`.
    """

    memory: Tensor
    precision_code: int


class PackedWeightCache:
    """Packed weights, kept as long as the weights exist and are not changed.

    A change that PyTorch does not record, such as one through ``.data``, is not noticed.
    """

    def __init__(self) -> None:
        self._entries: dict[tuple[Any, ...], tuple[StorageWeakRef, PackedWeight]] = {}

    def get(self, weight: Tensor, precision_code: int, *, keep: bool) -> PackedWeight:
        """Return a weight packed, from the cache if it was packed before.

        Args:
            weight: (offsets, Cin, Cout) float32, of any strides.
            precision_code: precision of the products: see `native.PRECISION_CODES`.
            keep: whether to keep the result for later calls.
        """
        # Tensors made in inference mode have no version counter: a change could not be noticed.
        if not keep or weight.is_inference():
            return _pack(weight, precision_code)
        storage = weight.untyped_storage()
        # While the weak reference is kept, PyTorch does not reuse the address of the storage, so
        # no other weight can have the same key.
        view = (storage._cdata, weight.data_ptr(), weight.shape, weight.stride())
        key = (*view, weight._version, precision_code, native.load().c3d_isa())
        if key not in self._entries:
            # Drop what was packed from earlier versions of this weight and from freed weights.
            self._entries = {
                other: (owner, packed)
                for other, (owner, packed) in self._entries.items()
                if other[:4] != view and not owner.expired()  # type: ignore[no-untyped-call]
            }
            owner = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
            self._entries[key] = owner, _pack(weight, precision_code)
        return self._entries[key][1]


def convolve(
    directed_map: DirectedMap,
    source: Tensor,
    weight: PackedWeight,
    target: Tensor,
    epilogue: Epilogue | None = None,
    base: Tensor | None = None,
) -> None:
    """Fill ``target`` with epilogue(convolution of ``source`` + ``base``).

    Args:
        directed_map: from the rows of ``source`` to those of ``target``.
        source: (read rows, Cin), with dense rows.
        weight: packed (offsets, Cin, Cout).
        target: (filled rows, Cout), contiguous; overwritten.
        epilogue: applied to every sum.
        base: (filled rows, Cout) added to the sums, or None; may be ``target`` itself.

    Raises:
        ValueError: the library rejects the arguments.
        MemoryError: no memory for scratch.
    """
    epilogue = epilogue or Epilogue()
    residual = None if epilogue.residual is None else with_dense_rows(epilogue.residual)
    struct = native.EpilogueStruct(
        address_of(epilogue.scale),
        address_of(epilogue.shift),
        None if base is None else row_matrix(base),
        None if residual is None else row_matrix(residual),
        int(epilogue.relu),
    )
    code = native.load().c3d_convolve(
        directed_map.kernel_map.handle,
        int(directed_map.transposed),
        row_matrix(source),
        weight.memory.data_ptr(),
        row_matrix(target),
        ctypes.pointer(struct),
        weight.precision_code,
        torch.get_num_threads(),
    )
    native.check_return_code(code, "convolving")


def weight_gradient(
    directed_map: DirectedMap,
    source: Tensor,
    target_grad: Tensor,
    weight_grad: Tensor,
    precision_code: int,
) -> None:
    """Fill ``weight_grad`` with sourceᵀ @ target_grad, summed over the pairs of every offset.

    Args:
        directed_map: direction of the forward pass.
        source: (read rows, Cin), with dense rows.
        target_grad: (filled rows, Cout), with dense rows.
        weight_grad: (offsets, Cin, Cout) float32, whole or some Cin of a contiguous tensor;
            overwritten.
        precision_code: precision of the products: see `native.PRECISION_CODES`.

    Raises:
        ValueError: the library rejects the arguments.
        MemoryError: no memory for scratch.
    """
    code = native.load().c3d_weight_gradient(
        directed_map.kernel_map.handle,
        int(directed_map.transposed),
        row_matrix(source),
        row_matrix(target_grad),
        weight_grad.data_ptr(),
        weight_grad.stride(0),
        weight_grad.stride(1),
        precision_code,
        torch.get_num_threads(),
    )
    native.check_return_code(code, "computing the gradient of a weight")


def _pack(weight: Tensor, precision_code: int) -> PackedWeight:
    offsets, rows, columns = weight.shape
    offset_pitch, row_pitch, column_pitch = weight.stride()
    # The library reads matrices with contiguous rows, or transposes those with contiguous columns,
    # such as the weight of a linear layer or of a gradient; any other layout is copied first.
    transposed = (columns > 1 and column_pitch != 1) or (rows > 1 and row_pitch < columns)
    if transposed and (row_pitch != 1 or column_pitch < rows):
        weight, transposed = weight.contiguous(), False
        offset_pitch, row_pitch, _ = weight.stride()
    if transposed:
        rows, columns, row_pitch = columns, rows, column_pitch
    library = native.load()
    size = library.c3d_packed_bytes(offsets, rows, columns, precision_code)
    native.check_return_code(min(size, 0), "packing a weight")
    packed = torch.empty(size, dtype=torch.uint8)
    code = library.c3d_pack(
        weight.data_ptr(),
        offsets,
        rows,
        columns,
        offset_pitch,
        max(row_pitch, columns),
        int(transposed),
        precision_code,
        packed.data_ptr(),
        torch.get_num_threads(),
    )
    native.check_return_code(code, "packing a weight")
    return PackedWeight(packed, precision_code)
