from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from clip3d_cli.core.embeddings import FeatureSpace
from clip3d_cli.core.scenes import PosedScene, Sweep, View
from clip3d_cli.errors import Clip3DError, InputError, OutputError
from clip3d_cli.teachers.cache import features_folder, read_features, write_features

SPACE = FeatureSpace("openclip/tiny/openai", 8)


class Counting:
    """A teacher whose features are mean colors of patches, and which counts its images."""

    space = SPACE

    def __init__(self, name: str = "tiny_value_32", fails_at: int = -1) -> None:
        self.name = name
        self.seen = 0
        self.fails_at = fails_at

    def __call__(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        if self.seen == self.fails_at:
            raise KeyboardInterrupt
        self.seen += 1
        height, width = image.shape[0] // 8, image.shape[1] // 8
        means = image.reshape(height, 8, width, 8, 3).mean(axis=(1, 3))
        features = np.concatenate([means, np.ones((height, width, 5))], axis=2)
        return (features / np.linalg.norm(features, axis=2, keepdims=True)).astype(np.float32)


def make_scene(root: Path, count: int = 3) -> PosedScene:
    views = []
    for number in range(count):
        # As in PandaSet: the images of all cameras have the same names.
        path = root / f"camera {number}" / "00.png"
        path.parent.mkdir(parents=True)
        size = (32 + 8 * number, 24)
        pixels = np.random.default_rng(number).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        views.append(View(path, size, np.eye(3), np.eye(4)))
    return PosedScene("scene-0001", (Sweep(root / "cloud.ply", np.eye(4)),), tuple(views))


@pytest.fixture
def scene(tmp_path: Path) -> PosedScene:
    return make_scene(tmp_path / "scans")


def pixels_of(view: View) -> npt.NDArray[np.uint8]:
    return np.array(Image.open(view.image))


def test_what_is_written_is_read(scene: PosedScene, tmp_path: Path) -> None:
    teacher = Counting()
    folder = features_folder(tmp_path / "features", teacher)
    path = write_features(scene, teacher, folder)
    assert path == tmp_path / "features" / "tiny_value_32" / "scene-0001.safetensors"
    features = read_features(path, scene, SPACE)
    assert [part.shape for part in features] == [(3, 4, 8), (3, 5, 8), (3, 6, 8)]
    for part, view in zip(features, scene.views, strict=True):
        assert part.dtype == np.float16
        np.testing.assert_array_equal(part, teacher(pixels_of(view)).astype(np.float16))
    # Any reader of safetensors finds the same.
    tensors = load_file(path)
    for number, part in enumerate(features):
        np.testing.assert_array_equal(tensors[str(number)], part)
    assert list(folder.iterdir()) == [path]


def test_complete_files_are_kept(scene: PosedScene, tmp_path: Path) -> None:
    teacher = Counting()
    path = write_features(scene, teacher, tmp_path)
    before = path.stat().st_mtime_ns
    assert write_features(scene, teacher, tmp_path) == path
    assert (teacher.seen, path.stat().st_mtime_ns) == (3, before)


def _cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _headless(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _foreign(path: Path) -> None:
    save_file({"0": np.zeros((3, 4, 8), dtype=np.float16)}, path)


def _longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0\0")


@pytest.mark.parametrize("damage", [_cut_off, _headless, _empty, _foreign, _longer])
def test_broken_files_are_rejected_and_replaced(
    damage: Callable[[Path], None], scene: PosedScene, tmp_path: Path
) -> None:
    path = write_features(scene, Counting(), tmp_path)
    whole = path.read_bytes()
    damage(path)
    with pytest.raises(InputError) as caught:
        read_features(path, scene, SPACE)
    assert caught.value.code in ("E_CORRUPT", "E_EMPTY_FILE")
    teacher = Counting()
    write_features(scene, teacher, tmp_path)
    assert teacher.seen == 3
    assert path.read_bytes() == whole


def test_features_of_other_teachers_and_images_are_replaced(
    scene: PosedScene, tmp_path: Path
) -> None:
    write_features(scene, Counting(), tmp_path)
    other = Counting("tiny_self_32")
    write_features(scene, other, tmp_path)
    assert other.seen == 3
    Image.fromarray(np.zeros((24, 32, 3), dtype=np.uint8)).save(scene.views[0].image)
    write_features(scene, other, tmp_path)
    assert other.seen == 6


def test_features_of_other_images_are_rejected(scene: PosedScene, tmp_path: Path) -> None:
    path = write_features(scene, Counting(), tmp_path)
    for views in (scene.views[::-1], scene.views[:2], ()):
        with pytest.raises(InputError) as caught:
            read_features(path, replace(scene, views=views), SPACE)
        assert caught.value.code == "E_CHANGED"


def test_features_of_another_space_are_rejected(scene: PosedScene, tmp_path: Path) -> None:
    path = write_features(scene, Counting(), tmp_path)
    with pytest.raises(Clip3DError, match="openclip/tiny/openai") as caught:
        read_features(path, scene, FeatureSpace("openclip/other/openai", 8))
    assert caught.value.code == "E_SPACE_MISMATCH"


def test_an_interrupt_leaves_nothing(scene: PosedScene, tmp_path: Path) -> None:
    folder = tmp_path / "features"
    with pytest.raises(KeyboardInterrupt):
        write_features(scene, Counting(fails_at=2), folder)
    assert list(folder.iterdir()) == []
    with pytest.raises(InputError) as caught:
        read_features(folder / "scene-0001.safetensors", scene, SPACE)
    assert caught.value.code == "E_NOT_FOUND"


def test_images_of_another_size_are_rejected(scene: PosedScene, tmp_path: Path) -> None:
    """Such as images that a viewer rotates: intrinsics refer to the stored pixels."""
    views = (replace(scene.views[0], size=(24, 32)), *scene.views[1:])
    with pytest.raises(InputError, match="has 32×24 pixels, but its camera has 24×32") as caught:
        write_features(replace(scene, views=views), Counting(), tmp_path / "features")
    assert caught.value.code == "E_DATASET"


def test_missing_and_broken_images_are_named(scene: PosedScene, tmp_path: Path) -> None:
    image = scene.views[1].image
    image.write_bytes(image.read_bytes()[:200])
    with pytest.raises(InputError, match="camera 1"):
        write_features(scene, Counting(), tmp_path / "features")
    image.unlink()
    with pytest.raises(InputError, match="camera 1"):
        write_features(scene, Counting(), tmp_path / "features")


def test_a_scene_without_views(scene: PosedScene, tmp_path: Path) -> None:
    bare = replace(scene, views=())
    assert read_features(write_features(bare, Counting(), tmp_path), bare, SPACE) == ()


def test_many_views_fit_the_header(tmp_path: Path) -> None:
    scene = make_scene(tmp_path / "scans", count=40)
    path = write_features(scene, Counting(), tmp_path)
    header = path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")]
    assert len(json.loads(header)) == 41
    assert len(read_features(path, scene, SPACE)) == len(load_file(path)) == 40


def test_folders_that_cannot_be_made(scene: PosedScene, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError) as caught:
        write_features(scene, Counting(), tmp_path / "file" / "features")
    assert caught.value.code == "E_NOT_WRITABLE"


@pytest.mark.parametrize("count", range(4))
def test_arrays_are_aligned(count: int, scene: PosedScene, tmp_path: Path) -> None:
    path = write_features(replace(scene, views=scene.views[:count]), Counting(), tmp_path)
    assert int.from_bytes(path.read_bytes()[:8], "little") % 8 == 0
