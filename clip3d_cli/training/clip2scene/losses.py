"""The losses of CLIP2Scene (Chen et al., CVPR 2023, arXiv 2301.04926), one function per equation.

These functions follow the paper as printed. `loss_variants` has what the released code does
instead, the rows of the ablation, and the names that select them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clip3d_cli.training.segment_ops import segment_logsumexp, segment_softmax, segment_sum

NO_WORD = -1


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """The frozen words that pixels are told apart by.

    Attributes:
        vectors: (W, D) float32, unit length.
        class_of_word: (W,) int64: words of one class mean the same.
    """

    vectors: Tensor
    class_of_word: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Which points and pixels of the merged sweeps fall into one cell of a grid.

    Attributes:
        of_point: (R,) int64, a row of ``texts``; −1 = in no cell, left out.
        of_pixel: (P,) int64, likewise.
        texts: (G, D) float32, unit length: what each cell shows, in words; a row of zeros is a
            cell without a word, whose features all weigh alike.
    """

    of_point: Tensor
    of_pixel: Tensor
    texts: Tensor


def semantic_consistency(
    vectors: Tensor, word_of_pair: Tensor, words: Words, *, temperature: float = 0.5
) -> Tensor:
    """How far the points of each class are from its words, against all other points: Eq. 1.

    L_S = −Σ_c log( Σ_{t_i∈c} exp(D(t_i, p_i)/τ) / Σ_{t_i∈c, t_j∉c} exp(D(t_i, p_j)/τ) ).

    As printed, the denominator holds only points of other classes, and once for every pair of
    class c, so that each word counts as often as it was given. A class beside which the batch
    holds no other has no denominator and adds nothing. Memory is (P, W), never (P, P).

    Args:
        vectors: (P, D), unit length, of the points of the pairs.
        word_of_pair: (P,) int64: the word t_i of each pair's pixel.
        words: what those are rows of.
        temperature: τ.

    Returns:
        (), the sum over classes, which may be negative; 0 without two classes.
    """
    told = word_of_pair != NO_WORD
    points = vectors[told].float()
    present, word, count = torch.unique(word_of_pair[told], return_inverse=True, return_counts=True)
    classes, class_of_word = torch.unique(words.class_of_word[present], return_inverse=True)
    if len(classes) < 2:
        return 0 * points.sum()
    class_of_pair = class_of_word[word]
    logits = points @ words.vectors[present].T / temperature
    own = logits.gather(1, word[:, None]).squeeze(1)
    attraction = segment_logsumexp(own, class_of_pair, len(classes))
    same = class_of_pair[:, None] == class_of_word
    # A word given n times stands n times in the sum: exp(x)·n = exp(x + log n).
    others = logits.masked_fill(same, -torch.inf).logsumexp(dim=0) + count.log()
    repulsion = segment_logsumexp(others, class_of_word, len(classes))
    return (repulsion - attraction).sum()


def fused_features(
    points: Tensor, pixels: Tensor, cells: Cells, *, temperature: float = 1.0
) -> Tensor:
    """One feature of every cell, of what its pixels and points say, by its text: Eq. 3 and 4.

    f_g = Σ a_i x̂_i + Σ b_j p̂_j, where a and b together are the softmax, over all pixels and
    points of the cell, of D(feature, text of the cell)/λ. Gradients flow into points and, where
    they are learned projections as in the paper, pixels.

    Args:
        points: (R, D), p̂.
        pixels: (P, D), x̂; (0, D) for points alone.
        cells: where they are.
        temperature: λ.

    Returns:
        (G, D); 0 for a cell that is empty.
    """
    features = torch.cat((pixels.float(), points.float()))
    cell = torch.cat((cells.of_pixel, cells.of_point))
    placed = cell >= 0
    features, cell = features[placed], cell[placed]
    likeness = (features * cells.texts[cell]).sum(dim=1) / temperature
    attention = segment_softmax(likeness, cell, len(cells.texts))
    return segment_sum(attention[:, None] * features, cell, len(cells.texts))


def spatial_temporal_consistency(
    points: Tensor, pixels: Tensor, cells: Cells, *, temperature: float = 1.0
) -> Tensor:
    """How little the points of a cell agree with what the whole cell says: Eq. 2.

    L_SSR = Σ_g Σ_{p̂∈g} (1 − sigmoid(D(p̂, f_g)))/N, N being the number of points in cells. The
    fused feature is not cut from the graph: nothing in the paper cuts it.

    Args:
        points: (R, D), p̂, of all merged sweeps.
        pixels: (P, D), x̂, of the key frame's images.
        cells: where they are.
        temperature: λ of the attention.

    Returns:
        (), between 0 and 1; 0 without points.
    """
    fused = fused_features(points, pixels, cells, temperature=temperature)
    placed = cells.of_point >= 0
    agreement = (points[placed].float() * fused[cells.of_point[placed]]).sum(dim=1)
    # 1 − sigmoid(x) = sigmoid(−x), which keeps its digits where x is large.
    return torch.sigmoid(-agreement).sum() / max(1, len(agreement))
