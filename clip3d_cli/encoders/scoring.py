"""From the similarity of voxels to words, to ranked classes and their scores.

The score of a class is a softmax over all classes and one more row of similarity 0, "none of
these". CLIP2Scene (Chen et al., CVPR 2023) puts the same zero row before its text matrix.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.embeddings import ClassEmbeddings

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class ClassQuery:
    """The words that voxels are compared with, or the columns of a closed head to rank.

    Attributes:
        words: (W, D) float32, unit length; the words of one class are adjacent rows. For a closed
            head of D classes: (K, D) one-hot rows, one for each requested class.
        first_word: (K,) int64, index of the first word of each class.
        width: R, number of classes to rank for each voxel, 1…K.
    """

    words: Floats
    first_word: npt.NDArray[np.int64]
    width: int

    @classmethod
    def of(cls, classes: ClassEmbeddings, width: int) -> ClassQuery:
        """Build the query for K classes.

        Args:
            classes: word vectors in any order.
            width: number of classes to rank.
        """
        order = np.argsort(classes.class_of_vector, kind="stable")
        sorted_classes = classes.class_of_vector[order]
        first = np.searchsorted(sorted_classes, np.arange(len(classes.vocabulary)))
        return cls(classes.vectors[order], first.astype(np.int64), width)

    @property
    def columns(self) -> npt.NDArray[np.int64]:
        """(K,) index of each requested class among the classes of a closed head."""
        columns: npt.NDArray[np.int64] = self.words.argmax(axis=1)
        return columns


@dataclass(frozen=True, slots=True, eq=False)
class RankedClasses:
    """The best classes of M voxels.

    Attributes:
        ranking: (M, R) int32, class indices, best first.
        score: (M, R) float32, their scores, 0…1.
    """

    ranking: npt.NDArray[np.int32]
    score: Floats

    @classmethod
    def joined(cls, parts: Iterable[RankedClasses], width: int) -> RankedClasses:
        """Concatenate parts along the voxels; without parts, return (0, width) arrays."""
        rankings, scores = [np.empty((0, width), np.int32)], [np.empty((0, width), np.float32)]
        for part in parts:
            rankings.append(part.ranking)
            scores.append(part.score)
        return cls(np.concatenate(rankings), np.concatenate(scores))


def rank_by_similarity(similarity: Floats, query: ClassQuery, logit_scale: float) -> RankedClasses:
    """Rank the classes of P voxels; the similarity to a class is that to its nearest word.

    Args:
        similarity: (P, W) float32, cosine of each voxel and each word of the query.
        query: W words of K classes.
        logit_scale: factor applied to similarities before the softmax.
    """
    # (P, K): the maximum over the words of each class, which are adjacent columns.
    of_class = similarity
    if len(query.first_word) < similarity.shape[1]:
        of_class = np.maximum.reduceat(similarity, query.first_word, axis=1)
    index = _best(of_class, query.width)
    scale = np.float32(logit_scale)
    best = np.take_along_axis(of_class, index, axis=1) * scale
    # Subtract the largest logit, for a stable softmax. "None of these" has logit 0, so the
    # largest is at least 0, and that row contributes exp(0 - top) to the denominator.
    top = np.maximum(best[:, :1], 0)
    total = np.exp(of_class * scale - top).sum(axis=1, keepdims=True) + np.exp(-top)
    return RankedClasses(index.astype(np.int32), np.exp(best - top) / total)


def rank_by_logits(logits: Floats, query: ClassQuery, logit_scale: float) -> RankedClasses:
    """Rank the classes of P voxels by the logits of a closed head.

    Args:
        logits: (P, D) float32, of all D classes of the head.
        query: the K requested classes. Their scores are their shares in the softmax over all D.
        logit_scale: factor applied to logits before the softmax.
    """
    requested = logits[:, query.columns]
    index = _best(requested, query.width)
    scale = np.float32(logit_scale)
    top = logits.max(axis=1, keepdims=True)
    total = np.exp((logits - top) * scale).sum(axis=1, keepdims=True)
    best = np.take_along_axis(requested, index, axis=1)
    return RankedClasses(index.astype(np.int32), np.exp((best - top) * scale) / total)


def _best(values: Floats, width: int) -> npt.NDArray[np.int64]:
    """Return (P, width) column indices of the largest values of each row, largest first."""
    if width == 1:
        # argmax takes the first of equal values, as the stable sort below does.
        winner: npt.NDArray[np.int64] = values.argmax(axis=1)
        return winner[:, None]
    return np.argsort(-values, axis=1, kind="stable")[:, :width]
