"""The names whose vectors are shipped as they are, beside the network that answers all others."""

from dataclasses import dataclass

import numpy as np
import torch

from clip3d_cli.text.bpe import ClipTokenizer
from weights.recipe.text.labels import Lessons

LEXICON_NAMES = 20_000
LEXICON_AXES = 256


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Names with their compressed vectors, see `compress`."""

    names: list[str]
    tensors: dict[str, torch.Tensor]


def make_lexicon(lessons: Lessons, tokenizer: ClipTokenizer) -> Lexicon:
    """Give the lexicon of the most important names of ``lessons``."""
    rows = choose_names(lessons, tokenizer)
    return Lexicon([lessons.names[r] for r in rows], compress(lessons.offsets[rows]))


def choose_names(lessons: Lessons, tokenizer: ClipTokenizer) -> list[int]:
    """Give the rows of the lessons to ship: all weighty ones, then those of the fewest tokens.

    Lists of synonyms (names with a comma) stay out: nobody asks for them.
    """
    rows = [i for i, name in enumerate(lessons.names) if "," not in name]
    tokens = {i: tokenizer.tokens(lessons.names[i]) for i in rows}
    # CLIP's tokens are numbered by how common they are, so a sum of numbers tells rare words.
    order = sorted(rows, key=lambda i: (-lessons.weight[i], len(tokens[i]), sum(tokens[i])))
    return sorted(order[:LEXICON_NAMES])


def compress(offsets: np.ndarray) -> dict[str, torch.Tensor]:
    """Give (P, 512) offsets as principal axes and eight-bit coordinates on them.

    Returns:
        ``axes`` (A, 512) float16, ``coordinates`` (P, A) int8, ``scales`` (P, 1) float16, so that
        ``coordinates * scales @ axes`` is near the offsets.
    """
    full = torch.from_numpy(offsets)
    axes = torch.linalg.eigh(full.T @ full)[1].flip(1)[:, :LEXICON_AXES].T.contiguous()
    coordinates = full @ axes.T
    scales = (coordinates.abs().amax(dim=1, keepdim=True) / 127).half()
    steps = (coordinates / scales.float()).round().clamp(-127, 127).to(torch.int8)
    return {"axes": axes.half(), "coordinates": steps, "scales": scales}
