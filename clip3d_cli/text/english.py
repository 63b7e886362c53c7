"""Words as people write them: articles, plurals, spelling, and which words are English.

A text encoder gives a vector for any text, also for one that means nothing to it. These functions
find such texts by their letters.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from string import ascii_lowercase

_WORDS_FILE = Path(__file__).with_name("english_words.txt")
_ARTICLES = ("a ", "an ", "the ", "some ")
_JOINING = frozenset(
    (
        *("a", "an", "the", "and", "or", "of", "with", "without", "in", "on", "at", "by", "for"),
        *("from", "to", "under", "over", "near", "not", "no", "non", "other"),
    )
)
# (ending, what it replaces): plurals first, then forms of verbs.
_PLURALS = (("ies", "y"), ("ves", "f"), ("ves", "fe"), ("es", ""), ("s", ""))
_VERBS = (("ing", ""), ("ing", "e"), ("ed", ""), ("ed", "e"))
# These have no singular, or one that is another thing.
_PLURAL_ONLY = frozenset(
    (
        *("binoculars", "blinds", "clothes", "drapes", "glasses", "goggles", "goods"),
        *("headphones", "jeans", "news", "pants", "pliers", "ruins", "scissors", "shorts"),
        *("species", "stairs", "sunglasses", "tongs", "trousers", "tweezers", "woods"),
    )
)
_IRREGULAR = {"men": "man", "women": "woman", "children": "child", "people": "person"}
_LEAST_STEM = 3
# Of two words written as one, each has four letters, as shorter ones are found in most typos, or
# the first is one of these.
_LEAST_PART = 4
_SHORT_PARTS = frozenset(
    ("air", "bed", "bus", "car", "gas", "ice", "oil", "sea", "sun", "tap", "tea", "toy")
)


def normalized(word: str) -> str:
    """Return a word in lower case, without article, underscores and repeated spaces."""
    text = " ".join(unicodedata.normalize("NFC", word).replace("_", " ").lower().split())
    for article in _ARTICLES:
        if text.startswith(article):
            return text[len(article) :]
    return text


def singular_forms(word: str) -> Iterator[str]:
    """Yield what a normalized word can be the plural of, the most likely form first."""
    head, space, last = word.rpartition(" ")
    if last in _IRREGULAR:
        yield head + space + _IRREGULAR[last]
    # "glass", "bus" and "chassis" are no plurals.
    if last in _PLURAL_ONLY or last.endswith(("ss", "us", "is")):
        return
    for ending, replacement in _PLURALS:
        stem = last.removesuffix(ending)
        is_plural = stem != last and len(stem) >= _LEAST_STEM - 1
        # After other letters the plural is formed by s alone.
        if ending == "es" and not stem.endswith(("s", "x", "z", "ch", "sh", "o")):
            is_plural = False
        if is_plural:
            yield head + space + stem + replacement


@lru_cache(maxsize=1)
def english_words() -> frozenset[str]:
    """Return the words of ``english_words.txt``: 68,000 English words in lower case."""
    lines = _WORDS_FILE.read_text(encoding="utf-8").split("\n")
    return frozenset(line for line in lines if line and line[0] != "#")


def tokens(word: str) -> list[str]:
    """Return the parts of a normalized word between spaces, hyphens, slashes and other signs."""
    return [part for part in re.split(r"[\s\-/&+.,:;|()'’\"]+", word) if part]


def without_accents(word: str) -> str:
    """Return a word with the accents of its Latin letters removed: façade, facade."""
    letters = unicodedata.normalize("NFD", word)
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def is_english(token: str) -> bool:
    """Return whether a token is an English word or one of its forms."""
    if token in _JOINING or token.isdecimal():
        return True
    plain = without_accents(token)
    known = english_words()
    if plain in known or any(form in known for form in singular_forms(plain)):
        return True
    stems = (plain.removesuffix(end) + new for end, new in _VERBS if plain.endswith(end))
    # "parked", "folding"; and "stopped", whose last consonant is doubled.
    return any(len(stem) >= _LEAST_STEM and (stem in known or stem[:-1] in known) for stem in stems)


def is_compound(token: str) -> bool:
    """Return whether a token is two English words written as one, such as "ductwork"."""
    known = english_words()
    plain = next(singular_forms(without_accents(token)), without_accents(token))
    parts = ((plain[:cut], plain[cut:]) for cut in range(_LEAST_STEM, len(plain)))
    return any(
        (len(first) >= _LEAST_PART or first in _SHORT_PARTS)
        and len(second) >= _LEAST_PART
        and first in known
        and second in known
        for first, second in parts
    )


def corrected_word(token: str) -> str | None:
    """Return an English word that differs from a token in one letter, or None.

    Of several, a word with two letters swapped comes first, then one with a letter more, with
    another letter, and with a letter less.
    """
    known = english_words()
    cuts = [(token[:at], token[at:]) for at in range(len(token) + 1)]
    changed = itertools.chain(
        (head + tail[1] + tail[0] + tail[2:] for head, tail in cuts if len(tail) > 1),
        (head + letter + tail for head, tail in cuts for letter in ascii_lowercase),
        (head + letter + tail[1:] for head, tail in cuts if tail for letter in ascii_lowercase),
        (head + tail[1:] for head, tail in cuts if tail),
    )
    return next((word for word in changed if word in known), None)


def nearest_spelling(word: str, candidates: Iterable[str], most: int | None = None) -> str | None:
    """Return the candidate that differs in the fewest letters, or None if all differ in many.

    Args:
        word: normalized word.
        candidates: words to choose from; of equally near ones the first is taken.
        most: letters that may differ; by default one in four, at least one and at most three.
    """
    limit = most if most is not None else min(3, max(1, (len(word) + 1) // 4))
    best: tuple[int, str] | None = None
    for candidate in candidates:
        if abs(len(candidate) - len(word)) <= limit:
            distance = _edits(word, candidate)
            if 0 < distance <= limit and (best is None or distance < best[0]):
                best = distance, candidate
    return best and best[1]


def _edits(first: str, second: str) -> int:
    """Return how many letters must be changed, added, removed or swapped with their neighbour.

    The optimal string alignment distance, by dynamic programming over prefixes.
    """
    before: list[int] = []
    row = list(range(len(second) + 1))
    for i, letter in enumerate(first):
        # row[j] is the distance of first[:i + 1] and second[:j].
        previous, row = row, [i + 1]
        for j, other in enumerate(second):
            cost = min(previous[j + 1] + 1, row[j] + 1, previous[j] + (letter != other))
            if i and j and letter == second[j - 1] and other == first[i - 1]:
                cost = min(cost, before[j - 1] + 1)
            row.append(cost)
        before = previous
    return row[-1]
