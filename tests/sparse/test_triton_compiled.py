"""Every Triton kernel through a GPU's compiler, with the arguments it is really launched with.

No GPU is needed: launches stop after compilation, and only what the compiler says is looked at.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from sparse_cells import random_cells

from clip3d_cli.sparse.backend import Epilogue, Precision
from clip3d_cli.sparse.backends.triton.backend import TritonBackend
from clip3d_cli.sparse.plan import Plan

triton = pytest.importorskip("triton")

# Of a program, on every GPU since Ampere.
SHARED_BYTES = 99 * 1024
# Older compilers keep one number or two in memory, outside of all loops.
STACK_BYTES = 16


class NoGpu:
    """A driver that names a target and can do nothing else."""

    def __init__(self, capability: int) -> None:
        self.capability = capability

    def get_current_target(self) -> Any:
        return triton.backends.compiler.GPUTarget("cuda", self.capability, 32)

    def get_current_device(self) -> int:
        return self.capability

    def get_current_stream(self, device: int) -> int:
        return device


@pytest.fixture
def launches(
    capability: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[list[Any]]:
    """Collects what launches compile, for a device of a capability."""
    compiled: list[Any] = []
    run = triton.JITFunction.run

    def compile_only(kernel: Any, *args: Any, warmup: bool, **options: Any) -> None:
        compiled.append(run(kernel, *args, warmup=True, **options))

    monkeypatch.setattr(triton.JITFunction, "run", compile_only)
    monkeypatch.setattr(triton.knobs.cache, "dir", str(tmp_path))
    before = triton.runtime.driver._active
    triton.runtime.driver.set_active(NoGpu(capability))
    yield compiled
    triton.runtime.driver._active = before


def convolve_and_back(
    precision: Precision, dtype: torch.dtype, widths: list[int], out: int
) -> None:
    """One forward pass with an epilogue, one with gradients: nothing is computed."""
    cells = random_cells(200)
    backend = TritonBackend(precision=precision)
    plan = Plan(cells, backend)
    level = plan.level(1)
    kernel_map = backend.build_kernel_map(level, level, 3)
    for part in (kernel_map.forward.counts, kernel_map.forward.offsets):
        part.zero_()  # what was not computed must not be read
    feats = tuple(torch.ones(200, width, dtype=dtype, requires_grad=True) for width in widths)
    weight = torch.ones(27, sum(widths), out, requires_grad=True)
    with torch.no_grad():
        every = Epilogue(torch.ones(out), torch.ones(out), torch.ones(200, out, dtype=dtype), True)
        backend.convolve(feats, weight, kernel_map, epilogue=every)
    found = backend.convolve(feats, weight, kernel_map)
    torch.autograd.grad(found.sum(), (*feats, weight))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("capability", "precision", "dtype", "widths", "out", "high"),
    [
        (90, "fast", torch.bfloat16, [96, 32], 96, True),
        (90, "exact", torch.float16, [7], 7, False),
        (90, "high", torch.float32, [64], 64, True),
        (90, "exact", torch.float32, [64], 64, True),
        (80, "fast", torch.bfloat16, [128], 128, True),
        (80, "fast", torch.float32, [33, 1], 1, False),
    ],
)
def test_kernels_fit_a_gpu_without_spilling(
    launches: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capability: int,
    precision: Precision,
    dtype: torch.dtype,
    widths: list[int],
    out: int,
    high: bool,
) -> None:
    if high:
        monkeypatch.setattr("clip3d_cli.sparse.backends.triton.maps.HIGH_FROM_ROWS", 1)
        monkeypatch.setattr("clip3d_cli.sparse.backends.triton.launch.FEW_PROGRAMS", 1)
    convolve_and_back(precision, dtype, widths, out)
    names = {kernel.metadata.name for kernel in launches}
    assert names == {"find_neighbours", "arrange_blocks", "convolve_blocks", "weight_gradient"}
    for kernel in launches:
        assert kernel.metadata.shared <= SHARED_BYTES
        assert stack_bytes(kernel.asm["cubin"]) <= STACK_BYTES
    convolutions = [k.asm["ptx"] for k in launches if k.metadata.name == "convolve_blocks"]
    if dtype == torch.bfloat16:
        # By tensor cores, from rows that were fetched while others were multiplied.
        product = "wgmma.mma_async" if capability == 90 else "mma.sync"
        assert all(product in text and "cp.async" in text for text in convolutions)


def stack_bytes(cubin: bytes) -> int:
    """What a thread keeps in memory for want of registers."""
    path = Path(triton.knobs.cache.dir) / "kernel.cubin"
    path.write_bytes(cubin)
    tool = triton.knobs.nvidia.cuobjdump.path
    said = subprocess.run(
        [tool, "--dump-resource-usage", str(path)], capture_output=True, text=True, check=True
    ).stdout
    found = re.search(r"STACK:(\d+)", said)
    assert found, said
    return int(found[1])
