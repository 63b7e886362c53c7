"""Your own scans: which files make a scene, the frame of its world, and errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets_trees_folder import room, write_ply, write_tree
from posed_camera import (
    BENT_PIXEL,
    POINT,
    SIZE,
    WORLD_FROM_CAMERA,
    camera_entry,
    pixel_of,
    transforms,
    write_colmap_binary,
    write_colmap_points,
    write_colmap_text,
    write_image,
    write_json,
)

from clip3d_cli.core.scenes import PosedScene, invert_pose, transform_points
from clip3d_cli.datasets.folder import cameras_json
from clip3d_cli.datasets.folder.cameras_json import CamerasJson
from clip3d_cli.datasets.folder.dataset import Folder
from clip3d_cli.datasets.sweeps import merge_sweeps
from clip3d_cli.errors import InputError, UsageError

TURN = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])  # y up becomes z up


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_tree(tmp_path)
    return tmp_path


def scene_at(root: Path, name: str) -> PosedScene:
    return next(scene for scene in Folder(root).scenes("all") if scene.name == name)


def write_camera(scene: Path, **changes: Any) -> None:
    write_image(scene / "images" / "a.png")
    np.save(scene / "cloud.npy", POINT)
    write_json(scene / "cameras.json", {"cameras": [camera_entry("images/a.png", **changes)]})


def test_splits_are_lists_and_all(root: Path) -> None:
    folder = Folder(root)
    assert folder.splits() == ("all", "train", "val")
    names = {split: [scene.name for scene in folder.scenes(split)] for split in folder.splits()}
    assert names == {"all": ["hall", "yard"], "train": ["yard"], "val": ["hall"]}
    with pytest.raises(UsageError, match="trian"):
        folder.scenes("trian")


def test_truth_counts_the_ids_of_the_vocabulary(root: Path) -> None:
    folder = Folder(root)
    truth = folder.ground_truth(scene_at(root, "hall"))
    assert truth is not None and truth.dtype == np.int32
    assert truth[:6].tolist() == [-1, 1, 0, -1, 1, 0]
    assert folder.ground_truth(scene_at(root, "yard")) is None


def test_sweeps_and_depth_are_read_as_described(root: Path) -> None:
    hall = scene_at(root, "hall")
    assert [sweep.time_s for sweep in hall.sweeps] == [2.0, 1.9]
    merged = merge_sweeps(Folder(root), hall.sweeps)
    np.testing.assert_allclose(merged.cloud.xyz[200:], room(50, seed=1), atol=1e-12)
    (view,) = hall.views
    assert view.depth == root / "hall" / "depth" / "a.png"
    assert (view.depth_unit_m, view.time_s, view.size) == (0.001, 2.0, SIZE)


def test_the_root_itself_may_be_the_scene(root: Path) -> None:
    (scene,) = Folder(root / "hall").scenes("all")
    assert scene.name == "hall" and len(scene.sweeps) == 2


def test_nerfstudio_names_the_cloud(root: Path) -> None:
    write_ply(root / "yard" / "other.ply", room(3))
    assert scene_at(root, "yard").sweeps[0].path.name == "sparse_pc.ply"
    write_ply(root / "yard" / "cloud.ply", room(4))
    assert scene_at(root, "yard").sweeps[0].path.name == "cloud.ply"


@pytest.mark.parametrize("binary", [True, False])
def test_sparse_points_are_the_cloud_where_there_is_no_other(tmp_path: Path, binary: bool) -> None:
    (write_colmap_binary if binary else write_colmap_text)(tmp_path / "sparse" / "0", "a.png")
    write_colmap_points(tmp_path / "sparse" / "0", room(7), binary=binary)
    write_image(tmp_path / "images" / "a.png")
    folder = Folder(tmp_path)
    (scene,) = folder.scenes("all")
    cloud = folder.cloud(scene.sweeps[0])
    np.testing.assert_allclose(cloud.xyz, room(7), atol=1e-12)
    assert cloud.rgb is not None and cloud.rgb[3].tolist() == [10, 20, 30]


@pytest.mark.parametrize("describe", ["ours", "nerfstudio", "colmap"])
def test_world_up_and_the_unit_move_cameras_and_cloud_alike(tmp_path: Path, describe: str) -> None:
    """A world in half metres with y up shows the same pixel once it is placed."""
    described = invert_pose(TURN) @ WORLD_FROM_CAMERA
    described[:3, 3] *= 2
    write_image(tmp_path / "images" / "a.png")
    np.save(tmp_path / "cloud.npy", 2 * transform_points(invert_pose(TURN), POINT))
    placement: dict[str, Any] = {"world_up": "y", "metres_per_unit": 0.5}
    if describe == "ours":
        entry = camera_entry("images/a.png", world_from_camera=described.tolist())
        placement["cameras"] = [entry]
    elif describe == "nerfstudio":
        content = transforms("images/a.png")
        pose = described @ np.diag([1.0, -1, -1, 1])
        content["frames"][0]["transform_matrix"] = pose.tolist()
        write_json(tmp_path / "transforms.json", content)
    else:
        write_colmap_text(tmp_path / "sparse", "a.png")
        # Camera from world: no turn is left, the translation is doubled.
        rotation = invert_pose(described)[:3, :3]
        np.testing.assert_allclose(rotation, np.diag([1, -1, -1]), atol=1e-12)
        shift = " ".join(repr(n) for n in invert_pose(described)[:3, 3].tolist())
        row = f"3 0.0 1.0 0.0 0.0 {shift} 7 a.png\n\n"
        (tmp_path / "sparse" / "images.txt").write_text(row, encoding="utf-8")
    write_json(tmp_path / "cameras.json", placement)
    folder = Folder(tmp_path)
    (scene,) = folder.scenes("all")
    merged = merge_sweeps(folder, scene.sweeps).cloud
    np.testing.assert_allclose(merged.xyz, POINT, atol=1e-9)
    assert pixel_of(scene.views[0], merged.xyz) == pytest.approx(BENT_PIXEL, abs=1e-9)


@pytest.mark.parametrize("up", ["z", "-z", "y", "-y", "x", "-x"])
def test_every_axis_can_be_up(tmp_path: Path, up: str) -> None:
    """The camera that looks along +y with z up looks level, and upright, whichever was meant."""
    write_camera(tmp_path)
    sign = -1 if up.startswith("-") else 1
    write_json(tmp_path / "cameras.json", {"world_up": up})
    (scene,) = Folder(tmp_path).scenes("all")
    axis = np.zeros(3)
    axis["xyz".index(up[-1])] = sign
    turned = scene.sweeps[0].world_from_sensor[:3, :3] @ axis
    np.testing.assert_allclose(turned, (0, 0, 1), atol=1e-12)


def test_cameras_that_take_another_axis_for_up_are_refused(tmp_path: Path) -> None:
    about_y = np.array([[0.0, 0, 1, 0], [0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1]])
    pose = invert_pose(TURN) @ WORLD_FROM_CAMERA
    poses = [pose, about_y @ pose, about_y @ about_y @ pose]
    cameras = [camera_entry("images/a.png", world_from_camera=pose.tolist()) for pose in poses]
    write_camera(tmp_path)
    write_json(tmp_path / "cameras.json", {"cameras": cameras})
    with pytest.raises(InputError, match="by its cameras y is up") as refusal:
        Folder(tmp_path).scenes("all")
    assert '{"world_up": "y"}' in refusal.value.remedy
    for up in ("z", "y"):
        write_json(tmp_path / "cameras.json", {"cameras": cameras, "world_up": up})
        assert len(Folder(tmp_path).scenes("all")[0].views) == 3


@pytest.mark.parametrize("held", ["down", "sideways"])
def test_cameras_that_tell_nothing_of_up_are_taken(tmp_path: Path, held: str) -> None:
    turn = {
        "down": [[1, 0, 0], [0, -1, 0], [0, 0, -1]],
        "sideways": [[0, 1, 0], [0, 0, 1], [1, 0, 0]],
    }
    pose = np.eye(4)
    pose[:3, :3] = turn[held]
    write_camera(tmp_path, world_from_camera=pose.tolist())
    assert len(Folder(tmp_path).scenes("all")[0].views) == 1


def edit(name: str, image: str = "images/a.png", **changes: Any) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        entry = camera_entry(image, **changes)
        write_json(root / "hall" / name, {"cameras": [entry]})

    return change


def text(name: str, content: str) -> Callable[[Path], None]:
    return lambda root: (root / name).write_text(content, encoding="utf-8") and None


def labels(values: Any) -> Callable[[Path], None]:
    return lambda root: np.save(root / "hall" / "labels.npy", values)


NAN_POSE = [[1, 0, 0, float("nan")], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
MIRROR = np.diag([1.0, 1, -1, 1]).tolist()
OURS = "cameras.json"

REFUSALS: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "unknown key": (edit(OURS, intrinsic=[1, 1, 0, 0]), "E_DATASET", "unknown key 'intrinsic'"),
    "image missing": (edit(OURS, image="images/z.png"), "E_NOT_FOUND", "z.png does not exist"),
    "another size": (
        edit(OURS, size=[64, 40]),
        "E_DATASET",
        "128 × 80 pixels, but is described with 64",
    ),
    "NaN": (
        edit(OURS, world_from_camera=NAN_POSE),
        "E_DATASET",
        "NaN and infinity are not numbers",
    ),
    "mirror": (edit(OURS, world_from_camera=MIRROR), "E_DATASET", "is not rigid"),
    "beyond": (edit(OURS, world_from_camera=(1e200 * np.eye(4)).tolist()), "E_DATASET", "last row"),
    "huge": (
        edit(OURS, world_from_camera=[[1e200, 0, 0, 0], [0, 1e200, 0, 0], [0, 0, 1e200, 0]]),
        "E_DATASET",
        "is not rigid",
    ),
    "both poses": (edit(OURS, camera_from_world=MIRROR), "E_DATASET", "has both"),
    "no pose": (edit(OURS, world_from_camera=None), "E_DATASET", "has neither"),
    "flat focus": (edit(OURS, intrinsics=[0, 1, 2, 3]), "E_DATASET", "focal length"),
    "three numbers": (
        edit(OURS, intrinsics=[1, 2, 3]),
        "E_DATASET",
        "neither 4 numbers nor 3 rows",
    ),
    "lens": (edit(OURS, lens="fish"), "E_DATASET", "lens is 'fish'"),
    "too bent": (edit(OURS, distortion=[0] * 9), "E_DATASET", "9 distortion coefficients"),
    "unit": (edit(OURS, depth_unit_m=-1), "E_DATASET", "must be above 0"),
    "cut off": (text("hall/cameras.json", '{"cameras": [{"image'), "E_TRUNCATED", "ends early"),
    "no JSON": (text("hall/cameras.json", "{'cameras': []}"), "E_DATASET", "line 1, column 2"),
    "a list": (text("hall/cameras.json", "[]"), "E_DATASET", "is a list, not an object"),
    "empty": (text("hall/cameras.json", ""), "E_EMPTY_FILE", "no bytes"),
    "no frames": (text("yard/transforms.json", "{}"), "E_DATASET", "has no frames"),
    "too few labels": (labels(np.ones(199, np.int32)), "E_COUNT_MISMATCH", "199 labels"),
    "unknown label": (labels(np.full(200, 2)), "E_DATASET", "contains label 2"),
    "labels of text": (labels(np.full(200, 1.5)), "E_DATASET", "not whole numbers"),
    "split": (text("splits/val.txt", "hal\n"), "E_DATASET", "lists 'hal', but there is no such"),
    "two clouds": (
        lambda root: (
            write_ply(root / "yard" / "cloud.ply", room(2))
            or np.save(root / "yard" / "cloud.npy", room(2))
        ),
        "E_DATASET",
        "contains 2 clouds",
    ),
    "one id twice": (
        text("vocabulary.toml", 'class = [{ name = "a", id = 2 }, { name = "b" }]'),
        "E_VOCABULARY",
        "'a' and 'b' both have the id 2",
    ),
    "no vocabulary": (lambda root: (root / "vocabulary.toml").unlink(), "E_DATASET", "no vocab"),
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_what_cannot_be_is_refused_in_one_line(root: Path, kind: str) -> None:
    damage, code, fault = REFUSALS[kind]
    damage(root)
    with pytest.raises(InputError) as refusal:
        folder = Folder(root)
        for split in folder.splits():
            for scene in folder.scenes(split):
                folder.ground_truth(scene)
    assert refusal.value.code == code
    assert fault in refusal.value.fault
    assert refusal.value.remedy and "\n" not in str(refusal.value)
    assert str(root) in refusal.value.where


def test_the_documentation_lists_every_key() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "guides" / "own-data.md").read_text(
        encoding="utf-8"
    )
    of_cameras, of_the_file = text.split("| key of the file |")
    for part, schema in ((of_cameras, cameras_json._Camera), (of_the_file, CamerasJson)):
        rows = re.findall(r"^\| (`[^|]*) \|", part, re.MULTILINE)
        keys = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
        assert keys == set(schema.__struct_fields__)


def test_a_near_key_is_suggested(root: Path) -> None:
    edit(OURS, intrinsic=[1, 1, 0, 0])(root)
    with pytest.raises(InputError) as refusal:
        Folder(root).scenes("all")
    assert refusal.value.remedy.startswith("Did you mean intrinsics? ")
    assert refusal.value.fault == "cameras[0] has the unknown key 'intrinsic'"


def test_digits_that_are_no_number_are_refused(tmp_path: Path) -> None:
    write_colmap_text(tmp_path / "sparse", "a.png")
    path = tmp_path / "sparse" / "cameras.txt"
    for width in ("²", "9" * 5000):
        path.write_text(f"7 PINHOLE {width} 80 1 1 1 1\n", encoding="utf-8")
        with pytest.raises(InputError, match="where a whole number is expected"):
            Folder(tmp_path).scenes("all")


@pytest.mark.parametrize("table", ["cameras", "images", "points3D"])
def test_a_cut_colmap_table_is_refused_wherever_it_ends(tmp_path: Path, table: str) -> None:
    model = tmp_path / "sparse" / "0"
    write_colmap_binary(model, "a.png")
    write_colmap_points(model, room(2), binary=True)
    write_image(tmp_path / "images" / "a.png")
    path = model / f"{table}.bin"
    whole = path.read_bytes()
    for length in range(1, len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError) as refusal:
            folder = Folder(tmp_path)
            folder.cloud(folder.scenes("all")[0].sweeps[0])
        assert refusal.value.code == "E_TRUNCATED"
