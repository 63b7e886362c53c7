from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from posed_sample import (
    InMemory,
    batches_of,
    make,
    number_of,
    points_of,
    view_from,
    with_intensity,
)

from clip3d_cli.training.clip2scene.batches import PosedBatch, PosedBatches


def corner_scene(tmp_path: Path, **options: Any) -> tuple[PosedBatches, Any]:
    """Two sweeps that see the same spots, an earlier one that sees its own, and the points."""
    spots = np.array([[-1.02, 4.03, 0.01], [0.01, 4.02, 0.02], [1.03, 5.01, 0.52]])
    own = np.array([[0.51, 4.52, -0.51], [9.02, 0.01, 0.03]])
    clouds = [
        with_intensity(spots, 1),
        with_intensity(spots + 0.01, 11),
        with_intensity(own, 21),
    ]
    dataset = InMemory()
    scene = dataset.scene("corner", clouds, [view_from(tmp_path / "images", 1, (0, 0, 0))])
    maker = batches_of(dataset, [scene], tmp_path / "features", voxel_m=0.1, **options)
    return maker, np.concatenate([spots, spots + 0.01, own])


def test_sweeps_meet_in_cells_and_not_in_voxels(tmp_path: Path) -> None:
    maker, _ = corner_scene(tmp_path)
    batch = maker(0)
    number = number_of(batch)
    assert sorted(number.tolist()) == [1, 2, 3, 11, 12, 13, 21, 22]
    assert torch.bincount(batch.voxels.cells[:, 0].long()).tolist() == [3, 3, 2]
    members = group_by_cell(batch)
    # What nobody sees is in no cell.
    assert sorted(members) == [[1, 11], [2, 12], [3, 13], [21]]
    for cell in range(batch.cells):
        of_pairs = number[batch.pair_row[batch.pair_cell == cell].numpy()]
        of_members = number[batch.member_row[batch.member_cell == cell].numpy()]
        assert set(of_pairs) == set(of_members)


def group_by_cell(batch: PosedBatch) -> list[list[int]]:
    """The numbers of the points whose voxels are members of each cell."""
    number = number_of(batch)
    return [
        sorted(number[batch.member_row[batch.member_cell == cell].numpy()].tolist())
        for cell in range(batch.cells)
    ]


def test_merged_sweeps_are_one_cloud(tmp_path: Path) -> None:
    maker, xyz = corner_scene(tmp_path, merge=True)
    batch = maker(0)
    assert set(batch.voxels.cells[:, 0].tolist()) == {0}
    assert len(batch.voxels.cells) == len(np.unique(np.floor(xyz / 0.1), axis=0)) == 5
    # The mean intensity of points 1 and 11.
    assert sorted(number_of(batch).tolist()) == [6, 7, 8, 21, 22]
    assert sorted(group_by_cell(batch)) == [[6], [7], [8], [21]]


@pytest.mark.parametrize("cell_m", [0.0, 0.05, 0.5, 2.0])
@pytest.mark.parametrize(("merge", "points"), [(False, 0), (True, 0), (False, 80)])
def test_cells_hold_all_that_lies_in_them(
    merge: bool, points: int, cell_m: float, tmp_path: Path
) -> None:
    maker = make(tmp_path, pairs=40, cell_m=cell_m, merge=merge, points=points)
    batch = maker(0)
    number = number_of(batch)
    point = points_of(maker.dataset)  # type: ignore[arg-type]
    place = {n: tuple(np.floor(point[n] / (cell_m or 0.05)).astype(int)) for n in number}
    of_cell = {}
    for row, cell in zip(batch.pair_row.tolist(), batch.pair_cell.tolist(), strict=True):
        assert of_cell.setdefault(cell, place[number[row]]) == place[number[row]]
    assert len(set(of_cell.values())) == len(of_cell) == batch.cells
    wanted = {where_: {n for n, p in place.items() if p == where_} for where_ in of_cell.values()}
    assert batch.member_row.min() >= 0
    for cell, members in enumerate(group_by_cell(batch)):
        assert len(members) == len(set(members))
        assert set(members) == wanted[of_cell[cell]]
    assert len(batch.pair_row) == 40


def test_a_voxel_may_lie_in_several_cells(tmp_path: Path) -> None:
    # Voxels of 0.1 m, cells of 0.05: two points of one voxel lie in two cells.
    dataset = InMemory()
    xyz = np.array([[0.01, 4.01, 0.01], [0.08, 4.01, 0.01]])
    scene = dataset.scene(
        "one", [with_intensity(xyz)], [view_from(tmp_path / "images", 1, (0, 0, 0))]
    )
    batch = batches_of(dataset, [scene], tmp_path / "f", voxel_m=0.1, cell_m=0.05)(0)
    assert batch.pair_row.tolist() == [0, 0]
    assert (batch.cells, sorted(batch.pair_cell.tolist())) == (2, [0, 1])
    assert batch.member_row.tolist() == [0, 0]
    assert sorted(batch.member_cell.tolist()) == [0, 1]


