from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from posed_camera import pixel_of
from posed_sample import AHEAD, BACK, SIZE, Where, view_from, where, with_intensity

from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.scenes import PosedScene, Sweep, View
from clip3d_cli.core.superpoints import compute_superpoints
from clip3d_cli.datasets.images import read_image
from clip3d_cli.datasets.sweeps import MergedSweeps
from clip3d_cli.errors import InputError
from clip3d_cli.training.clip2scene.pixel_pairs import (
    BatchOptions,
    PixelPairs,
    project_scene,
    sample_balanced_pairs,
    sample_pixel_pairs,
    visible_points,
)

PLAIN = BatchOptions(occlusion="none", least_depth_m=0.5, pairs=100_000)


def swept_of(cloud: PointCloud) -> MergedSweeps:
    return MergedSweeps(cloud, np.zeros(len(cloud), dtype=np.int16))


def scene_of(views: Sequence[View]) -> PosedScene:
    return PosedScene("scene", (Sweep(Path("scene.bin"), np.eye(4)),), tuple(views))


def pairs_of(
    views: Sequence[View],
    cloud: PointCloud,
    options: BatchOptions = PLAIN,
    *,
    kept: Any = None,
    seed: int = 0,
    features: Any = None,
) -> PixelPairs:
    if features is None:
        features = [Where()(read_image(view.image)).astype(np.float16) for view in views]
    if kept is None:
        kept = np.ones(len(cloud), dtype=bool)
    rng = np.random.default_rng(seed)
    sighted = project_scene(scene_of(views), swept_of(cloud), options, rng)
    return sample_pixel_pairs(sighted, features, kept, options, rng)


def camera_of(pairs: PixelPairs) -> Any:
    """(P,) the camera that each vector comes from."""
    return np.rint(pairs.vectors[:, 3] / pairs.vectors[:, 2] * 4).astype(int)


def sightings_of(view: View, xyz: Any) -> set[int]:
    """The points that lie before a camera and a pixel inside its image."""
    found = set()
    for row, point in enumerate(xyz):
        if (view.camera_from_world[:3, :3] @ point + view.camera_from_world[:3, 3])[2] > 0.5:
            u, v = pixel_of(view, point[None])
            if 0.5 <= u < SIZE[0] - 1.5 and 0.5 <= v < SIZE[1] - 1.5:
                found.add(row)
    return found


@pytest.fixture
def views(tmp_path: Path) -> list[View]:
    """Two cameras side by side that look ahead, and one that looks back."""
    return [
        view_from(tmp_path, 0, (0, 0, 0)),
        view_from(tmp_path, 2, (1.5, -1, 0.2)),
        view_from(tmp_path, 4, (0, 0, 0), BACK),
    ]


@pytest.fixture
def cloud() -> PointCloud:
    xyz = np.random.default_rng(1).uniform((-9, -9, -3), (9, 9, 3), (400, 3))
    return with_intensity(xyz)


def test_every_pair_has_the_vector_of_its_pixel(views: list[View], cloud: PointCloud) -> None:
    pairs = pairs_of(views, cloud)
    camera = camera_of(pairs)
    for number, view in zip((0, 2, 4), views, strict=True):
        rows = pairs.point[camera == number]
        assert len(rows) == len(set(rows.tolist())) > 30
        assert set(rows.tolist()) == sightings_of(view, cloud.xyz)
        for row, vector in zip(rows, pairs.vectors[camera == number], strict=True):
            np.testing.assert_allclose(vector, where(view, number, cloud.xyz[row]), atol=3e-4)
    assert set(camera) == {0, 2, 4}
    np.testing.assert_allclose(np.linalg.norm(pairs.vectors, axis=1), 1, atol=1e-6)
    assert (pairs.vectors.dtype, pairs.point.dtype) == (np.float32, np.int64)
    # Some points are seen twice, and told of twice.
    assert len(pairs.visible) < len(pairs)
    assert pairs.visible.tolist() == sorted(set(pairs.point.tolist()))


