from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import datasets_trees_semantickitti as official
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from clip3d_cli.core.scenes import PosedScene, transform_points
from clip3d_cli.core.vocabulary import load_vocabulary
from clip3d_cli.datasets.labels import file_labels
from clip3d_cli.datasets.semantickitti.dataset import SemanticKitti
from clip3d_cli.datasets.splits import split_numbers
from clip3d_cli.datasets.sweeps import merge_sweeps
from clip3d_cli.errors import Clip3DError, InputError

Floats = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kitti")
    official.write_tree(folder)
    return folder


@pytest.fixture
def own_root(root: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(root, tmp_path / "kitti"))


@pytest.fixture(scope="module")
def dataset(root: Path) -> SemanticKitti:
    return SemanticKitti(root)


def frame(dataset: SemanticKitti, name: str) -> PosedScene:
    return next(scene for scene in dataset.scenes("all") if scene.name == name)


@pytest.mark.parametrize("number", [0, 5, 12])
def test_the_view_is_p2_after_the_cameras_pose(number: int, dataset: SemanticKitti) -> None:
    (view,) = frame(dataset, f"00_{number:06d}").views
    world = official.world_points()
    lidar_turn, lidar_shift = official.lidar_to_camera()
    camera_turn, place = official.camera_pose(number)
    at_start = np.stack([lidar_turn @ point + lidar_shift for point in world])
    in_camera_0 = np.stack([camera_turn.T @ (point - place) for point in at_start])
    homogeneous = np.stack([official.P2 @ [*point, 1.0] for point in in_camera_0])
    ahead = homogeneous[:, 2] > 2
    assert ahead.sum() > 50
    in_camera_2 = transform_points(view.camera_from_world, world)[ahead]
    seen = in_camera_2 @ view.intrinsics.T
    right = homogeneous[ahead]
    np.testing.assert_allclose(seen[:, :2] / seen[:, 2:], right[:, :2] / right[:, 2:], atol=5e-4)
    np.testing.assert_allclose(in_camera_2[:, 2], right[:, 2], atol=1e-5)


def test_the_baseline_of_p2_is_in_the_views_pose(dataset: SemanticKitti) -> None:
    (view,) = frame(dataset, "00_000000").views
    camera_0 = transform_points(view.camera_from_world, official.world_points()) - (
        official.world_points() @ official.lidar_to_camera()[0].T + official.LIDAR_IN_CAMERA
    )
    # 4.538 px / 71.89 px; less the part that the principal point takes of the shift ahead.
    shift_x = (4.538225 - 60.71928 * 0.003779761) / 71.8856
    np.testing.assert_allclose(camera_0[:, 0], shift_x, atol=1e-5)
    np.testing.assert_allclose(camera_0[:, 2], 0.003779761, atol=1e-5)


def test_sweeps_of_a_still_world_coincide(dataset: SemanticKitti) -> None:
    scene = frame(dataset, "00_000012")
    assert [sweep.path.stem for sweep in scene.sweeps] == [f"{n:06d}" for n in range(12, 1, -1)]
    merged = merge_sweeps(dataset, scene.sweeps)
    for position in range(11):
        xyz = merged.cloud.xyz[merged.sweep_of_point == position]
        np.testing.assert_allclose(xyz, official.world_points(), atol=1e-4)


def test_sweeps_do_not_reach_into_another_sequence(dataset: SemanticKitti) -> None:
    assert len(frame(dataset, "00_000000").sweeps) == 1
    assert len(frame(dataset, "00_000003").sweeps) == 4
    assert len(frame(dataset, "01_000000").sweeps) == 1
    assert len(frame(dataset, "08_000001").sweeps) == 2


def test_times_sizes_and_what_is_missing(dataset: SemanticKitti) -> None:
    scene = frame(dataset, "00_000010")
    assert [sweep.time_s for sweep in scene.sweeps[:2]] == pytest.approx([1.037, 0.9333])
    assert scene.views[0].time_s == pytest.approx(1.037)
    assert scene.views[0].size == (124, 38)
    assert frame(dataset, "08_000000").views[0].size == (122, 37)
    assert frame(dataset, "05_000000").sweeps[0].time_s is None
    assert frame(dataset, "11_000000").ground_truth is None
    assert frame(dataset, "21_000000").views == ()


