from __future__ import annotations

import pytest
import torch
from torch import Tensor

from clip3d_cli import registry
from clip3d_cli.errors import InputError, SetupError, UsageError
from clip3d_cli.sparse.backend import select_backend
from clip3d_cli.sparse.key_layout import HIGHEST_CELL, LOWEST_CELL, MAX_CLOUDS
from clip3d_cli.sparse.keys import child_slots, pack_cells, parent_keys, unpack_keys
from clip3d_cli.sparse.neighbours import neighbour_pairs
from clip3d_cli.sparse.plan import Plan
from clip3d_cli.sparse.point_voxel import interpolate_trilinear, pool_mean
from clip3d_cli.sparse.tensor import SparseTensor


def cells_of(rows: list[list[int]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.int32).reshape(-1, 4)


def scattered(seed: int = 0, rows: int = 500) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    cells = torch.randint(-6, 6, (rows, 4), generator=draw)
    cells[:, 0] = cells[:, 0].abs() % 3
    return cells.unique(dim=0).int()


CORNERS = cells_of(
    [
        [number, x, y, z]
        for number in (0, MAX_CLOUDS - 1)
        for x in (LOWEST_CELL, HIGHEST_CELL)
        for y in (LOWEST_CELL, HIGHEST_CELL)
        for z in (LOWEST_CELL, HIGHEST_CELL)
    ]
)


@pytest.mark.parametrize("cells", [scattered(), CORNERS])
def test_keys_keep_cells_and_their_order(cells: Tensor) -> None:
    keys = pack_cells(cells)
    assert bool((keys >= 0).all())
    assert bool((keys[1:] > keys[:-1]).all())
    assert torch.equal(unpack_keys(keys, 1), cells)
    wide = torch.cat((cells[:, :1], cells[:, 1:].div(2, rounding_mode="floor")), dim=1)
    assert torch.equal(unpack_keys(parent_keys(keys), 2), wide)
    x, y, z = (cells[:, 1:] % 2).long().unbind(1)
    assert torch.equal(child_slots(keys), 4 * x + 2 * y + z)


@pytest.mark.parametrize("size", [3, 5])
def test_corners_of_the_lattice_have_no_neighbours(size: int) -> None:
    for stride in (1, 2, 4):
        keys = Plan(CORNERS).level(stride).keys
        pairs = neighbour_pairs(keys, size)
        seen = [len(each.targets) for each in pairs]
        assert seen[len(pairs) // 2] == sum(seen) == len(keys)


@pytest.mark.parametrize("size", [3, 5])
def test_neighbours_are_those_of_a_plain_search(size: int) -> None:
    cells = scattered()
    pairs = neighbour_pairs(pack_cells(cells), size)
    row_of = {tuple(cell): row for row, cell in enumerate(cells.tolist())}
    side = range(-(size // 2), size // 2 + 1)
    offsets = [(dx, dy, dz) for dx in side for dy in side for dz in side]
    for offset, (dx, dy, dz) in enumerate(offsets):
        wanted = {
            row: row_of[b, x + dx, y + dy, z + dz]
            for row, (b, x, y, z) in enumerate(cells.tolist())
            if (b, x + dx, y + dy, z + dz) in row_of
        }
        targets, sources = (rows.tolist() for rows in pairs[offset])
        assert dict(zip(targets, sources, strict=True)) == wanted
        assert targets == sorted(targets)


@pytest.mark.parametrize(
    ("cell", "fault"),
    [
        ([0, 0, 0, HIGHEST_CELL + 1], "voxels along z: range over 0…131070"),
        ([0, LOWEST_CELL - 1, 0, 0], "voxels along x: range over -131071…0"),
        ([0, 0, 2**31 - 1, 0], "voxels along y: range over 0…2147483647"),
        ([MAX_CLOUDS, 0, 0, 0], "batch: has cloud numbers 0…511"),
        ([-1, 0, 0, 0], "batch: has cloud numbers -1…0"),
    ],
)
def test_cells_beyond_the_lattice_are_refused(cell: list[int], fault: str) -> None:
    with pytest.raises(InputError, match=fault) as caught:
        Plan(cells_of([[0, 0, 0, 0], cell]))
    assert caught.value.code == "E_VOXEL_RANGE"
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("cells", "error", "fault"),
    [
        (
            torch.zeros(2, 4, dtype=torch.int64),
            TypeError,
            r"must be torch\.int32, not torch\.int64",
        ),
        (torch.zeros(2, 3, dtype=torch.int32), ValueError, r"shape \(M, 4\), not \(2, 3\)"),
        (torch.zeros(2, 4, dtype=torch.int32), ValueError, "a cell occurs more than once"),
        (
            cells_of([[0, 1, 1, 1], [0, 0, 0, 0], [0, 1, 1, 1]]),
            ValueError,
            "a cell occurs more than once",
        ),
    ],
)
def test_what_is_not_unique_cells_is_refused(
    cells: Tensor, error: type[Exception], fault: str
) -> None:
    with pytest.raises(error, match=fault):
        Plan(cells)


@pytest.mark.parametrize(
    ("feats", "error", "fault"),
    [
        (torch.zeros(3, 1), ValueError, "one row for each of the 2 cells"),
        (torch.zeros(2), ValueError, "one row for each of the 2 cells"),
        (torch.zeros(2, 1, dtype=torch.int32), TypeError, "feats must be floating point"),
        (torch.zeros(2, 1, device="meta"), ValueError, "feats are on meta and cells on cpu"),
    ],
)
def test_features_that_do_not_fit_are_refused(
    feats: Tensor, error: type[Exception], fault: str
) -> None:
    cells = cells_of([[0, 0, 0, 0], [0, 0, 0, 1]])
    with pytest.raises(error, match=fault):
        SparseTensor(cells, feats)
    with pytest.raises(error, match=fault):
        SparseTensor(cells, torch.zeros(2, 7)).with_feats(feats)


def test_rows_come_back_in_the_callers_order() -> None:
    cells = scattered()
    order = torch.randperm(len(cells), generator=torch.Generator().manual_seed(1))
    feats = torch.randn(len(cells), 3)
    sorted_plan, mixed_plan = Plan(cells), Plan(cells[order])
    assert torch.equal(mixed_plan.to_plan_order(feats[order]), feats)
    assert torch.equal(mixed_plan.to_caller_order(feats), feats[order])
    assert sorted_plan.to_plan_order(feats) is feats
    weight = torch.randn(27, 3, 4)
    wanted = sorted_plan.convolve(feats, weight, 1)
    assert torch.equal(mixed_plan.convolve(feats, weight, 1), wanted)
    with pytest.raises(ValueError, match="feats have 1 rows, the plan has"):
        sorted_plan.to_plan_order(feats[:1])


def test_an_empty_cloud_has_empty_levels_and_convolves() -> None:
    plan = Plan(torch.zeros(0, 4, dtype=torch.int32))
    feats = torch.zeros(0, 3, requires_grad=True)
    weight = torch.randn(27, 3, 4, requires_grad=True)
    down = plan.convolve_down(plan.convolve(feats, weight, 1), torch.randn(8, 4, 5), 1)
    up = plan.convolve_up(down, torch.randn(8, 5, 6), 2)
    assert (len(plan.level(16)), tuple(down.shape), tuple(up.shape)) == (0, (0, 5), (0, 6))
    up.sum().backward()
    assert weight.grad is not None
    assert not weight.grad.any()


def test_a_cloud_beside_an_empty_one_is_alone() -> None:
    cells = scattered()
    second = cells[cells[:, 0] == 2]
    feats, weight = torch.randn(len(second), 3), torch.randn(27, 3, 4)
    alone = torch.cat((torch.zeros_like(second[:, :1]), second[:, 1:]), dim=1)
    torch.testing.assert_close(
        Plan(second).convolve(feats, weight, 1), Plan(alone).convolve(feats, weight, 1)
    )


def test_levels_hold_the_floor_of_half() -> None:
    cells = scattered()
    plan = Plan(cells)
    for stride in (2, 4, 8):
        halved = cells[:, 1:].div(stride, rounding_mode="floor")
        wide = torch.cat((cells[:, :1], halved), dim=1).unique(dim=0, return_inverse=True)
        assert torch.equal(unpack_keys(plan.level(stride).keys, stride), wide[0])
        assert torch.equal(plan.ancestor_rows(stride), wide[1])
    with pytest.raises(ValueError, match="power of two, not 3"):
        plan.level(3)


def test_kernel_maps_are_built_once() -> None:
    backend = select_backend("torch")
    built = []
    build = backend.build_kernel_map
    backend.build_kernel_map = lambda *wanted: built.append(wanted[2]) or build(*wanted)  # type: ignore
    plan = Plan(scattered(), backend)
    feats = torch.randn(len(plan), 2)
    for _ in range(3):
        feats = plan.convolve(feats, torch.randn(27, 2, 2), 1)
        wide = plan.convolve_down(feats, torch.randn(8, 2, 2), 1)
        feats = plan.convolve_up(wide, torch.randn(8, 2, 2), 2)
    assert built == [3, 2]


def test_an_unknown_or_absent_backend_is_refused() -> None:
    with pytest.raises(UsageError, match="there is no 'torchsprase'"):
        select_backend("torchsprase")
    built = registry.load("backends", "native")().unavailable_reason() is None
    assert select_backend("auto", "cpu").name == ("native" if built else "torch")
    reason = registry.load("backends", "torchsparse")().unavailable_reason()
    if reason is not None:
        with pytest.raises(SetupError, match="torchsparse: cannot run here") as caught:
            select_backend("torchsparse")
        assert caught.value.code == "E_BACKEND"


def test_trilinear_reading_of_a_linear_field_is_exact_inside() -> None:
    cells = torch.cartesian_prod(torch.arange(1), *[torch.arange(16)] * 3).int()
    plan = Plan(cells)
    field = torch.tensor([1.0, -2.0, 0.5])
    for stride in (1, 2, 4):
        middles = (unpack_keys(plan.level(stride).keys, stride)[:, 1:] + 0.5) * stride
        offsets = torch.rand(len(cells), 3, generator=torch.Generator().manual_seed(0)) - 0.5
        points = cells[:, 1:] + 0.5 + offsets
        read = interpolate_trilinear((middles @ field).unsqueeze(1), plan, stride, offsets)[:, 0]
        inside = ((points > stride / 2) & (points < 16 - stride / 2)).all(dim=1)
        torch.testing.assert_close(read[inside], points[inside] @ field, rtol=1e-4, atol=1e-3)


def test_trilinear_reading_is_as_fine_far_away() -> None:
    cells = torch.cartesian_prod(torch.arange(1), *[torch.arange(8)] * 3).int()
    far = cells + torch.tensor([0, 120_000, -120_000, 120_000], dtype=torch.int32)
    offsets = torch.rand(len(cells), 3, generator=torch.Generator().manual_seed(0)) - 0.5
    feats = torch.randn(8, 2, generator=torch.Generator().manual_seed(1))
    near = interpolate_trilinear(feats, Plan(cells), 4, offsets)
    assert torch.equal(interpolate_trilinear(feats, Plan(far), 4, offsets), near)


def test_trilinear_reading_shares_the_weight_of_empty_cells() -> None:
    plan = Plan(cells_of([[0, 0, 0, 0], [1, 1, 1, 1]]))
    feats = torch.tensor([[3.0], [5.0]])
    assert torch.equal(interpolate_trilinear(feats, plan, 1, None), feats)
    offsets = torch.full((2, 3), 0.25)
    assert torch.equal(interpolate_trilinear(feats, plan, 1, offsets), feats)
    assert torch.equal(interpolate_trilinear(feats, plan, 8, None), feats)


def test_pooling_is_the_mean_of_the_voxels_inside() -> None:
    plan = Plan(cells_of([[0, 0, 0, 0], [0, 0, 0, 3], [0, 4, 0, 0], [1, 0, 0, 0]]))
    feats = torch.tensor([[1.0], [5.0], [7.0], [9.0]])
    assert pool_mean(feats, plan, 4).tolist() == [[3.0], [7.0], [9.0]]
    assert pool_mean(feats, plan, 1) is feats
