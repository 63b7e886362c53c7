"""Ground of storeys above each other, and of clouds with stray points."""

from __future__ import annotations

import numpy as np
import pytest

from clip3d_cli.core.ground import Ground
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.storeys import Storeys
from clip3d_cli.encoders.input_channels import CloudContext


def surface(
    low: tuple[float, float], high: tuple[float, float], z: float, per_m2: int = 100
) -> np.ndarray:
    """Points of a horizontal rectangle."""
    rng = np.random.default_rng(0)
    count = int((high[0] - low[0]) * (high[1] - low[1]) * per_m2)
    xy = rng.uniform(low, high, (count, 2))
    return np.column_stack((xy, z + rng.normal(0, 0.01, count)))


def wall(low: tuple[float, float], high: tuple[float, float], z: tuple[float, float]) -> np.ndarray:
    """Points of an upright rectangle over a line."""
    rng = np.random.default_rng(1)
    count = round(np.hypot(high[0] - low[0], high[1] - low[1]) * (z[1] - z[0]) * 100)
    along = rng.random((count, 1))
    xy = np.asarray(low) + along * (np.asarray(high) - np.asarray(low))
    return np.column_stack((xy, rng.uniform(*z, count)))


def room(z: float = 0, side: float = 6.2, corner: float = 0.3) -> np.ndarray:
    """A room with walls 2.5 m high and a table, 0.7 m high and 2 m wide."""
    far = corner + side
    corners = [(corner, corner), (far, corner), (far, far), (corner, far)]
    parts = [surface((corner, corner), (far, far), z)]
    for place, following in zip(corners, [*corners[1:], corners[0]], strict=True):
        parts.append(wall(place, following, (z, z + 2.5)))
    parts.append(surface((corner + 2, corner + 2), (corner + 4, corner + 4), z + 0.7, 200))
    return np.concatenate(parts)


def heights(xyz: np.ndarray) -> np.ndarray:
    """(N, 2) metres above the ground at both scales."""
    ground = CloudContext(PointCloud(xyz))
    both = (ground.near_ground, ground.far_ground)
    return np.stack([xyz[:, 2] - each.z_at(xyz) for each in both], axis=1)


def test_upper_storeys_have_heights_of_their_own() -> None:
    one = room()
    three = np.concatenate((one, room(3.1), room(6.2)))
    found = heights(three).reshape(3, -1, 2)
    for storey in range(3):
        np.testing.assert_allclose(found[storey], heights(one), atol=0.05)


def test_a_smaller_upper_storey_leaves_the_lower_one_as_it_is() -> None:
    lower, upper = room(side=12.2), room(3.1, side=5.2, corner=4.3)
    found = heights(np.concatenate((lower, upper)))
    np.testing.assert_allclose(found[: len(lower)], heights(lower), atol=0.05)
    np.testing.assert_allclose(found[len(lower) :], heights(upper), atol=0.05)


@pytest.mark.parametrize("count", [30, 50])
@pytest.mark.parametrize("z", [-3.0, -1.2, 6.0])
@pytest.mark.parametrize("spread_m", [1.0, 4.0])
def test_stray_points_do_not_move_the_ground(count: int, z: float, spread_m: float) -> None:
    one = room()
    rng = np.random.default_rng(2)
    # Beside the room, beyond a window, and all over it.
    for low, high in (((6.6, 1), (6.6 + spread_m, 1 + spread_m)), ((-1, -1), (8, 8))):
        strays = np.column_stack((rng.uniform(low, high, (count, 2)), np.full(count, z)))
        found = heights(np.concatenate((one, strays)))[: len(one)]
        # A cell of stray points passes on the ground of the cells beside it.
        np.testing.assert_allclose(found, heights(one), atol=0.05)


