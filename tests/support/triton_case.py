"""A convolution to compute by the Triton backend and by the PyTorch one, and on which device."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from sparse_cells import random_cells
from torch import Tensor

from clip3d_cli.sparse.backends.triton.backend import TritonBackend
from clip3d_cli.sparse.plan import Plan

IN_CHILD = "TRITON_INTERPRET" in os.environ
CONVOLUTIONS = [
    ("convolve", 27, 1),
    ("convolve", 1, 1),
    ("convolve_down", 8, 1),
    ("convolve_up", 8, 2),
]


@pytest.fixture(name="device")
def triton_device() -> str:
    """Device of the Triton backend; skips the test if it cannot run."""
    reason = TritonBackend().unavailable_reason()
    if reason is not None:
        pytest.skip(reason)
    return "cpu" if IN_CHILD else "cuda"


@pytest.fixture(autouse=True)
def exact_products_in_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Replace the interpreter's tl.dot where it differs from a GPU's.

    The interpreter stores bfloat16 as 16 bits and would multiply those as integers. And the last
    bits of numpy's sums depend on the position of a row in a block; those of tensor cores do not.
    """
    if IN_CHILD:
        from triton.runtime import interpreter

        def create_dot(builder: Any, a: Any, b: Any, sums: Any, *rest: Any) -> Any:
            return interpreter.TensorHandle(
                (widened(a) @ widened(b) + sums.data).astype("float32"), interpreter.tl.float32
            )

        def widened(handle: Any) -> Any:
            numbers = handle.data
            if str(handle.dtype.scalar) == "bf16":
                numbers = (numbers.astype("uint32") << 16).view("float32")
            return numbers.astype("float64")

        monkeypatch.setattr(interpreter.InterpreterBuilder, "create_dot", create_dot)
    yield


class Case:
    """One convolution, for both backends.

    Args:
        name: method of `Plan`.
        offsets: kernel offsets of the weight.
        stride: stride of the input.
        rows: number of finest cells.
        channels: Cin.
        out: Cout.
    """

    def __init__(
        self,
        name: str,
        offsets: int,
        stride: int,
        *,
        rows: int = 70,
        channels: int = 5,
        out: int = 6,
    ) -> None:
        self.name, self.stride = name, stride
        self.cells = random_cells(rows)
        draw = torch.Generator().manual_seed(rows)
        sources = len(Plan(self.cells).level(stride))
        self.feats = torch.randn(sources, channels, generator=draw)
        self.weight = torch.randn(offsets, channels, out, generator=draw) / channels**0.5
        self.draw = draw

    def run(self, backend: TritonBackend | None, device: str = "cpu", **options: Any) -> Any:
        """(rows, Cout) on the CPU; options may replace ``feats`` and ``weight``."""
        feats, weight = options.pop("feats", self.feats), options.pop("weight", self.weight)
        parts = tuple(part.to(device) for part in (feats if isinstance(feats, tuple) else (feats,)))
        moved = parts if isinstance(feats, tuple) else parts[0]
        convolve = getattr(Plan(self.cells.to(device), backend), self.name)
        return convolve(moved, weight.to(device), self.stride, **options).cpu()


def near(found: Tensor, wanted: Tensor, error: float = 1e-5) -> bool:
    """Whether the norm of the difference is small relative to the norm."""
    assert found.shape == wanted.shape
    return bool((found.float() - wanted.float()).norm() <= error * wanted.float().norm())


def same_with_gradients(
    case: Case, backend: TritonBackend, device: str, feats: Tensor, error: float
) -> None:
    """Check result and gradients of the Triton backend against the PyTorch one in float32."""
    feats, weight = feats.requires_grad_(), case.weight.requires_grad_()
    found = case.run(backend, device, feats=feats, weight=weight)
    wanted = case.run(None, feats=feats.float(), weight=weight)
    assert found.dtype == feats.dtype
    assert near(found, wanted, error)
    pull = torch.randn(wanted.shape, generator=case.draw).to(found.dtype)
    mine = torch.autograd.grad(found, (feats, weight), pull)
    theirs = torch.autograd.grad(wanted, (feats, weight), pull.float())
    assert mine[1].dtype == weight.dtype
    assert all(near(*pair, error) for pair in zip(mine, theirs, strict=True))
