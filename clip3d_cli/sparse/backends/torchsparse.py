"""Sparse convolution by torchsparse 2.1 on a CUDA device, if it is installed.

torchsparse receives clip3d's kernel maps, so its own orders of offsets (x fastest for odd kernels,
z fastest for even ones) do not matter: its gather–scatter kernels take pairs grouped by offset, and
the matrix of a group has the same position in the weight, x slowest, as everywhere in clip3d.

The following was read in the source of torchsparse 2.1.0 (commit of 2025-02-24), and not run on a
GPU:

* the arguments of ``torchsparse.backend.conv_{forward,backward}_gather_scatter_cuda``;
* conv_mode 0 ignores both masks and the shared buffer;
* the centre of an odd kernel between levels of equal length is taken as the identity, which is
  true for submanifold maps;
* half-precision kernels move two channels at a time, hence the padding to eight;
* there are no bfloat16 kernels.
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
    check_no_gradients,
    check_shapes,
)
from clip3d_cli.sparse.backends.fallback import TorchBatchNorm, apply_epilogue, concatenate
from clip3d_cli.sparse.neighbours import child_pairs, neighbour_pairs

_FORWARD = "conv_forward_gather_scatter_cuda"
_BACKWARD = "conv_backward_gather_scatter_cuda"
_CHANNEL_STEP = 8


@dataclass(frozen=True, slots=True, eq=False)
class PairList:
    """A kernel map in torchsparse's layout.

    Attributes:
        pairs: (P, 2) int32, source and target rows, grouped by offset.
        counts: (offsets,) int32 on the CPU, number of pairs of each offset.
        rows: number of source rows, number of target rows.
    """

    pairs: Tensor
    counts: Tensor
    rows: tuple[int, int]


class TorchsparseBackend(TorchBatchNorm):
    """Backend that calls torchsparse's CUDA kernels with clip3d's kernel maps.

    Args:
        precision: ``fast`` sets ``dtype`` to float16. ``high`` computes as ``exact``.
    """

    name = "torchsparse"
    device_types: tuple[str, ...] = ("cuda",)

    def __init__(self, *, precision: Precision = "exact") -> None:
        self.precision: Precision = precision
        self.dtype = torch.float16 if precision == "fast" else torch.float32

    def unavailable_reason(self) -> str | None:
        """Return why torchsparse cannot be used here, or None if it can."""
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

    def build_kernel_map(self, source: Level, target: Level, size: int) -> PairList:
        """Return the pairs between two levels: see `Backend.build_kernel_map`.

        Raises:
            ValueError: an unsupported size, or a level without parent rows.
        """
        submanifold = source.stride == target.stride
        pairs = neighbour_pairs(source.keys, size) if submanifold else child_pairs(source)
        # (P,) each, the pairs of one offset after those of another.
        targets, sources = (torch.cat(rows) for rows in zip(*pairs, strict=True))
        counts = torch.tensor([len(each.targets) for each in pairs], dtype=torch.int32)
        both = torch.stack((sources, targets), dim=1)
        return PairList(both, counts, (len(source), len(target)))

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

        float16 features are multiplied in float16, all others in float32.

        Raises:
            ValueError: the weight does not match the features or the map, they are not on CUDA,
                or an epilogue with gradients enabled.
        """
        feats = concatenate(feats)
        check_shapes(feats, weight, len(kernel_map.counts), kernel_map.rows[1 if transposed else 0])
        check_no_gradients(epilogue, weight, feats)
        dtype = torch.float16 if feats.dtype == torch.float16 else torch.float32
        channels_out, result_dtype = weight.shape[2], feats.dtype
        weight = F.pad(weight.to(dtype), (0, -channels_out % _CHANNEL_STEP))
        weight = F.pad(weight, (0, 0, 0, -feats.shape[1] % _CHANNEL_STEP))
        feats = F.pad(feats.to(dtype), (0, -feats.shape[1] % _CHANNEL_STEP))
        if not len(kernel_map.pairs):
            result = feats.new_zeros(kernel_map.rows[0 if transposed else 1], channels_out)
        else:
            result = _GatherScatter.apply(feats, weight, kernel_map, transposed)
        return apply_epilogue(result[:, :channels_out].to(result_dtype), epilogue)


class _GatherScatter(torch.autograd.Function):
    """Calls of torchsparse's forward and backward kernels."""

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
    """Return the compiled module of torchsparse.

    Args:
        device: device of the features.

    Raises:
        ValueError: the device is not a CUDA device; the kernels would read invalid memory.
    """
    if device.type != "cuda":
        raise ValueError(f"torchsparse computes on CUDA, not on {device}")
    return importlib.import_module("torchsparse.backend")
