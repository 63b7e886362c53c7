"""The losses that a configuration can name: the paper's, the released code's and the ablations'.

============================  =====================================================================
semantic
----------------------------  ---------------------------------------------------------------------
``paper``                     Eq. 1, as printed.
``code``                      what github.com/runnanchen/CLIP2Scene runs: a cross-entropy of
                              features of any length, without a temperature.
``cross_entropy``             Eq. 1 with each point judged by itself: a softmax over words.
``kl``                        the ablation: the pixel's softmax over words is the target.
``cosine``                    the pixel's own vector is the target: no words at all. Also the
                              second term of the code's loss on ScanNet.
----------------------------  ---------------------------------------------------------------------
spatial-temporal
----------------------------  ---------------------------------------------------------------------
``paper``                     Eq. 2 to 4.
``code``                      points alone are fused, eight in a cell.
``none``                      the ablation without it.
============================  =====================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from clip3d_cli.training.clip2scene.losses import (
    NO_WORD,
    Cells,
    Words,
    semantic_consistency,
    spatial_temporal_consistency,
)

Semantic = Literal["paper", "code", "cross_entropy", "kl", "cosine"]
SpatialTemporal = Literal["paper", "code", "none"]

_MOST_IN_A_CELL = 8


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Points and what the pixels that see them say: all that any semantic loss looks at.

    Attributes:
        raw: (P, D): what the point head gives, of any length.
        word: (P,) int64: the word of each pair, −1 for none.
        pixels: (P, D), unit length: the vector of each pair's pixel; None where there are only
            words, as of points that no pixel sees.
    """

    raw: Tensor
    word: Tensor
    pixels: Tensor | None = None

    @property
    def vectors(self) -> Tensor:
        """(P, D) float32, unit length."""
        return functional.normalize(self.raw.float(), dim=1, eps=1e-6)


def semantic_loss(
    name: Semantic, pairs: Pairs, words: Words, *, temperature: float = 0.5
) -> Tensor:
    """The semantic loss of that name.

    Args:
        name: see the module.
        pairs: the points and their pixels.
        words: the words.
        temperature: τ; the code's has none.

    Returns:
        (), a sum over classes for ``paper``, else a mean over pairs; 0 without pairs.

    Raises:
        ValueError: no such name; or ``kl`` or ``cosine`` of pairs without pixels.
    """
    if name == "paper":
        return semantic_consistency(pairs.vectors, pairs.word, words, temperature=temperature)
    if name == "code":
        return word_cross_entropy(pairs.raw, pairs.word, words, temperature=1.0)
    if name == "cross_entropy":
        return word_cross_entropy(pairs.vectors, pairs.word, words, temperature=temperature)
    if name not in get_args(Semantic):
        raise ValueError(f"no semantic loss is called {name!r}")
    if pairs.pixels is None:
        raise ValueError(f"the loss {name!r} compares points with pixels, and none were given")
    if name == "kl":
        return word_divergence(pairs.vectors, pairs.pixels, words, temperature=temperature)
    return pixel_distance(pairs.vectors, pairs.pixels)


def word_cross_entropy(
    points: Tensor, word_of_pair: Tensor, words: Words, *, temperature: float
) -> Tensor:
    """How little of a point's softmax over words falls on the class of its word.

    With one word a class, the cross-entropy. The words of one class are right together: else
    synonyms would drive each other away.

    Args:
        points: (P, D): unit vectors; in the released code raw features, at temperature 1.
        word_of_pair: (P,) int64, −1 for none.
        words: the words.
        temperature: τ.

    Returns:
        (), the mean over pairs that have a word.
    """
    told = word_of_pair != NO_WORD
    logits = points[told].float() @ words.vectors.T / temperature
    wrong = words.class_of_word[word_of_pair[told]][:, None] != words.class_of_word
    right = logits.masked_fill(wrong, -torch.inf).logsumexp(dim=1)
    return _mean(logits.logsumexp(dim=1) - right)


def word_divergence(vectors: Tensor, pixels: Tensor, words: Words, *, temperature: float) -> Tensor:
    """The Kullback–Leibler divergence of points' softmax over words from their pixels'.

    Σ_w q_w log(q_w / p_w), q of the pixel and p of the point: the mean over pairs.
    """
    wanted = (pixels.float() @ words.vectors.T / temperature).log_softmax(dim=1)
    found = (vectors.float() @ words.vectors.T / temperature).log_softmax(dim=1)
    return _mean((wanted.exp() * (wanted - found)).sum(dim=1))


def pixel_distance(vectors: Tensor, pixels: Tensor) -> Tensor:
    """1 − the cosine of each point and its pixel: the mean over pairs of (P, D) unit vectors."""
    return _mean(1 - (vectors.float() * pixels.float()).sum(dim=1))


def spatial_temporal_loss(
    name: SpatialTemporal, points: Tensor, pixels: Tensor, cells: Cells, *, temperature: float = 1.0
) -> Tensor:
    """The spatial-temporal loss of that name: see `spatial_temporal_consistency`.

    ``code`` is what the released code minimises: pixels are read and dropped, a cell's text
    weighs its first eight points, and the sum is divided by eight a cell instead of by points.
    Left out is the constant 0.5 that its zero padding adds for every place not taken, which has
    no gradient.

    Raises:
        ValueError: no such name.
    """
    if name == "none":
        return 0 * points.sum()
    if name == "paper":
        return spatial_temporal_consistency(points, pixels, cells, temperature=temperature)
    if name != "code":
        raise ValueError(f"no spatial-temporal loss is called {name!r}")
    kept = (cells.of_point >= 0) & (_rank_in_cell(cells.of_point) < _MOST_IN_A_CELL)
    few = Cells(cells.of_point[kept], cells.of_pixel[:0], cells.texts)
    mean = spatial_temporal_consistency(points[kept], pixels[:0], few, temperature=temperature)
    places = _MOST_IN_A_CELL * len(torch.unique(few.of_point))
    return mean * (len(few.of_point) / max(1, places))


def _rank_in_cell(cell: Tensor) -> Tensor:
    """(R,) int64: how many earlier rows lie in the same cell."""
    order = cell.argsort(stable=True)
    _, count = torch.unique_consecutive(cell[order], return_counts=True)
    first = (count.cumsum(0) - count).repeat_interleave(count)
    places = torch.arange(len(cell), device=cell.device)
    return torch.empty_like(cell).scatter(0, order, places - first)


def _mean(values: Tensor) -> Tensor:
    """The mean of (P,), 0 of none, with a graph in any case."""
    return values.sum() / max(1, len(values))
