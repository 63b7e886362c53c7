"""Made-up truths and answers on which ours and the benchmarks' own scoring code must agree.

Needs numpy alone. Numbers come from PCG64's raw bits, which no version of numpy changes.
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
    """What the scenes of a case are like. Classes count from 1; 0 is not judged, or unlabeled.

    Attributes:
        classes: K.
        gone: classes that are neither true nor answered.
        absent: classes that are answered, but never true.
        mute: classes that are true, but never answered.
        unlabeled: whether some answers are 0.
    """

    classes: int
    gone: tuple[int, ...]
    absent: tuple[int, ...]
    mute: tuple[int, ...]
    unlabeled: bool


# The devkit of nuScenes accepts no unlabeled answer.
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
    """(count,) whole numbers in 0…2⁵³."""
    bits = np.random.PCG64(seed).random_raw(count)
    return (bits >> np.uint64(11)).astype(np.int64)


def labelled(case: Case) -> Iterator[tuple[Numbers, Numbers]]:
    """Truth (N,) and answers (N,) of every scene, six in ten right."""
    for scene in range(SCENES):
        bits = raw(100 + scene, 3 * POINTS)
        # Squared, so that some classes are common and others rare.
        truth = (bits[:POINTS] % (case.classes + 1)) * (bits[:POINTS] // 64 % 8) // 7
        truth = _without(truth, (*case.gone, *case.absent), 0)
        wrong = bits[POINTS : 2 * POINTS] % 10 >= 6
        yield truth, _answers(case, truth, wrong, bits[2 * POINTS :])


def segmented(case: Case, things: frozenset[int]) -> Iterator[tuple[Numbers, ...]]:
    """Truth and its instances, answers and theirs, (N,) each, of every scene.

    Segments are runs of points. Answered ones begin and end a little off, and some are split.
    """
    for scene in range(SCENES):
        bits = raw(200 + scene, 4 * POINTS)
        lengths = 1 + bits[:POINTS] % 90
        run = np.repeat(np.arange(POINTS), lengths)[:POINTS]
        truth = _without((bits[POINTS:] % (case.classes + 1))[run], (*case.gone, *case.absent), 0)
        instance = np.where(np.isin(truth, list(things)), 1 + run, 0)
        later = np.roll(run, int(bits[0] % 7))
        wrong = (bits[2 * POINTS :][later] % 10 >= 8) | (bits[3 * POINTS :] % 25 == 0)
        said = _answers(case, np.roll(truth, int(bits[0] % 7)), wrong, bits[2 * POINTS :][later])
        parts = 1 + 2 * later + (bits[3 * POINTS :] % 16 == 1)
        yield truth, instance, said, np.where(np.isin(said, list(things)), parts, 0)


def _answers(case: Case, truth: Numbers, wrong: npt.NDArray[np.bool_], bits: Numbers) -> Numbers:
    said = np.where(wrong | (truth == 0), bits // 1024 % (case.classes + 1), truth)
    said = _without(said, (*case.gone, *case.mute), case.absent[0])
    return said if case.unlabeled else np.maximum(said, 1)


def _without(numbers: Numbers, taboo: tuple[int, ...], instead: int) -> Numbers:
    return np.where(np.isin(numbers, taboo), instead, numbers)


def tree_answers(
    scene: str, truth: Numbers, labels: Numbers, classes: int, things: int
) -> tuple[Numbers, Numbers]:
    """Answers and their instances, (N,) each, for a scene of the small trees of the tests.

    Args:
        scene: its name, for the seed.
        truth: (N,) classes from 1; 0 is not judged.
        labels: (N,) as the files hold them, class and object in one number.
        classes: K.
        things: how many of the first classes come in single objects.
    """
    seed = int(hashlib.md5(scene.encode()).hexdigest()[:8], 16)
    first, second = raw(seed, 2 * len(truth)).reshape(2, -1)
    said = np.where((first % 10 < 6) & (truth > 0), truth, 1 + second % classes)
    part = 1 + np.unique(labels, return_inverse=True)[1].reshape(-1) + (first // 16 % 12 == 0)
    return said, np.where(said <= things, part, 0)
