from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from native_map import GRANULE, MapView
from torch import Tensor

from clip3d_cli.native import library as native
from clip3d_cli.sparse.backend import Level
from clip3d_cli.sparse.backends.native.backend import NativeBackend
from clip3d_cli.sparse.key_layout import HIGHEST_CELL, LOWEST_CELL, MAX_CLOUDS
from clip3d_cli.sparse.keys import pack_cells, parent_keys
from clip3d_cli.sparse.neighbours import Pairs, child_pairs, neighbour_pairs

pytestmark = pytest.mark.skipif(
    native.engine_status().fault is not None,
    reason=f"native engine: {native.engine_status().fault}",
)


def keys_of(cells: Tensor) -> Tensor:
    return pack_cells(cells.int().reshape(-1, 4)).unique()


def box(*spans: tuple[int, int]) -> Tensor:
    return torch.cartesian_prod(*(torch.arange(*span) for span in spans))


def drawn(rows: int, spread: tuple[int, int, int, int], seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    cells = torch.rand(rows, 4, generator=draw) * (2 * torch.tensor(spread) + 1)
    cells = cells.floor().long() - torch.tensor(spread)
    cells[:, 0] = cells[:, 0].abs()
    return cells


EDGES = torch.tensor([LOWEST_CELL, LOWEST_CELL + 1, -1, 0, HIGHEST_CELL - 1, HIGHEST_CELL])
CLOUDS = {
    "empty": torch.zeros(0, 4),
    "single": torch.tensor([[3, -5, 7, 11]]),
    "dense": box((0, 2), (-6, 7), (-5, 6), (-7, 8)),
    "sparse": drawn(2500, (3, 40, 40, 40)),
    "column": box((0, 1), (0, 2), (5, 6), (-900, 900)),
    "plane": box((0, 1), (-40, 40), (-40, 41), (3, 4)),
    "row": box((0, 1), (-1500, 1500), (0, 1), (0, 2)),
    "broken columns": box((0, 1), (0, 3), (0, 3), (0, 800))[torch.randperm(7200)[:3000]],
    "corners": torch.cartesian_prod(torch.tensor([0, MAX_CLOUDS - 1]), EDGES, EDGES, EDGES),
    "many clouds": drawn(3000, (MAX_CLOUDS - 1, 1, 1, 1)),
    "large": drawn(40_000, (1, 30, 30, 10)),
}


def levels_of(cells: Tensor, count: int = 5) -> list[Level]:
    backend, levels, keys = NativeBackend(), [], keys_of(cells)
    for depth in range(count):
        coarse, parent_rows = backend.coarsen(Level(keys, 1))
        levels.append(Level(keys, 1 << depth, parent_rows))
        keys = coarse
    return levels


def check_map(view: MapView, pairs: list[Pairs], length: tuple[int, int]) -> None:
    assert (view.offsets, view.length) == (len(pairs), length)
    for k, wanted in enumerate(pairs):
        if k == view.centre:
            assert not len(view.lists[k][0])
            assert not view.starts[0][:, k].any()
            continue
        for side in (0, 1):
            assert torch.equal(view.lists[k][side], wanted[side])
            edges = torch.arange(-(-length[side] // GRANULE) + 1, dtype=torch.int32) * GRANULE
            starts = torch.searchsorted(wanted[side], edges, out_int32=True)
            assert torch.equal(view.starts[side][:, k], starts)


@pytest.mark.parametrize("name", CLOUDS)
def test_coarser_cells_are_the_unique_parents(name: str) -> None:
    levels = levels_of(CLOUDS[name], 6)
    for fine, coarse in itertools.pairwise(levels):
        keys, rows = torch.unique(parent_keys(fine.keys), return_inverse=True)
        assert torch.equal(coarse.keys, keys)
        assert fine.parent_rows is not None
        assert torch.equal(fine.parent_rows, rows.int())


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("name", CLOUDS)
def test_submanifold_maps_are_those_of_a_search(name: str, size: int) -> None:
    for level in levels_of(CLOUDS[name]):
        found = NativeBackend().build_kernel_map(level, level, size)
        assert found.handle is not None
        pairs = neighbour_pairs(level.keys, size)
        check_map(MapView(found.handle), pairs, (len(level), len(level)))
        count = native.load().c3d_map_pairs(found.handle)
        assert count == sum(len(each.targets) for each in pairs)


@pytest.mark.parametrize("name", CLOUDS)
def test_strided_maps_are_those_of_the_slots(name: str) -> None:
    levels = levels_of(CLOUDS[name])
    for fine, coarse in itertools.pairwise(levels):
        found = NativeBackend().build_kernel_map(fine, coarse, 2)
        assert found.handle is not None
        check_map(MapView(found.handle), child_pairs(fine), (len(coarse), len(fine)))
        assert native.load().c3d_map_pairs(found.handle) == len(fine)


@settings(deadline=None, max_examples=60)
@given(
    cells=st.lists(
        st.tuples(
            st.integers(0, 2),
            *(st.integers(-9, 9) | st.sampled_from(EDGES.tolist()) for _ in range(3)),
        ),
        max_size=200,
    ),
    size=st.sampled_from([3, 5]),
)
def test_any_cloud_has_the_right_levels_and_maps(
    cells: list[tuple[int, int, int, int]], size: int
) -> None:
    levels = levels_of(torch.tensor(cells, dtype=torch.int32).reshape(-1, 4), 3)
    backend = NativeBackend()
    for fine, coarse in itertools.pairwise(levels):
        keys, rows = torch.unique(parent_keys(fine.keys), return_inverse=True)
        assert fine.parent_rows is not None
        assert torch.equal(coarse.keys, keys)
        assert torch.equal(fine.parent_rows, rows.int())
        same, down = (
            backend.build_kernel_map(fine, fine, size),
            backend.build_kernel_map(fine, coarse, 2),
        )
        assert same.handle is not None
        assert down.handle is not None
        check_map(MapView(same.handle), neighbour_pairs(fine.keys, size), (len(fine),) * 2)
        check_map(MapView(down.handle), child_pairs(fine), (len(coarse), len(fine)))


def test_maps_do_not_depend_on_threads() -> None:
    fine, coarse = levels_of(CLOUDS["large"], 2)
    views = []
    before = torch.get_num_threads()
    for threads in (1, 2, 3, 4):
        torch.set_num_threads(threads)
        for target, size in ((fine, 3), (fine, 5), (coarse, 2)):
            found = NativeBackend().build_kernel_map(fine, target, size)
            assert found.handle is not None
            views.append(MapView(found.handle))
    torch.set_num_threads(before)
    for number, view in enumerate(views):
        first = views[number % 3]
        assert all(map(torch.equal, view.starts, first.starts))
        for mine, theirs in zip(view.lists, first.lists, strict=True):
            assert all(map(torch.equal, mine, theirs))


@pytest.mark.parametrize(
    "keys",
    [
        torch.tensor([5, 4]),
        torch.tensor([4, 4]),
        torch.tensor([-1, 4]),
        torch.tensor([0, torch.iinfo(torch.int64).max]),
        torch.randint(-(1 << 62), 1 << 62, (5000,), generator=torch.Generator().manual_seed(0)),
    ],
)
def test_keys_that_are_none_give_no_map(keys: Tensor) -> None:
    backend, library = NativeBackend(), native.load()
    assert library.c3d_map_submanifold(keys.data_ptr(), len(keys), 3, 2) is None
    if bool((keys[1:] <= keys[:-1]).any()):
        with pytest.raises(ValueError, match="keys of a level must be sorted and unique"):
            backend.build_kernel_map(Level(keys, 1), Level(keys, 1), 3)
    coarse, parent_rows = backend.coarsen(Level(keys, 1))
    assert 0 <= int(parent_rows.min()) <= int(parent_rows.max()) < len(coarse) <= len(keys)


@pytest.mark.parametrize("parent_rows", [[0, 2], [-1, 0], [1, 0]])
def test_parents_that_are_none_give_no_map(parent_rows: list[int]) -> None:
    keys = keys_of(torch.tensor([[0, 0, 0, 0], [0, 0, 0, 2]]))
    rows = torch.tensor(parent_rows, dtype=torch.int32)
    library = native.load()
    assert library.c3d_map_strided(keys.data_ptr(), 2, rows.data_ptr(), 2, 1) is None


def test_what_no_map_can_be_made_of_is_refused() -> None:
    backend = NativeBackend()
    level = Level(keys_of(CLOUDS["dense"]), 1)
    with pytest.raises(ValueError, match="an edge of 1, 3 or 5 cells, not 7"):
        backend.build_kernel_map(level, level, 7)
    with pytest.raises(ValueError, match="has no parent_rows"):
        backend.build_kernel_map(level, Level(level.keys, 2), 2)
    far = Level(torch.empty(3, dtype=torch.int64, device="meta"), 1)
    with pytest.raises(ValueError, match="computes on the CPU, the cells are on meta"):
        backend.build_kernel_map(far, far, 3)
    with pytest.raises(ValueError, match=r"keys must be torch\.int64, not torch\.int32"):
        backend.coarsen(Level(level.keys.int(), 1))
