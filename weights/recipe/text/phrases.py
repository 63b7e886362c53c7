"""Prompts with their CLIP vectors, and the names that are held out of training."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HOLDOUT_SEED = 20
HOLDOUT_NAMES = 200


@dataclass(frozen=True, slots=True)
class Phrases:
    """P prompts with their CLIP vectors.

    Attributes:
        prompts: the P texts that CLIP embedded, such as ``a traffic_light``.
        names: the P prompts without article and underscores.
        sources: source of each prompt: ``lvis``, ``o365``, ``oid``, ``clip_lt`` or ``ovo``.
        vectors: (P, 512) float32, unit length.
    """

    prompts: tuple[str, ...]
    names: tuple[str, ...]
    sources: tuple[str, ...]
    vectors: np.ndarray

    def select(self, keep: np.ndarray) -> "Phrases":
        """Return the phrases where a (P,) bool mask is True, or those at integer rows."""
        rows = np.flatnonzero(keep) if keep.dtype == bool else keep
        return Phrases(
            tuple(self.prompts[r] for r in rows),
            tuple(self.names[r] for r in rows),
            tuple(self.sources[r] for r in rows),
            self.vectors[rows],
        )


def read_phrases(path: Path) -> Phrases:
    """Read ``clip_b32_text.npz`` and reconstruct the prompt of each vector.

    Only LVIS joined the words of a name with underscores. All sources except OVO wrote "a " before
    the name: the vectors of names in two sources agree to three digits.
    """
    stored = np.load(path)
    prompts, names, sources = [], [], []
    for text, long_source in zip(stored["text"].tolist(), stored["source"].tolist(), strict=True):
        source = _short_source(long_source)
        bare = text.removeprefix("a ") if source in ("lvis", "o365", "oid") else text
        if source == "lvis":
            prompts.append("a " + bare.replace(" ", "_"))
        elif source == "ovo":
            prompts.append(bare)
        else:
            prompts.append("a " + bare)
        names.append(bare.replace("_", " "))
        sources.append(source)
    vectors = stored["vector"].astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Phrases(tuple(prompts), tuple(names), tuple(sources), vectors)


def _short_source(source: str) -> str:
    for key in ("lvis", "o365", "oid", "clip_lt"):
        if key in source:
            return key
    return "ovo"


def merge_repeats(phrases: Phrases) -> Phrases:
    """Return one phrase per prompt; its vector is the normalized mean of the repeats."""
    first: dict[str, int] = {}
    for row, prompt in enumerate(phrases.prompts):
        first.setdefault(prompt.lower(), row)
    sums = np.zeros((len(first), phrases.vectors.shape[1]), np.float32)
    merged_row = {prompt: i for i, prompt in enumerate(first)}
    for row, prompt in enumerate(phrases.prompts):
        sums[merged_row[prompt.lower()]] += phrases.vectors[row]
    kept = phrases.select(np.array(list(first.values())))
    unit = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    return Phrases(kept.prompts, kept.names, kept.sources, unit)


def name_keys(name: str) -> set[str]:
    """Return the keys of a name; two names with a common key count as the same word.

    Underscores, hyphens, case, remarks in parentheses and the plural are ignored. Each part of a
    list with commas or slashes has a key of its own.
    """
    keys = set()
    text = re.sub(r"\(.*?\)", " ", name.lower())
    for part in re.split(r"[,/]", text):
        letters = re.sub(r"[^a-z0-9]+", "", part)
        keys.add(_singular(letters))
    keys.discard("")
    return keys


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if re.search(r"(s|x|ch|sh)es$", word):
        return word[:-2]
    if word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    return word


def draw_holdout(
    phrases: Phrases, *, seed: int = HOLDOUT_SEED, count: int = HOLDOUT_NAMES
) -> tuple[np.ndarray, np.ndarray]:
    """Draw LVIS names to hold out, and find all rows that contain one of these names.

    Args:
        phrases: all P phrases.
        seed: seed of the draw.
        count: number of LVIS names.

    Returns:
        (P,) bool, True for the drawn rows, and (P,) bool, True for all rows to exclude from
        training.
    """
    is_lvis = np.array([source == "lvis" for source in phrases.sources])
    drawn_rows = np.random.default_rng(seed).choice(np.flatnonzero(is_lvis), count, replace=False)
    is_drawn = np.zeros(len(is_lvis), bool)
    is_drawn[drawn_rows] = True
    held_out = set().union(*(name_keys(phrases.names[r]) for r in drawn_rows))
    has_key = np.array([bool(name_keys(name) & held_out) for name in phrases.names])
    return is_drawn, has_key | is_drawn
