"""Scenes of a fraction of a split, and lazy sequences of scenes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from clip3d_cli.core.scenes import PosedScene, Sweep
from clip3d_cli.datasets.splits import LazyScenes, every_nth
from clip3d_cli.errors import UsageError


def scene(asked: list[int], number: int) -> PosedScene:
    asked.append(number)
    return PosedScene(f"{number}", (Sweep(Path(f"{number}.bin"), np.eye(4)),), ())


def taken(count: int, fraction: float) -> list[int]:
    scenes = [scene([], number) for number in range(count)]
    return [int(entry.name) for entry in every_nth(scenes, fraction)]


@pytest.mark.parametrize(
    ("fraction", "first"),
    [
        (0.01, [0, 100, 200]),
        (0.05, [0, 20, 40]),
        (0.1, [0, 10, 20]),
        (0.25, [0, 4, 8]),
        (1, [0, 1, 2]),
        (1 / 3, [0, 3, 6]),
        (1 / 11, [0, 11, 22]),
        (0.4, [0, 2, 5, 7, 10]),
        (0.75, [0, 1, 2, 4, 5, 6, 8]),
    ],
)
def test_the_first_scene_and_every_nth_after_it(fraction: float, first: list[int]) -> None:
    found = taken(1000, fraction)
    assert found[: len(first)] == first
    assert len(found) == np.ceil(1000 * fraction - 1e-9)
    assert len(set(found)) == len(found)


def test_nuscenes_has_as_many_as_clip2scene_trains_on() -> None:
    # 28,130 key frames; 1 % of them are numbers 0, 100, …, 28,100.
    assert len(taken(28_130, 0.01)) == 282


@pytest.mark.parametrize("fraction", [1e-9, 0.01, 0.3, 1.0])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_at_least_one_is_left(count: int, fraction: float) -> None:
    assert taken(count, fraction)[0] == 0
    assert taken(0, fraction) == []


def test_scenes_are_not_put_together_to_be_counted() -> None:
    asked: list[int] = []
    few = every_nth(LazyScenes(1000, partial(scene, asked)), 0.01)
    assert len(few) == 10
    assert asked == []
    assert few[3].name == "300"


@pytest.mark.parametrize("fraction", [0, -0.1, 1.01, float("nan")])
def test_other_shares_are_refused(fraction: float) -> None:
    with pytest.raises(UsageError, match="is not above 0 and at most 1"):
        every_nth([], fraction)
