"""The native engine over numpy arrays: levels, kernel maps and convolutions without PyTorch."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from clip3d_cli.native import library as native
from clip3d_cli.sparse.lattice import BIAS, STEP_X, STEP_Y, refuse_beyond

Keys = npt.NDArray[np.int64]
Feats = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]

_CACHE_LINE = 64


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """The weight of a convolution, laid out for the instruction set in use.

    Attributes:
        memory: what the library reads, from ``address`` on.
        channels_out: Cout.
    """

    memory: npt.NDArray[np.uint8]
    address: int
    channels_out: int


@dataclass(frozen=True, slots=True, eq=False)
class Finish:
    """What becomes of every convolved row: relu(row · scale + shift + residual).

    Attributes:
        scale, shift: (Cout,) float32, or None.
        residual: (rows, Cout) of the engine's dtype, or None; it is overwritten by the answer.
        relu: whether negative numbers become 0.
    """

    scale: Floats | None = None
    shift: Floats | None = None
    residual: Feats | None = None
    relu: bool = False


class KernelMap:
    """Which rows see which: the library's own, freed with this object."""

    def __init__(self, library: Any, handle: int | None, rows: tuple[int, int]) -> None:
        if not handle:
            raise MemoryError("no memory for a kernel map")
        self.handle = handle
        self.rows = rows
        weakref.finalize(self, library.c3d_map_free, handle)


