"""Pictures of points on photos: where dots fall, who is on top, and what a strip names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clip3d_cli.errors import OutputError
from clip3d_cli.pipelines.pretrain.overlay import (
    contact_sheet,
    depth_colors,
    draw_points,
    with_class_legend,
    with_depth_legend,
    write_picture,
)

RED, BLUE = (255, 0, 0), (0, 0, 255)
PHOTO = np.full((60, 80, 3), 200, dtype=np.uint8)


def drawn(uv: list[tuple[float, float]], colors: list[tuple[int, int, int]], depth: list[float]):
    return draw_points(
        PHOTO, np.array(uv), np.array(colors, dtype=np.uint8), np.array(depth), radius_px=2.0
    )


def test_dots_lie_on_their_pixels_and_the_photo_is_dimmed() -> None:
    picture = drawn([(20.0, 10.0), (79.4, 59.4)], [RED, BLUE], [5.0, 5.0])
    assert picture.shape == PHOTO.shape
    assert picture[10, 20].tolist() == [255, 0, 0]
    assert picture[10, 22].tolist() != picture[40, 40].tolist()
    assert picture[59, 79].tolist() == [0, 0, 255]
    assert (picture[40, 40] < 200).all()
    assert (picture[10, 30] == picture[40, 40]).all()
    assert (PHOTO == 200).all()


@pytest.mark.parametrize("flip", [1, -1])
def test_near_points_are_on_top_in_any_order(flip: int) -> None:
    uv = [(20.0, 10.0), (21.0, 10.0)][::flip]
    picture = drawn(uv, [RED, BLUE][::flip], [2.0, 9.0][::flip])
    assert picture[10, 20].tolist() == [255, 0, 0]
    assert picture[10, 21].tolist() == [255, 0, 0]
    # At a dot's rim, half of the pixel is the dot's.
    assert picture[10, 23, 2] > 2 * picture[10, 23, 0]


def test_a_dot_at_the_edge_is_cut_there() -> None:
    picture = drawn([(0.0, 0.0)], [RED], [5.0])
    assert picture[0, 0].tolist() == [255, 0, 0]
    assert (picture[30:] == picture[30, 40]).all()
    assert (picture[:, 40:] == picture[30, 40]).all()


def test_a_photo_without_points_is_only_dimmed() -> None:
    nothing = draw_points(PHOTO, np.zeros((0, 2)), np.zeros((0, 3), np.uint8), np.zeros(0))
    assert len(np.unique(nothing)) == 1


def test_depth_goes_from_warm_to_cold() -> None:
    near, middle, far, farther = depth_colors(np.array([1.0, 10.0, 100.0, 500.0]), 1.0, 100.0)
    assert near[0] > near[2]
    assert far[2] > far[0]
    assert far.tolist() == farther.tolist()
    assert middle.tolist() not in (near.tolist(), far.tolist())
    assert np.isfinite(depth_colors(np.array([3.0, 3.0]), 3.0, 3.0)).all()


def test_strips_go_below_the_picture() -> None:
    picture = np.zeros((100, 400, 3), dtype=np.uint8)
    few = with_class_legend(picture, [("car", RED), ("road", BLUE)])
    many = with_class_legend(picture, [(f"class number {k}", RED) for k in range(12)])
    scale = with_depth_legend(picture, 1.0, 80.0)
    for with_strip in (few, many, scale):
        assert with_strip.shape[1] == 400
        np.testing.assert_array_equal(with_strip[:100], picture)
    assert len(many) > len(few) > 100
    shown = {tuple(color) for color in few[100:].reshape(-1, 3).tolist()}
    assert {RED, BLUE} <= shown
    assert with_class_legend(picture, []).shape[1] == 400
    # A strip narrower than its words stays a strip.
    assert with_depth_legend(picture[:, :20], 1.0, 80.0).shape[1] == 20


def test_a_sheet_has_a_place_for_every_picture() -> None:
    pictures = [np.full((60, 80, 3), value, dtype=np.uint8) for value in (50, 100, 250)]
    sheet = contact_sheet(pictures, columns=2, width=400)
    assert sheet.shape[1] == 400
    values = set(np.unique(sheet).tolist())
    assert {50, 100, 250} <= values
    assert len(sheet) > len(contact_sheet(pictures[:2], columns=2, width=400))


def test_pictures_are_stored_by_suffix(tmp_path: Path) -> None:
    for name, kind in (("a.png", "PNG"), ("a.jpg", "JPEG")):
        write_picture(PHOTO, tmp_path / name)
        with Image.open(tmp_path / name) as stored:
            assert stored.format == kind
            assert stored.size == (80, 60)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jpg", "a.png"]
    with pytest.raises(OutputError, match="is not a folder"):
        write_picture(PHOTO, tmp_path / "nowhere" / "a.png")
