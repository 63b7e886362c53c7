"""How well a text encoder finds the stored CLIP vectors of names it was not taught."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from clip3d_cli.text.bpe import ClipTokenizer
from weights.recipe.text.network import MiniTextNetwork
from weights.recipe.text.phrases import Phrases

RANKS = (1, 5, 10)


def retrieval(
    answers: np.ndarray, own: np.ndarray, candidates: np.ndarray, mean: np.ndarray
) -> dict[str, float]:
    """Give the mean cosine with the own vector and how often it is among the first 1, 5, 10.

    All vectors are taken less ``mean`` (D,). Candidates that equal the own vector (cosine above
    0.999: the same prompt in another source) do not count as rivals.

    Args:
        answers: (P, D) of the encoder.
        own: (P,) rows of ``candidates`` with the true vectors.
        candidates: (C, D) true vectors.
        mean: (D,).
    """
    a = functional.normalize(torch.from_numpy(answers - mean), dim=1)
    c = functional.normalize(torch.from_numpy(candidates - mean), dim=1)
    similarity = a @ c.T
    own_similarity = similarity[torch.arange(len(a)), torch.from_numpy(own)]
    rival = c[torch.from_numpy(own)] @ c.T < 0.999
    better = ((similarity > own_similarity[:, None]) & rival).sum(1)
    shares = {f"top{r}": float((better < r).float().mean()) for r in RANKS}
    return {"cosine": float(own_similarity.mean()), **shares}


def heldout_scores(
    answers: np.ndarray, every: Phrases, rows: np.ndarray, mean: np.ndarray
) -> dict[str, dict[str, float]]:
    """Score answers (P, D) to LVIS rows (P,), among LVIS's 1,203 and among all 3,100 vectors."""
    lvis = np.flatnonzero([source == "lvis" for source in every.sources])
    return {
        "among_1203": retrieval(answers, np.searchsorted(lvis, rows), every.vectors[lvis], mean),
        "among_3100": retrieval(answers, rows, every.vectors, mean),
    }


@torch.inference_mode()
def network_answers(
    network: MiniTextNetwork, tokenizer: ClipTokenizer, names: Sequence[str]
) -> np.ndarray:
    """Give the network's own vectors of names, (P, D), without the lexicon."""
    rows = [network(torch.tensor([tokenizer.tokens(f"a {name}")])) for name in names]
    return functional.normalize(network.mean + torch.cat(rows), dim=1).numpy()