class ArrayEngine:
    """Convolves numpy arrays.

    Args:
        precision: ``exact``, ``high`` or ``fast``: see `clip3d_cli.sparse.backend.Backend`.
        threads: how many; as many as the library can use if not given. Answers do not depend on
            it.

    Attributes:
        isa: the instruction set in use.
        precision: the one it computes in: where there are no instructions for less, ``exact``.
        dtype: of features: float32, or the 16 bits of bfloat16 as uint16.

    Raises:
        NotUsable: the library is not there.
    """

    def __init__(self, precision: str = "exact", threads: int | None = None) -> None:
        self._library = native.load()
        self._products = native.PRODUCTS[precision]
        self.threads = threads or self._library.c3d_max_threads()
        self.isa: str = self._library.c3d_isa().decode()
        self.precision = precision if self.isa == "amx" else "exact"
        self.dtype: npt.DTypeLike = np.uint16 if self.precision == "fast" else np.float32

    def pack(self, weight: Floats) -> Packed:
        """The weight of a convolution, (offsets, Cin, Cout) float32, ready for use."""
        weight = np.ascontiguousarray(weight, dtype=np.float32)
        offsets, inner, outer = weight.shape
        size = self._library.c3d_packed_bytes(offsets, inner, outer, self._products)
        native.check(size, "packing weights")
        memory = np.empty(size + _CACHE_LINE, dtype=np.uint8)
        address = -(-memory.ctypes.data // _CACHE_LINE) * _CACHE_LINE
        answer = self._library.c3d_pack(
            weight.ctypes.data, offsets, inner, outer, inner * outer, outer, 0, self._products,
            address, self.threads,
        )  # fmt: skip
        native.check(answer, "packing weights")
        return Packed(memory, address, outer)

    def coarser(self, keys: Keys) -> tuple[Keys, npt.NDArray[np.int32]]:
        """The keys of the cells twice as wide, and the row of each cell's parent among them."""
        parents = np.empty(len(keys), dtype=np.int64)
        rows = np.empty(len(keys), dtype=np.int32)
        count = self._library.c3d_coarsen(
            keys.ctypes.data, len(keys), parents.ctypes.data, rows.ctypes.data
        )
        native.check(count, "making a coarser level")
        return parents[:count].copy(), rows

    def submanifold_map(self, keys: Keys, size: int) -> KernelMap:
        """The map of a centred kernel onto the same cells."""
        handle = self._library.c3d_map_submanifold(keys.ctypes.data, len(keys), size, self.threads)
        return KernelMap(self._library, handle, (len(keys), len(keys)))

    def strided_map(
        self, keys: Keys, parent_rows: npt.NDArray[np.int32], parents: int
    ) -> KernelMap:
        """The map of a kernel of two cells from cells onto their parents."""
        handle = self._library.c3d_map_strided(
            keys.ctypes.data, len(keys), parent_rows.ctypes.data, parents, self.threads
        )
        return KernelMap(self._library, handle, (parents, len(keys)))

    def convolve(
        self,
        parts: Sequence[tuple[Feats, Packed]],
        kernel_map: KernelMap | None,
        finish: Finish,
        *,
        reverse: bool = False,
    ) -> Feats:
        """The convolved features of every target row.

        Args:
            parts: features whose columns stand side by side, each (source rows, Cin), with the
                weight of these columns.
            kernel_map: which rows see which; without one every row sees itself alone.
            finish: done to every row before it is written.
            reverse: run the map backwards, from the coarser level to the finer.

        Returns:
            (target rows, Cout), of the engine's dtype; in the memory of ``finish.residual`` where
            that is given.

        Raises:
            ValueError: a residual beside several parts: their sums would overwrite it.
        """
        if finish.residual is not None and len(parts) > 1:
            raise ValueError("a residual can be overwritten only by the sums of one part")
        rows = len(parts[0][0]) if kernel_map is None else kernel_map.rows[1 if reverse else 0]
        answer = finish.residual
        if answer is None:
            answer = np.empty((rows, parts[0][1].channels_out), dtype=self.dtype)
        for number, (feats, packed) in enumerate(parts):
            last = number == len(parts) - 1
            self._convolve_part(
                (feats, packed, answer),
                (kernel_map.handle if kernel_map else None, int(reverse)),
                _epilogue(finish if last else Finish(), answer if number else None),
            )
        return answer

    def linear(self, feats: Feats, packed: Packed, shift: Floats | None) -> Floats:
        """A linear layer, feats @ weight + shift: (rows, Cin) → (rows, Cout) float32."""
        answer = np.empty((len(feats), packed.channels_out), dtype=np.float32)
        epilogue = _epilogue(Finish(shift=shift), None)
        self._convolve_part((feats, packed, answer), (None, 0), epilogue)
        return answer

    def _convolve_part(
        self,
        sides: tuple[Feats, Packed, Feats],
        way: tuple[int | None, int],
        epilogue: native.EpilogueParts,
    ) -> None:
        feats, packed, answer = sides
        source, target = _rows(feats), _rows(answer)
        done = self._library.c3d_convolve(
            *way, source, packed.address, target, epilogue, self._products, self.threads
        )
        native.check(done, "convolving")


def keys_of(cells: npt.NDArray[np.int32]) -> Keys:
    """The keys of (M, 3) int32 cells of one cloud, sorted by x, then y, then z.

    Raises:
        InputError: E_VOXEL_RANGE, a cell that no key can hold.
        ValueError: the cells are not sorted, or a cell comes twice.
    """
    if len(cells):
        refuse_beyond(cells.min(axis=0).tolist(), cells.max(axis=0).tolist())
    x, y, z = cells.astype(np.int64).T + BIAS
    keys: Keys = x * STEP_X + y * STEP_Y + z
    if not (keys[1:] > keys[:-1]).all():
        raise ValueError("cells must be sorted by x, then y, then z, each once")
    return keys


def _rows(array: Feats) -> native.Rows:
    item = array.itemsize
    kind = native.F32 if array.dtype == np.float32 else native.BF16
    # A single row or column may come with any stride, and so may none.
    pitch = array.strides[0] // item if len(array) > 1 else array.shape[1]
    if len(array) and array.shape[1] > 1 and array.strides[1] != item:
        raise ValueError("columns must have no gaps")
    return native.Rows(array.ctypes.data, len(array), pitch, array.shape[1], kind)


def _epilogue(finish: Finish, base: Feats | None) -> native.EpilogueParts:
    def address(vector: Floats | None) -> int | None:
        return None if vector is None else vector.ctypes.data

    def pointer(array: Feats | None) -> Any:
        return None if array is None else ctypes.pointer(_rows(array))

    return native.EpilogueParts(
        address(finish.scale),
        address(finish.shift),
        pointer(base),
        pointer(finish.residual),
        finish.relu,
    )
