"""Sparse convolution on numpy arrays through the native library, without PyTorch."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from clip3d_cli.native import library as native
from clip3d_cli.sparse.key_layout import BIAS, STEP_X, STEP_Y, check_cell_range

Keys = npt.NDArray[np.int64]
Feats = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]

_CACHE_LINE_BYTES = 64


@dataclass(frozen=True, slots=True, eq=False)
class PackedWeight:
    """Weight of a convolution in the layout of the instruction set in use.

    Attributes:
        memory: bytes that contain the packed weight; kept so that they stay allocated.
        address: where in ``memory`` the packed weight begins.
        channels_out: Cout.
    """

    memory: npt.NDArray[np.uint8]
    address: int
    channels_out: int


@dataclass(frozen=True, slots=True, eq=False)
class Epilogue:
    """What is applied to every convolved row before it is written.

    The order is relu(row · scale + shift + residual); parts that are None or False are left out.

    Attributes:
        scale: (Cout,) float32, contiguous, or None.
        shift: (Cout,) float32, contiguous, or None.
        residual: (rows, Cout) of the engine's dtype, or None. The result overwrites it.
        relu: whether negative results become 0.
    """

    scale: Floats | None = None
    shift: Floats | None = None
    residual: Feats | None = None
    relu: bool = False


class KernelMap:
    """Which rows see which, for every kernel offset; owned by the library, freed with this object.

    Args:
        library: the loaded native library.
        handle: pointer to the library's map; 0 or None if it could not be built.
        rows: number of target rows, number of source rows.

    Raises:
        MemoryError: the library could not build the map.
    """

    def __init__(self, library: Any, handle: int | None, rows: tuple[int, int]) -> None:
        if not handle:
            raise MemoryError("no memory for a kernel map")
        self.handle = handle
        self.rows = rows
        weakref.finalize(self, library.c3d_map_free, handle)


class NumpyEngine:
    """Computes sparse convolutions on numpy arrays.

    Args:
        precision: ``exact``, ``high`` or ``fast``: see `clip3d_cli.sparse.backend.Backend`.
        threads: number of threads; by default as many as the library can use. Results do not
            depend on it.

    Attributes:
        isa: instruction set in use.
        precision: precision in use: ``exact`` where the CPU has no instructions for less.
        dtype: dtype of features: float32, or the 16 bits of a bfloat16 as uint16.
        threads: number of threads in use.

    Raises:
        EngineUnavailableError: the library was not built or cannot be loaded.
    """

    def __init__(self, precision: str = "exact", threads: int | None = None) -> None:
        self._library = native.load()
        self._precision_code = native.PRECISION_CODES[precision]
        self.threads = threads or self._library.c3d_max_threads()
        self.isa: str = self._library.c3d_isa().decode()
        self.precision = precision if self.isa == "amx" else "exact"
        self.dtype: npt.DTypeLike = np.uint16 if self.precision == "fast" else np.float32

    def pack(self, weight: Floats) -> PackedWeight:
        """Return a weight in the layout that the kernels read.

        Args:
            weight: (offsets, Cin, Cout) float32, offsets with x slowest.

        Raises:
            ValueError: a size that the library does not support.
        """
        weight = np.ascontiguousarray(weight, dtype=np.float32)
        offsets, inner, outer = weight.shape
        size = self._library.c3d_packed_bytes(offsets, inner, outer, self._precision_code)
        native.check_return_code(size, "packing weights")
        # numpy aligns to 16 bytes only: the weight begins at the first whole cache line, so that
        # no vector or tile load of the kernels crosses from one line to the next.
        memory = np.empty(size + _CACHE_LINE_BYTES, dtype=np.uint8)
        address = -(-memory.ctypes.data // _CACHE_LINE_BYTES) * _CACHE_LINE_BYTES
        code = self._library.c3d_pack(
            weight.ctypes.data, offsets, inner, outer, inner * outer, outer, 0,
            self._precision_code, address, self.threads,
        )  # fmt: skip
        native.check_return_code(code, "packing weights")
        return PackedWeight(memory, address, outer)

    def coarsen(self, keys: Keys) -> tuple[Keys, npt.NDArray[np.int32]]:
        """Return the level of twice the stride.

        Args:
            keys: (M,) int64, sorted and unique.

        Returns:
            (M',) int64: keys of the parents, sorted and unique; (M,) int32: row of each cell's
            parent among them.
        """
        # Room for as many parents as there are cells; the library returns how many there are.
        parents = np.empty(len(keys), dtype=np.int64)
        parent_rows = np.empty(len(keys), dtype=np.int32)
        count = self._library.c3d_coarsen(
            keys.ctypes.data, len(keys), parents.ctypes.data, parent_rows.ctypes.data
        )
        native.check_return_code(count, "building a coarser level")
        return parents[:count].copy(), parent_rows

    def submanifold_map(self, keys: Keys, size: int) -> KernelMap:
        """Return the map of a centred kernel of ``size`` cells (1, 3 or 5) onto the same cells.

        Args:
            keys: (M,) int64, sorted and unique.
            size: edge of the kernel in cells.
        """
        handle = self._library.c3d_map_submanifold(keys.ctypes.data, len(keys), size, self.threads)
        return KernelMap(self._library, handle, (len(keys), len(keys)))

    def strided_map(
        self, keys: Keys, parent_rows: npt.NDArray[np.int32], parents: int
    ) -> KernelMap:
        """Return the map of a kernel of two cells from cells (sources) to their parents (targets).

        Args:
            keys: (M,) int64 of the finer cells.
            parent_rows: (M,) int32, as returned by `coarsen`.
            parents: number of parents.
        """
        handle = self._library.c3d_map_strided(
            keys.ctypes.data, len(keys), parent_rows.ctypes.data, parents, self.threads
        )
        return KernelMap(self._library, handle, (parents, len(keys)))

    def convolve(
        self,
        parts: Sequence[tuple[Feats, PackedWeight]],
        kernel_map: KernelMap | None,
        epilogue: Epilogue,
        *,
        transposed: bool = False,
    ) -> Feats:
        """Return the convolved features of every target row.

        Args:
            parts: features whose columns are side by side: each (source rows, Cin), with the part
                of the weight that multiplies its columns.
            kernel_map: which rows see which; None for a linear layer, where every row sees only
                itself.
            epilogue: applied to every row before it is written.
            transposed: use the map in reverse, from the coarser level to the finer.

        Returns:
            (target rows, Cout), of the engine's dtype, in the memory of ``epilogue.residual`` if
            that is given.

        Raises:
            ValueError: a residual with several parts: their sums would overwrite it.
        """
        if epilogue.residual is not None and len(parts) > 1:
            raise ValueError("a residual can be overwritten only by the sums of one part")
        rows = len(parts[0][0]) if kernel_map is None else kernel_map.rows[1 if transposed else 0]
        result = epilogue.residual
        if result is None:
            result = np.empty((rows, parts[0][1].channels_out), dtype=self.dtype)
        # The result of each part is the base of the next one's sums; only the last part's sums go
        # through the epilogue.
        for number, (feats, weight) in enumerate(parts):
            is_last = number == len(parts) - 1
            self._convolve_part(
                feats,
                weight,
                result,
                _epilogue_struct(epilogue if is_last else Epilogue(), result if number else None),
                (kernel_map.handle if kernel_map else None, int(transposed)),
            )
        return result

    def linear(self, feats: Feats, weight: PackedWeight, shift: Floats | None) -> Floats:
        """Return feats @ weight + shift, a linear layer: (rows, Cin) → (rows, Cout) float32."""
        result = np.empty((len(feats), weight.channels_out), dtype=np.float32)
        epilogue = _epilogue_struct(Epilogue(shift=shift), None)
        self._convolve_part(feats, weight, result, epilogue, (None, 0))
        return result

    def _convolve_part(
        self,
        feats: Feats,
        weight: PackedWeight,
        result: Feats,
        epilogue: native.EpilogueStruct,
        map_and_direction: tuple[int | None, int],
    ) -> None:
        source, target = _row_matrix(feats), _row_matrix(result)
        code = self._library.c3d_convolve(
            *map_and_direction, source, weight.address, target, epilogue, self._precision_code,
            self.threads,
        )  # fmt: skip
        native.check_return_code(code, "convolving")


def pack_sorted_cells(cells: npt.NDArray[np.int32]) -> Keys:
    """Return the keys of the cells of one cloud.

    Args:
        cells: (M, 3) int32: x, y, z; sorted by x, then y, then z; unique.

    Returns:
        (M,) int64, sorted and unique, of batch number 0.

    Raises:
        InputError: E_VOXEL_RANGE, a cell that no key can hold.
        ValueError: the cells are not sorted or not unique.
    """
    if len(cells):
        check_cell_range(cells.min(axis=0).tolist(), cells.max(axis=0).tolist())
    x, y, z = cells.astype(np.int64).T + BIAS
    keys: Keys = x * STEP_X + y * STEP_Y + z
    if not (keys[1:] > keys[:-1]).all():
        raise ValueError("cells must be sorted by x, then y, then z, and unique")
    return keys


def _row_matrix(array: Feats) -> native.RowMatrix:
    """Describe a 2-D array to the library, without a copy."""
    item = array.itemsize
    dtype = native.F32 if array.dtype == np.float32 else native.BF16
    # numpy leaves the stride of an axis of length 1 or 0 undefined: it may be smaller than a row.
    pitch = array.strides[0] // item if len(array) > 1 else array.shape[1]
    if len(array) and array.shape[1] > 1 and array.strides[1] != item:
        raise ValueError("the columns of an array must be contiguous")
    return native.RowMatrix(array.ctypes.data, len(array), pitch, array.shape[1], dtype)


def _epilogue_struct(epilogue: Epilogue, base: Feats | None) -> native.EpilogueStruct:
    """Describe an epilogue to the library; ``base`` is added to the sums before everything."""

    def address(vector: Floats | None) -> int | None:
        return None if vector is None else vector.ctypes.data

    def pointer(array: Feats | None) -> Any:
        return None if array is None else ctypes.pointer(_row_matrix(array))

    return native.EpilogueStruct(
        address(epilogue.scale),
        address(epilogue.shift),
        pointer(base),
        pointer(epilogue.residual),
        epilogue.relu,
    )
