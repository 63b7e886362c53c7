"""Scenes that are put together when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import overload

from clip3d_cli.core.scenes import PosedScene


class LazyScenes(Sequence[PosedScene]):
    """Scenes by number; they can be sent to a worker where ``build`` can.

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
            part = LazyScenes(0, self._build)
            part._numbers = self._numbers[place]
            return part
        return self._build(self._numbers[place])