def test_cells_never_mix_scenes(tmp_path: Path) -> None:
    # The same place three times over, in one batch.
    maker = make(tmp_path, scenes=1, pairs=60, cell_m=1.0)
    one = maker(0)
    batch = replace(maker, options=replace(maker.options, scenes=3))(0)
    cloud = batch.voxels.cells[:, 0]
    assert set(cloud.tolist()) == set(range(9))
    scene = cloud // 3
    for rows, cells in (
        (batch.pair_row, batch.pair_cell),
        (batch.member_row, batch.member_cell),
    ):
        for cell in range(batch.cells):
            assert len(set(scene[rows[cells == cell]].tolist())) == 1
    assert len(batch.pair_row) == 180
    assert 2 * one.cells < batch.cells
    assert set(scene[batch.pair_row].tolist()) == {0, 1, 2}
    assert (scene[batch.pair_row].diff() >= 0).all()


def test_a_disc_is_cut_out_of_all_sweeps(tmp_path: Path) -> None:
    maker = make(tmp_path, points=80)
    point = points_of(maker.dataset)  # type: ignore[arg-type]
    middles = set()
    for turn in range(5):
        batch = maker(turn)
        number = number_of(batch)
        key = batch.voxels.cells[:, 0].numpy() == 0
        # Columns of points stand above each other, but none exactly.
        assert key.sum() == 80
        xy = {n: xyz[:2] for n, xyz in point.items()}
        inside = np.array([xy[n] for n in number])
        all_keys = [n for n in xy if n <= 300]
        fits = [
            n
            for n in xy
            if set(sorted(all_keys, key=lambda m: ((xy[m] - xy[n]) ** 2).sum())[:80])
            == set(number[key].tolist())
        ]
        assert fits
        for middle in fits:
            reach = max(((xy[n] - xy[middle]) ** 2).sum() for n in number[key])
            wanted = {n for n in xy if ((xy[n] - xy[middle]) ** 2).sum() <= reach}
            if wanted == set(number.tolist()):
                break
        else:
            pytest.fail("the other sweeps are cut elsewhere")
        middles.add(tuple(np.round(inside.mean(axis=0), 3)))
        assert len(batch.pair_row) > 0
    assert len(middles) > 2


def test_a_disc_that_holds_all_cuts_nothing(tmp_path: Path) -> None:
    maker = make(tmp_path, points=300)
    assert len(maker(0).voxels.cells) == 900


def test_unseen_voxels_are_seen_by_no_view(tmp_path: Path) -> None:
    maker = make(tmp_path, pairs=50)
    batch, whole = maker(0), replace(maker, options=replace(maker.options, pairs=10_000))(0)
    seen, rows = set(whole.pair_row.tolist()), set(range(900))
    assert 100 < len(seen) < 890
    # Of all voxels that are not, not of those that were not drawn.
    assert set(whole.unseen_row.tolist()) == rows - seen
    assert set(batch.unseen_row.tolist()) == rows - seen
    few = replace(maker, options=replace(maker.options, pairs=10))(0).unseen_row
    assert set(few.tolist()) < rows - seen
    assert len(few) == 10
    assert (few.diff() > 0).all()


def test_a_voxel_with_one_seen_point_is_seen(tmp_path: Path) -> None:
    dataset = InMemory()
    # Two points of a voxel, one on either side of the image's edge.
    edge = (62.5 - 31.5) / 32 * 4
    xyz = np.array([[edge - 0.02, 4, 0.01], [edge + 0.02, 4, 0.01], [edge + 3, 4, 0.01]])
    scene = dataset.scene(
        "edge", [with_intensity(xyz)], [view_from(tmp_path / "images", 1, (0, 0, 0))]
    )
    batch = batches_of(dataset, [scene], tmp_path / "f", voxel_m=0.5)(0)
    assert len(batch.voxels.cells) == 2
    assert (batch.pair_row.tolist(), batch.unseen_row.tolist()) == ([0], [1])


def test_a_disc_keeps_the_ground_of_the_whole_sweep(tmp_path: Path) -> None:
    # A table that is wider than the disc: without the floor around it, it would be the ground.
    x, y = (side.ravel() for side in np.meshgrid(np.arange(-8, 8, 0.3), np.arange(2, 18, 0.3)))
    table = (np.abs(x) < 3) & (np.abs(y - 10) < 3)
    dataset = InMemory()
    cloud = with_intensity(np.stack([x, y, np.where(table, 1.0, 0.0)], axis=1))
    scene = dataset.scene("table", [cloud], [])
    inputs = ("intensity", "height_near")
    maker = batches_of(dataset, [scene], tmp_path / "f", inputs=inputs)
    height = dict(maker(0).voxels.feats.tolist())
    assert max(height.values()) > 0.3
    cut = replace(maker, options=replace(maker.options, points=40))
    above = []
    for turn in range(20):
        found = dict(cut(turn).voxels.feats.tolist())
        assert len(found) >= 40
        assert found == {number: height[number] for number in found}
        above.append(min(found.values()) > 0.3)
    assert any(above)
