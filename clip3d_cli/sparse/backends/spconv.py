"""Sparse convolution by spconv 2.3, where a user has installed it.

spconv is given our kernel maps in the layout of its own native algorithm (multiply offset by offset
over lists of pairs), so its lattice, its hash tables and its kernel order never matter.

Its code for CPUs lets OpenMP's threads share two pointers while they add rows up
(``GatherCPU::scatter_add`` in 2.3.8): with two threads, some rows come out wrong. So on a CPU its
calls run on one thread. Its code for CUDA was read, and not run on a GPU here.
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
    check_fit,
    refuse_gradients,
)
from clip3d_cli.sparse.backends.fallback import TorchNorm, finish, joined
from clip3d_cli.sparse.neighbours import Pairs, child_pairs, neighbour_pairs

_CHANNEL_STEP = 8


@dataclass(frozen=True, slots=True, eq=False)
class PairTable:
    """A kernel map as spconv wants it.

    Attributes:
        pairs: (2, offsets, P) int32 source rows and target rows, −1 behind the last of each offset.
        counts: (offsets,) int32, on the CPU, how many pairs each offset has; 0 for the middle one
            of a submanifold map, where every row sees itself.
        rows: how many source rows and target rows there are.
        submanifold: whether both are the same.
    """

    pairs: Tensor
    counts: Tensor
    rows: tuple[int, int]
    submanifold: bool


class SpconvBackend(TorchNorm):
    """Runs spconv's native convolution over our kernel maps.

    Args:
        precision: ``fast`` asks for float16 features on a CUDA device, and float32 elsewhere;
            ``high`` computes as ``exact``.
    """

    name = "spconv"

    def __init__(self, *, precision: Precision = "exact") -> None:
        on_cuda = torch.cuda.is_available() and _reason() is None and not _made_for_cpus()
        self.device_types = ("cuda", "cpu") if on_cuda else ("cpu",)
        self.precision: Precision = precision
        self.dtype = torch.float16 if precision == "fast" and on_cuda else torch.float32

    def available(self) -> str | None:
        """Why it cannot run here, or None."""
        return _reason()

    def kernel_map(self, source: Level, target: Level, size: int) -> PairTable:
        """The pairs between two levels: see `Backend.kernel_map`."""
        same = source.stride == target.stride
        of_offset = neighbour_pairs(source.keys, size) if same else child_pairs(source)
        if same:
            nothing = of_offset[0].targets.new_empty(0)
            of_offset[len(of_offset) // 2] = Pairs(nothing, nothing)
        counts = [len(each.targets) for each in of_offset]
        # At least one column: spconv refuses tables of no size.
        pairs = of_offset[0].targets.new_full((2, len(counts), max(1, *counts)), -1)
        for offset, (count, each) in enumerate(zip(counts, of_offset, strict=True)):
            pairs[0, offset, :count] = each.sources
            pairs[1, offset, :count] = each.targets
        rows = (len(source), len(target))
        return PairTable(pairs, torch.tensor(counts, dtype=torch.int32), rows, same)

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

        On CUDA in float16 where features are float16, in float32 otherwise.

        Raises:
            ValueError: the weight does not fit the features or the map, or spconv was built
                without CUDA and they lie there.
        """
        feats = joined(feats)
        check_fit(feats, weight, len(kernel_map.counts), kernel_map.rows[1 if transposed else 0])
        refuse_gradients(epilogue, weight, feats)
        if feats.device.type not in self.device_types:
            wanted = " and ".join(self.device_types)
            raise ValueError(f"this spconv convolves on {wanted}, not on {feats.device}")
        if len(weight) == 1 or not len(feats):
            result = feats @ weight[0].to(feats.dtype)
        else:
            result = _convolve(feats, weight, kernel_map, transposed)
        return finish(result, epilogue)


def _convolve(feats: Tensor, weight: Tensor, table: PairTable, transposed: bool) -> Tensor:
    half = feats.is_cuda and feats.dtype == torch.float16
    dtype = torch.float16 if half else torch.float32
    channels, given = weight.shape[2], feats.dtype
    weight, feats = weight.to(dtype), feats.to(dtype)
    if half:
        # Tensor cores take whole vectors of eight.
        short = -feats.shape[1] % _CHANNEL_STEP
        feats = F.pad(feats, (0, short))
        weight = F.pad(weight, (0, -channels % _CHANNEL_STEP, 0, short))
    result: Tensor = _NativeConvolution.apply(feats, weight, table, transposed)
    return result[:, :channels].to(given)


class _NativeConvolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, feats: Tensor, weight: Tensor, table: PairTable, transposed: bool
    ) -> Tensor:
        # spconv's weights are (Cout, offsets, Cin).
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
    """Hold torch to one thread, and so spconv: both use the OpenMP that torch has loaded."""
    threads = torch.get_num_threads()
    if feats.is_cuda or threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _reason() -> str | None:
    if importlib.util.find_spec("spconv") is None:
        return "spconv is not installed"
    try:
        _operations()
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        return f"spconv cannot be imported: {error}"
    return None


def _operations() -> Any:
    with warnings.catch_warnings():
        # What it imports is out of date in ways that no user of clip3d can mend.
        warnings.simplefilter("ignore", DeprecationWarning)
        operations: Any = importlib.import_module("spconv.pytorch.ops")
    if _made_for_cpus():
        # Its backward asks torch for a CUDA stream that it then does not use.
        operations.get_current_stream = _no_stream
    return operations


def _made_for_cpus() -> bool:
    return bool(importlib.import_module("spconv.cppconstants").CPU_ONLY_BUILD)


def _no_stream() -> int:
    return 0
