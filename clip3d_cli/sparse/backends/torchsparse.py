"""Sparse convolution by torchsparse 2.1 on a CUDA device, where a user has installed it.

torchsparse is given our kernel maps, so its own kernel orders (x fastest for odd kernels, z fastest
for even ones) never matter: its gather–scatter kernels take pairs grouped by offset, and the
weight of a group stands at the same place, x slowest, as everywhere here.

Read in torchsparse 2.1.0 (commit of 2025-02-24), not run on a GPU here: the calls and argument
orders of ``torchsparse.backend.conv_{forward,backward}_gather_scatter_cuda``; that conv_mode 0
ignores both masks and the shared buffer; that the middle offset of an odd kernel between levels of
equal length is taken as identity, which holds for ours; that half-precision kernels move two
channels at a time, hence the padding to eight; that there are no bfloat16 kernels.
"""

from __future__ import annotations

import importlib
import importlib.util
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
from clip3d_cli.sparse.neighbours import child_pairs, neighbour_pairs

_FORWARD = "conv_forward_gather_scatter_cuda"
_BACKWARD = "conv_backward_gather_scatter_cuda"
_CHANNEL_STEP = 8


@dataclass(frozen=True, slots=True, eq=False)
class PairList:
    """A kernel map as torchsparse wants it.

    Attributes:
        pairs: (P, 2) int32 source and target rows, grouped by offset.
        counts: (offsets,) int32, on the CPU, how many pairs each offset has.
        rows: how many source rows and target rows there are.
    """

    pairs: Tensor
    counts: Tensor
    rows: tuple[int, int]


class TorchsparseBackend(TorchNorm):
    """Runs torchsparse's CUDA kernels over our kernel maps."""

    name = "torchsparse"
    device_types: tuple[str, ...] = ("cuda",)

    def __init__(self, *, precision: Precision = "exact") -> None:
        self.precision: Precision = precision
        self.dtype = torch.float16 if precision == "fast" else torch.float32

    def available(self) -> str | None:
        """Why it cannot run here, or None."""
        if not torch.cuda.is_available():
            return "torchsparse 2.1 needs a CUDA device"
        if importlib.util.find_spec("torchsparse") is None:
            return "torchsparse is not installed"
        try:
            kernels = importlib.import_module("torchsparse.backend")
        except (ImportError, OSError, RuntimeError) as error:
            return f"torchsparse cannot be imported: {error}"
        if not hasattr(kernels, _FORWARD) or not hasattr(kernels, _BACKWARD):
            return "torchsparse was built without its CUDA kernels"
        return None

    def kernel_map(self, source: Level, target: Level, size: int) -> PairList:
        """The pairs between two levels: see `Backend.kernel_map`."""
        same = source.stride == target.stride
        of_offset = neighbour_pairs(source.keys, size) if same else child_pairs(source)
        joined = [torch.cat(rows) for rows in zip(*of_offset, strict=True)]
        counts = torch.tensor([len(each.targets) for each in of_offset], dtype=torch.int32)
        pairs = torch.stack((joined[1], joined[0]), dim=1)
        return PairList(pairs, counts, (len(source), len(target)))

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

        In float16 where features are float16, in float32 otherwise.

        Raises:
            ValueError: the weight does not fit the features or the map, or they are not on CUDA.
        """
        feats = joined(feats)
        check_fit(feats, weight, len(kernel_map.counts), kernel_map.rows[1 if transposed else 0])
        refuse_gradients(epilogue, weight, feats)
        dtype = torch.float16 if feats.dtype == torch.float16 else torch.float32
        channels, given = weight.shape[2], feats.dtype
        weight = F.pad(weight.to(dtype), (0, -channels % _CHANNEL_STEP))
        weight = F.pad(weight, (0, 0, 0, -feats.shape[1] % _CHANNEL_STEP))
        feats = F.pad(feats.to(dtype), (0, -feats.shape[1] % _CHANNEL_STEP))
        if not len(kernel_map.pairs):
            result = feats.new_zeros(kernel_map.rows[0 if transposed else 1], channels)
        else:
            result = _GatherScatter.apply(feats, weight, kernel_map, transposed)
        return finish(result[:, :channels].to(given), epilogue)


class _GatherScatter(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, feats: Tensor, weight: Tensor, pair_list: PairList, transposed: bool
    ) -> Tensor:
        feats, weight = feats.contiguous(), weight.contiguous()
        ctx.save_for_backward(feats, weight)
        ctx.pair_list, ctx.transposed = pair_list, transposed
        unused = feats.new_empty(0)
        result: Tensor = getattr(cuda_kernels(feats.device), _FORWARD)(
            feats,
            weight,
            pair_list.pairs,
            pair_list.counts,
            unused.int(),
            unused.int(),
            pair_list.rows[0 if transposed else 1],
            0.0,
            0,
            0,
            transposed,
            unused,
        )
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        feats, weight = ctx.saved_tensors
        grad_feats, grad_weight = torch.zeros_like(feats), torch.zeros_like(weight)
        getattr(cuda_kernels(feats.device), _BACKWARD)(
            feats,
            grad_feats,
            grads[0].to(weight.dtype).contiguous(),
            weight,
            grad_weight,
            ctx.pair_list.pairs,
            ctx.pair_list.counts,
            ctx.transposed,
        )
        return grad_feats, grad_weight, None, None


def cuda_kernels(device: torch.device) -> Any:
    """The compiled module of torchsparse.

    Raises:
        ValueError: features lie elsewhere than on CUDA; its kernels would read foreign memory.
    """
    if device.type != "cuda":
        raise ValueError(f"torchsparse convolves on CUDA, not on {device}")
    return importlib.import_module("torchsparse.backend")
