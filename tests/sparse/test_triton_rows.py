"""Rows of the Triton backend: the same bits in any company, any number of them, and refusals."""

from __future__ import annotations

import pytest
import torch
from triton_case import CONVOLUTIONS, Case, exact_products_in_the_interpreter, near, triton_device  # noqa: F401

from clip3d_cli.sparse.backend import Epilogue, Precision
from clip3d_cli.sparse.backends.triton.backend import TritonBackend
from clip3d_cli.sparse.plan import Plan


@pytest.mark.gpu
def test_large_tiles_equal_small_ones(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(*CONVOLUTIONS[0], rows=150, out=70)
    answers = []
    for threshold in (1, 10**6):
        monkeypatch.setattr("clip3d_cli.sparse.backends.triton.maps.HIGH_FROM_ROWS", threshold)
        monkeypatch.setattr("clip3d_cli.sparse.backends.triton.launch.FEW_PROGRAMS", threshold)
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
def test_what_does_not_fit_is_refused(device: str) -> None:
    case = Case(*CONVOLUTIONS[0])
    feats = case.feats
    for options, message in [
        ({"weight": torch.ones(27, 4, 6)}, r"weight of shape \(27, 4, 6\) does not fit"),
        ({"feats": feats[1:]}, "feats have 69 rows"),
        ({"feats": (feats[:, :2], feats[1:, 2:])}, "equal numbers of rows and equal dtypes"),
        ({"feats": (feats[:, :2], feats[:, 2:].half())}, "equal numbers of rows and equal dtypes"),
        ({"feats": feats.double()}, "not torch.float64"),
    ]:
        with pytest.raises(ValueError, match=message):
            case.run(TritonBackend(), device, **options)
    with pytest.raises(ValueError, match="must be on one device"):
        Plan(case.cells.to(device), TritonBackend()).convolve(
            feats.to(device), case.weight.to("meta"), 1
        )
