"""Results of the Triton backend compared with those of the PyTorch backend.

On a GPU: ``pytest -m gpu tests/sparse/test_triton*.py``. Without one, the same tests run in
Triton's interpreter, in a child process, because its switch must be set before triton is imported.
What only a GPU's compiler could reject is tested in test_triton_compiled.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from sparse_cells import random_cells
from triton_case import (  # noqa: F401
    CONVOLUTIONS,
    IN_CHILD,
    Case,
    exact_products_in_the_interpreter,
    near,
    same_with_gradients,
    triton_device,
)

from clip3d_cli.encoders.minkunet import MinkUNet
from clip3d_cli.sparse.backend import Epilogue, Precision
from clip3d_cli.sparse.backends.triton.backend import TritonBackend
from clip3d_cli.sparse.plan import Plan
from clip3d_cli.sparse.tensor import SparseTensor

INTERPRETED = "gpu and not slow"


@pytest.mark.slow
@pytest.mark.skipif(IN_CHILD, reason="is the child")
@pytest.mark.parametrize("file", ["test_triton.py", "test_triton_rows.py"])
def test_all_that_needs_a_gpu_holds_in_the_interpreter(file: str) -> None:
    pytest.importorskip("triton")
    path = Path(__file__).with_name(file)
    child = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", INTERPRETED, path],
        env={**os.environ, "TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stdout + child.stderr
    assert "skipped" not in child.stdout


def test_without_a_device_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert TritonBackend().unavailable_reason() in (
        "it needs a CUDA device",
        "triton is not installed",
    )


@pytest.mark.gpu
@pytest.mark.parametrize(("name", "offsets", "stride"), CONVOLUTIONS)
@pytest.mark.parametrize(("rows", "channels", "out"), [(130, 33, 17), (70, 7, 1), (1, 1, 3)])
def test_equals_the_plain_backend_and_its_gradients(
    device: str, name: str, offsets: int, stride: int, rows: int, channels: int, out: int
) -> None:
    case = Case(name, offsets, stride, rows=rows, channels=channels, out=out)
    same_with_gradients(case, TritonBackend(), device, case.feats, 1e-5)


@pytest.mark.gpu
def test_a_kernel_of_five_cells_equals_the_plain_backend(device: str) -> None:
    case = Case("convolve", 125, 1, rows=50)
    same_with_gradients(case, TritonBackend(), device, case.feats, 1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("precision", "dtype", "error"),
    [
        ("exact", torch.float16, 2e-3),
        ("exact", torch.bfloat16, 1e-2),
        ("high", torch.float32, 1e-3),
        ("fast", torch.float32, 1e-2),
        ("fast", torch.bfloat16, 1e-2),
    ],
)
def test_every_dtype_stays_near_float32_and_is_kept(
    device: str, precision: Precision, dtype: torch.dtype, error: float
) -> None:
    case = Case("convolve", 27, 1, channels=32, out=16)
    backend = TritonBackend(precision=precision)
    same_with_gradients(case, backend, device, case.feats.to(dtype), error)


@pytest.mark.gpu
@pytest.mark.parametrize("name_offsets_stride", [CONVOLUTIONS[0], CONVOLUTIONS[3]])
@pytest.mark.parametrize("widths", [(3, 6), (32, 1), (2, 3, 4)])
def test_feats_side_by_side_equal_the_joined(
    device: str, name_offsets_stride: tuple[str, int, int], widths: tuple[int, ...]
) -> None:
    case = Case(*name_offsets_stride, channels=sum(widths))
    whole = case.feats.requires_grad_()
    weight = case.weight.requires_grad_()
    found = case.run(TritonBackend(), device, feats=whole.split(list(widths), dim=1), weight=weight)
    wanted = case.run(None, feats=whole, weight=weight)
    assert near(found, wanted)
    mine = torch.autograd.grad(found.square().sum(), (whole, weight))
    theirs = torch.autograd.grad(wanted.square().sum(), (whole, weight))
    assert all(near(*pair) for pair in zip(mine, theirs, strict=True))


@pytest.mark.gpu
@pytest.mark.parametrize("given", ["scale", "shift", "residual", "relu", "all"])
def test_the_epilogue_is_done_on_the_way(device: str, given: str) -> None:
    case = Case(*CONVOLUTIONS[2])
    rows, out = len(Plan(case.cells).level(2)), case.weight.shape[2]
    draw = case.draw
    scale, shift = torch.randn(out, generator=draw), torch.randn(out, generator=draw)
    residual = torch.randn(out, rows, generator=draw).T
    wanted = case.run(None)
    if given in ("scale", "all"):
        wanted = wanted * scale
    if given in ("shift", "all"):
        wanted = wanted + shift
    if given in ("residual", "all"):
        wanted = wanted + residual
    if given in ("relu", "all"):
        wanted = wanted.relu()
    epilogue = Epilogue(
        scale.to(device) if given in ("scale", "all") else None,
        shift.to(device) if given in ("shift", "all") else None,
        residual.to(device) if given in ("residual", "all") else None,
        given in ("relu", "all"),
    )
    with torch.no_grad():
        assert near(case.run(TritonBackend(), device, epilogue=epilogue), wanted)
    with pytest.raises(ValueError, match="an epilogue has no gradients"):
        case.run(TritonBackend(), device, weight=case.weight.requires_grad_(), epilogue=epilogue)


@pytest.mark.gpu
def test_a_whole_network_gives_the_same_vectors(device: str) -> None:
    torch.manual_seed(0)
    network = MinkUNet(3, 8, layers=14, width=0.25).to(device).eval()
    cells = random_cells(60).to(device)
    voxels = SparseTensor(cells, torch.randn(60, 3).to(device))
    with torch.inference_mode():
        wanted, found = (network(voxels, Plan(cells, b)).cpu() for b in (None, TritonBackend()))
    assert near(found, wanted)


@pytest.mark.gpu
@pytest.mark.slow
def test_a_whole_network_gives_the_same_gradients(device: str) -> None:
    torch.manual_seed(0)
    network = MinkUNet(3, 8, layers=14, width=0.25).to(device).train()
    cells = random_cells(60).to(device)
    voxels = SparseTensor(cells, torch.randn(60, 3).to(device))
    answers = []
    for backend in (None, TritonBackend()):
        loss = network(voxels, Plan(cells, backend)).square().sum()
        grads = torch.autograd.grad(loss, list(network.parameters()))
        answers.append([grad.cpu() for grad in grads])
    assert all(near(mine, plain, 1e-4) for plain, mine in zip(*answers, strict=True))
