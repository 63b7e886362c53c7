"""One camera, described in every format, projects a point to the pixel computed by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from posed_camera import (
    BENT_PIXEL,
    CX,
    CY,
    DISTORTION,
    FX,
    FY,
    PIXEL,
    POINT,
    WORLD_FROM_CAMERA,
    camera_entry,
    pixel_of,
    transforms,
    write_colmap_binary,
    write_colmap_text,
    write_image,
    write_json,
)

from clip3d_cli.core.cameras import project
from clip3d_cli.core.scenes import View, invert_pose
from clip3d_cli.datasets.folder.dataset import Folder
from clip3d_cli.errors import InputError

IMAGE = "a b.png"


def opened(scene: Path) -> View:
    """The view of a scene that holds a description already."""
    write_image(scene / "images" / IMAGE)
    np.save(scene / "cloud.npy", POINT)
    (described,) = Folder(scene).scenes("all")
    (view,) = described.views
    return view


def as_ours(scene: Path, **changes: Any) -> View:
    write_json(scene / "cameras.json", {"cameras": [camera_entry(f"images/{IMAGE}", **changes)]})
    return opened(scene)


def as_nerfstudio(scene: Path, **changes: Any) -> View:
    write_json(scene / "transforms.json", transforms(f"images/{IMAGE}", **changes))
    return opened(scene)


@pytest.mark.parametrize("place", ["sparse/0", "sparse", "colmap/sparse/0"])
@pytest.mark.parametrize("write", [write_colmap_text, write_colmap_binary])
def test_colmap_shows_the_pixel_computed_by_hand(tmp_path: Path, write: Any, place: str) -> None:
    write(tmp_path / place, IMAGE)
    assert pixel_of(opened(tmp_path)) == pytest.approx(BENT_PIXEL, abs=1e-9)


def test_nerfstudio_shows_the_pixel_computed_by_hand(tmp_path: Path) -> None:
    assert pixel_of(as_nerfstudio(tmp_path)) == pytest.approx(BENT_PIXEL, abs=1e-9)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"size": [128, 80]},
        {"intrinsics": [[FX, 0, CX], [0, FY, CY], [0, 0, 1]]},
        {
            "world_from_camera": None,
            "camera_from_world": invert_pose(WORLD_FROM_CAMERA)[:3].tolist(),
        },
    ],
)
def test_ours_shows_the_pixel_computed_by_hand(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert pixel_of(as_ours(tmp_path, **changes)) == pytest.approx(BENT_PIXEL, abs=1e-9)


def test_a_camera_without_distortion_shows_the_plain_pixel(tmp_path: Path) -> None:
    assert pixel_of(as_ours(tmp_path, distortion=None)) == pytest.approx(PIXEL, abs=1e-9)


def test_the_projection_agrees_with_the_hand(tmp_path: Path) -> None:
    np.testing.assert_allclose(project(as_ours(tmp_path), POINT).uv, [BENT_PIXEL], atol=1e-9)


def test_what_a_frame_says_goes_before_what_the_file_says(tmp_path: Path) -> None:
    content = transforms(f"images/{IMAGE}", fl_x=1.0, k1=9.0)
    content["frames"][0].update(fl_x=FX, k1=DISTORTION[0])
    write_json(tmp_path / "transforms.json", content)
    assert pixel_of(opened(tmp_path)) == pytest.approx(BENT_PIXEL, abs=1e-9)


def test_a_field_of_view_stands_for_a_focal_length(tmp_path: Path) -> None:
    angle = 2 * np.arctan(64 / FX)
    view = as_nerfstudio(
        tmp_path, fl_x=None, fl_y=FY, w=None, h=None, camera_angle_x=angle, k1=0, k2=0, p1=0, p2=0
    )
    assert pixel_of(view) == pytest.approx(PIXEL, abs=1e-9)


FISHEYE = (0.05, -0.01, 0.002, 0.001)


def test_fisheyes_agree_whoever_describes_them(tmp_path: Path) -> None:
    ours = as_ours(tmp_path / "a", lens="fisheye", distortion=FISHEYE)
    names = dict(zip(("k1", "k2", "k3", "k4"), FISHEYE, strict=True), p1=None, p2=None)
    theirs = as_nerfstudio(tmp_path / "b", camera_model="OPENCV_FISHEYE", **names)
    params = (FX, FY, CX + 0.5, CY + 0.5, *FISHEYE)
    write_colmap_binary(tmp_path / "c" / "sparse", IMAGE, "OPENCV_FISHEYE", params)
    r = 0.05**0.5
    angle = np.arctan(r)
    bent = angle + 0.05 * angle**3 - 0.01 * angle**5 + 0.002 * angle**7 + 0.001 * angle**9
    by_hand = (CX + FX * 0.2 * bent / r, CY + FY * 0.1 * bent / r)
    for view in (ours, theirs, opened(tmp_path / "c")):
        assert pixel_of(view) == pytest.approx(by_hand, abs=1e-9)
        np.testing.assert_allclose(project(view, POINT).uv, [by_hand], atol=1e-9)


@pytest.mark.parametrize(
    ("model", "params", "lens", "focal", "distortion"),
    [
        ("SIMPLE_PINHOLE", (50, 9, 8), "pinhole", (50, 50), ()),
        ("PINHOLE", (50, 60, 9, 8), "pinhole", (50, 60), ()),
        ("SIMPLE_RADIAL", (50, 9, 8, 0.1), "pinhole", (50, 50), (0.1,)),
        ("RADIAL", (50, 9, 8, 0.1, 0.2), "pinhole", (50, 50), (0.1, 0.2)),
        ("OPENCV", (50, 60, 9, 8, 0.1, 0, 0.3, 0), "pinhole", (50, 60), (0.1, 0, 0.3)),
        (
            "FULL_OPENCV",
            (50, 60, 9, 8, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
            "pinhole",
            (50, 60),
            (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
        ),
        ("OPENCV_FISHEYE", (50, 60, 9, 8, 1, 2, 3, 4), "fisheye", (50, 60), (1, 2, 3, 4)),
        ("SIMPLE_RADIAL_FISHEYE", (50, 9, 8, 0.1), "fisheye", (50, 50), (0.1,)),
        ("RADIAL_FISHEYE", (50, 9, 8, 0.1, 0.2), "fisheye", (50, 50), (0.1, 0.2)),
    ],
)
@pytest.mark.parametrize("write", [write_colmap_text, write_colmap_binary])
def test_every_camera_model_of_colmap_with_an_equal(
    tmp_path: Path, write: Any, model: str, params: Any, lens: str, focal: Any, distortion: Any
) -> None:
    write(tmp_path / "sparse" / "0", IMAGE, model, tuple(float(n) for n in params))
    view = opened(tmp_path)
    assert view.lens == lens
    assert view.distortion == distortion
    expected = [[focal[0], 0, 8.5], [0, focal[1], 7.5], [0, 0, 1]]
    np.testing.assert_allclose(view.intrinsics, expected)


@pytest.mark.parametrize("model", ["FOV", "THIN_PRISM_FISHEYE"])
def test_other_camera_models_are_refused_by_name(tmp_path: Path, model: str) -> None:
    params = (50.0, 60.0, 9.0, 8.0, 0.9) + (0.0,) * (7 if model != "FOV" else 0)
    write_colmap_binary(tmp_path / "sparse" / "0", IMAGE, model, params)
    with pytest.raises(InputError) as refusal:
        opened(tmp_path)
    assert model in refusal.value.fault
    assert "colmap image_undistorter" in refusal.value.remedy


def test_keypoints_between_images_are_skipped(tmp_path: Path) -> None:
    model = tmp_path / "sparse" / "0"
    for write, table in ((write_colmap_text, "images.txt"), (write_colmap_binary, "images.bin")):
        write(model, IMAGE)
        path = model / table
        body = path.read_bytes()
        if table.endswith("txt"):
            path.write_bytes(body + body.split(b"\n", 1)[1].replace(b"a b", b"c"))
        else:
            path.write_bytes(b"\2" + body[1:] + body[8:].replace(b"a b", b"c"))
        write_image(tmp_path / "images" / "c.png")
        write_image(tmp_path / "images" / IMAGE)
        np.save(tmp_path / "cloud.npy", POINT)
        (scene,) = Folder(tmp_path).scenes("all")
        assert [view.image.name for view in scene.views] == [IMAGE, "c.png"]
        assert pixel_of(scene.views[1]) == pytest.approx(BENT_PIXEL, abs=1e-9)


def test_ours_wins_then_nerfstudio_then_colmap(tmp_path: Path) -> None:
    write_colmap_text(tmp_path / "sparse", IMAGE, "PINHOLE", (1.0, 1.0, 2.0, 2.0))
    assert opened(tmp_path).intrinsics[0, 0] == 1
    assert as_nerfstudio(tmp_path, fl_x=2.0).intrinsics[0, 0] == 2
    assert as_ours(tmp_path, intrinsics=[3, 3, 2, 2]).intrinsics[0, 0] == 3


def test_rounded_poses_become_rigid_and_bent_ones_are_refused(tmp_path: Path) -> None:
    rounded = WORLD_FROM_CAMERA.copy()
    rounded[:3, :3] *= 1.0002
    pose = as_ours(tmp_path, world_from_camera=rounded.tolist()).camera_from_world
    np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
    rounded[:3, :3] *= 1.1
    with pytest.raises(InputError, match="not rigid"):
        as_ours(tmp_path, world_from_camera=rounded.tolist())
