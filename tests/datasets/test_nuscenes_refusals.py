from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets_trees_nuscenes as official
import numpy as np
import pytest

from clip3d_cli.datasets.nuscenes.dataset import NuScenes
from clip3d_cli.errors import Clip3DError, InputError


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nuscenes")
    official.write_tree(folder)
    return folder


@pytest.fixture
def own_root(root: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(root, tmp_path / "nuscenes"))


def edit(path: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    rows = json.loads(path.read_text())
    change(rows)
    path.write_text(json.dumps(rows))


def table(name: str, change: Callable[[list[dict[str, Any]]], object]) -> Callable[[Path], None]:
    return lambda root: edit(root / official.VERSION / f"{name}.json", change)


def put(name: str, row: int, key: str, value: object) -> Callable[[Path], None]:
    return table(name, lambda rows: rows[row].__setitem__(key, value))


def cut(name: str) -> Callable[[Path], None]:
    def broken(root: Path) -> None:
        path = root / official.VERSION / f"{name}.json"
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return broken


def missing(name: str) -> Callable[[Path], None]:
    return lambda root: (root / official.VERSION / f"{name}.json").unlink()


def lidar(key: str, *value: object) -> Callable[[Path], None]:
    """Sets a value of the lidar's key frames, or takes it away."""

    def change(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            if row["filename"].startswith("samples/LIDAR_TOP"):
                row.update({key: value[0]}) if value else row.pop(key)

    return table("sample_data", change)


BROKEN_TABLES = {
    "no samples": (missing("sample"), "E_NOT_FOUND", "sample.json"),
    "no sample data": (missing("sample_data"), "E_NOT_FOUND", "sample_data.json"),
    "no ego poses": (missing("ego_pose"), "E_NOT_FOUND", "ego_pose.json"),
    "no sensors": (missing("calibrated_sensor"), "E_NOT_FOUND", "calibrated_sensor.json"),
    "cut sample data": (cut("sample_data"), "E_TRUNCATED", "ends within row"),
    "cut ego poses": (cut("ego_pose"), "E_TRUNCATED", "ends within row"),
    "sample of no scene": (put("sample", 0, "scene_token", "x"), "E_DATASET", "leads nowhere"),
    "data of no sample": (lidar("sample_token", "x"), "E_DATASET", "nowhere"),
    "data of no sensor": (
        lidar("calibrated_sensor_token", "x"), "E_DATASET", "leads nowhere",
    ),
    "sensor of no kind": (
        put("calibrated_sensor", 0, "sensor_token", "x"), "E_DATASET", "leads nowhere",
    ),
    "data of no pose": (
        lidar("ego_pose_token", "x"), "E_DATASET", "has no row 'x'",
    ),
    "sweep after nothing": (lidar("prev", "x"), "E_DATASET", "leads nowhere"),
    "labels of nothing": (put("lidarseg", 0, "sample_data_token", "x"), "E_DATASET", "nowhere"),
    "no file name": (lidar("filename"), "E_DATASET", "'filename'"),
    "no time": (lidar("timestamp", None), "E_DATASET", "is broken"),
    "no key frame": (
        table("sample", lambda rows: rows.append(rows[0] | {"token": "x"})),
        "E_DATASET", "no LIDAR_TOP key frame of sample 'x'",
    ),
    "no turn": (put("ego_pose", 0, "rotation", [0, 0, 0, 0]), "E_DATASET", "not a pose"),
    "not a number": (put("ego_pose", 0, "rotation", [1, 0, 0, np.nan]), "E_DATASET", "not a pose"),
    "five numbers": (put("ego_pose", 0, "rotation", [1, 0, 0, 0, 0]), "E_DATASET", "not a pose"),
    "no intrinsics": (put("calibrated_sensor", 2, "camera_intrinsic", [1]), "E_DATASET", "3x3"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN_TABLES)
def test_broken_tables_are_refused(case: str, own_root: Path) -> None:
    breaking, code, words = BROKEN_TABLES[case]
    breaking(own_root)
    with pytest.raises(Clip3DError) as refusal:
        NuScenes(own_root).scenes("all")
    assert refusal.value.code == code
    assert words in str(refusal.value)
    assert refusal.value.remedy


def test_broken_files_are_refused_when_they_are_opened(own_root: Path) -> None:
    dataset = NuScenes(own_root)
    gone, short, fewer, strange = dataset.scenes("all")[:4]
    gone.sweeps[0].path.unlink()
    refuses(
        lambda: dataset.cloud(gone.sweeps[0]),
        "E_NOT_FOUND",
        "listed in the tables, but does not exist",
    )
    cut_short(short.sweeps[0].path, 7)
    refuses(lambda: dataset.cloud(short.sweeps[0]), "E_TRUNCATED", "not a whole number of points")
    assert fewer.ground_truth is not None and strange.ground_truth is not None
    cut_short(fewer.ground_truth, 1)
    refuses(lambda: dataset.ground_truth(fewer), "E_COUNT_MISMATCH", "401 bytes are not 402 labels")
    for number in (32, 33, 255):
        strange.ground_truth.write_bytes(bytes([number]) * 402)
        refuses(lambda: dataset.ground_truth(strange), "E_DATASET", f"label {number},")


def test_an_image_without_a_size_is_refused(own_root: Path) -> None:
    path = own_root / official.VERSION / "sample_data.json"
    edit(path, lambda rows: [row.update(width=0) for row in rows if "CAM_" in row["filename"]])
    refuses(lambda: NuScenes(own_root).scenes("all")[0], "E_DATASET", "no width and height")


def test_a_category_of_no_lidarseg_is_refused(own_root: Path) -> None:
    put("category", 3, "name", "human.robot")(own_root)
    dataset = NuScenes(own_root)
    refuses(lambda: dataset.ground_truth(dataset.scenes("all")[0]), "E_DATASET", "human.robot")


def test_a_root_one_level_too_high_is_told_the_right_one(root: Path) -> None:
    with pytest.raises(InputError) as refusal:
        NuScenes(root.parent)
    assert refusal.value.code == "E_NOT_FOUND"
    assert "v1.0-trainval" in refusal.value.fault
    assert refusal.value.remedy.startswith("Did you mean ")


def refuses(action: Callable[[], object], code: str, words: str) -> None:
    with pytest.raises(Clip3DError) as refusal:
        action()
    assert refusal.value.code == code
    assert words in str(refusal.value)
    assert refusal.value.remedy


def cut_short(path: Path, by: int) -> None:
    path.write_bytes(path.read_bytes()[:-by])
