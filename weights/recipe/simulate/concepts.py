"""The concepts that the simulator labels points with, read from ``concepts.toml``."""

import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@lru_cache(maxsize=1)
def concept_names() -> tuple[str, ...]:
    """Return the names of all concepts; a point's label is an index into this tuple."""
    text = Path(__file__).with_name("concepts.toml").read_text(encoding="utf-8")
    return tuple(tomllib.loads(text)["names"])


@lru_cache(maxsize=1)
def _index_of_name() -> dict[str, int]:
    return {name: index for index, name in enumerate(concept_names())}


def concept_index(name: str) -> int:
    """Return the label of a concept, its index in ``concept_names()``.

    Raises:
        KeyError: there is no concept of that name.
    """
    return _index_of_name()[name]


@lru_cache(maxsize=1)
def coarse_labels() -> NDArray[np.uint16]:
    """Return (concepts,) the label of each concept where parts have the label of the whole."""
    text = Path(__file__).with_name("concepts.toml").read_text(encoding="utf-8")
    table = np.arange(len(concept_names()), dtype=np.uint16)
    for whole, parts in tomllib.loads(text)["whole"].items():
        for part in parts:
            table[concept_index(part)] = concept_index(whole)
    return table
