from __future__ import annotations

import sys

import numpy as np
import pytest

from clip3d_cli.core.voxels import ANCHOR_CELLS, count_voxels
from clip3d_cli.labelling.tiles import TileLimits, cut_tiles, pack_tiles

RNG = np.random.default_rng(1)


def _clouds() -> dict[str, np.ndarray]:
    square = RNG.uniform(0, 100, (4000, 3))
    return {
        "square": square,
        "far": np.concatenate((square, [[1e9, 3.0, -1e9]])),
        "line": np.column_stack((np.linspace(0, 1e4, 3000), np.zeros(3000), np.zeros(3000))),
        "one": np.ones((1, 3)),
        "same": np.ones((5000, 3)),
        "utm": square + [5e5, 5e6, 100],
    }


@pytest.mark.parametrize("name", list(_clouds()))
@pytest.mark.parametrize(("max_voxels", "max_m"), [(10**9, 1e12), (500, 1e12), (10**9, 30.0)])
def test_every_point_is_owned_once(name: str, max_voxels: int, max_m: float) -> None:
    xyz = _clouds()[name]
    owners = np.zeros(len(xyz), int)
    for tile in cut_tiles(xyz, TileLimits(2.0, 0.1, max_voxels, max_m)):
        owners[tile.points[tile.own]] += 1
        own = xyz[tile.points[tile.own]]
        low, high = own.min(axis=0), own.max(axis=0)
        assert (high - low <= max_m).all()
        # Whatever lies well within the halo of an owned point is there to lend context.
        near = ((xyz >= low - 1.9) & (xyz <= high + 1.9)).all(axis=1)
        assert np.isin(np.flatnonzero(near), tile.points).all()
    assert (owners == 1).all()


def test_no_tile_of_nothing() -> None:
    assert list(cut_tiles(np.zeros((0, 3)), TileLimits(1.0, 0.1, 10, 10.0))) == []


def test_large_clouds_are_cut() -> None:
    tiles = list(cut_tiles(_clouds()["square"], TileLimits(1.0, 0.001, 600, 1e9)))
    assert len(tiles) > 4
    assert max(len(tile.points) for tile in tiles) <= 600


def test_voxels_count_not_points() -> None:
    """A cloud whose first points all share voxels says nothing about the rest."""
    dense = RNG.uniform(0, 2, (20_000, 3))
    xyz = np.concatenate((dense, RNG.uniform(0, 100, (4000, 3))))
    tiles = list(cut_tiles(xyz, TileLimits(1.0, 1.0, 600, 1e9)))
    assert max(len(tile.points) for tile in tiles) > 20_000
    assert max(count_voxels(xyz[tile.points], 1.0) for tile in tiles) <= 600


def test_small_tiles_far_apart_are_joined_and_keep_their_shapes() -> None:
    rng = np.random.default_rng(0)
    centers = rng.uniform(-1e6, 1e6, (300, 3)) * [1, 1, 1e-4]
    xyz = np.concatenate([center + rng.uniform(0, 3, (5, 3)) for center in centers])
    limits = TileLimits(halo_m=10.0, voxel_m=0.5, max_voxels=1000, max_m=20_000.0)
    tiles = list(cut_tiles(xyz, limits))
    packs = list(pack_tiles(tiles, xyz, limits))
    assert len(packs) < len(tiles) / 20
    own = np.concatenate([pack.points[pack.own] for pack in packs])
    np.testing.assert_array_equal(np.sort(own), np.arange(len(xyz)))
    for pack in packs:
        assert pack.shift_m is not None
        blocks = pack.shift_m / (ANCHOR_CELLS * limits.voxel_m)
        np.testing.assert_allclose(blocks, np.rint(blocks), atol=1e-6)
        moved = xyz[pack.points] + pack.shift_m
        # Points that were near each other still are, and no others.
        before = np.abs(xyz[pack.points][:, None] - xyz[pack.points]).max(axis=2) < 3
        after = np.abs(moved[:, None] - moved).max(axis=2) <= limits.halo_m
        np.testing.assert_array_equal(before, after)


def test_large_tiles_are_not_joined() -> None:
    xyz = np.random.default_rng(0).uniform(0, 100, (20_000, 3))
    limits = TileLimits(halo_m=2.0, voxel_m=0.5, max_voxels=sys.maxsize, max_m=50.0)
    tiles = list(cut_tiles(xyz, limits))
    assert all(pack.shift_m is None for pack in pack_tiles(tiles, xyz, limits))
