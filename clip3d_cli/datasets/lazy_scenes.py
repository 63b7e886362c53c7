"""Scenes that are put together when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import overload

from clip3d_cli.core.scenes import PosedScene


class LazyScenes(Sequence[PosedScene]):
    """Scenes by number.

    Args:
        count: how many there are.
        build: the scene of a number, 0…count − 1.
    """

    def __init__(self, count: int, build: Callable[[int], PosedScene]) -> None:
        self._numbers = range(count)
        self._build = build

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, place: int) -> PosedScene: ...
    @overload
    def __getitem__(self, place: slice) -> LazyScenes: ...
    def __getitem__(self, place: int | slice) -> PosedScene | LazyScenes:
        if isinstance(place, slice):
            chosen = self._numbers[place]
            return LazyScenes(len(chosen), lambda number: self._build(chosen[number]))
        return self._build(self._numbers[place])
