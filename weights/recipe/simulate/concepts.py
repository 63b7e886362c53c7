"""The table of concepts: what a simulated point can be."""

import sys
from functools import lru_cache
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@lru_cache(maxsize=1)
def concept_names() -> tuple[str, ...]:
    """Return every concept's name; a label is a position in this tuple."""
    text = Path(__file__).with_name("concepts.toml").read_text(encoding="utf-8")
    return tuple(tomllib.loads(text)["names"])


@lru_cache(maxsize=1)
def _index_of_name() -> dict[str, int]:
    return {name: index for index, name in enumerate(concept_names())}


def concept_index(name: str) -> int:
    """Return the label of a concept.

    Raises:
        KeyError: the table has no such concept.
    """
    return _index_of_name()[name]
