"""The stored CLIP vectors as prompts, and the names that are held out of all training."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HOLDOUT_SEED = 20
HOLDOUT_NAMES = 200


@dataclass(frozen=True, slots=True)
class Phrases:
    """Prompts as CLIP read them, with their vectors.

    Attributes:
        prompts: length P, for example ``a traffic_light``.
        names: length P, the prompt without article and underscores.
        sources: length P, ``lvis``, ``o365``, ``oid``, ``clip_lt`` or ``ovo``.
        vectors: (P, 512) float32, unit length.
    """

    prompts: tuple[str, ...]
    names: tuple[str, ...]
    sources: tuple[str, ...]
    vectors: np.ndarray

    def rows(self, keep: np.ndarray) -> "Phrases":
        """Give the phrases where ``keep`` (P,) is True, or those at integer rows."""
        rows = np.flatnonzero(keep) if keep.dtype == bool else keep
        return Phrases(
            tuple(self.prompts[r] for r in rows),
            tuple(self.names[r] for r in rows),
            tuple(self.sources[r] for r in rows),
            self.vectors[rows],
        )


def read_phrases(path: Path) -> Phrases:
    """Read ``clip_b32_text.npz`` and restore the prompt each vector was made from.

    Names of several words were joined with underscores by LVIS only. Every source but OVO put
    "a " before the name: the vectors of names that two sources share are equal to three digits.
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


def without_repeats(phrases: Phrases) -> Phrases:
    """Give one row per distinct prompt, its vector the renormalised mean of the repeats."""
    first: dict[str, int] = {}
    for row, prompt in enumerate(phrases.prompts):
        first.setdefault(prompt.lower(), row)
    sums = np.zeros((len(first), phrases.vectors.shape[1]), np.float32)
    slot = {prompt: i for i, prompt in enumerate(first)}
    for row, prompt in enumerate(phrases.prompts):
        sums[slot[prompt.lower()]] += phrases.vectors[row]
    kept = phrases.rows(np.array(list(first.values())))
    unit = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    return Phrases(kept.prompts, kept.names, kept.sources, unit)


def name_keys(name: str) -> set[str]:
    """Give every spelling under which a name counts as the same word.

    Underscores, hyphens, case, a remark in brackets and the plural are ignored; a comma list
    or a slash counts under each of its parts.
    """
    keys = set()
    plain = re.sub(r"\(.*?\)", " ", name.lower())
    for part in re.split(r"[,/]", plain):
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


def holdout_mask(
    phrases: Phrases, *, seed: int = HOLDOUT_SEED, count: int = HOLDOUT_NAMES
) -> tuple[np.ndarray, np.ndarray]:
    """Mark the rows of ``count`` LVIS names, and every other row that holds one of those names.

    Returns:
        (P,) bool for the drawn LVIS rows, (P,) bool for all rows to keep away from training.
    """
    lvis = np.array([source == "lvis" for source in phrases.sources])
    drawn_rows = np.random.default_rng(seed).choice(np.flatnonzero(lvis), count, replace=False)
    drawn = np.zeros(len(lvis), bool)
    drawn[drawn_rows] = True
    banned = set().union(*(name_keys(phrases.names[r]) for r in drawn_rows))
    touched = np.array([bool(name_keys(name) & banned) for name in phrases.names])
    return drawn, touched | drawn
