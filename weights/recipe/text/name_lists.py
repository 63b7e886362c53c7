"""Lists of names to learn besides WordNet's nouns, and phrases to leave out."""

import itertools
import re
from pathlib import Path

import numpy as np

from weights.recipe.text.phrases import Phrases

# Texts of OVO that are misspelled or mean nothing.
UNUSABLE = frozenset({"empty", "strange-vehicle", "strange-ground", "vegatation", "terrian"})

LOOKS = (
    "red", "blue", "green", "yellow", "white", "black", "grey", "brown", "orange", "pink",
    "wooden", "metal", "plastic", "glass", "concrete", "brick", "stone", "paper", "rusty",
    "leather", "small", "large", "big", "tall", "old", "new", "broken", "folded", "parked",
    "empty", "round", "square", "dirty", "electric", "toy", "kitchen", "bathroom", "bedroom",
    "office", "street",
    "garden", "outdoor", "wall", "construction",
)  # fmt: skip


def is_usable(phrases: Phrases) -> np.ndarray:
    """Return which phrases can be used for training, (P,) bool."""
    return np.array([name not in UNUSABLE for name in phrases.names])


def class_words() -> list[str]:
    """Return the class words of the common vocabularies, each once, in the order of the file."""
    lines = (Path(__file__).parent / "class_words.txt").read_text().splitlines()
    words = [w.strip() for line in lines if not line.startswith("#") for w in line.split(",")]
    return list(dict.fromkeys(filter(None, words)))


def token_words(pieces: list[str]) -> list[str]:
    """Return the words of three or more letters that are a single token of CLIP.

    Args:
        pieces: text of each token, see `clip3d_cli.text.bpe.ClipTokenizer`.
    """
    pattern = re.compile(r"^([a-z]{3,})</w>$")
    return [m.group(1) for m in map(pattern.match, pieces) if m]


def plurals(names: list[str]) -> list[str]:
    """Return the regular plural of each name that does not end in s already."""
    endings = [(r"[^aeiou]y$", "ies"), (r"(x|ch|sh)$", "es")]
    out = []
    for name in names:
        if name.endswith("s") or not name[-1:].isalpha():
            continue
        for pattern, plural in endings:
            if re.search(pattern, name):
                out.append(name[: -len(plural) + 2] + plural if plural == "ies" else name + plural)
                break
        else:
            out.append(name + "s")
    return out


def names_with_looks(names: list[str], *, count: int, seed: int) -> list[str]:
    """Draw pairs of a look and a short name, such as "red car", each pair once.

    Args:
        names: names to choose from.
        count: number of pairs.
        seed: seed of the draw.
    """
    short = [n for n in names if n.isascii() and n.replace(" ", "").isalpha() and len(n) < 20]
    pairs = list(itertools.product(LOOKS, short))
    drawn = np.random.default_rng(seed).choice(len(pairs), min(count, len(pairs)), replace=False)
    return [" ".join(pairs[i]) for i in drawn]