def test_few_pairs_are_drawn_evenly_from_all(views: list[View], cloud: PointCloud) -> None:
    every = pairs_of(views, cloud)
    numbered = {
        (int(row), int(camera)): place
        for place, (row, camera) in enumerate(zip(every.point, camera_of(every), strict=True))
    }
    count = np.zeros(len(every))
    for seed in range(200):
        few = pairs_of(views, cloud, replace(PLAIN, pairs=40), seed=seed)
        drawn = [
            numbered[int(row), int(camera)]
            for row, camera in zip(few.point, camera_of(few), strict=True)
        ]
        assert len(drawn) == len(set(drawn)) == 40
        np.testing.assert_array_equal(few.vectors, every.vectors[drawn])
        np.testing.assert_array_equal(few.visible, every.visible)
        count[drawn] += 1
    share = 40 / len(every)
    # Six standard deviations of as many throws.
    assert np.abs(count / 200 - share).max() < 6 * (share * (1 - share) / 200) ** 0.5


def test_some_views_are_drawn_with_their_own_features(views: list[View], cloud: PointCloud) -> None:
    looked_at = set()
    for seed in range(20):
        pairs = pairs_of(views, cloud, replace(PLAIN, views=2), seed=seed)
        cameras = tuple(sorted(set(camera_of(pairs).tolist())))
        looked_at.add(cameras)
        seen = set().union(*(sightings_of(views[each // 2], cloud.xyz) for each in cameras))
        assert set(pairs.visible.tolist()) == seen
        row, vector = pairs.point[-1], pairs.vectors[-1]
        number = int(camera_of(pairs)[-1])
        wanted = where(views[number // 2], number, cloud.xyz[row])
        np.testing.assert_allclose(vector, wanted, atol=3e-4)
    assert looked_at == {(0, 2), (0, 4), (2, 4)}
    assert set(camera_of(pairs_of(views, cloud, replace(PLAIN, views=9)))) == {0, 2, 4}


def test_the_same_draws_give_the_same_pairs(views: list[View], cloud: PointCloud) -> None:
    options = replace(PLAIN, pairs=50, views=2)
    one, again, other = (pairs_of(views, cloud, options, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.point, again.point)
    np.testing.assert_array_equal(one.vectors, again.vectors)
    assert one.point.tolist() != other.point.tolist()


def test_points_left_out_still_hide_others(tmp_path: Path) -> None:
    view = view_from(tmp_path, 1, (0, 0, 0))
    x, z = (side.ravel() for side in np.meshgrid(np.linspace(-1, 1, 60), np.linspace(-1, 1, 60)))
    wall = np.stack([x, np.full_like(x, 3), z], axis=1)
    hidden = np.array([[0.1, 8, 0.1], [-0.5, 9, 0.2]])
    beside = np.array([[6.0, 8, 0.1]])
    cloud = with_intensity(np.concatenate([wall, hidden, beside]))
    kept = np.arange(len(cloud)) >= len(wall)
    found = pairs_of([view], cloud, replace(PLAIN, occlusion="points"), kept=kept)
    assert found.point.tolist() == found.visible.tolist() == [len(wall) + 2]
    auto = pairs_of([view], cloud, replace(PLAIN, occlusion="auto"), kept=kept)
    assert auto.point.tolist() == found.point.tolist()
    through = pairs_of([view], cloud, kept=kept)
    assert through.point.tolist() == [len(wall) + each for each in range(3)]


@pytest.mark.parametrize("occlusion", ["depth", "auto"])
def test_depth_images_tell_what_is_seen(occlusion: Any, tmp_path: Path) -> None:
    depth = tmp_path / "depth.png"
    steps = np.full((16, 32), 8000, dtype=np.uint16)
    steps[:, 16:] = 0
    Image.fromarray(steps).save(depth)
    view = replace(view_from(tmp_path, 1, (0, 0, 0)), depth=depth, depth_unit_m=0.0005)
    # Left half: 4 m. Right half: unknown.
    xyz = np.array([[-1, 3.9, 0], [-1, 3.99, 0], [-1, 4.02, 0], [-1, 4.1, 0], [1, 4, 0.0]])
    options = replace(PLAIN, occlusion=occlusion)
    assert pairs_of([view], with_intensity(xyz), options).point.tolist() == [1, 2]
    wide = replace(options, tolerance_m=0.15)
    assert pairs_of([view], with_intensity(xyz), wide).point.tolist() == [0, 1, 2, 3]


def test_depth_images_are_not_opened_unasked(tmp_path: Path) -> None:
    view = replace(view_from(tmp_path, 1, (0, 0, 0)), depth=tmp_path / "missing.png")
    cloud = with_intensity(np.array([[0, 4, 0], [1, 4, 0.0]]))
    for occlusion in ("none", "points"):
        assert len(visible_points(view, cloud, replace(PLAIN, occlusion=occlusion))) == 2
    for occlusion in ("depth", "auto"):
        with pytest.raises(InputError, match=r"E_NOT_FOUND.*missing\.png"):
            visible_points(view, cloud, replace(PLAIN, occlusion=occlusion))


def test_a_depth_image_that_is_asked_for_must_be(views: list[View], cloud: PointCloud) -> None:
    with pytest.raises(InputError, match=r"E_DATASET.*camera0\.png: has no depth image"):
        pairs_of(views, cloud, replace(PLAIN, occlusion="depth"))


def test_near_points_are_not_looked_at(tmp_path: Path) -> None:
    view = view_from(tmp_path, 1, (0, 0, 0))
    cloud = with_intensity(np.array([[0, 0.9, 0], [0, 1.1, 0], [0, 3, 0.0]]))
    options = replace(PLAIN, least_depth_m=1.0)
    assert pairs_of([view], cloud, options).point.tolist() == [1, 2]
    assert pairs_of([view], cloud, replace(PLAIN, least_depth_m=2.0)).point.tolist() == [2]


@pytest.mark.parametrize("superpoint_m", [0.0, 0.5])
def test_nothing_seen_is_no_pair(views: list[View], superpoint_m: float) -> None:
    options = replace(PLAIN, superpoint_m=superpoint_m)
    above = with_intensity(np.array([[0, 0, 90], [1, 0, 90.0]]))
    none = pairs_of(views, above, options)
    assert (len(none), none.vectors.shape, len(none.visible)) == (0, (0, 4), 0)
    ahead = with_intensity(np.array([[0, 4, 0], [1, 4, 0.0]]))
    left_out = pairs_of(views, ahead, options, kept=np.zeros(2, dtype=bool))
    assert (len(left_out), left_out.vectors.shape, len(left_out.visible)) == (0, (0, 4), 0)
    blind = pairs_of([], ahead, options, features=[])
    assert (len(blind), blind.vectors.shape[0], len(blind.visible)) == (0, 0, 0)


def clumps() -> PointCloud:
    """Walls, floor and clumps, in several colors: something to part."""
    rng = np.random.default_rng(5)
    wall = np.stack([rng.uniform(-3, 3, 300), np.full(300, 6.0), rng.uniform(-2, 2, 300)], 1)
    floor = np.stack([rng.uniform(-3, 3, 300), rng.uniform(3, 6, 300), np.full(300, -2.0)], 1)
    clump = rng.normal((0, 4, 0), 0.2, (100, 3))
    xyz = np.concatenate([wall, floor, clump])
    rgb = np.zeros((len(xyz), 3), dtype=np.uint8)
    rgb[:150], rgb[600:] = (250, 0, 0), (0, 0, 250)
    return PointCloud(xyz, rgb, None)


def test_superpoints_have_the_mean_of_all_their_pixels(tmp_path: Path) -> None:
    views = [view_from(tmp_path, 0, (0, 0, 0)), view_from(tmp_path, 3, (0.5, 0.5, 0))]
    cloud = clumps()
    options = replace(PLAIN, superpoint_m=0.3)
    alone, pooled = pairs_of(views, cloud), pairs_of(views, cloud, options)
    assert len(alone) > len(cloud)
    assert alone.point.tolist() == pooled.point.tolist()
    patch = compute_superpoints(cloud.xyz, cell_m=0.3, largest_m=3.0, rgb=cloud.rgb)
    assert 3 < len(set(patch[pooled.point].tolist())) < 60
    for number in np.unique(patch[alone.point]):
        inside = patch[alone.point] == number
        mean = alone.vectors[inside].astype(np.float64).sum(axis=0)
        mean /= np.linalg.norm(mean)
        np.testing.assert_allclose(
            pooled.vectors[inside], np.tile(mean, (inside.sum(), 1)), atol=1e-5
        )
    np.testing.assert_allclose(np.linalg.norm(pooled.vectors, axis=1), 1, atol=1e-5)
    # Colors part what shape does not.
    assert len(set(patch.tolist())) != len(
        set(compute_superpoints(cloud.xyz, cell_m=0.3, largest_m=3.0).tolist())
    )


def test_superpoints_pool_more_pairs_than_they_give(tmp_path: Path) -> None:
    views = [view_from(tmp_path, 0, (0, 0, 0))]
    cloud = clumps()
    every = pairs_of(views, cloud, replace(PLAIN, superpoint_m=0.3))
    few = pairs_of(views, cloud, replace(PLAIN, superpoint_m=0.3, pairs=len(every) // 8 + 1))
    assert len(few) == len(every) // 8 + 1
    assert (np.diff(few.point) > 0).all()
    place = np.searchsorted(every.point, few.point)
    # Eight times as many were pooled: all there are.
    np.testing.assert_allclose(few.vectors, every.vectors[place], atol=1e-6)
    np.testing.assert_array_equal(few.visible, every.visible)
    fewer = pairs_of(views, cloud, replace(PLAIN, superpoint_m=0.3, pairs=10))
    assert len(fewer) == 10


def test_the_views_are_as_meant(tmp_path: Path) -> None:
    ahead, back = (view_from(tmp_path, n, (1, 2, 3), turn) for n, turn in enumerate((AHEAD, BACK)))
    assert pixel_of(ahead, np.array([[2.0, 6, 3]])) == (31.5 + 8, 15.5)
    assert pixel_of(back, np.array([[2.0, -2, 4]])) == (31.5 - 8, 15.5 - 8)


def test_rare_words_are_drawn_as_often() -> None:
    # Word 0 has 900 pairs, word 1 has 100; a pair's number stands in its point and its vector.
    word = np.random.default_rng(0).permutation(np.repeat([0, 1], [900, 100])).astype(np.int64)
    number = np.arange(1000)
    pairs = PixelPairs(number + 5000, number[:, None].astype(np.float32), number)
    shares = []
    for balance in (0.0, 0.5, 1.0):
        options = BatchOptions(pairs=60, balance=balance)
        count = np.zeros(2)
        for seed in range(40):
            few, told = sample_balanced_pairs(pairs, word, options, np.random.default_rng(seed))
            assert len(few) == len(told) == len(set(few.point.tolist())) == 60
            np.testing.assert_array_equal(told, word[few.point - 5000])
            np.testing.assert_array_equal(few.vectors[:, 0], few.point - 5000)
            assert few.visible is pairs.visible
            count += np.bincount(told, minlength=2)
        again = sample_balanced_pairs(pairs, word, options, np.random.default_rng(39))[0]
        np.testing.assert_array_equal(again.point, few.point)
        shares.append(count[1] / count.sum())
    # Weights 1 : 1, √900 : √100 and even, but for what leaves the urn.
    assert shares[0] == pytest.approx(0.1, abs=0.03)
    assert shares[1] == pytest.approx(0.25, abs=0.04)
    assert shares[2] == pytest.approx(0.48, abs=0.05)
    options = BatchOptions(pairs=5000)
    every, told = sample_balanced_pairs(pairs, word, options, np.random.default_rng(0))
    assert (every.point.tolist(), told.tolist()) == (pairs.point.tolist(), word.tolist())


def test_views_are_drawn_evenly_where_a_word_is_frequent() -> None:
    # 20,000 pairs of one word from two views. As u^(1/w), nearly all keys were 0 at balance = 1,
    # and the tie went to the pairs of the first view.
    word = np.zeros(20_000, dtype=np.int64)
    number = np.arange(20_000)
    pairs = PixelPairs(number, number[:, None].astype(np.float32), number)
    for balance in (0.0, 0.5, 1.0):
        options = BatchOptions(pairs=2000, balance=balance)
        sample = sample_balanced_pairs(pairs, word, options, np.random.default_rng(3))[0]
        first_view = np.count_nonzero(sample.point < 10_000)
        # Binomial: mean 1,000, standard deviation below 22.4.
        assert 900 < first_view < 1100, (balance, first_view)