def test_intensity_is_the_files(own_root: Path) -> None:
    dataset = SemanticKitti(own_root)
    scene = frame(dataset, "00_000000")
    rows = np.fromfile(scene.sweeps[0].path, "<f4").reshape(-1, 4)
    rows[0, 3], rows[1, 3] = np.nan, 1.5
    scene.sweeps[0].path.write_bytes(rows.tobytes())
    intensity = dataset.cloud(scene.sweeps[0]).intensity
    assert intensity is not None
    assert intensity[:2].tolist() == [0, 1]
    np.testing.assert_array_equal(intensity[2:], rows[2:, 3])


def test_truth_is_the_nineteen_classes_without_instance(dataset: SemanticKitti) -> None:
    truth = dataset.ground_truth(frame(dataset, "08_000001"))
    assert truth is not None
    names = [dataset.vocabulary.classes[i].name if i >= 0 else None for i in truth[:13]]
    assert names == [
        "road", "sidewalk", "building", "vegetation", "car", "car", "person", None, None, "road",
        "other-vehicle", "traffic-sign", "car",
    ]  # fmt: skip


def test_every_label_has_the_official_class() -> None:
    """The published learning map: label to number among 19, in our vocabulary's order."""
    published = {
        0: 0, 1: 0, 10: 1, 11: 2, 13: 5, 15: 3, 16: 5, 18: 4, 20: 5, 30: 6, 31: 7, 32: 8, 40: 9,
        44: 10, 48: 11, 49: 12, 50: 13, 51: 14, 52: 0, 60: 9, 70: 15, 71: 16, 72: 17, 80: 18,
        81: 19, 99: 0, 252: 1, 253: 7, 254: 6, 255: 8, 256: 5, 257: 5, 258: 4, 259: 5,
    }  # fmt: skip
    classes = [None, *(entry.name for entry in load_vocabulary("semantickitti19").classes)]
    ours = {label.number: classes.index(label.class_name) for label in file_labels("semantickitti")}
    assert ours == published


def test_splits_are_the_official_ones(dataset: SemanticKitti) -> None:
    assert split_numbers("semantickitti") == {
        "train": (0, 1, 2, 3, 4, 5, 6, 7, 9, 10), "val": (8,), "test": tuple(range(11, 22)),
    }  # fmt: skip
    assert dataset.splits() == ("train", "val", "test", "all")
    assert [scene.name for scene in dataset.scenes("val")] == ["08_000000", "08_000001"]
    assert len(dataset.scenes("train")) == 13 + 9
    assert len(dataset.scenes("all")) == 13 + 2 + 20


def test_a_part_of_the_sequences_serves_the_splits_it_can(own_root: Path) -> None:
    shutil.rmtree(own_root / "dataset" / "sequences" / "03")
    dataset = SemanticKitti(own_root)
    assert dataset.splits() == ("val", "test", "all")
    with pytest.raises(InputError) as refusal:
        dataset.scenes("train")
    assert refusal.value.code == "E_NOT_FOUND"
    assert str(Path("sequences", "03", "velodyne")) in refusal.value.where
    assert "val, test, all" in refusal.value.remedy


@pytest.mark.parametrize("below", ["", "dataset", "dataset/sequences"])
def test_the_root_may_be_named_at_three_levels(below: str, root: Path) -> None:
    dataset = SemanticKitti(root / below)
    assert dataset.root == root / "dataset"
    assert len(dataset.scenes("val")) == 2


@pytest.mark.parametrize("below", ["..", "dataset/sequences/00", "dataset/sequences/00/velodyne"])
def test_other_levels_are_told_the_right_one(below: str, root: Path) -> None:
    with pytest.raises(InputError) as refusal:
        SemanticKitti((root / below).resolve())
    assert refusal.value.code == "E_NOT_FOUND"
    if below != "dataset/sequences/00/velodyne":
        assert refusal.value.remedy.startswith("Did you mean ")


SEQUENCE = Path("dataset", "sequences", "00")


def edit(name: str, change: Callable[[str], str]) -> Callable[[Path], None]:
    def broken(root: Path) -> None:
        path = root / SEQUENCE / name
        path.write_text(change(path.read_text()))

    return broken


def missing(name: str) -> Callable[[Path], None]:
    return lambda root: (root / SEQUENCE / name).unlink()


def without(start: str) -> Callable[[str], str]:
    return lambda text: "\n".join(row for row in text.splitlines() if not row.startswith(start))


