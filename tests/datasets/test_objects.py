"""Object numbers of Panoptic nuScenes and SemanticKITTI."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import datasets_trees_nuscenes
import datasets_trees_semantickitti
import numpy as np
import pytest

from clip3d_cli.core.scenes import PosedScene
from clip3d_cli.datasets.nuscenes.dataset import NuScenes
from clip3d_cli.datasets.semantickitti.dataset import SemanticKitti
from clip3d_cli.errors import Clip3DError

VERSION = datasets_trees_nuscenes.VERSION
RIGHT = datasets_trees_nuscenes.panoptic_numbers(402)


@pytest.fixture
def nuscenes(tmp_path: Path) -> NuScenes:
    datasets_trees_nuscenes.write_tree(tmp_path)
    return NuScenes(tmp_path)


@pytest.fixture
def kitti(tmp_path: Path) -> SemanticKitti:
    datasets_trees_semantickitti.write_tree(tmp_path)
    return SemanticKitti(tmp_path)


def panoptic_file(dataset: NuScenes, scene: PosedScene) -> Path:
    assert scene.ground_truth is not None
    token = scene.ground_truth.name.removesuffix("_lidarseg.bin")
    return dataset.root / "panoptic" / VERSION / f"{token}_panoptic.npz"


def test_objects_are_those_of_panoptic_nuscenes(nuscenes: NuScenes) -> None:
    scene = nuscenes.scenes("all")[0]
    truth, instances = nuscenes.ground_truth(scene), nuscenes.instances(scene)
    assert truth is not None and instances is not None
    in_two_boxes = RIGHT == 0
    judged = truth >= 0
    np.testing.assert_array_equal(instances[judged] == -1, in_two_boxes[judged])
    kept = judged & ~in_two_boxes
    columns = (RIGHT[kept].tolist(), truth[kept].tolist(), instances[kept].tolist())
    objects = set(zip(*columns, strict=True))
    # One number of theirs is one class and one number of ours, adults and policemen two.
    assert len({theirs for theirs, *_ in objects}) == len(objects) == 10
    assert len({tuple(ours) for _, *ours in objects}) == 10
    for theirs, _, instance in objects:
        assert (instance > 0) == (theirs % 1000 > 0)


def test_things_of_nuscenes_are_the_challenges_first_ten(nuscenes: NuScenes) -> None:
    ids = {nuscenes.vocabulary.classes[index].class_id for index in nuscenes.thing_classes}
    assert ids == {*range(1, 11)}


def test_without_panoptic_or_lidarseg_there_are_no_objects(nuscenes: NuScenes) -> None:
    for table in ("panoptic", "lidarseg"):
        (nuscenes.root / VERSION / f"{table}.json").unlink()
        again = NuScenes(nuscenes.root)
        assert again.instances(again.scenes("all")[0]) is None


@pytest.mark.parametrize(
    ("arrays", "code", "words"),
    [
        ({"data": RIGHT[:-1]}, "E_COUNT_MISMATCH", "401 labels, but the cloud has 402 points"),
        ({"labels": RIGHT}, "E_DATASET", "no array 'data' of whole numbers"),
        ({"data": RIGHT / 7}, "E_DATASET", "no array 'data' of whole numbers"),
        ({"data": RIGHT.astype(np.int64) - 1}, "E_DATASET", "below 0"),
        ({"data": np.full(402, 2**40)}, "E_DATASET", "too large"),
        ({"data": np.full(402, 32_001, np.uint16)}, "E_DATASET", "label 32,"),
    ],
)
def test_broken_numbers_are_refused(
    arrays: dict[str, np.ndarray], code: str, words: str, nuscenes: NuScenes
) -> None:
    scene = nuscenes.scenes("all")[0]
    np.savez(panoptic_file(nuscenes, scene), **arrays)
    refuses(lambda: nuscenes.instances(scene), code, words)


def test_broken_archives_are_refused(nuscenes: NuScenes) -> None:
    scene = nuscenes.scenes("all")[0]
    path = panoptic_file(nuscenes, scene)
    path.write_bytes(path.read_bytes()[:-100])
    refuses(lambda: nuscenes.instances(scene), "E_TRUNCATED", "no list of contents")
    path.unlink()
    refuses(lambda: nuscenes.instances(scene), "E_NOT_FOUND", "does not exist")


def test_objects_of_semantickitti_are_those_of_the_whole_label(kitti: SemanticKitti) -> None:
    scene = kitti.scenes("val")[0]
    assert scene.ground_truth is not None
    numbers = np.resize(np.array([40, 60, 10, 252, 10, 252, 10, 10, 13, 16], "<u4"), 300)
    numbers |= np.resize(np.array([0, 0, 0, 0, 5, 5, 6, 65_535, 5, 5], "<u4"), 300) << 16
    scene.ground_truth.write_bytes(numbers.tobytes())
    truth, instances = kitti.ground_truth(scene), kitti.instances(scene)
    assert truth is not None and instances is not None
    # Road and lane marking are two, and so are car 5 and moving car 5: official code does so.
    objects = [*zip(truth.tolist(), instances.tolist(), strict=True)]
    assert len(set(objects[:10])) == 10 and objects[10:20] == objects[:10]
    assert np.flatnonzero(instances[:10] == 0).tolist() == [0, 2]
    assert (instances >= 0).all()


def test_things_of_semantickitti_are_the_official_eight(kitti: SemanticKitti) -> None:
    assert {kitti.vocabulary.classes[index].name for index in kitti.thing_classes} == {
        "car", "truck", "bicycle", "motorcycle", "other-vehicle", "person", "bicyclist",
        "motorcyclist",
    }  # fmt: skip


def test_broken_labels_have_no_objects(kitti: SemanticKitti) -> None:
    short, strange = kitti.scenes("val")[:2]
    assert short.ground_truth is not None and strange.ground_truth is not None
    short.ground_truth.write_bytes(short.ground_truth.read_bytes()[:-2])
    refuses(lambda: kitti.instances(short), "E_COUNT_MISMATCH", "not 300 labels")
    strange.ground_truth.write_bytes(np.full(300, 7 << 16 | 12, "<u4").tobytes())
    refuses(lambda: kitti.instances(strange), "E_DATASET", "label 12,")
    assert kitti.instances(kitti.scenes("test")[0]) is None


def refuses(action: Callable[[], object], code: str, words: str) -> None:
    with pytest.raises(Clip3DError) as refusal:
        action()
    assert refusal.value.code == code
    assert words in str(refusal.value)
    assert refusal.value.remedy
