"""The concepts that the simulator labels points with, read from ``concepts.toml``."""

import sys
from functools import lru_cache
from pathlib import Path

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
