"""Colors by name, and how they are mixed."""

import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weights.recipe.simulate.primitives import F32

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@lru_cache(maxsize=1)
def looks() -> Mapping[str, Any]:
    """What ``looks.toml`` says."""
    text = Path(__file__).with_name("looks.toml").read_text(encoding="utf-8")
    table: Mapping[str, Any] = tomllib.loads(text)
    return table


def color_of(name: str, draw: F32, tint: F32 | float = 0.5) -> F32:
    """(n, 3): a color of the list for each draw, a little lighter or darker by ``tint``."""
    table = np.asarray(looks()["colors"][name], dtype=np.float32)
    row = np.minimum((draw * len(table)).astype(np.int64), len(table) - 1)
    return np.asarray(table[row] * (0.75 + 0.5 * np.asarray(tint, np.float32))[..., None])


def times(color: F32, factor: F32) -> F32:
    """(n, 3) colors, each lighter or darker by its (n,) factor."""
    return np.asarray(color * factor[:, None])


def over(color: F32, where: NDArray[np.bool_], other: F32 | float) -> F32:
    """``color`` with ``other`` where the mask says."""
    return np.asarray(np.where(where[:, None], other, color), dtype=np.float32)
