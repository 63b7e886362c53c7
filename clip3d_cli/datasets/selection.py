"""Which scenes of a data set are taken."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clip3d_cli.core.scenes import PosedScene
from clip3d_cli.datasets.dataset import Dataset


def default_split(dataset: Dataset, usual: str) -> str:
    """The usual split or its small brother, as ``mini_val`` is of ``val``; else the first."""
    splits = dataset.splits()
    if usual in splits:
        return usual
    return next((split for split in splits if split.endswith(f"_{usual}")), splits[0])


def thinned(scenes: Sequence[PosedScene], limit: int) -> Sequence[PosedScene]:
    """At most so many scenes, spread evenly; 0 for all."""
    if not 0 < limit < len(scenes):
        return scenes
    return [scenes[int(place)] for place in np.linspace(0, len(scenes) - 1, limit).round()]
