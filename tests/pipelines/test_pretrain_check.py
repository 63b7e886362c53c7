"""The check before a training: shares, pictures, and what it says when something is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clip3d_cli.core.cameras import ProjectedPoints
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.scenes import PosedScene, Sweep, View, invert_pose, pose_from_quaternion
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.datasets.images import image_size, read_image
from clip3d_cli.datasets.pandaset.dataset import PandaSet
from clip3d_cli.errors import InputError, OutputError
from clip3d_cli.pipelines.pretrain.check import CheckOptions, PointClasses, SceneCheck, check_scenes

INTRINSICS = np.array([[300.0, 0, 160], [0, 300.0, 120], [0, 0, 1]])
# A camera that looks along the world's x, z up.
WORLD_FROM_CAMERA = pose_from_quaternion((0.5, -0.5, 0.5, -0.5), (0.0, 0.0, 1.0))
WORDS = Vocabulary.from_names(["near", "far"])


class TwoWalls:
    """A small near board and a wide wall, one return of the vehicle, and points behind it."""

    name = "two walls"
    root = Path()
    ego_half_size_m = 1.0

    def __init__(self, folder: Path, truth: bool = True) -> None:
        self.vocabulary = WORDS if truth else None
        y, z = (grid.ravel() for grid in np.meshgrid(np.linspace(-1, 1, 40), np.linspace(0, 2, 40)))
        board = np.stack([np.full(1600, 5.0), 0.5 * y, z], axis=1)
        wall = np.stack([np.full(1600, 12.0), 4 * y, 4 * z - 3], axis=1)
        behind = np.stack([np.full(1600, -9.0), 4 * y, np.zeros(1600)], axis=1)
        self.xyz = np.concatenate([[[0.1, 0.1, 0.0]], behind, wall, board])
        self.labels = np.repeat(np.array([-1, 0, 1, 0], dtype=np.int32), (1, 1600, 1600, 1600))
        Image.new("RGB", (320, 240), (120, 140, 160)).save(folder / "a.png")
        self.view = View(folder / "a.png", (320, 240), INTRINSICS, invert_pose(WORLD_FROM_CAMERA))

    def splits(self) -> tuple[str, ...]:
        return ("all",)

    def scenes(self, split: str) -> Sequence[PosedScene]:
        return [self.scene(self.view)]

    def scene(self, *views: View, **changes: Any) -> PosedScene:
        sweep = Sweep(Path("cloud.bin"), np.eye(4), 10.0)
        return PosedScene("hall", (sweep,), views, **changes)

    def cloud(self, sweep: Sweep) -> PointCloud:
        return PointCloud(self.xyz)

    def ground_truth(self, scene: PosedScene) -> np.ndarray | None:
        return self.labels if self.vocabulary else None


@pytest.fixture
def walls(tmp_path: Path) -> TwoWalls:
    return TwoWalls(tmp_path)


def check(walls: TwoWalls, *views: View, **options: Any) -> SceneCheck:
    folder = walls.view.image.parent / "check"
    (found,) = check_scenes(walls, [walls.scene(*views)], folder, CheckOptions(**options))
    return found


def test_shares_and_depth(walls: TwoWalls) -> None:
    every = check(walls, walls.view, occlusion="none")
    (view,) = every.views
    # The vehicle's own return is no point of the scene.
    assert (every.points, every.visible, view.projected, view.visible) == (4800, 3200, 3200, 3200)
    assert every.visible_share == 3200 / 4800
    assert every.warnings == view.warnings == ()
    (view,) = check(walls, walls.view, occlusion="points").views
    hidden = view.projected - view.visible
    # The board covers 2.4 m of the wall's 8 m, and 4.8 m of its height's 8 m.
    assert 0.7 < hidden / (1600 * 0.3 * 0.6) < 1.2
    assert view.median_depth_m == 5.0


def test_colors_are_those_of_truth(walls: TwoWalls) -> None:
    (view,) = check(walls, walls.view).views
    assert view.picture is not None
    assert view.picture.name == "0000_a.jpg"
    picture = read_image(view.picture).astype(int)
    assert picture.shape[1] == 320
    near, far = (np.array(entry.color) for entry in WORDS.classes)
    middle, edge = picture[115:125, 155:165].reshape(-1, 3), picture[20:30, 80:90].reshape(-1, 3)
    for place, own, other in ((middle, near, far), (edge, far, near)):
        brightest = place[place.sum(axis=1).argmax()]
        assert np.abs(brightest - own).sum() < np.abs(brightest - other).sum()


def test_without_truth_it_is_depth_and_a_painting_goes_first(tmp_path: Path) -> None:
    walls = TwoWalls(tmp_path, truth=False)
    (plain,) = check(walls, walls.view).views
    assert plain.picture is not None
    before = plain.picture.read_bytes()
    asked: list[tuple[Path, tuple[int, ...], int]] = []

    def painted(view: View, image: np.ndarray, projected: ProjectedPoints) -> np.ndarray:
        asked.append((view.image, image.shape, len(projected)))
        return np.zeros(len(projected), dtype=np.int32)

    folder = tmp_path / "check"
    check_scenes(walls, walls.scenes("all"), folder, classes=PointClasses(WORDS, painted))
    assert asked == [(walls.view.image, (240, 320, 3), plain.visible)]
    assert plain.picture.read_bytes() != before


def test_pictures_are_spread_over_the_views(walls: TwoWalls) -> None:
    found = check(walls, *[walls.view] * 7, pictures=3)
    drawn = [number for number, view in enumerate(found.views) if view.picture is not None]
    assert drawn == [0, 3, 6]
    assert found.sheet is not None
    assert image_size(found.sheet)[0] == 1920
    assert check(walls, walls.view, pictures=0).views[0].picture is None


def wrong_views(walls: TwoWalls) -> dict[str, View]:
    folder, good = walls.view.image.parent, walls.view
    Image.new("RGB", (160, 120)).save(folder / "half.png")
    Image.new("RGB", (240, 240)).save(folder / "square.png")
    Image.fromarray(np.full((24, 32), 900, dtype=np.uint16)).save(folder / "depth.png")
    past = np.eye(4)
    past[2, 3] = -13.0
    away = np.eye(4)
    away[:3, 3] = 4e5
    aside = pose_from_quaternion((np.cos(0.55), 0, np.sin(0.55), 0), (0, 0, 0))
    return {
        "absent.png: does not exist": replace(good, image=folder / "absent.png"),
        "scaled": replace(good, image=folder / "half.png"),
        "cropped, turned, or another camera's": replace(good, image=folder / "square.png"),
        "no point lies in front": replace(good, camera_from_world=past @ good.camera_from_world),
        "not in the same world": replace(good, camera_from_world=away @ good.camera_from_world),
        "though some lie in front": replace(good, camera_from_world=aside @ good.camera_from_world),
        "unit of its depth image": replace(good, depth=folder / "depth.png"),
        "none.png: does not exist": replace(good, depth=folder / "none.png"),
        "taken 5.0 s from the scan": replace(good, time_s=15.0),
    }


def test_what_is_wrong_is_said(walls: TwoWalls) -> None:
    views = wrong_views(walls)
    found = check(walls, *views.values(), walls.view)
    for words, view in zip(views, found.views[:-1], strict=True):
        assert [words in warning for warning in view.warnings] == [True], (words, view.warnings)
    assert found.views[-1].warnings == ()
    by_words = dict(zip(views, found.views[:-1], strict=True))
    assert by_words["absent.png: does not exist"].picture is None
    scaled = by_words["scaled"].picture
    assert scaled is not None
    # The photo is black; the board in its middle is of the first class, whose color is orange.
    red, _, blue = read_image(scaled)[55:65, 75:85].max(axis=(0, 1)).astype(int)
    assert red > blue + 40
    # A depth image that cannot be read leaves the points to tell who is hidden.
    assert by_words["none.png: does not exist"].visible == found.views[-1].visible


def test_scenes_without_images_or_sightings(walls: TwoWalls) -> None:
    assert check(walls).warnings == ("it has no images",)
    blind = wrong_views(walls)["not in the same world"]
    # Two views that see different points: together they see both.
    turned = pose_from_quaternion((0.0, 0.0, 1.0, 0.0), (0, 0, 0))
    back = replace(walls.view, camera_from_world=turned @ walls.view.camera_from_world)
    assert check(walls, back, walls.view, occlusion="none").visible == 4800
    assert check(walls, back, occlusion="none").visible == 1600
    found = check(walls, blind)
    assert found.warnings == ("no image sees any of its points",)
    assert found.visible_share == 0.0
    assert found.views[0].median_depth_m is None


def test_a_depth_test_without_depth_images_is_refused(walls: TwoWalls) -> None:
    with pytest.raises(InputError, match="has no depth image"):
        check(walls, walls.view, occlusion="depth")


def test_a_folder_that_cannot_be_made_is_refused(walls: TwoWalls) -> None:
    file = walls.view.image
    with pytest.raises(OutputError, match="cannot be created"):
        check_scenes(walls, walls.scenes("all"), file / "check")


@pytest.mark.slow
def test_a_real_street(shared_data: Path, tmp_path: Path) -> None:
    dataset = PandaSet(shared_data / "driving/pandaset_001")
    (found,) = check_scenes(dataset, dataset.scenes("all")[:1], tmp_path)
    assert found.warnings == found.views[0].warnings == ()
    assert 0.35 < found.visible_share < 0.4
    # Behind the van that fills the left of the picture, the building's wall is hidden.
    assert 0.9 < found.views[0].visible / found.views[0].projected < 0.97
