"""Evaluation: how well an encoder retrieves the CLIP vectors of held-out names."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from clip3d_cli.text.bpe import ClipTokenizer
from weights.recipe.text.network import MiniTextNetwork
from weights.recipe.text.phrases import Phrases

RANKS = (1, 5, 10)
_EQUAL_COSINE = 0.999


def retrieval(
    predicted: np.ndarray, own: np.ndarray, candidates: np.ndarray, mean: np.ndarray
) -> dict[str, float]:
    """Return the mean cosine with the own vector, and how often it is among the first 1, 5, 10.

    The mean is subtracted from all vectors. A candidate that equals the own vector (cosine of at
    least 0.999: the same prompt in another source) does not count as a rival.

    Args:
        predicted: (P, D) vectors of the encoder.
        own: (P,) row of the true vector among the candidates.
        candidates: (C, D) true vectors.
        mean: (D,).
    """
    p = functional.normalize(torch.from_numpy(predicted - mean), dim=1)
    c = functional.normalize(torch.from_numpy(candidates - mean), dim=1)
    similarity = p @ c.T
    own_similarity = similarity[torch.arange(len(p)), torch.from_numpy(own)]
    is_rival = c[torch.from_numpy(own)] @ c.T < _EQUAL_COSINE
    better = ((similarity > own_similarity[:, None]) & is_rival).sum(1)
    shares = {f"top{r}": float((better < r).float().mean()) for r in RANKS}
    return {"cosine": float(own_similarity.mean()), **shares}


def score_held_out(
    predicted: np.ndarray, phrases: Phrases, rows: np.ndarray, mean: np.ndarray
) -> dict[str, dict[str, float]]:
    """Score vectors of held-out names among LVIS's 1,203 vectors and among all 3,100.

    Args:
        predicted: (P, D) vectors of the encoder.
        phrases: all phrases.
        rows: (P,) rows of the names among the phrases, all of LVIS.
        mean: (D,).
    """
    lvis = np.flatnonzero([source == "lvis" for source in phrases.sources])
    own = np.searchsorted(lvis, rows)
    return {
        "among_1203": retrieval(predicted, own, phrases.vectors[lvis], mean),
        "among_3100": retrieval(predicted, rows, phrases.vectors, mean),
    }


@torch.inference_mode()
def embed_by_network(
    network: MiniTextNetwork, tokenizer: ClipTokenizer, names: Sequence[str]
) -> np.ndarray:
    """Return the network's unit vectors of names, (P, D), without the lexicon."""
    rows = [network(torch.tensor([tokenizer.tokens(f"a {name}")])) for name in names]
    return functional.normalize(network.mean + torch.cat(rows), dim=1).numpy()
