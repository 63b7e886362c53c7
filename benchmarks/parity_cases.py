"""Synthetic ground truth and predictions for comparing our scores with official scoring code.

Needs only numpy. Random numbers are the raw bits of PCG64, which do not change with numpy's
version, so every environment computes the same cases.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]

SCENES = 3
POINTS = 4000


@dataclass(frozen=True)
class Case:
    """Properties of the scenes of a case. Classes count from 1; 0 is ignored or unlabeled.

    Attributes:
        classes: K.
        gone: classes that occur neither in the ground truth nor in predictions.
        absent: classes that are predicted, but not in the ground truth.
        mute: classes that are in the ground truth, but never predicted.
        unlabeled: whether some predictions are 0.
    """

    classes: int
    gone: tuple[int, ...]
    absent: tuple[int, ...]
    mute: tuple[int, ...]
    unlabeled: bool


# The devkit of nuScenes does not accept unlabeled predictions.
CASES = {
    "nuscenes": Case(16, (3, 12), (5,), (2, 14), False),
    "semantickitti": Case(19, (8, 12), (16,), (3, 18), True),
    "scannet": Case(20, (11, 19), (7,), (13,), True),
    "clip2scene": Case(16, (3, 12), (5,), (2, 14), True),
}
PANOPTIC = {
    "nuscenes": Case(16, (3, 12), (5,), (2, 14), True),
    "semantickitti": Case(19, (8, 12), (16,), (3, 18), True),
}


def raw(seed: int, count: int) -> Numbers:
    """Return (count,) random integers in 0…2⁵³ − 1."""
    bits = np.random.PCG64(seed).random_raw(count)
    return (bits >> np.uint64(11)).astype(np.int64)


def labelled(case: Case) -> Iterator[tuple[Numbers, Numbers]]:
    """Yield the ground truth (N,) and the predictions (N,) of each scene, 60 % of them correct."""
    for scene in range(SCENES):
        bits = raw(100 + scene, 3 * POINTS)
        # A product of two random numbers, so that some classes are frequent and others rare.
        truth = (bits[:POINTS] % (case.classes + 1)) * (bits[:POINTS] // 64 % 8) // 7
        truth = _replaced(truth, (*case.gone, *case.absent), 0)
        wrong = bits[POINTS : 2 * POINTS] % 10 >= 6
        yield truth, _predictions(case, truth, wrong, bits[2 * POINTS :])


def segmented(case: Case, things: frozenset[int]) -> Iterator[tuple[Numbers, ...]]:
    """Yield ground truth, its instances, predictions and theirs, (N,) each, of each scene.

    Segments are runs of points. Predicted segments are shifted by a few points, and some are split.

    Args:
        case: properties of the scenes.
        things: classes with instances.
    """
    for scene in range(SCENES):
        bits = raw(200 + scene, 4 * POINTS)
        lengths = 1 + bits[:POINTS] % 90
        # (N,) the number of the run that each point belongs to.
        run = np.repeat(np.arange(POINTS), lengths)[:POINTS]
        truth = (bits[POINTS:] % (case.classes + 1))[run]
        truth = _replaced(truth, (*case.gone, *case.absent), 0)
        instance = np.where(np.isin(truth, list(things)), 1 + run, 0)
        shift = int(bits[0] % 7)
        shifted_run = np.roll(run, shift)
        wrong = (bits[2 * POINTS :][shifted_run] % 10 >= 8) | (bits[3 * POINTS :] % 25 == 0)
        predicted = _predictions(
            case, np.roll(truth, shift), wrong, bits[2 * POINTS :][shifted_run]
        )
        predicted_instance = 1 + 2 * shifted_run + (bits[3 * POINTS :] % 16 == 1)
        is_thing = np.isin(predicted, list(things))
        yield truth, instance, predicted, np.where(is_thing, predicted_instance, 0)


def _predictions(
    case: Case, truth: Numbers, wrong: npt.NDArray[np.bool_], bits: Numbers
) -> Numbers:
    predicted = np.where(wrong | (truth == 0), bits // 1024 % (case.classes + 1), truth)
    predicted = _replaced(predicted, (*case.gone, *case.mute), case.absent[0])
    return predicted if case.unlabeled else np.maximum(predicted, 1)


def _replaced(numbers: Numbers, classes: tuple[int, ...], replacement: int) -> Numbers:
    return np.where(np.isin(numbers, classes), replacement, numbers)


def tree_answers(
    scene: str, truth: Numbers, labels: Numbers, classes: int, things: int
) -> tuple[Numbers, Numbers]:
    """Return predictions and their instances, (N,) each, for a scene of the tests' data sets.

    Args:
        scene: its name, which is the seed.
        truth: (N,) classes from 1; 0 is ignored.
        labels: (N,) labels as in the files, with class and instance in one number.
        classes: K.
        things: classes 1 to ``things`` have instances.
    """
    seed = int(hashlib.md5(scene.encode()).hexdigest()[:8], 16)
    first, second = raw(seed, 2 * len(truth)).reshape(2, -1)
    predicted = np.where((first % 10 < 6) & (truth > 0), truth, 1 + second % classes)
    instance = 1 + np.unique(labels, return_inverse=True)[1].reshape(-1) + (first // 16 % 12 == 0)
    return predicted, np.where(predicted <= things, instance, 0)
