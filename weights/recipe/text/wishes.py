"""Names to learn besides WordNet's nouns, and the strange ones to leave out."""

import itertools
import re
from pathlib import Path

import numpy as np

from weights.recipe.text.phrases import Phrases

# Rows of OVO whose text was mistyped or means nothing.
UNUSABLE = frozenset({"empty", "strange-vehicle", "strange-ground", "vegatation", "terrian"})

LOOKS = (
    "red", "blue", "green", "yellow", "white", "black", "grey", "brown", "orange", "pink",
    "wooden", "metal", "plastic", "glass", "concrete", "brick", "stone", "paper", "rusty",
    "leather", "small", "large", "big", "tall", "old", "new", "broken", "folded", "parked",
    "empty", "round", "square", "dirty", "electric", "toy", "kitchen", "bathroom", "bedroom",
    "office", "street",
    "garden", "outdoor", "wall", "construction",
)  # fmt: skip


def usable(phrases: Phrases) -> np.ndarray:
    """Mark (P,) the rows that are worth learning from."""
    return np.array([name not in UNUSABLE for name in phrases.names])


def class_words() -> list[str]:
    """List the class words of the usual vocabularies, each once, in file order."""
    lines = (Path(__file__).parent / "class_words.txt").read_text().splitlines()
    words = [w.strip() for line in lines if not line.startswith("#") for w in line.split(",")]
    return list(dict.fromkeys(filter(None, words)))


def token_words(merges_vocabulary: list[str]) -> list[str]:
    """List the words that are one token of CLIP: letters only, three or more."""
    pattern = re.compile(r"^([a-z]{3,})</w>$")
    return [m.group(1) for m in map(pattern.match, merges_vocabulary) if m]


def plurals(names: list[str]) -> list[str]:
    """List the regular plural of every name that does not already end in s."""
    ending = [(r"[^aeiou]y$", "ies"), (r"(x|ch|sh)$", "es")]
    out = []
    for name in names:
        if name.endswith("s") or not name[-1:].isalpha():
            continue
        for pattern, plural in ending:
            if re.search(pattern, name):
                out.append(name[: -len(plural) + 2] + plural if plural == "ies" else name + plural)
                break
        else:
            out.append(name + "s")
    return out


def looks_of(names: list[str], *, count: int, seed: int) -> list[str]:
    """Draw ``count`` distinct pairs of a look and a short name, for example "red car"."""
    short = [n for n in names if n.isascii() and n.replace(" ", "").isalpha() and len(n) < 20]
    pairs = list(itertools.product(LOOKS, short))
    drawn = np.random.default_rng(seed).choice(len(pairs), min(count, len(pairs)), replace=False)
    return [" ".join(pairs[i]) for i in drawn]
