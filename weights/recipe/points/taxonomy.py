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

# Queries that leave out words teach "none of these". Of the queries that need not be complete, some
# leave out a quarter of their words, some most of them, and some have one to three words only.
_DROPPED_SHARES = (0.0, 0.25, 0.7)
_DROPPED_PROBABILITIES = (0.3, 0.2, 0.2)
# Leaves that the scan's labels do not know are added with this probability each, to queries of
# scans with coarse and with fine labels.
_ADD_UNKNOWN_PROBABILITY = (0.3, 0.2)
# Share of the queries in which no leaf under another one of the query has a word of its own, and
# the probability that a leaf has none in the other queries.
_COARSE_PROBABILITY = 0.35
_MERGE_PROBABILITY = 0.25
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
        usual: leaves that are asked for most.
        only_if_known: leaves that are not added to queries of real scans whose labels do not know
            them.
        never_added: leaves that are not added to any query.
    """

    words_of_leaf: dict[str, tuple[str, ...]]
    groups: tuple[Group, ...]
    under: dict[str, str]
    usual: frozenset[str]
    only_if_known: frozenset[str]
    never_added: frozenset[str]

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
        listed |= set(table["usual"]) | set(table["never_added"])
        listed |= set().union(*(group.leaves for group in groups))
        if listed - set(words_of_leaf):
            raise KeyError(f"unknown leaves: {sorted(listed - set(words_of_leaf))}")
        return cls(
            words_of_leaf,
            groups,
            under,
            frozenset(table["usual"]),
            frozenset(table["only_if_known"]),
            frozenset(table["never_added"]),
        )

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
        self,
        known: frozenset[str],
        rng: np.random.Generator,
        *,
        fine: bool = False,
        complete: bool = True,
    ) -> dict[str, frozenset[str]]:
        """Return a random query for a scan: words, and the leaves that each of them means.

        Args:
            known: the leaves that the scan's labels distinguish.
            rng: draws groups, synonyms, and the leaves that are left out or added.
            fine: all leaves of the taxonomy that are in the scan are in its labels.
            complete: all known leaves are in the query, alone, in a group, or under another leaf;
                otherwise some words are left out.
        """
        leaves = set(known) | self._draw_absent(known, rng, fine=fine)
        query: dict[str, frozenset[str]] = {}
        grouped: frozenset[str] = frozenset()
        for group in self.groups:
            # A group replaces at least two leaves, and no leaf is in two groups of a query.
            usable = len(group.leaves & leaves) > 1 and not group.leaves & grouped
            if usable and rng.random() < group.probability:
                leaves -= group.leaves
                grouped |= group.leaves
                _add(query, str(rng.choice(group.words)), group.leaves)
        merge_probability = 1.0 if rng.random() < _COARSE_PROBABILITY else _MERGE_PROBABILITY
        for leaf in sorted(leaves):
            above = set(self.above(leaf))
            if above & (leaves | grouped) and rng.random() < merge_probability:
                continue
            _add(query, _draw_word(self.words_of_leaf[leaf], rng), frozenset((leaf,)))
        if not complete:
            query = _leave_out_words(query, known, rng)
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
        self, known: frozenset[str], rng: np.random.Generator, *, fine: bool
    ) -> set[str]:
        """Return some leaves that are not in a scan, to be right for none of its points."""
        probability = _ADD_UNKNOWN_PROBABILITY[fine]
        absent = set()
        for leaf in self.words_of_leaf:
            if leaf in known | self.never_added or rng.random() >= probability:
                continue
            # In real scans parts and kinds of things have the label of the whole.
            is_distinguished = fine or not (leaf in self.only_if_known or leaf in self.under)
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


def _leave_out_words(
    query: dict[str, frozenset[str]], known: frozenset[str], rng: np.random.Generator
) -> dict[str, frozenset[str]]:
    """Return a query without some of its words; at least one is left."""
    draw = rng.random()
    for share, probability in zip(_DROPPED_SHARES, _DROPPED_PROBABILITIES, strict=True):
        draw -= probability
        if draw < 0:
            kept = {word: leaves for word, leaves in query.items() if rng.random() >= share}
            return kept or query
    # One to three words, of which nearly all are right for some points.
    candidates = sorted(word for word, leaves in query.items() if leaves & known) or sorted(query)
    words = {str(word) for word in rng.choice(candidates, int(rng.integers(1, 4)))}
    return {word: query[word] for word in sorted(words)}


def _draw_word(words: tuple[str, ...], rng: np.random.Generator) -> str:
    return words[0] if rng.random() < _FIRST_WORD_PROBABILITY else str(rng.choice(words))
