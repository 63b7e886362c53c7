"""The lexicon: names whose vectors are stored in the weights file, in compressed form."""

from dataclasses import dataclass

import numpy as np
import torch

from clip3d_cli.text.bpe import ClipTokenizer
from weights.recipe.text.training_targets import TrainingTargets

LEXICON_NAMES = 20_000
LEXICON_AXES = 256


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Names with their compressed vectors.

    Attributes:
        names: P names.
        tensors: see `compress`.
    """

    names: list[str]
    tensors: dict[str, torch.Tensor]


def make_lexicon(targets: TrainingTargets, tokenizer: ClipTokenizer) -> Lexicon:
    """Return the lexicon of the most important names."""
    rows = choose_names(targets, tokenizer)
    return Lexicon([targets.names[r] for r in rows], compress(targets.offsets[rows]))


def choose_names(targets: TrainingTargets, tokenizer: ClipTokenizer) -> list[int]:
    """Return the rows of the names to store: by weight, then by the number of tokens.

    Lists of synonyms (names with a comma) are left out, because nobody labels with them.
    """
    rows = [i for i, name in enumerate(targets.names) if "," not in name]
    tokens = {i: tokenizer.tokens(targets.names[i]) for i in rows}
    # CLIP's tokens are numbered by frequency, so rare words have a higher sum of numbers.
    order = sorted(rows, key=lambda i: (-targets.weight[i], len(tokens[i]), sum(tokens[i])))
    return sorted(order[:LEXICON_NAMES])


def compress(offsets: np.ndarray) -> dict[str, torch.Tensor]:
    """Compress offsets to eight-bit coordinates on their principal axes.

    Args:
        offsets: (P, 512) float32.

    Returns:
        ``axes`` (A, 512) float16, ``coordinates`` (P, A) int8 and ``scales`` (P, 1) float16:
        ``coordinates * scales @ axes`` approximates the offsets.
    """
    full = torch.from_numpy(offsets)
    # eigh sorts eigenvalues in ascending order: the last columns are the principal axes.
    axes = torch.linalg.eigh(full.T @ full)[1].flip(1)[:, :LEXICON_AXES].T.contiguous()
    coordinates = full @ axes.T
    scales = (coordinates.abs().amax(dim=1, keepdim=True) / 127).half()
    steps = (coordinates / scales.float()).round().clamp(-127, 127).to(torch.int8)
    return {"axes": axes.half(), "coordinates": steps, "scales": scales}
