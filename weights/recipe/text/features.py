"""Features of a name that do not need CLIP: MiniLM's states, WordNet's entry, its letters."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from weights.recipe.text.wordnet import Nouns

if TYPE_CHECKING:
    from weights.recipe.text.minilm import MiniLM


@dataclass(frozen=True, slots=True)
class PhraseFeatures:
    """Features of P phrases in named blocks; each block has its own kernel.

    Attributes:
        dense: (P, D) float32 with rows of unit length, by block.
        counts: (P, V) sparse float32 with rows of unit length, or empty rows, by block.
        form: (P, F) float32, the form of the prompt: underscores, commas, length.
    """

    dense: dict[str, np.ndarray]
    counts: dict[str, sparse.csr_matrix]
    form: np.ndarray

    def select(self, rows: np.ndarray) -> "PhraseFeatures":
        """Return the features of the phrases at some rows."""
        dense = {name: block[rows] for name, block in self.dense.items()}
        counts = {name: block[rows] for name, block in self.counts.items()}
        return PhraseFeatures(dense, counts, self.form[rows])


def normalize_name(name: str) -> str:
    """Return a name in lower case, with spaces for underscores."""
    return " ".join(name.lower().replace("_", " ").split())


def find_in_wordnet(name: str, nouns: Nouns) -> tuple[str, int | None]:
    """Look up a name in WordNet: without remarks in parentheses, whole, then its last words.

    Returns:
        The words that were found and their sense; the whole name and None if none were found.
    """
    base = re.sub(r"\(.*?\)", " ", normalize_name(name))
    parts = [" ".join(part.split()) for part in re.split(r"[,/&]| of | and ", base)]
    for part in filter(None, parts):
        words = part.split()
        for start in range(len(words)):
            tail = " ".join(words[start:])
            sense = nouns.best_sense(tail)
            if sense is not None:
                return tail, sense
    return normalize_name(name), None


def compute_features(
    names: Sequence[str], prompts: Sequence[str], nouns: Nouns, minilm: "MiniLM"
) -> PhraseFeatures:
    """Compute the features of phrases.

    Args:
        names: P names without article.
        prompts: P prompts as CLIP embedded them; only their form is used.
        nouns: WordNet.
        minilm: sentence encoder.
    """
    words = [normalize_name(name) for name in names]
    found = [find_in_wordnet(name, nouns) for name in names]
    glossed = [
        word if sense is None else f"{word}: {nouns.synsets[sense].gloss}"
        for word, (_, sense) in zip(words, found, strict=True)
    ]
    # Each (P, 3, 384): the states of three layers.
    bare = minilm(words).astype(np.float32)
    photo = minilm([f"a photo of a {word}." for word in words]).astype(np.float32)
    gloss = minilm(glossed).astype(np.float32)
    dense = {
        "bare0": bare[:, 0], "bare3": bare[:, 1], "bare6": bare[:, 2],
        "photo3": photo[:, 1], "photo6": photo[:, 2],
        "gloss3": gloss[:, 1], "gloss6": gloss[:, 2],
    }  # fmt: skip
    counts = {
        "letters": _unit_rows(_hashed_counts([_letter_ngrams(word) for word in words], 2**16)),
        "words": _unit_rows(_hashed_counts([_word_counts(word) for word in words], 2**16)),
        "broader": _unit_rows(_hashed_counts([_broader_terms(s, nouns) for _, s in found], 2**18)),
    }
    return PhraseFeatures(dense, counts, form_features(prompts, nouns))


def form_features(prompts: Sequence[str], nouns: Nouns) -> np.ndarray:
    """Return the form of prompts, (P, 8) float32: see `_form`."""
    found = [find_in_wordnet(prompt.removeprefix("a "), nouns)[1] for prompt in prompts]
    rows = [_form(p, f is not None) for p, f in zip(prompts, found, strict=True)]
    return np.array(rows, np.float32).reshape(len(prompts), 8)


def _letter_ngrams(word: str) -> Counter[str]:
    """Count the runs of two to five characters; < and > mark the ends of the word."""
    marked = f"<{word}>"
    return Counter(marked[i : i + n] for n in (2, 3, 4, 5) for i in range(len(marked) - n + 1))


def _word_counts(name: str) -> Counter[str]:
    """Count the words of a name; the first and the last count once more as such."""
    words = re.findall(r"[a-z0-9]+", name)
    counts = Counter(words)
    if words:
        counts["last " + words[-1]] += 1
        counts["first " + words[0]] += 1
    return counts


def _broader_terms(sense: int | None, nouns: Nouns) -> dict[str, float]:
    """Return the weight of each broader term of a sense: less with each step away."""
    if sense is None:
        return {}
    return {str(s): 0.75**steps for s, steps in nouns.ancestors(sense).items()}


def _hashed_counts(counts_of_row: Sequence[Mapping[str, float]], width: int) -> sparse.csr_matrix:
    """Return counts as a sparse matrix (P, width); the column of a key is its hash."""
    rows, columns, amounts = [], [], []
    for row, counts in enumerate(counts_of_row):
        for key, amount in counts.items():
            rows.append(row)
            columns.append(_stable_hash(key) % width)
            amounts.append(amount)
    shape = (len(counts_of_row), width)
    return sparse.csr_matrix((np.array(amounts, np.float32), (rows, columns)), shape)


def _stable_hash(text: str) -> int:
    # FNV-1a: Python's own hash differs from process to process.
    value = 2166136261
    for byte in text.encode():
        value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
    return value


def _unit_rows(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    length = np.sqrt(counts.multiply(counts).sum(axis=1)).A1
    return sparse.csr_matrix(sparse.diags(1 / np.maximum(length, 1e-6)) @ counts)


def _form(prompt: str, is_noun: bool) -> list[float]:
    name = prompt.removeprefix("a ")
    words = re.findall(r"[A-Za-z0-9]+", name)
    return [
        float("_" in name),
        float("(" in name),
        float("," in name),
        float(not prompt.startswith("a ")),
        float(not is_noun),
        float(name.endswith("s")),
        min(len(words), 8) / 3,
        min(len(name), 60) / 15,
    ]
