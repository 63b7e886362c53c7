"""Questions for training: which words are asked, and which leaves each word means."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_DROP_SOME = 0.25
_DROP_EACH = 0.25
_ASK_FOREIGN = 0.5


@dataclass(frozen=True, slots=True)
class Group:
    """A coarser class: what a question may ask for instead of the leaves."""

    leaves: frozenset[str]
    words: tuple[str, ...]
    chance: float


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """Leaves that exclude each other, their words, and the groups they form."""

    words_of_leaf: dict[str, tuple[str, ...]]
    groups: tuple[Group, ...]
    shy: frozenset[str]

    @classmethod
    def read(cls) -> Taxonomy:
        """The taxonomy beside this file.

        Raises:
            KeyError: a group or the list of shy leaves names a leaf that is not there.
        """
        table = read_table("taxonomy.toml")
        words = {leaf: tuple(given) for leaf, given in table["leaf"].items()}
        groups = tuple(
            Group(frozenset(row["leaves"]), tuple(row["words"]), row["chance"])
            for row in table["group"]
        )
        named = set().union(*(group.leaves for group in groups), table["shy"])
        if named - set(words):
            raise KeyError(f"no such leaves: {sorted(named - set(words))}")
        return cls(words, groups, frozenset(table["shy"]))

    @property
    def all_words(self) -> list[str]:
        """Every word that a question may use, once."""
        given = [*self.words_of_leaf.values(), *(group.words for group in self.groups)]
        return list(dict.fromkeys(word for words in given for word in words))

    def ask(self, known: frozenset[str], rng: np.random.Generator) -> dict[str, frozenset[str]]:
        """A random question about a scan: words, and the leaves that each of them means.

        Args:
            known: the leaves that the scan's labels can tell; they are all asked for, but for
                a random few in a quarter of the questions, and with some of the others.
            rng: draws groups, synonyms, what is left out and what is added.
        """
        foreign = [leaf for leaf in self.words_of_leaf if leaf not in known | self.shy]
        asked = set(known) | {leaf for leaf in foreign if rng.random() < _ASK_FOREIGN}
        question: dict[str, frozenset[str]] = {}
        taken: frozenset[str] = frozenset()
        for group in self.groups:
            free = len(group.leaves & asked) > 1 and not group.leaves & taken
            if free and rng.random() < group.chance:
                asked -= group.leaves
                taken |= group.leaves
                _add(question, str(rng.choice(group.words)), group.leaves)
        for leaf in sorted(asked):
            word = _favoring_first(self.words_of_leaf[leaf], rng)
            _add(question, word, frozenset((leaf,)))
        if rng.random() < _DROP_SOME:
            kept = {w: leaves for w, leaves in question.items() if rng.random() > _DROP_EACH}
            return kept or question
        return question


def read_table(name: str) -> dict[str, Any]:
    """A TOML file of this folder."""
    path = Path(__file__).with_name(name)
    table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    return table


def _add(question: dict[str, frozenset[str]], word: str, leaves: frozenset[str]) -> None:
    """Two meanings of one word are one class: their vectors are the same."""
    question[word] = question.get(word, frozenset()) | leaves


def _favoring_first(words: tuple[str, ...], rng: np.random.Generator) -> str:
    return words[0] if rng.random() < 0.3 else str(rng.choice(words))
