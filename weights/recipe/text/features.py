"""What is known of a phrase before CLIP: MiniLM's states, WordNet's entry, its letters."""

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
class Known:
    """Blocks of features of P phrases, each block for one kernel of the teacher.

    Attributes:
        dense: name -> (P, D) float32, rows of unit length.
        counts: name -> (P, V) sparse float32, rows of unit length (or empty).
        form: (P, F) float32, the phrase's outer shape: underscores, commas, length.
    """

    dense: dict[str, np.ndarray]
    counts: dict[str, sparse.csr_matrix]
    form: np.ndarray

    def rows(self, rows: np.ndarray) -> "Known":
        """Give the phrases at some rows."""
        dense = {name: block[rows] for name, block in self.dense.items()}
        counts = {name: block[rows] for name, block in self.counts.items()}
        return Known(dense, counts, self.form[rows])


def plain(name: str) -> str:
    """Give a name in lower case without underscores."""
    return " ".join(name.lower().replace("_", " ").split())


def lookup(name: str, nouns: Nouns) -> tuple[str, int | None]:
    """Find a name in WordNet: whole, without its remark in brackets, then by its last words.

    Returns:
        The words that were found (the whole name when none were) and their sense, or None.
    """
    base = re.sub(r"\(.*?\)", " ", plain(name))
    parts = [" ".join(part.split()) for part in re.split(r"[,/&]| of | and ", base)]
    for part in filter(None, parts):
        words = part.split()
        for start in range(len(words)):
            tail = " ".join(words[start:])
            sense = nouns.best_sense(tail)
            if sense is not None:
                return tail, sense
    return plain(name), None


def know(names: Sequence[str], prompts: Sequence[str], nouns: Nouns, minilm: "MiniLM") -> Known:
    """Collect the features of phrases.

    Args:
        names: length P, without article.
        prompts: length P, as CLIP read them; only their outer shape is used.
        nouns: WordNet.
        minilm: the sentence encoder.
    """
    words = [plain(name) for name in names]
    found = [lookup(name, nouns) for name in names]
    glossed = [
        word if sense is None else f"{word}: {nouns.synsets[sense].gloss}"
        for word, (_, sense) in zip(words, found, strict=True)
    ]
    bare = minilm(words).astype(np.float32)
    photo = minilm([f"a photo of a {word}." for word in words]).astype(np.float32)
    gloss = minilm(glossed).astype(np.float32)
    dense = {
        "bare0": bare[:, 0], "bare3": bare[:, 1], "bare6": bare[:, 2],
        "photo3": photo[:, 1], "photo6": photo[:, 2],
        "gloss3": gloss[:, 1], "gloss6": gloss[:, 2],
    }  # fmt: skip
    counts = {
        "letters": _unit_rows(_hashed([_letter_grams(word) for word in words], 2**16)),
        "words": _unit_rows(_hashed([_word_marks(word) for word in words], 2**16)),
        "broader": _unit_rows(_hashed([_broader_marks(s, nouns) for _, s in found], 2**18)),
    }
    return Known(dense, counts, form_of(prompts, nouns))


def form_of(prompts: Sequence[str], nouns: Nouns) -> np.ndarray:
    """Give the outer shape of prompts, (P, F) float32."""
    found = [lookup(prompt.removeprefix("a "), nouns)[1] for prompt in prompts]
    rows = [_form(p, f is not None) for p, f in zip(prompts, found, strict=True)]
    return np.array(rows, np.float32).reshape(len(prompts), 8)


def _letter_grams(word: str) -> Counter[str]:
    marked = f"<{word}>"
    return Counter(marked[i : i + n] for n in (2, 3, 4, 5) for i in range(len(marked) - n + 1))


def _word_marks(word: str) -> Counter[str]:
    words = re.findall(r"[a-z0-9]+", word)
    marks = Counter(words)
    if words:
        marks["last " + words[-1]] += 1
        marks["first " + words[0]] += 1
    return marks


def _broader_marks(sense: int | None, nouns: Nouns) -> dict[str, float]:
    if sense is None:
        return {}
    return {str(s): 0.75**steps for s, steps in nouns.ancestors(sense).items()}


def _hashed(marks: Sequence[Mapping[str, float]], width: int) -> sparse.csr_matrix:
    rows, columns, amounts = [], [], []
    for row, counts in enumerate(marks):
        for mark, amount in counts.items():
            rows.append(row)
            columns.append(_stable_hash(mark) % width)
            amounts.append(amount)
    shape = (len(marks), width)
    return sparse.csr_matrix((np.array(amounts, np.float32), (rows, columns)), shape)


def _stable_hash(mark: str) -> int:
    # Python's own hash changes from process to process.
    value = 2166136261
    for byte in mark.encode():
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
