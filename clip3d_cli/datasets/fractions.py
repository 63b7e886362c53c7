"""A share of a data set's labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clip3d_cli.core.scenes import PosedScene
from clip3d_cli.errors import UsageError

# Far less than the gap between 1/n and 1/(n + 1), far more than how floats miss 1/n.
_SLACK = 1e-6


def every_nth(scenes: Sequence[PosedScene], fraction: float) -> Sequence[PosedScene]:
    """The first scene and every n-th after it, n being one over a fraction; at least one.

    The convention of few-label benchmarks: 1 % takes every 100th key frame, the first one
    included, in the order of the split (CLIP2Scene's ``dataset_skip_step``; SLidR's on
    SemanticKITTI. SLidR's on nuScenes takes all key frames of every n-th *drive*). Where one
    over the fraction is not whole, the gaps take turns: 0.4 takes scenes 0, 2, 5, 7, 10.

    Args:
        scenes: in the split's order.
        fraction: above 0, up to 1.

    Raises:
        UsageError: E_USAGE: the fraction is not in that range.
    """
    if not 0 < fraction <= 1:
        raise UsageError(
            "E_USAGE",
            "fraction",
            f"{fraction:g} is not above 0 and up to 1",
            "0.01 takes one scene in a hundred, 1 takes all.",
        )
    step = 1 / fraction
    if abs(step - round(step)) < _SLACK * step:
        return scenes[:: round(step)]
    places = np.floor(np.arange(np.ceil(len(scenes) * fraction)) * step + _SLACK).astype(np.int64)
    return [scenes[place] for place in places.tolist() if place < len(scenes)]
