"""What a teacher that sees images says of points."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from posed_sample import BACK, SIZE, Where, four_words, view_from, where

from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.scenes import PosedScene, Sweep, View
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.pipelines.evaluate.teacher import teacher_predictor
from clip3d_cli.teachers.cache import write_features
from clip3d_cli.training.clip2scene.pixel_pairs import BatchOptions

OPTIONS = BatchOptions(occlusion="none", least_depth_m=0.5)


def seen_by(view: View, xyz: npt.NDArray[np.float64]) -> bool:
    x, y, z = view.camera_from_world[:3, :3] @ xyz + view.camera_from_world[:3, 3]
    u, v = 32 * x / z + 31.5, 32 * y / z + 15.5
    return bool(z > 0.5 and 0.5 <= u < SIZE[0] - 1.5 and 0.5 <= v < SIZE[1] - 1.5)


def test_a_teacher_says_the_mean_of_all_views(tmp_path: Path) -> None:
    cameras = (0, 3)
    views = [view_from(tmp_path, 0, (0, 0, 0)), view_from(tmp_path, 3, (1.5, -1, 0.2))]
    back = view_from(tmp_path, 4, (0, 0, 0), BACK)
    scene = PosedScene("scene", (Sweep(Path("scene.bin"), np.eye(4)),), (*views, back))
    write_features(scene, Where(), tmp_path / "features")
    words = four_words()
    answer = teacher_predictor(tmp_path / "features", words, OPTIONS)
    rng = np.random.default_rng(0)
    ahead = rng.uniform((-6, 2, -2), (6, 9, 2), (300, 3))
    above = rng.uniform((-3, -3, 50), (3, 3, 60), (20, 3))
    xyz = np.concatenate([ahead, above])
    found = answer(scene, PointCloud(xyz, None, None))
    assert found.dtype == np.int32
    assert (found[300:] == -1).all()
    by_views = {0: 0, 1: 0, 2: 0}
    unlike_either = 0
    for point, said in zip(ahead, found, strict=False):
        told = [
            where(view, camera, point)
            for view, camera in zip(views, cameras, strict=True)
            if seen_by(view, point)
        ]
        by_views[len(told)] += 1
        if not told:
            assert said == -1
            continue
        similarity = np.sort(words.vectors @ np.mean(told, axis=0))
        if similarity[-1] - similarity[-2] > 2e-3:  # Features are stored in half precision.
            assert said == int(np.argmax(words.vectors @ np.mean(told, axis=0)))
            unlike_either += any(said != np.argmax(words.vectors @ each) for each in told)
    assert min(by_views.values()) > 20
    assert unlike_either > 20


def test_words_of_a_class_are_one_answer(tmp_path: Path) -> None:
    words = replace(
        four_words(),
        class_of_vector=np.array([1, 0, 1, 0], dtype=np.int32),
        vocabulary=Vocabulary.from_names(["right", "left"]),
    )
    scene = PosedScene(
        "scene", (Sweep(Path("a.bin"), np.eye(4)),), (view_from(tmp_path, 0, (0, 0, 0)),)
    )
    write_features(scene, Where(), tmp_path)
    xyz = np.array([[-3, 5, 0], [np.nan, 5, 0], [3, 5, 0], [0, -5, 0.0]])
    found = teacher_predictor(tmp_path, words, OPTIONS)(scene, PointCloud(xyz, None, None))
    assert found.tolist() == [1, -1, 0, -1]
