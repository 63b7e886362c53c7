"""The taxonomy of leaf classes and their words, and random queries over it for training.

Data sets label different classes at different granularity. Here every label stands for a set of
leaf classes ("leaves") of one taxonomy, and every word of a query does too. A word is right for a
point if the two sets share a leaf.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# A quarter of the queries leave out a quarter of their words, which teaches "none of these".
_DROP_WORDS_PROBABILITY = 0.25
_DROP_EACH_PROBABILITY = 0.25
# Leaves that the scan's labels do not know are added with this probability each, to queries of real
# and of simulated scans.
_ADD_UNKNOWN_PROBABILITY = (0.3, 0.2)
# A leaf under another one of the query has no word of its own with this probability.
_MERGE_PROBABILITY = 0.4
_FIRST_WORD_PROBABILITY = 0.3


@dataclass(frozen=True, slots=True)
class Group:
    """A coarser class that a query can have instead of some leaves.

    Attributes:
        leaves: the leaves that belong to it.
        words: its names.
        probability: how often a query uses it where it can.
    """

    leaves: frozenset[str]
    words: tuple[str, ...]
    probability: float


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """Leaves, which exclude each other, and groups of them.

    Attributes:
        words_of_leaf: the names of each leaf, the most usual first.
        groups: coarser classes.
        under: for some leaves, the leaf that each is a kind or a part of.
        only_if_known: leaves that are not added to queries of real scans whose labels do not know
            them.
    """

    words_of_leaf: dict[str, tuple[str, ...]]
    groups: tuple[Group, ...]
    under: dict[str, str]
    only_if_known: frozenset[str]

    @classmethod
    def read(cls) -> Taxonomy:
        """Return the taxonomy in ``taxonomy.toml``.

        Raises:
            KeyError: a group, ``under`` or ``only_if_known`` lists an unknown leaf.
        """
        table = read_table("taxonomy.toml")
        words_of_leaf = {leaf: tuple(words) for leaf, words in table["leaf"].items()}
        groups = tuple(
            Group(frozenset(row["leaves"]), tuple(row["words"]), row["probability"])
            for row in table["group"]
        )
        under: dict[str, str] = table["under"]
        listed = set(under) | set(under.values()) | set(table["only_if_known"])
        listed |= set().union(*(group.leaves for group in groups))
        if listed - set(words_of_leaf):
            raise KeyError(f"unknown leaves: {sorted(listed - set(words_of_leaf))}")
        return cls(words_of_leaf, groups, under, frozenset(table["only_if_known"]))

    @property
    def all_words(self) -> list[str]:
        """Every word that a query can have, once."""
        names = [*self.words_of_leaf.values(), *(group.words for group in self.groups)]
        return list(dict.fromkeys(word for words in names for word in words))

    def above(self, leaf: str) -> Iterator[str]:
        """Yield what a leaf is a kind or a part of, what that is one of, and so on."""
        while leaf in self.under:
            leaf = self.under[leaf]
            yield leaf

    def draw_query(
        self, known: frozenset[str], rng: np.random.Generator, *, simulated: bool = False
    ) -> dict[str, frozenset[str]]:
        """Return a random query for a scan: words, and the leaves that each of them means.

        Args:
            known: the leaves that the scan's labels distinguish. All are in the query, alone, in
                a group, or under another leaf, except for a few that a quarter of the queries
                leaves out.
            rng: draws groups, synonyms, and the leaves that are left out or added.
            simulated: all leaves of the taxonomy that are in the scan are in its labels.
        """
        leaves = set(known) | self._draw_absent(known, rng, simulated=simulated)
        query: dict[str, frozenset[str]] = {}
        grouped: frozenset[str] = frozenset()
        for group in self.groups:
            # A group replaces at least two leaves, and no leaf is in two groups of a query.
            usable = len(group.leaves & leaves) > 1 and not group.leaves & grouped
            if usable and rng.random() < group.probability:
                leaves -= group.leaves
                grouped |= group.leaves
                _add(query, str(rng.choice(group.words)), group.leaves)
        for leaf in sorted(leaves):
            above = set(self.above(leaf))
            if above & (leaves | grouped) and rng.random() < _MERGE_PROBABILITY:
                continue
            _add(query, _draw_word(self.words_of_leaf[leaf], rng), frozenset((leaf,)))
        if rng.random() < _DROP_WORDS_PROBABILITY:
            kept = {
                word: leaves_of_word
                for word, leaves_of_word in query.items()
                if rng.random() > _DROP_EACH_PROBABILITY
            }
            query = kept or query
        return self.with_leaves_under(query)

    def with_leaves_under(self, query: dict[str, frozenset[str]]) -> dict[str, frozenset[str]]:
        """Return a query whose words also mean the leaves under theirs that have no word."""
        word_of_leaf = {leaf: word for word, leaves in query.items() for leaf in leaves}
        complete = {word: set(leaves) for word, leaves in query.items()}
        for leaf in self.under:
            if leaf not in word_of_leaf:
                nearest = next((each for each in self.above(leaf) if each in word_of_leaf), None)
                if nearest is not None:
                    complete[word_of_leaf[nearest]].add(leaf)
        return {word: frozenset(leaves) for word, leaves in complete.items()}

    def _draw_absent(
        self, known: frozenset[str], rng: np.random.Generator, *, simulated: bool
    ) -> set[str]:
        """Return some leaves that are not in a scan, to be right for none of its points."""
        probability = _ADD_UNKNOWN_PROBABILITY[simulated]
        absent = set()
        for leaf in self.words_of_leaf:
            if leaf in known or rng.random() >= probability:
                continue
            # In real scans parts and kinds of things have the label of the whole.
            is_distinguished = simulated or not (leaf in self.only_if_known or leaf in self.under)
            if is_distinguished and not known.intersection(self.above(leaf)):
                absent.add(leaf)
        return absent


def read_table(name: str) -> dict[str, Any]:
    """Return the contents of a TOML file in this folder."""
    path = Path(__file__).with_name(name)
    table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    return table


def _add(query: dict[str, frozenset[str]], word: str, leaves: frozenset[str]) -> None:
    """Add a word; if the query has it already, it means the leaves of both.

    The vector of a word depends on the word alone, so its meanings could not be distinguished.
    """
    query[word] = query.get(word, frozenset()) | leaves


def _draw_word(words: tuple[str, ...], rng: np.random.Generator) -> str:
    return words[0] if rng.random() < _FIRST_WORD_PROBABILITY else str(rng.choice(words))
