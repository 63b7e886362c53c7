"""Answers against truth: what is counted, what is left out, and who answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from posed_sample import BACK, SIZE, SPACE, InMemory, Where, four_words, view_from, where

from clip3d_cli.core.clouds import PointCloud
from clip3d_cli.core.scenes import PosedScene, Sweep, View
from clip3d_cli.core.words import Vocabulary
from clip3d_cli.encoders.encoder import PointEncoder
from clip3d_cli.encoders.spec import EncoderSpec
from clip3d_cli.errors import UsageError
from clip3d_cli.pipelines.judge import judge_scenes, network_answer, teacher_answer
from clip3d_cli.pipelines.label import label_cloud
from clip3d_cli.teachers.cache import write_features
from clip3d_cli.training.pixel_pairs import BatchOptions

AWAY_M = 100.0
OPTIONS = BatchOptions(occlusion="none", least_depth_m=0.5)


@dataclass
class Judged(InMemory):
    """A data set in memory that has truth for some scenes."""

    truths: dict[str, list[int]] = field(default_factory=dict)

    def truth(self, scene: PosedScene) -> npt.NDArray[np.int32] | None:
        found = self.truths.get(scene.name)
        return None if found is None else np.array(found, dtype=np.int32)

    def add(self, name: str, x: Sequence[float], truth: list[int] | None) -> PosedScene:
        """A scene of points on a line, whose sensor stands far away."""
        path = Path(f"{name}.bin")
        xyz = np.zeros((len(x), 3))
        xyz[:, 0] = x
        self.clouds[path] = PointCloud(xyz, None, np.zeros(len(x), dtype=np.float32))
        if truth is not None:
            self.truths[name] = truth
        pose = np.eye(4)
        pose[0, 3] = AWAY_M
        return PosedScene(name, (Sweep(path, pose),), ())


def looked_up(answers: list[int]) -> Any:
    """What answers by a point's place in the world: point x says the x-th of these."""

    def answer(scene: PosedScene, cloud: PointCloud) -> npt.NDArray[np.int32]:
        assert scene.name != "blind"
        place = np.rint(cloud.xyz[:, 0] - AWAY_M).astype(int)
        return np.array(answers, dtype=np.int32)[place]

    return answer


@pytest.fixture
def dataset() -> Judged:
    return Judged(vocabulary=Vocabulary.of_words(["a", "b", "c"]))


def test_counts_are_those_of_the_hand(dataset: Judged) -> None:
    scenes = [
        dataset.add("one", [0, np.nan, 2, 3, 4, 5], [0, 2, 0, 1, 1, -1]),
        dataset.add("blind", [0, 1], None),
        dataset.add("two", [2, 3], [2, 1]),
    ]
    found = judge_scenes(dataset, scenes, looked_up([0, 2, 1, 1, -1, 2]))
    # Rows a, b, c; the last column is unlabeled. The point without a place is not counted.
    assert found.confusion.counts.tolist() == [[1, 1, 0, 0], [0, 2, 0, 1], [0, 1, 0, 0]]
    assert found.points == 6
    assert found.mean_iou == pytest.approx((1 / 2 + 2 / 5 + 0) / 3)
    assert found.vocabulary is dataset.vocabulary


def test_only_leaves_points_out(dataset: Judged) -> None:
    scenes = [dataset.add("one", [0, np.nan, 2, 3], [0, 0, 1, 1])]
    answer = looked_up([0, 0, 0, 1])
    every = judge_scenes(dataset, scenes, answer)
    some = judge_scenes(dataset, scenes, answer, only=looked_up([2, 0, -1, 0]))
    assert (every.points, some.points) == (3, 2)
    assert some.confusion.counts.tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    none = judge_scenes(dataset, scenes, answer, only=looked_up([-1] * 4))
    assert none.points == 0
    assert np.isnan(none.mean_iou)


def test_returns_of_the_vehicle_are_not_judged(dataset: Judged) -> None:
    scenes = [dataset.add("one", [0, 1, 2, 3], [0, 1, 0, 1])]
    dataset.ego_m = 1.5
    assert judge_scenes(dataset, scenes, looked_up([0, 0, 0, 0])).points == 2


def test_scenes_are_wrapped_by_progress(dataset: Judged) -> None:
    told: list[tuple[int, str]] = []

    def progress(steps: Any, what: str) -> Any:
        told.append((len(steps), what))
        return steps

    scenes = [dataset.add(name, [0], [0]) for name in ("one", "two")]
    judge_scenes(dataset, scenes, looked_up([0]), progress=progress)
    assert told == [(2, "judging")]


def test_without_a_vocabulary_nothing_is_judged() -> None:
    dataset = Judged(root=Path("scans"))
    with pytest.raises(UsageError, match=r"E_DATASET.*scans: has no vocabulary") as refusal:
        judge_scenes(dataset, [], looked_up([]))
    assert refusal.value.remedy == "Add vocabulary.toml."


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
    answer = teacher_answer(tmp_path / "features", words, OPTIONS)
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
        vocabulary=Vocabulary.of_words(["right", "left"]),
    )
    scene = PosedScene(
        "scene", (Sweep(Path("a.bin"), np.eye(4)),), (view_from(tmp_path, 0, (0, 0, 0)),)
    )
    write_features(scene, Where(), tmp_path)
    cloud = PointCloud(np.array([[-3, 5, 0], [3, 5, 0], [0, -5, 0.0]]), None, None)
    found = teacher_answer(tmp_path, words, OPTIONS)(scene, cloud)
    assert found.tolist() == [1, 0, -1]


def test_a_network_answers_as_label_does() -> None:
    torch.manual_seed(0)
    shape = {"width": 0.25, "layers": 14}
    spec = EncoderSpec("minkunet", shape, ("intensity",), (0.4,), SPACE, "mini", 14.0)
    encoder = PointEncoder(spec).eval()
    head: Any = encoder.network.head
    with torch.no_grad():
        head.weight *= 100
    rng = np.random.default_rng(0)
    cloud = PointCloud(rng.uniform(-3, 3, (300, 3)), None, rng.random(300).astype(np.float32))
    scene = PosedScene("scene", (Sweep(Path("a.bin"), np.eye(4)),), ())
    found = network_answer(encoder, four_words())(scene, cloud)
    assert found.tolist() == label_cloud(cloud, encoder, four_words()).class_index.tolist()
    assert len(set(found.tolist())) > 1
