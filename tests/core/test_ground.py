from __future__ import annotations

import numpy as np
import pytest

from clip3d_cli.core.ground import Ground

RNG = np.random.default_rng(0)


def _slope_with_house() -> tuple[np.ndarray, np.ndarray]:
    ground = RNG.uniform(0, 60, (20_000, 3))
    ground[:, 2] = 0.1 * ground[:, 0]
    roof = RNG.uniform(20, 30, (3000, 3))
    roof[:, 2] = 0.1 * roof[:, 0] + 6
    inside = (ground[:, :2] > 20).all(axis=1) & (ground[:, :2] < 30).all(axis=1)
    ground = ground[~inside]
    xyz = np.concatenate((ground, roof))
    return xyz, np.arange(len(xyz)) >= len(ground)


def test_ground_runs_under_a_house_on_a_slope() -> None:
    xyz, is_roof = _slope_with_house()
    above = xyz[:, 2] - Ground.estimate(xyz, cell_m=1, radius_m=8).z_at(xyz)
    assert abs(np.median(above[~is_roof])) < 0.2
    assert abs(np.median(above[is_roof]) - 6) < 0.5


def test_ground_ignores_echoes_from_below() -> None:
    """One echo in a cell of more than ten points is below the lowest tenth."""
    xyz, _ = _slope_with_house()
    cell = np.column_stack((RNG.uniform(10, 11, (10, 2)), np.full(10, 1.0)))
    xyz = np.concatenate((xyz, cell))
    pit = np.array([[10.5, 10.5, -30.0]])
    with_pit = Ground.estimate(np.concatenate((xyz, pit)), cell_m=1, radius_m=8)
    without = Ground.estimate(xyz, cell_m=1, radius_m=8)
    difference = with_pit.z_at(xyz) - without.z_at(xyz)
    assert np.abs(difference).max() < 1


def test_ground_survives_a_far_outlier_and_any_order() -> None:
    xyz, _ = _slope_with_house()
    xyz = np.concatenate((xyz, [[1e9, -1e9, 50.0]]))
    ground = Ground.estimate(xyz, cell_m=1, radius_m=5)
    order = RNG.permutation(len(xyz))
    shuffled = Ground.estimate(xyz[order], cell_m=1, radius_m=5)
    np.testing.assert_array_equal(shuffled.z_at(xyz), ground.z_at(xyz))
    with pytest.raises(KeyError):
        ground.z_at(np.array([[1e6, 0.0, 0.0]]))


def test_ground_by_hand() -> None:
    """The definition itself: lowest tenth of a cell, then four windows, each over its cells."""
    xyz = RNG.uniform(0, 30, (800, 3))
    cell = np.floor(xyz[:, :2] / 2).astype(int)
    height = {}
    for place in {tuple(row) for row in cell.tolist()}:
        z = np.sort(xyz[(cell == place).all(axis=1), 2])
        height[place] = z[int(len(z) * 0.1)]
    for pick in (min, max):
        for axis in (0, 1):
            height = {
                (x, y): pick(
                    value
                    for there, value in height.items()
                    if abs(there[axis] - (x, y)[axis]) <= 3 and there[1 - axis] == (x, y)[1 - axis]
                )
                for x, y in height
            }
    wanted = [height[tuple(row)] for row in cell.tolist()]
    ground = Ground.estimate(xyz, cell_m=2, radius_m=6)
    np.testing.assert_array_equal(ground.z_at(xyz), wanted)


def test_ground_beside_the_last_column_is_an_error_too() -> None:
    """The searched cell sorts behind all others, so there is no next larger one."""
    ground = Ground.estimate(np.array([[0.5, 9.5, 0.0], [5.5, 0.5, 0.0]]), cell_m=1, radius_m=1)
    with pytest.raises(KeyError):
        ground.z_at(np.array([[5.5, 5.5, 0.0]]))