BROKEN_SEQUENCES = {
    "no calibration": (missing("calib.txt"), "E_NOT_FOUND", "calib.txt"),
    "no Tr": (edit("calib.txt", without("Tr")), "E_DATASET", "has no 'Tr'"),
    "no P2": (edit("calib.txt", without("P2")), "E_DATASET", "has no 'P2'"),
    "Tr of eleven": (
        edit("calib.txt", lambda text: text.rstrip().rpartition(" ")[0]), "E_DATASET", "Tr is not",
    ),
    "Tr that scales": (
        edit("calib.txt", lambda text: without("Tr")(text) + "\nTr: 2 0 0 0 0 2 0 0 0 0 2 0"),
        "E_DATASET", "Tr is not a rigid transform",
    ),
    "P2 that turns": (
        edit("calib.txt", lambda text: without("P2")(text) + "\nP2: 0 1 0 0 1 0 0 0 0 0 1 0"),
        "E_DATASET", "P2 is not the projection",
    ),
    "words": (edit("poses.txt", lambda text: "one " + text), "E_DATASET", "line 1: could not"),
    "no poses": (missing("poses.txt"), "E_NOT_FOUND", "nor does"),
    "few poses": (
        edit("poses.txt", lambda text: "\n".join(text.splitlines()[:12])),
        "E_COUNT_MISMATCH", "has 12 lines, but the last scan is frame 12",
    ),
    "few times": (
        edit("times.txt", lambda text: text[:20]), "E_COUNT_MISMATCH", "the last scan is frame 12",
    ),
    "not text": (
        lambda root: (root / SEQUENCE / "times.txt").write_bytes(b"\xff\xfe\x00"),
        "E_DATASET", "is not text",
    ),
    "a stranger": (
        lambda root: (root / SEQUENCE / "velodyne" / "map.bin").write_bytes(b"1234"),
        "E_DATASET", "is not named by its frame",
    ),
    "no scans": (
        lambda root: [path.unlink() for path in (root / SEQUENCE / "velodyne").iterdir()],
        "E_NOT_FOUND", "contains no scans",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN_SEQUENCES)
def test_broken_sequences_are_refused(case: str, own_root: Path) -> None:
    breaking, code, words = BROKEN_SEQUENCES[case]
    breaking(own_root)
    refuses(lambda: SemanticKitti(own_root).scenes("all"), code, words)


def test_broken_files_are_refused_when_they_are_opened(own_root: Path) -> None:
    dataset = SemanticKitti(own_root)
    gone, short, fewer, strange, blind, page = dataset.scenes("all")[:6]
    gone.sweeps[0].path.unlink()
    refuses(lambda: dataset.cloud(gone.sweeps[0]), "E_NOT_FOUND", "does not exist")
    short.sweeps[0].path.write_bytes(short.sweeps[0].path.read_bytes()[:-3])
    refuses(lambda: dataset.cloud(short.sweeps[0]), "E_TRUNCATED", "not a whole number of points")
    assert fewer.ground_truth is not None and strange.ground_truth is not None
    fewer.ground_truth.write_bytes(fewer.ground_truth.read_bytes()[:-4])
    refuses(lambda: dataset.ground_truth(fewer), "E_COUNT_MISMATCH", "one per point")
    strange.ground_truth.write_bytes(np.full(300, 2, "<u4").tobytes())
    refuses(lambda: dataset.ground_truth(strange), "E_DATASET", "label 2,")
    blind.views[0].image.unlink()
    refuses(lambda: frame(dataset, blind.name), "E_NOT_FOUND", "image_2")
    page.sweeps[0].path.write_bytes(b"<!doctype html>" + bytes(4785))
    refuses(lambda: dataset.cloud(page.sweeps[0]), "E_NOT_A_CLOUD", "HTML")


def test_sizes_are_read_from_each_image(own_root: Path) -> None:
    dataset = SemanticKitti(own_root)
    path = frame(dataset, "00_000001").views[0].image
    Image.new("RGB", (100, 30)).save(path)
    assert frame(dataset, "00_000001").views[0].size == (100, 30)


def refuses(action: Callable[[], object], code: str, words: str) -> None:
    with pytest.raises(Clip3DError) as refusal:
        action()
    assert refusal.value.code == code
    assert words in str(refusal.value)
    assert refusal.value.remedy
