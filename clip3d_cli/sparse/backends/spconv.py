"""Sparse convolution by spconv 2.3, if it is installed.

spconv receives clip3d's kernel maps in the layout of its own "native" algorithm, which multiplies
lists of pairs offset by offset. So its lattice, its hash tables and its order of offsets do not
matter.

spconv's CPU code shares two pointers between OpenMP threads while it adds up rows
(``GatherCPU::scatter_add`` in 2.3.8): with two threads some rows are wrong. On a CPU its functions
are therefore called with one thread. Its CUDA code has been read but not run on a GPU.
"""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from clip3d_cli.sparse.backend import (
    Epilogue,
    Features,
    Level,
    Precision,
    check_no_gradients,
    check_shapes,
)
from clip3d_cli.sparse.backends.fallback import TorchBatchNorm, apply_epilogue, concatenate
from clip3d_cli.sparse.neighbours import Pairs, child_pairs, neighbour_pairs

_CHANNEL_STEP = 8


@dataclass(frozen=True, slots=True, eq=False)
class PairTable:
    """A kernel map in spconv's layout.

    Attributes:
        pairs: (2, offsets, P) int32, source rows and target rows; −1 after the last pair of each
            offset.
        counts: (offsets,) int32 on the CPU, number of pairs of each offset; 0 for the centre of a
            submanifold map, where every row sees itself.
        rows: number of source rows, number of target rows.
        submanifold: whether the map is of one level onto itself.
    """

    pairs: Tensor
    counts: Tensor
    rows: tuple[int, int]
    submanifold: bool


class SpconvBackend(TorchBatchNorm):
    """Backend that calls spconv's convolution with clip3d's kernel maps.

    Args:
        precision: ``fast`` sets ``dtype`` to float16 on a CUDA device and leaves float32
            elsewhere. ``high`` computes as ``exact``.
    """

    name = "spconv"

    def __init__(self, *, precision: Precision = "exact") -> None:
        on_cuda = torch.cuda.is_available() and _import_fault() is None and not _is_cpu_build()
        self.device_types = ("cuda", "cpu") if on_cuda else ("cpu",)
        self.precision: Precision = precision
        self.dtype = torch.float16 if precision == "fast" and on_cuda else torch.float32

    def unavailable_reason(self) -> str | None:
        """Return why spconv cannot be used here, or None if it can."""
        return _import_fault()

    def build_kernel_map(self, source: Level, target: Level, size: int) -> PairTable:
        """Return the pairs between two levels: see `Backend.build_kernel_map`.

        Raises:
            ValueError: an unsupported size, or a level without parent rows.
        """
        submanifold = source.stride == target.stride
        pairs = neighbour_pairs(source.keys, size) if submanifold else child_pairs(source)
        if submanifold:
            # spconv multiplies the centre as one product of all rows.
            no_rows = pairs[0].targets.new_empty(0)
            pairs[len(pairs) // 2] = Pairs(no_rows, no_rows)
        counts = [len(each.targets) for each in pairs]
        # At least one column: spconv rejects empty tables.
        table = pairs[0].targets.new_full((2, len(counts), max(1, *counts)), -1)
        for offset, (count, each) in enumerate(zip(counts, pairs, strict=True)):
            table[0, offset, :count] = each.sources
            table[1, offset, :count] = each.targets
        rows = (len(source), len(target))
        return PairTable(table, torch.tensor(counts, dtype=torch.int32), rows, submanifold)

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

        On CUDA, float16 features are multiplied in float16; all else is computed in float32.

        Raises:
            ValueError: the weight does not match the features or the map, the features are on
                CUDA and spconv was built without it, or an epilogue with gradients enabled.
        """
        feats = concatenate(feats)
        check_shapes(feats, weight, len(kernel_map.counts), kernel_map.rows[1 if transposed else 0])
        check_no_gradients(epilogue, weight, feats)
        if feats.device.type not in self.device_types:
            supported = " and ".join(self.device_types)
            raise ValueError(f"this spconv computes on {supported}, not on {feats.device}")
        if len(weight) == 1 or not len(feats):
            result = feats @ weight[0].to(feats.dtype)
        else:
            result = _convolve(feats, weight, kernel_map, transposed)
        return apply_epilogue(result, epilogue)


def _convolve(feats: Tensor, weight: Tensor, table: PairTable, transposed: bool) -> Tensor:
    half = feats.is_cuda and feats.dtype == torch.float16
    dtype = torch.float16 if half else torch.float32
    channels_out, result_dtype = weight.shape[2], feats.dtype
    weight, feats = weight.to(dtype), feats.to(dtype)
    if half:
        # Tensor cores multiply whole vectors of eight channels.
        missing = -feats.shape[1] % _CHANNEL_STEP
        feats = F.pad(feats, (0, missing))
        weight = F.pad(weight, (0, -channels_out % _CHANNEL_STEP, 0, missing))
    result: Tensor = _Convolution.apply(feats, weight, table, transposed)
    return result[:, :channels_out].to(result_dtype)


class _Convolution(torch.autograd.Function):
    """Calls of spconv's forward and backward functions."""

    @staticmethod
    def forward(
        ctx: Any, feats: Tensor, weight: Tensor, table: PairTable, transposed: bool
    ) -> Tensor:
        # (offsets, Cin, Cout) → (Cout, offsets, Cin), spconv's layout.
        filters = weight.permute(2, 0, 1).contiguous()
        ctx.save_for_backward(feats, filters)
        ctx.table, ctx.transposed = table, transposed
        with _one_thread_on_cpu(feats):
            result: Tensor = _operations().indice_conv(
                feats.contiguous(),
                filters,
                table.pairs,
                table.counts,
                table.rows[0 if transposed else 1],
                transposed,
                table.submanifold,
            )
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        feats, filters = ctx.saved_tensors
        with _one_thread_on_cpu(feats):
            grad_feats, grad_filters = _operations().indice_conv_backward(
                feats.contiguous(),
                filters,
                grads[0].contiguous(),
                ctx.table.pairs,
                ctx.table.counts,
                ctx.transposed,
                ctx.table.submanifold,
            )
        return grad_feats, grad_filters.permute(1, 2, 0), None, None


@contextmanager
def _one_thread_on_cpu(feats: Tensor) -> Iterator[None]:
    """Limit PyTorch, and with it spconv, to one thread: both use the same OpenMP library."""
    threads = torch.get_num_threads()
    if feats.is_cuda or threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _import_fault() -> str | None:
    if importlib.util.find_spec("spconv") is None:
        return "spconv is not installed"
    try:
        _operations()
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        return f"spconv cannot be imported: {error}"
    return None


def _operations() -> Any:
    with warnings.catch_warnings():
        # spconv imports deprecated functions, which users of clip3d cannot change.
        warnings.simplefilter("ignore", DeprecationWarning)
        operations: Any = importlib.import_module("spconv.pytorch.ops")
    if _is_cpu_build():
        # spconv's backward function gets a CUDA stream that a CPU build does not use.
        operations.get_current_stream = _no_stream
    return operations


def _is_cpu_build() -> bool:
    return bool(importlib.import_module("spconv.cppconstants").CPU_ONLY_BUILD)


def _no_stream() -> int:
    return 0
