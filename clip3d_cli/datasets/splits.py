"""Official splits of a data set, and choices of scenes from a split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import overload

import numpy as np

from clip3d_cli.core.scenes import PosedScene
from clip3d_cli.datasets.dataset import Dataset, read_toml
from clip3d_cli.errors import UsageError

# Far below the gap between 1/n and 1/(n + 1), far above the rounding error of a float 1/n.
_ROUNDING = 1e-6


def split_numbers(dataset: str) -> dict[str, tuple[int, ...]]:
    """Return the numbers of the scenes of every official split, from ``splits.toml``.

    Args:
        dataset: name in the registry.
    """
    ranges: dict[str, str] = read_toml(dataset, "splits.toml")["split"]
    return {split: tuple(_expanded(text)) for split, text in ranges.items()}


def default_split(dataset: Dataset, preferred: str) -> str:
    """Return the split to use if none is named.

    Args:
        dataset: an opened data set.
        preferred: such as ``val``.

    Returns:
        The preferred split, else a smaller version of it (``mini_val`` of ``val``), else the first
        split of the data set.
    """
    splits = dataset.splits()
    if preferred in splits:
        return preferred
    return next((split for split in splits if split.endswith(f"_{preferred}")), splits[0])


def limit_scenes(scenes: Sequence[PosedScene], limit: int) -> Sequence[PosedScene]:
    """Return at most ``limit`` scenes, spread evenly over all of them.

    Args:
        scenes: scenes of a split.
        limit: largest number of scenes; 0 = all.
    """
    if not 0 < limit < len(scenes):
        return scenes
    return [scenes[int(number)] for number in np.linspace(0, len(scenes) - 1, limit).round()]


def every_nth(scenes: Sequence[PosedScene], fraction: float) -> Sequence[PosedScene]:
    """Return the first scene and every n-th one after it, where n is one over the fraction.

    This is the convention of few-label benchmarks: 1 % takes every 100th key frame in the order of
    the split, beginning with the first (CLIP2Scene's ``dataset_skip_step``; SLidR's on
    SemanticKITTI. SLidR's on nuScenes takes all key frames of every n-th *drive* instead). If one
    over the fraction is not a whole number, gaps of two sizes alternate: 0.4 takes the scenes
    0, 2, 5, 7, 10.

    Args:
        scenes: scenes in the order of the split.
        fraction: above 0, at most 1.

    Returns:
        At least one scene, if there is any.

    Raises:
        UsageError: E_USAGE: the fraction is out of range.
    """
    if not 0 < fraction <= 1:
        raise UsageError(
            "E_USAGE",
            "fraction",
            f"{fraction:g} is not above 0 and at most 1",
            "0.01 takes one scene in a hundred, 1 takes all.",
        )
    step = 1 / fraction
    if abs(step - round(step)) < _ROUNDING * step:
        return scenes[:: round(step)]
    positions = np.floor(np.arange(np.ceil(len(scenes) * fraction)) * step + _ROUNDING)
    return [scenes[n] for n in positions.astype(np.int64).tolist() if n < len(scenes)]


class LazyScenes(Sequence[PosedScene]):
    """Sequence of scenes that are made when they are accessed.

    It can be sent to a worker process if ``build`` can be pickled.

    Args:
        count: number of scenes.
        build: returns the scene of a number, 0…count − 1.
    """

    def __init__(self, count: int, build: Callable[[int], PosedScene]) -> None:
        self._numbers = range(count)
        self._build = build

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, position: int) -> PosedScene: ...
    @overload
    def __getitem__(self, position: slice) -> LazyScenes: ...
    def __getitem__(self, position: int | slice) -> PosedScene | LazyScenes:
        if isinstance(position, slice):
            part = LazyScenes(0, self._build)
            part._numbers = self._numbers[position]
            return part
        return self._build(self._numbers[position])


def _expanded(ranges: str) -> list[int]:
    """Return the numbers of a text such as ``1-2 4-11 19``; both ends belong to a range."""
    numbers: list[int] = []
    for part in ranges.split():
        first, _, last = part.partition("-")
        numbers.extend(range(int(first), int(last or first) + 1))
    return numbers
