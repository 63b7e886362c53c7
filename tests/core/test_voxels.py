from __future__ import annotations

import numpy as np
import pytest

from clip3d_cli.core.voxels import ANCHOR_CELLS, voxelize
from clip3d_cli.errors import InputError

RNG = np.random.default_rng(0)


def _points(count: int, extent: float = 10.0, at: float = 0.0) -> np.ndarray:
    return RNG.uniform(-extent, extent, (count, 3)) + at


def test_voxels_hold_their_points() -> None:
    xyz = _points(5000, at=5e6)
    grid = voxelize(xyz, 0.3)
    corner = grid.origin + grid.cells[grid.voxel_of_point] * grid.size_m
    assert ((xyz - corner) >= -1e-6).all()
    assert ((xyz - corner) < 0.3 + 1e-6).all()
    assert len(np.unique(grid.cells, axis=0)) == len(grid)
    assert (np.lexsort(grid.cells.T[::-1]) == np.arange(len(grid))).all()


def test_voxels_do_not_depend_on_order_or_company() -> None:
    xyz = _points(2000)
    grid = voxelize(xyz, 0.5)
    order = RNG.permutation(len(xyz))
    shuffled = voxelize(xyz[order], 0.5)
    np.testing.assert_array_equal(shuffled.cells, grid.cells)
    np.testing.assert_array_equal(shuffled.voxel_of_point, grid.voxel_of_point[order])
    part = xyz[xyz[:, 0] > 2]
    alone = voxelize(part, 0.5)
    shift = np.rint((alone.origin - grid.origin) / 0.5)
    np.testing.assert_array_equal(shift % ANCHOR_CELLS, 0)
    together = grid.cells[grid.voxel_of_point[xyz[:, 0] > 2]]
    np.testing.assert_array_equal(alone.cells[alone.voxel_of_point] + shift, together)


def test_voxels_of_nothing_and_of_duplicates() -> None:
    assert len(voxelize(np.zeros((0, 3)), 0.1)) == 0
    grid = voxelize(np.ones((7, 3)), 0.1)
    assert len(grid) == 1
    assert (grid.voxel_of_point == 0).all()


def test_voxels_refuse_a_span_they_cannot_count() -> None:
    with pytest.raises(InputError, match="E_VOXEL_RANGE"):
        voxelize(np.array([[0.0, 0, 0], [1e10, 0, 0]]), 0.1)
