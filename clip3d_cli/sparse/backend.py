"""Interface of a sparse-convolution backend, and the selection of one."""

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
        keys: (M,) int64, sorted and unique; the layout is in `clip3d_cli.sparse.key_layout`.
        stride: edge of a cell in finest cells: 1, 2, 4, …
        parent_rows: (M,) int32, row of each cell's parent in the next coarser level; None until
            that level is built.
    """

    keys: Tensor
    stride: int
    parent_rows: Tensor | None = None

    def __len__(self) -> int:
        return len(self.keys)


Features = Tensor | tuple[Tensor, ...]
"""(M, C) features, or several tensors whose columns are side by side.

A tuple means the same as its concatenation along columns, but no backend has to build that tensor:
a U-Net's decoder passes its features and the skip connection without copying either.
"""

Precision = Literal["exact", "high", "fast"]

_FASTEST_FIRST = ("triton", "torchsparse", "native", "torch")


@dataclass(frozen=True, slots=True, eq=False)
class Epilogue:
    """What is applied to every convolved row before it is written, in inference.

    The order is relu(row · scale + shift + residual); parts that are None or False are left out.

    Attributes:
        scale: (Cout,) floating point: a folded batch normalization's scale.
        shift: (Cout,) floating point: a folded batch normalization's shift.
        residual: (rows, Cout), of the dtype of the features.
        relu: whether negative results become 0. NaN stays NaN.
        overwrite_residual: whether a backend may write the result into the memory of ``residual``.
    """

    scale: Tensor | None = None
    shift: Tensor | None = None
    residual: Tensor | None = None
    relu: bool = False
    overwrite_residual: bool = False


class Backend(Protocol):
    """Computes sparse convolutions over kernel maps in a format of its own.

    Weights have shape (K³, Cin, Cout), offsets with x slowest and z fastest. Odd kernels are
    centred: offsets run from −(K // 2) to K // 2. The strided kernel of two cells has offsets 0
    and 1. All rows are in key order. Results have the dtype of the features, whatever the dtype of
    the weights.

    Attributes:
        name: name of the backend in the registry.
        device_types: where features may be: ``cpu``, ``cuda``, ``mps``.
        precision: ``exact`` multiplies in float32. ``high`` may have a relative error of 5e-5 on
            a CPU (three bfloat16 products) and of 1e-3 on a GPU (TF32). ``fast`` computes in half
            precision where the device has instructions for it.
        dtype: dtype of the features that suits the precision.
    """

    name: str
    device_types: tuple[str, ...]
    precision: Precision
    dtype: torch.dtype

    def unavailable_reason(self) -> str | None:
        """Return why this backend cannot run on this machine, or None if it can."""

    def build_kernel_map(self, source: Level, target: Level, size: int) -> Any:
        """Return which rows of ``source`` each row of ``target`` sees, at every kernel offset.

        Args:
            source: level of the input.
            target: level of the output: the same level (submanifold convolution), or the next
                coarser one (strided convolution).
            size: edge of the kernel in cells: odd for a submanifold convolution, 2 for a strided
                one.
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
        """Return the convolved features of every target row.

        Differentiable with respect to features and weight, without an epilogue.

        Args:
            feats: (source rows, Cin), or (target rows, Cin) if transposed; of a tuple, Cin is the
                sum of the channels.
            weight: (offsets, Cin, Cout).
            kernel_map: result of this backend's ``build_kernel_map``.
            transposed: use the map in reverse, from the coarser level to the finer.
            epilogue: applied to every row before it is written; only without gradients.

        Returns:
            (target rows, Cout), or (source rows, Cout) if transposed.

        Raises:
            ValueError: shapes that do not match, or an epilogue with gradients enabled.
        """

    def batch_norm(
        self, feats: Tensor, norm: nn.BatchNorm1d, *, residual: Tensor | None, relu: bool
    ) -> Tensor:
        """Return relu(batch_norm(feats) + residual), normalized by the batch's own statistics.

        For training: differentiable, and the running statistics of ``norm`` are updated.

        Args:
            feats: (M, C), M ≥ 2.
            norm: normalization of C channels.
            residual: (M, C), added after the normalization, or None.
            relu: whether negative results become 0.

        Returns:
            (M, C).
        """


@runtime_checkable
class Coarsener(Protocol):
    """A backend that also finds the coarser level, faster than PyTorch sorts keys."""

    def coarsen(self, fine: Level) -> tuple[Tensor, Tensor]:
        """Return the level of twice the stride.

        Args:
            fine: M cells.

        Returns:
            (M',) int64: keys of the parents, sorted and unique; (M,) int32: row of each cell's
            parent among them.
        """


def check_shapes(feats: Features, weight: Tensor, offsets: int, rows: int) -> None:
    """Check that features and weight match a kernel map and each other.

    Args:
        feats: see `Backend.convolve`.
        weight: expected to be (offsets, Cin, Cout).
        offsets: number of offsets of the kernel map.
        rows: number of rows that the kernel map reads.

    Raises:
        ValueError: they do not; the message names the shapes.
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
            raise ValueError(f"feats have {len(part)} rows, the kernel map has {rows}")


def check_no_gradients(epilogue: Epilogue | None, weight: Tensor, feats: Features) -> None:
    """Check that no gradient is recorded where there is an epilogue: it would be left out.

    Raises:
        ValueError: there is an epilogue, and features or weight require gradients.
    """
    if epilogue is None or not torch.is_grad_enabled():
        return
    parts = feats if isinstance(feats, tuple) else (feats,)
    if any(each.requires_grad for each in (weight, *parts)):
        raise ValueError("an epilogue has no gradients: convolve under torch.no_grad()")


def select_backend(
    name: str,
    device: torch.device | str = "cpu",
    *,
    precision: Precision | Literal["auto"] = "auto",
) -> Backend:
    """Return the backend ``name``, or for ``auto`` the fastest one that runs on the device.

    Args:
        name: a name of kind ``backends`` in the registry, or ``auto``.
        device: device of the features.
        precision: see `Backend`; ``auto`` is ``fast`` on a CUDA device with bfloat16
            instructions, where it changes about one label in a hundred, and ``high`` elsewhere.

    Raises:
        UsageError: E_UNKNOWN_NAME, the registry has no such backend.
        SetupError: E_BACKEND, it cannot run here; the fault says why.
    """
    device_type = torch.device(device).type
    if precision == "auto":
        has_bf16 = device_type == "cuda" and _has_bf16(torch.device(device))
        precision = "fast" if has_bf16 else "high"
    if name != "auto":
        backend: Backend = registry.load("backends", name)(precision=precision)
        reason = _unavailable_reason(backend, device_type)
        if reason is not None:
            raise SetupError(
                "E_BACKEND", name, f"cannot run here: {reason}", "Choose the torch backend."
            )
        return backend
    for candidate in _FASTEST_FIRST:
        backend = registry.load("backends", candidate)(precision=precision)
        if _unavailable_reason(backend, device_type) is None:
            break
    return backend


def _unavailable_reason(backend: Backend, device_type: str) -> str | None:
    if device_type not in backend.device_types:
        return f"it computes on {' and '.join(backend.device_types)}, not on {device_type}"
    return backend.unavailable_reason()


def _has_bf16(device: torch.device) -> bool:
    with torch.cuda.device(device):
        # Older GPUs emulate bfloat16, which is slower than computing in float32.
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
