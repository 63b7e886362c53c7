"""Losses of CLIP2Scene (Chen et al., CVPR 2023, arXiv 2301.04926), one function per equation.

The functions follow the paper as printed. `loss_variants` has what the released code computes
instead, the rows of the ablation, and the names that select them.

Notation of the paper: p are vectors of points and t are vectors of words (texts), D(a, b) is their
cosine, τ and λ are temperatures. For Eq. 2 to 4, x̂ are vectors of pixels and p̂ vectors of points
behind linear layers of their own, and f_g is the fused feature of grid cell g.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clip3d_cli.training.segment_ops import segment_logsumexp, segment_softmax, segment_sum

NO_WORD = -1


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """Embedded words that pixels are labelled with; they are not trained.

    Attributes:
        vectors: (W, D) float32, unit length.
        class_of_word: (W,) int64, class of each word; the words of one class are synonyms.
    """

    vectors: Tensor
    class_of_word: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Grid cells in which points of all sweeps meet pixels of the key frame.

    Attributes:
        of_point: (R,) int64, cell of each point, a row of ``texts``; −1 for points in no cell.
        of_pixel: (P,) int64, cell of each pixel, likewise.
        texts: (G, D) float32, unit vector of each cell's word; zeros for a cell without a word,
            whose features then all have the same weight.
    """

    of_point: Tensor
    of_pixel: Tensor
    texts: Tensor


def semantic_consistency(
    vectors: Tensor, word_of_pair: Tensor, words: Words, *, temperature: float = 0.5
) -> Tensor:
    """Return the semantic consistency loss, Eq. 1.

    L_S = −Σ_c log( Σ_{t_i∈c} exp(D(t_i, p_i)/τ) / Σ_{t_i∈c, t_j∉c} exp(D(t_i, p_j)/τ) ).

    The numerator sums over the pairs i of class c. As printed, the denominator combines the words
    t_i of these pairs with the points p_j of all pairs of *other* classes. A class that is alone
    in its batch has no denominator and adds nothing.

    Args:
        vectors: (P, D), unit length: p_i, the vectors of the points.
        word_of_pair: (P,) int64: t_i as a row of ``words``; −1 leaves a pair out.
        words: all words.
        temperature: τ.

    Returns:
        (), the sum over classes; it may be negative, and is 0 with fewer than two classes.
    """
    has_word = word_of_pair != NO_WORD
    points = vectors[has_word].float()
    # present: (V,) the words that occur; word: (P,) position in present; count: (V,).
    present, word, count = torch.unique(
        word_of_pair[has_word], return_inverse=True, return_counts=True
    )
    # classes: (C,) the classes that occur; class_of_word: (V,) position in classes.
    classes, class_of_word = torch.unique(words.class_of_word[present], return_inverse=True)
    if len(classes) < 2:
        return 0 * points.sum()
    class_of_pair = class_of_word[word]
    # D(t_v, p_j)/τ for every point and every word that occurs. The pairs of Eq. 1 repeat words, so
    # (P, V) holds all terms, and the (P, P) matrix of all pairs is never built.
    logits = points @ words.vectors[present].T / temperature
    own = logits.gather(1, word[:, None]).squeeze(1)  # (P,): D(t_i, p_i)/τ
    numerator = segment_logsumexp(own, class_of_pair, len(classes))  # (C,), log of the sum
    same_class = class_of_pair[:, None] == class_of_word  # (P, V)
    # (V,): log of the sum over points of other classes. A word of n pairs occurs n times among the
    # t_i, and n·exp(x) = exp(x + log n).
    others = logits.masked_fill(same_class, -torch.inf).logsumexp(dim=0) + count.log()
    denominator = segment_logsumexp(others, class_of_word, len(classes))  # (C,)
    return (denominator - numerator).sum()


def fused_features(
    points: Tensor, pixels: Tensor, cells: Cells, *, temperature: float = 1.0
) -> Tensor:
    """Return the fused feature of every grid cell, Eq. 3 and 4.

    f_g = Σ_i a_i x̂_i + Σ_j b_j p̂_j. The weights a and b together are a softmax over all pixels and
    points of the cell, of D(feature, text of the cell)/λ. Gradients flow into the points, and into
    the pixels where these are learned projections, as in the paper.

    Args:
        points: (R, D): p̂.
        pixels: (P, D): x̂; (0, D) to fuse points only.
        cells: cell of every point and pixel, and the texts of the G cells.
        temperature: λ.

    Returns:
        (G, D): f_g; 0 for an empty cell.
    """
    features = torch.cat((pixels.float(), points.float()))  # (P + R, D)
    cell = torch.cat((cells.of_pixel, cells.of_point))
    inside = cell >= 0
    features, cell = features[inside], cell[inside]
    similarity = (features * cells.texts[cell]).sum(dim=1) / temperature  # (P + R,)
    attention = segment_softmax(similarity, cell, len(cells.texts))
    return segment_sum(attention[:, None] * features, cell, len(cells.texts))


def spatial_temporal_consistency(
    points: Tensor, pixels: Tensor, cells: Cells, *, temperature: float = 1.0
) -> Tensor:
    """Return the spatial-temporal consistency loss, Eq. 2.

    L_SSR = Σ_g Σ_{p̂∈g} (1 − sigmoid(D(p̂, f_g)))/N, where N is the number of points in cells. The
    gradient also flows through f_g: nothing in the paper stops it.

    Args:
        points: (R, D): p̂, of all sweeps.
        pixels: (P, D): x̂, of the images of the key frame.
        cells: cell of every point and pixel.
        temperature: λ of the attention.

    Returns:
        (), from 0 to 1; 0 without points.
    """
    fused = fused_features(points, pixels, cells, temperature=temperature)
    inside = cells.of_point >= 0
    agreement = (points[inside].float() * fused[cells.of_point[inside]]).sum(dim=1)
    # 1 − sigmoid(x) = sigmoid(−x), which is more precise for large x.
    return torch.sigmoid(-agreement).sum() / max(1, len(agreement))
