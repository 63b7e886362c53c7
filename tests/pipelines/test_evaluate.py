"""Predictions against ground truth: counts of points, by distance, and of instances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from posed_sample import SPACE, InMemory, four_words

from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.scenes import PosedScene, Sweep
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.encoders.spec import EncoderSpec
from clip3d_cli.errors import UsageError
from clip3d_cli.labelling.label import label_cloud
from clip3d_cli.metrics.rules import BenchmarkRules
from clip3d_cli.pipelines.evaluate.run import EvalOptions, evaluate, network_predictor

AWAY_M = 100.0


@dataclass
class LabelledScenes(InMemory):
    """A data set in memory that has ground truth for some scenes."""

    truths: dict[str, list[int]] = field(default_factory=dict)
    objects: dict[str, list[int]] = field(default_factory=dict)

    def ground_truth(self, scene: PosedScene) -> npt.NDArray[np.int32] | None:
        return _array(self.truths.get(scene.name))

    def instances(self, scene: PosedScene) -> npt.NDArray[np.int32] | None:
        return _array(self.objects.get(scene.name))

    def add(self, name: str, x: Sequence[float], truth: list[int] | None) -> PosedScene:
        """A scene of points on a line, whose sensor stands far away and is turned."""
        path = Path(f"{name}.bin")
        xyz = np.zeros((len(x), 3))
        xyz[:, 1] = x
        self.clouds[path] = PointCloud(xyz, None, np.zeros(len(x), dtype=np.float32))
        if truth is not None:
            self.truths[name] = truth
        pose = np.eye(4)
        pose[:2, :2] = [[0, 1], [-1, 0]]
        pose[:3, 3] = AWAY_M, 7, 30
        return PosedScene(name, (Sweep(path, pose),), ())


def _array(numbers: list[int] | None) -> npt.NDArray[np.int32] | None:
    return None if numbers is None else np.array(numbers, dtype=np.int32)


def by_x(class_index: list[int]) -> Any:
    """Return a predictor: the class of a point is the x-th of these, −1 if x is not finite."""

    def predict(scene: PosedScene, cloud: PointCloud) -> npt.NDArray[np.int32]:
        assert scene.name != "blind"
        x = cloud.xyz[:, 0] - AWAY_M
        place = np.rint(np.nan_to_num(x)).astype(int)
        found = np.array(class_index, dtype=np.int32)[place]
        return np.where(np.isfinite(x), found, np.int32(-1))

    return predict


@dataclass
class Sent:
    """A submission that remembers."""

    answers: dict[str, list[int]] = field(default_factory=dict)

    def add(self, scene: PosedScene, class_index: npt.NDArray[np.int32]) -> None:
        self.answers[scene.name] = class_index.tolist()


@pytest.fixture
def dataset() -> LabelledScenes:
    return LabelledScenes(vocabulary=Vocabulary.from_names(["a", "b", "c"]))


def test_counts_are_those_of_the_hand(dataset: LabelledScenes) -> None:
    scenes = [
        dataset.add("one", [0, np.nan, 2, 3, 4, 5], [0, 2, 0, 1, 1, -1]),
        dataset.add("blind", [0, 1], None),
        dataset.add("two", [2, 3], [2, 1]),
    ]
    found = evaluate(dataset, scenes, by_x([0, 2, 1, 1, -1, 2]))
    # Rows a, b, c; the last column is unlabeled: a point without finite coordinates is a miss.
    assert found.confusion.counts.tolist() == [[1, 1, 0, 0], [0, 2, 0, 1], [0, 1, 0, 1]]
    assert (found.points, found.scenes, found.scenes_without_ground_truth) == (7, 2, 1)
    assert found.scores().mean_iou == pytest.approx((1 / 2 + 2 / 5 + 0) / 3)
    assert found.vocabulary is dataset.vocabulary
    assert (found.bands, found.panoptic) == ((), None)


def test_points_without_a_prediction_of_another_predictor_are_left_out(
    dataset: LabelledScenes,
) -> None:
    scenes = [dataset.add("one", [0, np.nan, 2, 3], [0, 0, 1, 1])]
    predict = by_x([0, 0, 0, 1])
    every = evaluate(dataset, scenes, predict)
    some = evaluate(dataset, scenes, predict, EvalOptions(restrict_to=by_x([2, 0, -1, 0])))
    assert (every.points, some.points) == (4, 2)
    assert some.confusion.counts.tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    none = evaluate(dataset, scenes, predict, EvalOptions(restrict_to=by_x([-1] * 4)))
    assert none.points == 0
    assert np.isnan(none.scores().mean_iou)


def test_returns_of_the_vehicle_are_labelled_and_evaluated(dataset: LabelledScenes) -> None:
    """Official code leaves out only points whose ground truth says so."""
    scenes = [dataset.add("one", [0, 1, 2, 3], [0, 1, -1, 1])]
    dataset.ego_half_size_m = 1.5
    assert evaluate(dataset, scenes, by_x([0, 0, 0, 0])).points == 3


def test_bands_are_distances_from_the_sensor_seen_from_above(dataset: LabelledScenes) -> None:
    scene = dataset.add("one", [0, 19.99, 20, 39, 40, 90, np.nan], [0, 0, 0, 0, 1, 1, 0])
    dataset.clouds[scene.sweeps[0].path].xyz[:, 2] = 1000
    found = evaluate(dataset, [scene], by_x([0] * 91), EvalOptions(bands_m=(20, 40)))
    assert [(band.from_m, band.to_m) for band in found.bands] == [
        (0, 20),
        (20, 40),
        (40, np.inf),
    ]
    counts = [band.confusion.counts[:2, 0].tolist() for band in found.bands]
    assert counts == [[2, 0], [2, 0], [0, 2]]
    # A point without finite coordinates is in no band, but it is evaluated.
    assert found.points == 7


@pytest.mark.parametrize("edges", [(0.0, 20.0), (20.0, 20.0), (40.0, 20.0), (float("nan"),)])
def test_edges_of_bands_ascend(edges: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="do not ascend"):
        EvalOptions(bands_m=edges)


def test_instances_are_connected_predictions_of_a_class(dataset: LabelledScenes) -> None:
    # Class a comes in objects: two of three points each, a metre apart; b is ground.
    x = [0, 0.2, 0.4, 1.4, 1.6, 1.8, 5, 6]
    scene = dataset.add("one", x, [0, 0, 0, 0, 0, 0, 1, 1])
    dataset.thing_classes = frozenset({0})
    dataset.rules = BenchmarkRules(min_points=1)
    dataset.objects["one"] = [1, 1, 1, 2, 2, 2, 0, 0]
    predict: Any = lambda _, cloud: np.array([0, 0, 0, 0, 0, 0, 1, 1], np.int32)  # noqa: E731
    apart = evaluate(dataset, [scene, scene], predict, EvalOptions(panoptic=True, link_m=0.5))
    assert apart.panoptic is not None
    assert apart.panoptic.pq.tolist() == [1, 1, 0]
    assert apart.panoptic.matched.tolist() == [4, 2, 0]
    lost: Any = lambda _, cloud: np.array([0, 0, 0, 1, 1, 1, 1, 1], np.int32)  # noqa: E731
    half = evaluate(dataset, [scene], lost, EvalOptions(panoptic=True, link_m=0.5))
    assert half.panoptic is not None
    assert (half.panoptic.matched.tolist(), half.panoptic.missed.tolist()) == (
        [1, 0, 0],
        [1, 1, 0],
    )
    merged = evaluate(dataset, [scene], predict, EvalOptions(panoptic=True, link_m=1.5))
    assert merged.panoptic is not None
    assert merged.panoptic.pq.tolist() == [0, 1, 0]


def test_instances_are_rejected_without_ground_truth_of_instances(dataset: LabelledScenes) -> None:
    options = EvalOptions(panoptic=True)
    scene = dataset.add("one", [0], [0])
    with pytest.raises(UsageError, match=r"E_DATASET.*memory has no instances"):
        evaluate(dataset, [scene], by_x([0]), options)
    dataset.thing_classes = frozenset({0})
    with pytest.raises(UsageError, match=r"E_DATASET.*one: "):
        evaluate(dataset, [scene], by_x([0]), options)


def test_submissions_take_scenes_without_truth(dataset: LabelledScenes) -> None:
    scenes = [dataset.add("seen", [0, 2], [1, -1]), dataset.add("secret", [1, np.nan], None)]
    sent: Any = Sent()
    found = evaluate(dataset, scenes, by_x([1, 2, 0]), submission=sent)
    assert sent.answers == {"seen": [1, 0], "secret": [2, -1]}
    assert (found.points, found.scenes, found.scenes_without_ground_truth) == (1, 1, 1)


@pytest.mark.parametrize("option", ["ignored", "novel"])
def test_unknown_classes_are_refused(dataset: LabelledScenes, option: str) -> None:
    options = EvalOptions(**{option: ("b", "cc")})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"E_UNKNOWN_NAME.*there is no 'cc'") as refusal:
        evaluate(dataset, [], by_x([]), options)
    assert refusal.value.remedy.endswith("There is: a, b, c.")


def test_scenes_are_wrapped_by_progress(dataset: LabelledScenes) -> None:
    told: list[tuple[int, str]] = []

    def progress(steps: Any, what: str) -> Any:
        told.append((len(steps), what))
        return steps

    scenes = [dataset.add(name, [0], [0]) for name in ("one", "two")]
    evaluate(dataset, scenes, by_x([0]), progress=progress)
    assert told == [(2, "evaluating")]


def test_without_a_vocabulary_nothing_is_evaluated() -> None:
    dataset = LabelledScenes(root=Path("scans"))
    with pytest.raises(UsageError, match=r"E_DATASET.*scans: has no vocabulary") as refusal:
        evaluate(dataset, [], by_x([]))
    assert refusal.value.remedy == "Add vocabulary.toml."


def test_a_network_predicts_as_label_does() -> None:
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
    found = network_predictor(encoder, four_words())(scene, cloud)
    assert found.tolist() == label_cloud(cloud, encoder, four_words()).class_index.tolist()
    assert len(set(found.tolist())) > 1
