"""From the similarity of voxels to words, to ranked classes and their scores.

The score of a class is a softmax over all classes and one more row of similarity 0, "none of
these". CLIP2Scene (Chen et al., CVPR 2023) puts the same zero row before its text matrix.

A voxel fits none of the classes where "none of these" is more probable than all classes together,
or where a background word is much more probable than the best class.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.embeddings import ClassEmbeddings

Floats = npt.NDArray[np.float32]

# A background word wins where it is more than this many times as probable as the best class. Chosen
# with benchmarks/single_words.py: 1 loses points of classes that the network takes for one another.
BACKGROUND_LEAD = 1.5


@dataclass(frozen=True, slots=True, eq=False)
class ClassQuery:
    """The words that voxels are compared with, or the columns of a closed head to rank.

    Attributes:
        words: (W, D) float32, unit length; the words of one class are adjacent rows, and the words
            of the background come last. For a closed head of D classes: (K, D) one-hot rows, one
            for each requested class.
        first_word: (K,) int64, index of the first word of each class.
        width: R, number of classes to rank for each voxel, 1…K.
        background: B, number of background words: the last rows of ``words``.
    """

    words: Floats
    first_word: npt.NDArray[np.int64]
    width: int
    background: int = 0

    @classmethod
    def of(
        cls, classes: ClassEmbeddings, width: int, background: Floats | None = None
    ) -> ClassQuery:
        """Build the query for K classes.

        Args:
            classes: word vectors in any order.
            width: number of classes to rank.
            background: (B, D) float32, unit vectors of words that compete with the classes.
        """
        order = np.argsort(classes.class_of_vector, kind="stable")
        sorted_classes = classes.class_of_vector[order]
        first = np.searchsorted(sorted_classes, np.arange(len(classes.vocabulary)))
        words = classes.vectors[order]
        if background is not None and len(background):
            words = np.concatenate((words, background))
        count = 0 if background is None else len(background)
        return cls(words, first.astype(np.int64), width, count)

    @property
    def class_words(self) -> int:
        """Number of words of the classes: the first rows of ``words``."""
        return len(self.words) - self.background

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
        fits: (M,) bool, False where no class fits: see the module.
    """

    ranking: npt.NDArray[np.int32]
    score: Floats
    fits: npt.NDArray[np.bool_]

    @classmethod
    def joined(cls, parts: Iterable[RankedClasses], width: int) -> RankedClasses:
        """Concatenate parts along the voxels; without parts, return (0, width) arrays."""
        rankings, scores = [np.empty((0, width), np.int32)], [np.empty((0, width), np.float32)]
        fits = [np.empty(0, bool)]
        for part in parts:
            rankings.append(part.ranking)
            scores.append(part.score)
            fits.append(part.fits)
        return cls(np.concatenate(rankings), np.concatenate(scores), np.concatenate(fits))


def rank_by_similarity(similarity: Floats, query: ClassQuery, logit_scale: float) -> RankedClasses:
    """Rank the classes of P voxels; the similarity to a class is that to its nearest word.

    Args:
        similarity: (P, W) float32, cosine of each voxel and each word of the query.
        query: W words: those of K classes, then those of the background.
        logit_scale: factor applied to similarities before the softmax.
    """
    # (P, K): the maximum over the words of each class, which are adjacent columns.
    of_class = similarity[:, : query.class_words]
    if len(query.first_word) < query.class_words:
        of_class = np.maximum.reduceat(of_class, query.first_word, axis=1)
    index = _best(of_class, query.width)
    scale = np.float32(logit_scale)
    best = np.take_along_axis(of_class, index, axis=1) * scale
    # Subtract the largest logit, for a stable softmax. "None of these" has logit 0, so the
    # largest is at least 0, and that row contributes exp(0 - top) to the denominator.
    top = np.maximum(best[:, :1], 0)
    of_classes = np.exp(of_class * scale - top).sum(axis=1, keepdims=True)
    none = np.exp(-top)
    fits = of_classes[:, 0] > none[:, 0]
    if query.background:
        rival = similarity[:, query.class_words :].max(axis=1) * scale
        fits &= rival <= best[:, 0] + np.float32(np.log(BACKGROUND_LEAD))
    return RankedClasses(index.astype(np.int32), np.exp(best - top) / (of_classes + none), fits)


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
    fits = np.ones(len(logits), bool)  # a closed head has no "none of these"
    return RankedClasses(index.astype(np.int32), np.exp((best - top) * scale) / total, fits)


def _best(values: Floats, width: int) -> npt.NDArray[np.int64]:
    """Return (P, width) column indices of the largest values of each row, largest first."""
    if width == 1:
        # argmax takes the first of equal values, as the stable sort below does.
        winner: npt.NDArray[np.int64] = values.argmax(axis=1)
        return winner[:, None]
    return np.argsort(-values, axis=1, kind="stable")[:, :width]
