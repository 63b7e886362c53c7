"""Losses by the names of the config: the paper's, the released code's and those of the ablation.

============================  =====================================================================
semantic
----------------------------  ---------------------------------------------------------------------
``paper``                     Eq. 1, as printed.
``code``                      what github.com/runnanchen/CLIP2Scene computes: a cross-entropy of
                              features that are not normalised, without a temperature.
``cross_entropy``             Eq. 1 with a softmax over words for each point by itself.
``kl``                        the ablation: the target is the softmax of the pixel over words.
``cosine``                    the target is the vector of the pixel, without words. It is also the
                              second term of the released code's loss on ScanNet.
----------------------------  ---------------------------------------------------------------------
spatial-temporal
----------------------------  ---------------------------------------------------------------------
``paper``                     Eq. 2 to 4.
``code``                      the released code: only points are fused, eight of each cell.
``none``                      the ablation without this loss.
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
    """Pairs of a point and a pixel that sees it, as far as the semantic losses need them.

    Attributes:
        raw: (P, D): output of the head for the points, not normalised.
        word: (P,) int64: target word of each pair, −1 for none.
        pixels: (P, D), unit length: the teacher's vector at each pair's pixel; None if the pairs
            include points that no pixel sees, which only have words.
    """

    raw: Tensor
    word: Tensor
    pixels: Tensor | None = None

    @property
    def vectors(self) -> Tensor:
        """(P, D) float32, unit length: vectors of the points."""
        return functional.normalize(self.raw.float(), dim=1, eps=1e-6)


def semantic_loss(
    name: Semantic, pairs: Pairs, words: Words, *, temperature: float = 0.5
) -> Tensor:
    """Return the semantic loss of a name.

    Args:
        name: see the table of this module.
        pairs: P points with their words and pixels.
        words: W words.
        temperature: τ; ``code`` does not use it.

    Returns:
        (), a sum over classes for ``paper``, otherwise a mean over pairs; 0 without pairs.

    Raises:
        ValueError: there is no such loss, or ``kl`` or ``cosine`` is given no pixels.
    """
    if name == "paper":
        return semantic_consistency(pairs.vectors, pairs.word, words, temperature=temperature)
    if name == "code":
        return word_cross_entropy(pairs.raw, pairs.word, words, temperature=1.0)
    if name == "cross_entropy":
        return word_cross_entropy(pairs.vectors, pairs.word, words, temperature=temperature)
    if name not in get_args(Semantic):
        raise ValueError(f"there is no semantic loss {name!r}")
    if pairs.pixels is None:
        raise ValueError(f"the loss {name!r} compares points with pixels, and needs the pixels")
    if name == "kl":
        return word_divergence(pairs.vectors, pairs.pixels, words, temperature=temperature)
    return pixel_distance(pairs.vectors, pairs.pixels)


def word_cross_entropy(
    points: Tensor, word_of_pair: Tensor, words: Words, *, temperature: float
) -> Tensor:
    """Return −log of the share of the right class in each point's softmax over words.

    The share of a class is the sum over its words, so synonyms do not compete. With one word per
    class this is the cross-entropy.

    Args:
        points: (P, D): unit vectors; for the released code, unnormalised features.
        word_of_pair: (P,) int64: target words, −1 for none.
        words: W words.
        temperature: τ.

    Returns:
        (), the mean over pairs that have a word.
    """
    has_word = word_of_pair != NO_WORD
    logits = points[has_word].float() @ words.vectors.T / temperature  # (P, W)
    wrong = words.class_of_word[word_of_pair[has_word]][:, None] != words.class_of_word
    right = logits.masked_fill(wrong, -torch.inf).logsumexp(dim=1)
    return _mean(logits.logsumexp(dim=1) - right)


def word_divergence(vectors: Tensor, pixels: Tensor, words: Words, *, temperature: float) -> Tensor:
    """Return the Kullback–Leibler divergence between softmaxes over words of pixels and points.

    Σ_w q_w log(q_w / p_w) with q of the pixel and p of the point, as the mean over pairs.

    Args:
        vectors: (P, D), unit vectors of the points.
        pixels: (P, D), unit vectors of the pixels.
        words: W words.
        temperature: τ of both softmaxes.
    """
    target = (pixels.float() @ words.vectors.T / temperature).log_softmax(dim=1)  # log q
    predicted = (vectors.float() @ words.vectors.T / temperature).log_softmax(dim=1)  # log p
    return _mean((target.exp() * (target - predicted)).sum(dim=1))


def pixel_distance(vectors: Tensor, pixels: Tensor) -> Tensor:
    """Return 1 − cosine of point and pixel, as the mean over pairs of (P, D) unit vectors."""
    return _mean(1 - (vectors.float() * pixels.float()).sum(dim=1))


def spatial_temporal_loss(
    name: SpatialTemporal, points: Tensor, pixels: Tensor, cells: Cells, *, temperature: float = 1.0
) -> Tensor:
    """Return the spatial-temporal loss of a name; see `spatial_temporal_consistency`.

    ``code`` is what the released code minimises: pixels are read and not used, the text of a cell
    weighs the first eight points in it, and the sum is divided by eight per cell instead of by
    the number of points. The code also adds a constant 0.5 for every one of the eight places that
    stays empty (its zero padding); that has no gradient and is left out.

    Raises:
        ValueError: there is no such loss.
    """
    if name == "none":
        return 0 * points.sum()
    if name == "paper":
        return spatial_temporal_consistency(points, pixels, cells, temperature=temperature)
    if name != "code":
        raise ValueError(f"there is no spatial-temporal loss {name!r}")
    kept = (cells.of_point >= 0) & (_rank_in_cell(cells.of_point) < _MOST_IN_A_CELL)
    first_points = Cells(cells.of_point[kept], cells.of_pixel[:0], cells.texts)
    mean = spatial_temporal_consistency(
        points[kept], pixels[:0], first_points, temperature=temperature
    )
    # From the mean over points to the sum over points, divided by eight per occupied cell.
    places = _MOST_IN_A_CELL * len(torch.unique(first_points.of_point))
    return mean * (len(first_points.of_point) / max(1, places))


def _rank_in_cell(cell: Tensor) -> Tensor:
    """Return for each row, (R,) int64, how many earlier rows are in the same cell."""
    order = cell.argsort(stable=True)
    _, count = torch.unique_consecutive(cell[order], return_counts=True)
    # Position in the sorted order at which each row's cell begins, repeated for its rows.
    first = (count.cumsum(0) - count).repeat_interleave(count)
    positions = torch.arange(len(cell), device=cell.device)
    return torch.empty_like(cell).scatter(0, order, positions - first)


def _mean(values: Tensor) -> Tensor:
    """Return the mean of (P,) values; 0 without values, and always part of the graph."""
    return values.sum() / max(1, len(values))