def test_a_street_over_a_tunnel_keeps_its_height() -> None:
    """The street rises by 4 %, and the tunnel runs across it."""
    sides = [wall((0, y), (40, y), (0, 6)) for y in (0.2, 29.8)]
    street = np.concatenate((surface((0, 0), (40, 30), 0), *sides))
    street[:, 2] += 0.04 * street[:, 0]
    tunnel = surface((17.5, 0), (23.5, 30), -4.3)
    found = heights(np.concatenate((street, tunnel)))
    np.testing.assert_allclose(found[: len(street)], heights(street), atol=0.25)
    assert np.abs(found[len(street) :]).max() < 0.1


def test_the_deck_of_a_bridge_is_ground_for_what_is_on_it() -> None:
    road = surface((0, 0), (40, 12), 0)
    deck = surface((16, 0), (24, 12), 6)
    rails = np.concatenate([wall((x, 0), (x, 12), (6, 7.2)) for x in (16.2, 20.2, 23.8)])
    roofs = np.concatenate([surface((x, 2), (x + 1.8, 8), 7.5) for x in (17.5, 21.5)])
    found = heights(np.concatenate((road, deck, rails, roofs)))
    assert np.abs(found[: len(road) + len(deck)]).max() < 0.1
    np.testing.assert_allclose(found[-len(roofs) :], 1.5, atol=0.1)


def ceiling() -> np.ndarray:
    return np.concatenate((room(), surface((0.3, 0.3), (6.5, 6.5), 2.5)))


def roof_beside_a_yard() -> np.ndarray:
    yard = surface((0, 0), (30, 30), 0)
    is_free = (np.abs(yard[:, :2] - 15) > 5).any(axis=1)
    chimneys = np.concatenate([wall((x, 14), (x, 16), (6, 8)) for x in (12, 14, 16, 18)])
    return np.concatenate((yard[is_free], surface((10, 10), (20, 20), 6), chimneys))


def crowns() -> np.ndarray:
    """Crowns of trees, 4 m thick, above the ground."""
    rng = np.random.default_rng(3)
    crown = np.column_stack((rng.uniform(0, 20, (80_000, 2)), rng.uniform(4, 8, 80_000)))
    return np.concatenate((surface((0, 0), (20, 20), 0), crown))


def table() -> np.ndarray:
    """A high table with things on it."""
    top = surface((2, 2), (3.5, 3.5), 1.9, 400)
    return np.concatenate((room(), top, wall((2, 2), (3.5, 3.5), (1.9, 4))))


@pytest.mark.parametrize("scene", [room, ceiling, roof_beside_a_yard, crowns, table])
def test_nothing_else_is_a_storey(scene: object) -> None:
    xyz = scene()  # type: ignore[operator]
    assert Storeys.find(xyz).floor_m.shape[1] == 0


def test_storeys_depend_neither_on_order_nor_on_a_far_outlier() -> None:
    xyz = np.concatenate((room(), room(3.1)))
    found = heights(xyz)
    order = np.random.default_rng(4).permutation(len(xyz))
    np.testing.assert_array_equal(heights(xyz[order]), found[order])
    far = np.concatenate((xyz, [[1e9, -1e9, 1e7], [5.0, 5.0, -1e15]]))
    np.testing.assert_array_equal(heights(far)[:-2], found)


def test_storeys_are_those_of_the_world_and_not_of_a_part() -> None:
    """A tile finds the ground of the whole cloud at its points."""
    xyz = np.concatenate((room(), room(3.1)))
    ground = CloudContext(PointCloud(xyz)).near_ground
    part = np.flatnonzero(xyz[:, 0] < 3)
    np.testing.assert_array_equal(ground.z_at(xyz[part]), ground.z_at(xyz)[part])


def test_points_without_others_around_are_not_stray() -> None:
    xyz = np.array([[0.5, 0.5, 0.0], [100.5, 0.5, -5.0], [0.5, 100.5, 9.0]])
    ground = Ground.estimate(xyz, cell_m=1, radius_m=5)
    np.testing.assert_array_equal(ground.z_at(xyz), xyz[:, 2])
