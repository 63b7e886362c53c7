"""The Triton backend against the plain one.

On a GPU: ``pytest -m gpu tests/test_sparse_triton.py``. Where there is none, the same tests run in
Triton's interpreter, in a child process, as its switch must be set before triton is imported; and
what only a GPU's compiler could refuse is tried in test_sparse_triton_compiled.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from sparse_cells import random_cells
from torch import Tensor

from clip3d_cli.encoders.minkunet import MinkUNet
from clip3d_cli.sparse.backend import Epilogue, Precision
from clip3d_cli.sparse.plan import Plan
from clip3d_cli.sparse.tensor import SparseTensor
from clip3d_cli.sparse.triton_backend import TritonBackend

IN_CHILD = "TRITON_INTERPRET" in os.environ
INTERPRETED = "gpu and not slow"
CONVOLUTIONS = [
    ("convolve", 27, 1),
    ("convolve", 1, 1),
    ("convolve_down", 8, 1),
    ("convolve_up", 8, 2),
]


@pytest.mark.slow
@pytest.mark.skipif(IN_CHILD, reason="is the child")
def test_all_of_this_file_in_the_interpreter() -> None:
    pytest.importorskip("triton")
    child = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-m",
            INTERPRETED,
            __file__,
        ],
        env={**os.environ, "TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stdout + child.stderr
    assert "skipped" not in child.stdout


@pytest.fixture
def device() -> str:
    reason = TritonBackend().available()
    if reason is not None:
        pytest.skip(reason)
    return "cpu" if IN_CHILD else "cuda"


@pytest.fixture(autouse=True)
def exact_products_in_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A dot like a GPU's where the interpreter's is not.

    It keeps bfloat16 as 16 bits, and would multiply those as integers; and numpy's sums differ in
    their last bits with the place of a row in a block, which those of tensor cores do not.
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
    """The same convolution by both backends."""

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
        """(rows, Cout) on the CPU; options replace what is convolved."""
        feats, weight = options.pop("feats", self.feats), options.pop("weight", self.weight)
        parts = tuple(part.to(device) for part in (feats if isinstance(feats, tuple) else (feats,)))
        moved = parts if isinstance(feats, tuple) else parts[0]
        convolve = getattr(Plan(self.cells.to(device), backend), self.name)
        return convolve(moved, weight.to(device), self.stride, **options).cpu()


def near(found: Tensor, wanted: Tensor, error: float = 1e-5) -> bool:
    """Whether they agree, relative to the whole."""
    assert found.shape == wanted.shape
    return bool((found.float() - wanted.float()).norm() <= error * wanted.float().norm())


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


def same_with_gradients(
    case: Case, backend: TritonBackend, device: str, feats: Tensor, error: float
) -> None:
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
def test_large_tiles_equal_small_ones(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(*CONVOLUTIONS[0], rows=150, out=70)
    answers = []
    for threshold in (1, 10**6):
        monkeypatch.setattr("clip3d_cli.sparse.triton_maps.HIGH_FROM_ROWS", threshold)
        monkeypatch.setattr("clip3d_cli.sparse.triton_launch.FEW_PROGRAMS", threshold)
        weight = case.weight.requires_grad_()
        found = case.run(TritonBackend(), device, weight=weight)
        answers.append((found, *torch.autograd.grad(found.square().sum(), weight)))
    (high, high_grad), (low, low_grad) = answers
    # Rows are the same bit by bit: labels must not change with the size of a batch.
    assert torch.equal(high, low)
    assert near(high_grad, low_grad)


@pytest.mark.gpu
@pytest.mark.parametrize("name_offsets_stride", CONVOLUTIONS)
def test_a_cloud_alone_equals_it_in_a_batch_to_the_bit(
    device: str, name_offsets_stride: tuple[str, int, int]
) -> None:
    name, _, stride = name_offsets_stride
    case = Case(*name_offsets_stride, rows=200)
    target = {"convolve_down": 2, "convolve_up": 1}.get(name, stride)
    first = Plan(case.cells).level(stride).keys >> 54 == 0
    first_target = Plan(case.cells).level(target).keys >> 54 == 0
    together = case.run(TritonBackend(), device)
    case.cells = case.cells[case.cells[:, 0] == 0]
    alone = case.run(TritonBackend(), device, feats=case.feats[first])
    assert torch.equal(alone, together[first_target])


@pytest.mark.gpu
def test_every_run_gives_the_same_bits(device: str) -> None:
    case = Case(*CONVOLUTIONS[0], rows=100)
    answers = []
    for _ in range(2):
        weight, feats = case.weight.requires_grad_(), case.feats.requires_grad_()
        found = case.run(TritonBackend(), device, feats=feats, weight=weight)
        answers.append((found, *torch.autograd.grad(found.square().sum(), (feats, weight))))
    assert all(torch.equal(*pair) for pair in zip(*answers, strict=True))


@pytest.mark.gpu
@pytest.mark.parametrize(("name", "offsets", "stride"), CONVOLUTIONS)
def test_no_cells_give_no_rows_and_a_gradient_of_zeros(
    device: str, name: str, offsets: int, stride: int
) -> None:
    case = Case(name, offsets, stride, rows=0)
    weight = case.weight.requires_grad_()
    found = case.run(TritonBackend(), device, weight=weight)
    assert found.shape == (0, 6)
    assert not torch.autograd.grad(found.sum(), weight)[0].any()


@pytest.mark.gpu
def test_any_strides_are_read_in_place_or_copied(device: str) -> None:
    case = Case(*CONVOLUTIONS[0], channels=8, out=8)
    wanted = case.run(None)
    wide = torch.cat((case.feats, case.feats), dim=1)
    for feats in (wide[:, 8:], case.feats.T.contiguous().T):
        for weight in (case.weight, case.weight.transpose(1, 2).contiguous().transpose(1, 2)):
            assert near(case.run(TritonBackend(), device, feats=feats, weight=weight), wanted)


@pytest.mark.gpu
def test_not_a_number_stays_where_it_can_be_seen(device: str) -> None:
    case = Case(*CONVOLUTIONS[0])
    case.feats[3] = torch.nan
    with torch.no_grad():
        found = case.run(TritonBackend(), device, epilogue=Epilogue(relu=True))
        assert torch.equal(found.isnan(), case.run(None).isnan())
    assert found.isnan().any()


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.parametrize("precision", ["exact", "high", "fast"])
def test_a_cloud_of_100_000_cells_equals_the_plain_backend(
    device: str, precision: Precision
) -> None:
    draw = torch.Generator().manual_seed(0)
    cells = torch.randint(0, 80, (100_000, 4), generator=draw).int()
    cells[:, 0] %= 2
    cells = cells.unique(dim=0).to(device)
    weights = [torch.randn(27, 64, 128, generator=draw), torch.randn(8, 128, 256, generator=draw)]
    answers = []
    for backend in (None, TritonBackend(precision=precision)):
        plan = Plan(cells, backend)
        kept = [(weight / 30).to(device).requires_grad_() for weight in weights]
        feats = torch.ones(len(cells), 64, device=device).cumsum(0).sin().requires_grad_()
        fine = plan.convolve(feats, kept[0], 1)
        found = plan.convolve_down(fine, kept[1], 1)
        grads = torch.autograd.grad(found.square().sum(), (feats, *kept))
        answers.append([each.cpu() for each in (fine.detach(), found.detach(), *grads)])
    error = {"exact": 1e-5, "high": 3e-3, "fast": 3e-2}[precision]
    assert all(near(mine, plain, error) for plain, mine in zip(*answers, strict=True))


@pytest.mark.gpu
@pytest.mark.slow
def test_more_than_two_to_the_31_numbers_are_told_apart(device: str) -> None:
    rows = (1 << 31) // 128 + 5_000
    free, _ = torch.cuda.mem_get_info()
    if free < 16 << 30:
        pytest.skip("needs 16 GiB of GPU memory")
    line = torch.arange(rows, device=device)
    columns = (line * 0, line // 40_000, line // 200 % 200 - 100, line % 200 - 100)
    plan = Plan(torch.stack(columns, dim=1).int(), TritonBackend())
    feats = torch.zeros(rows, 128, dtype=torch.half, device=device)
    feats[-1] = 1
    weight = torch.ones(27, 128, 128, device=device)
    with torch.no_grad():
        found = plan.convolve(plan.to_plan_order(feats), weight, 1)
    seen = plan.to_caller_order(found).any(1).nonzero()[:, 0]
    near_last = (torch.stack(columns[1:], 1) - torch.stack(columns[1:], 1)[-1]).abs().amax(1) <= 1
    assert torch.equal(seen, near_last.nonzero()[:, 0])


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


@pytest.mark.gpu
def test_what_does_not_fit_is_refused(device: str) -> None:
    case = Case(*CONVOLUTIONS[0])
    feats = case.feats
    for options, message in [
        ({"weight": torch.ones(27, 4, 6)}, r"weight of shape \(27, 4, 6\) does not fit"),
        ({"feats": feats[1:]}, "feats have 69 rows"),
        ({"feats": (feats[:, :2], feats[1:, 2:])}, "equal rows and dtypes"),
        ({"feats": (feats[:, :2], feats[:, 2:].half())}, "equal rows and dtypes"),
        ({"feats": feats.double()}, "not torch.float64"),
    ]:
        with pytest.raises(ValueError, match=message):
            case.run(TritonBackend(), device, **options)
    with pytest.raises(ValueError, match="must lie on one device"):
        Plan(case.cells.to(device), TritonBackend()).convolve(
            feats.to(device), case.weight.to("meta"), 1
        )


def test_without_a_device_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert TritonBackend().available() in ("it needs a CUDA device", "triton is not installed")
