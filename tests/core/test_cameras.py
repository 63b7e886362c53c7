"""Projection against OpenCV's, and who hides whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clip3d_cli.core.cameras import Occlusion, ProjectedPoints, project, remove_occluded
from clip3d_cli.core.scenes import View, invert_pose, pose_from_quaternion, transform_points
from clip3d_cli.errors import InputError

INTRINSICS = np.array([[700.0, 0, 320.5], [0, 690.0, 239.0], [0, 0, 1]])
# OpenCV 5.0's projectPoints and fisheye.projectPoints of these points, computed once.
POINTS = np.array(
    [[0.3, -0.2, 2.0], [-1.1, 0.7, 1.9], [0.0, 0.0, 5.0], [2.0, 1.5, 4.0], [-0.01, 0.9, 1.5]]
)
OPENCV: list[tuple[str, tuple[float, ...], list[tuple[float, float]]]] = [
    (
        "pinhole",
        (-0.12, 0.16, 0.0007, 0.0014),
        [
            (425.169495, 170.2538165),
            (-75.33183479335844, 487.81144983298327),
            (320.5, 239.0),
            (663.6952343749999, 492.624998046875),
            (316.28717699408065, 644.213749277511),
        ],
    ),
    (
        "pinhole",
        (-0.1, -0.04, 0.0006, -0.004, 0.43),
        [
            (424.92626366484376, 170.33068173453125),
            (-83.65692848045171, 491.88448077359783),
            (320.5, 239.0),
            (661.3261435699462, 491.9382114963531),
            (314.92016099496175, 644.7254501326805),
        ],
    ),
    (
        "pinhole",
        (0.6, -0.3, 1e-4, -2e-4, 0.05, 0.9, -0.25, 0.02),
        [
            (424.48685509480003, 170.66503343770285),
            (-40.824069076298656, 465.6398724910985),
            (320.5, 239.0),
            (637.6464927340428, 473.5292542265959),
            (316.19067087507653, 616.8521462920196),
        ],
    ),
    (
        "fisheye",
        (0.03, -0.02, 0.005, -0.001),
        [
            (424.4812386641528, 170.66947173498528),
            (-37.68253661234121, 463.6781366022867),
            (320.5, 239.0),
            (635.6792910513118, 472.00754731293404),
            (316.2666329037304, 614.5601381119178),
        ],
    ),
]


def view(size: tuple[int, int] = (641, 479), **changes: Any) -> View:
    fields: dict[str, Any] = {"intrinsics": INTRINSICS, "camera_from_world": np.eye(4)}
    return View(Path("a.jpg"), size, **(fields | changes))


@pytest.mark.parametrize(("lens", "distortion", "pixels"), OPENCV)
def test_lenses_are_opencvs(
    lens: str, distortion: tuple[float, ...], pixels: list[tuple[float, float]]
) -> None:
    # The image is widened to the left and below, so that every point falls into it.
    shift = np.array([[1.0, 0, 200], [0, 1, 100], [0, 0, 1]])
    wide = view((1000, 1000), intrinsics=shift @ INTRINSICS, lens=lens, distortion=distortion)
    seen = project(wide, POINTS)
    assert seen.point_index.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(seen.uv, np.array(pixels) + (200, 100), atol=1e-7)
    np.testing.assert_allclose(seen.depth_m, POINTS[:, 2])


def test_the_pose_and_five_million_metres() -> None:
    world_from_camera = pose_from_quaternion((0.6, -0.5, 0.4, -0.3), (5e6, -4.9e6, 120.0))
    camera = view(camera_from_world=invert_pose(world_from_camera))
    near = project(view(), POINTS)
    far = project(camera, transform_points(world_from_camera, POINTS))
    assert far.point_index.tolist() == near.point_index.tolist()
    np.testing.assert_allclose(far.uv, near.uv, atol=2e-6)


def test_only_what_is_in_front_and_inside_the_edge() -> None:
    plain = view((641, 479), intrinsics=np.array([[1.0, 0, 320], [0, 1, 239], [0, 0, 1]]))
    at = [(0, 0, -5), (0, 0, 0), (0, 0, 1), (0, 0, 1.001)]
    assert project(plain, np.array(at, dtype=float)).point_index.tolist() == [3]
    assert project(plain, np.array(at, dtype=float), least_depth_m=0.1).point_index.tolist() == [
        2,
        3,
    ]
    edges = np.array([(-319.6, 0, 1), (-319.4, 0, 1), (319.4, 0, 1), (319.6, 0, 1)]) * 2
    assert project(plain, edges).point_index.tolist() == [1, 2]
    assert project(plain, edges, margin_px=0).point_index.tolist() == [0, 1, 2, 3]


def test_points_that_are_not_finite_are_not_seen() -> None:
    xyz = np.array([[np.nan, 0, 3], [np.inf, 0, 3], [0, 0, np.inf], [0.0, 0, 3]])
    assert project(view(), xyz).point_index.tolist() == [3]
    assert len(project(view(), np.zeros((0, 3)))) == 0


@pytest.mark.parametrize(
    ("lens", "distortion"),
    [
        ("pinhole", (-0.35,)),
        ("pinhole", (-0.3, 0.05)),
        ("pinhole", (-0.3, 0.1, 0.002, 0.002)),
        ("pinhole", (0.0, 0.0, 0.0014, 0.0014)),
        ("pinhole", (0.0, 0.0, 0.0, 0.0, 0.0, -0.4)),
        ("fisheye", (-0.1, 0.0, 0.0, -0.02)),
    ],
)
def test_nothing_folds_back_into_the_image(lens: str, distortion: tuple[float, ...]) -> None:
    """Along every ray from the axis outwards, pixels only move away from the middle."""
    radius = np.concatenate([np.linspace(0, 3, 200), np.geomspace(3, 3000, 200)])
    for turn in np.linspace(0, 2 * np.pi, 9):
        xyz = np.stack([radius * np.cos(turn), radius * np.sin(turn), np.ones(400)], axis=1) * 2
        seen = project(view(lens=lens, distortion=distortion), xyz)
        away = np.linalg.norm(seen.uv - INTRINSICS[:2, 2], axis=1)
        assert (np.diff(away) > 0).all()
        assert seen.point_index.tolist() == list(range(len(seen)))
        assert radius[len(seen) - 1] > 0.2


def test_too_many_coefficients_are_refused() -> None:
    with pytest.raises(ValueError, match=r"a\.jpg: a fisheye lens has at most 4"):
        project(view(lens="fisheye", distortion=(0.1,) * 5), POINTS)


def test_pixels_of_an_image_of_another_scale() -> None:
    plain = view((640, 480), intrinsics=np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]))
    xyz = np.array([(-0.4, 0.4, 1), (639.4, 479.4, 1), (1.4, 1.6, 1), (2.6, 3.4, 1)]) * 2
    seen = project(plain, xyz, margin_px=0)
    full = [[0, 0], [479, 639], [2, 1], [3, 3]]
    assert seen.pixels((640, 480), (640, 480)).tolist() == full
    # Half as large: pixel 0 of the small image holds pixels 0 and 1 of the large one.
    assert seen.pixels((640, 480), (320, 240)).tolist() == [[0, 0], [239, 319], [1, 0], [1, 1]]


def plane(depth_m: float, half_m: float, step_m: float, x_m: float = 0.0) -> np.ndarray:
    """A square that faces the camera."""
    axis = np.arange(-half_m, half_m + step_m / 2, step_m)
    x, y = (grid.ravel() for grid in np.meshgrid(axis, axis))
    return np.stack([x + x_m, y, np.full(len(x), depth_m)], axis=1)


def kept(seen: ProjectedPoints, occlusion: Occlusion, **more: Any) -> list[int]:
    return remove_occluded(seen, view(), occlusion, **more).point_index.tolist()


def test_a_wall_behind_a_board_is_hidden_and_beside_it_is_not() -> None:
    board = plane(5.0, 0.5, 0.05)
    wall = plane(20.0, 6.0, 0.2)
    xyz = np.concatenate([board, wall])
    seen = project(view(), xyz)
    # The board covers ±2 m of the wall; at its rim, within two points' spacing, either is right.
    reach = np.abs(xyz[seen.point_index, :2]).max(axis=1)
    behind = (seen.point_index >= len(board)) & (reach < 1.7)
    beside = (seen.point_index >= len(board)) & (reach > 2.5)
    left = np.isin(seen.point_index, remove_occluded(seen, view(), "points").point_index)
    assert behind.sum() > 200
    assert not left[behind].any()
    assert left[beside].all()
    assert left[seen.point_index < len(board)].all()
    assert kept(seen, "auto") == seen.point_index[left].tolist()
    assert kept(seen, "none") == seen.point_index.tolist()


def test_ground_that_runs_away_from_the_camera_does_not_hide_itself() -> None:
    x, z = (grid.ravel() for grid in np.meshgrid(np.arange(-4, 4, 0.2), np.geomspace(4, 60, 80)))
    seen = project(view(), np.stack([x, np.full(len(x), 1.6), z], axis=1))
    assert len(remove_occluded(seen, view(), "points")) >= 0.9 * len(seen)


def test_who_is_hidden_does_not_depend_on_order() -> None:
    rng = np.random.default_rng(3)
    xyz = np.concatenate([plane(5.0, 0.5, 0.05), rng.uniform((-5, -4, 4), (5, 4, 20), (3000, 3))])
    order = rng.permutation(len(xyz))
    first = remove_occluded(project(view(), xyz), view(), "points").point_index
    second = remove_occluded(project(view(), xyz[order]), view(), "points").point_index
    assert first.tolist() == sorted(order[second].tolist())
    assert len(first) < len(project(view(), xyz))


def test_the_depth_image_decides_and_may_be_smaller() -> None:
    depth = np.full((240, 320), 5.0, dtype=np.float32)
    depth[:, :100] = 2.0
    depth[:, 220:] = 0.0
    at_px = np.array([(100.0, 240.0), (320.0, 240.0), (320.0, 240.0), (320.0, 240.0), (600.0, 240)])
    depth_m = np.array([5.0, 5.04, 5.06, 4.94, 5.0])
    seen = ProjectedPoints(np.arange(5), at_px, depth_m)
    assert kept(seen, "depth", depth=depth) == [1]
    assert kept(seen, "auto", depth=depth) == [1]
    assert kept(seen, "auto", depth=depth, tolerance_m=0.1) == [1, 2, 3]
    # The last point lies where the depth is unknown, which no tolerance makes known.
    assert kept(seen, "depth", depth=depth, tolerance_m=100.0) == [0, 1, 2, 3]


def test_a_depth_test_without_depth_is_refused() -> None:
    seen = project(view(), POINTS)
    with pytest.raises(InputError, match=r"a\.jpg: has no depth image"):
        kept(seen, "depth")
    nobody = seen.select(np.zeros(len(seen), dtype=bool))
    assert kept(nobody, "points") == []
