"""What a backend of sparse convolution is, and how one is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from clip3d_cli import registry
from clip3d_cli.errors import SetupError


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """The cells of a plan at one stride.

    Attributes:
        keys: (M,) int64, sorted, unique: see `clip3d_cli.sparse.lattice`.
        stride: 1, 2, 4, …
        parent_rows: (M,) int32, the row of each cell's parent in the next coarser level, or None
            where that level was not asked for.
    """

    keys: Tensor
    stride: int
    parent_rows: Tensor | None = None

    def __len__(self) -> int:
        return len(self.keys)


Features = Tensor | tuple[Tensor, ...]
"""(M, C), or several whose columns stand side by side without ever being joined in memory."""

Precision = Literal["exact", "high", "fast"]

_FASTEST_FIRST = ("triton", "torchsparse", "native", "torch")


@dataclass(frozen=True, slots=True, eq=False)
class Epilogue:
    """What becomes of every convolved row before it is written, in inference.

    relu(row · scale + shift + residual); parts that are not given are left out.

    Attributes:
        scale, shift: (Cout,) float32: a batch normalisation's, folded.
        residual: (rows, Cout), of the features' dtype.
        relu: whether negative numbers become 0.
        spare: whether the residual's memory may become the answer's.
    """

    scale: Tensor | None = None
    shift: Tensor | None = None
    residual: Tensor | None = None
    relu: bool = False
    spare: bool = False


class Backend(Protocol):
    """Computes convolutions over kernel maps of its own making.

    Weights come as (K³, Cin, Cout), offsets ordered with x slowest and z fastest; odd kernels are
    centred (−K//2 … K//2), the strided kernel of two runs over 0, 1. Rows are in key order.
    Answers have the dtype of the features, whatever that of the weights.

    Attributes:
        name: in the registry.
        device_types: where features may lie: ``cpu``, ``cuda``, ``mps``.
        precision: ``exact`` multiplies in float32; ``high`` may lose digits below a relative
            error of 5e-5 on a CPU (bf16 thrice) and 1e-3 on a GPU (TF32); ``fast`` computes in
            half precision where the device has instructions for it.
        dtype: what features should come in to be computed so.
    """

    name: str
    device_types: tuple[str, ...]
    precision: Precision
    dtype: torch.dtype

    def available(self) -> str | None:
        """Why this backend cannot run here, or None if it can."""

    def kernel_map(self, source: Level, target: Level, size: int) -> Any:
        """Which rows of ``source`` each row of ``target`` sees, for a kernel of ``size`` cells.

        Either both are the same level (submanifold, odd size), or ``target`` is the next coarser
        (strided, size 2).
        """

    def convolve(
        self,
        feats: Features,
        weight: Tensor,
        kernel_map: Any,
        *,
        transposed: bool = False,
        epilogue: Epilogue | None = None,
    ) -> Tensor:
        """The convolved features of every target row, differentiable in features and weight.

        Args:
            feats: (source rows, Cin), or (target rows, Cin) if transposed; of several, Cin is
                the sum.
            weight: (offsets, Cin, Cout).
            kernel_map: what this backend's ``kernel_map`` returned.
            transposed: run the map backwards, from the coarser level to the finer.
            epilogue: done to every row before it is written; only where no gradients are asked.

        Returns:
            (target rows, Cout), or (source rows, Cout) if transposed.
        """

    def normalise(
        self, feats: Tensor, norm: nn.BatchNorm1d, *, residual: Tensor | None, relu: bool
    ) -> Tensor:
        """Batch normalisation by the rows' own statistics, then + residual, then ReLU.

        For training: differentiable, and the running statistics of ``norm`` follow. At least two
        rows.
        """


@runtime_checkable
class Coarsener(Protocol):
    """What a backend is, besides, that finds coarser cells faster than PyTorch sorts them."""

    def coarser(self, fine: Level) -> tuple[Tensor, Tensor]:
        """The keys of the level twice as wide, and of each fine cell the row of its parent there.

        Returns:
            (M',) int64, sorted and unique; (M,) int32.
        """


def check_fit(feats: Features, weight: Tensor, offsets: int, rows: int) -> None:
    """Refuse features and weights that do not fit a kernel map or each other.

    Raises:
        ValueError: it says which shapes do not fit.
    """
    parts = feats if isinstance(feats, tuple) else (feats,)
    channels = sum(part.shape[1] for part in parts)
    if weight.ndim != 3 or weight.shape[:2] != (offsets, channels):
        raise ValueError(
            f"a weight of shape {tuple(weight.shape)} does not fit {offsets} offsets "
            f"and {channels} channels"
        )
    for part in parts:
        if len(part) != rows:
            raise ValueError(f"feats have {len(part)} rows, the map {rows}")


def refuse_gradients(epilogue: Epilogue | None, weight: Tensor, feats: Features) -> None:
    """Refuse an epilogue where gradients are asked: they would leave it out.

    Raises:
        ValueError: they are asked.
    """
    if epilogue is None or not torch.is_grad_enabled():
        return
    parts = feats if isinstance(feats, tuple) else (feats,)
    if any(each.requires_grad for each in (weight, *parts)):
        raise ValueError("an epilogue has no gradients: convolve under torch.no_grad()")


def backend_named(
    name: str,
    device: torch.device | str = "cpu",
    *,
    precision: Precision | Literal["auto"] = "auto",
) -> Backend:
    """The backend of a name, or for ``auto`` the fastest that runs on the device.

    Args:
        name: of kind ``backends`` in the registry, or ``auto``.
        device: where features will lie.
        precision: see `Backend`; ``auto`` is ``fast`` on a CUDA device that has bf16
            instructions, where it moves a label in a hundred, and ``high`` elsewhere.

    Raises:
        UsageError: nothing has that name.
        SetupError: E_BACKEND, it cannot run here; the fault says why.
    """
    kind = torch.device(device).type
    if precision == "auto":
        precision = "fast" if kind == "cuda" and _has_bf16(torch.device(device)) else "high"
    if name != "auto":
        backend: Backend = registry.load("backends", name)(precision=precision)
        reason = _hindrance(backend, kind)
        if reason is not None:
            raise SetupError(
                "E_BACKEND", name, f"cannot run here: {reason}", "Choose the torch backend."
            )
        return backend
    for candidate in _FASTEST_FIRST:
        backend = registry.load("backends", candidate)(precision=precision)
        if _hindrance(backend, kind) is None:
            break
    return backend


def _hindrance(backend: Backend, kind: str) -> str | None:
    if kind not in backend.device_types:
        return f"it computes on {' and '.join(backend.device_types)}, not on {kind}"
    return backend.available()


def _has_bf16(device: torch.device) -> bool:
    with torch.cuda.device(device):
        # Older GPUs emulate it, more slowly than they compute in float32.
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
