"""Cross-entropy over words of which several may be right."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

IGNORED = -1


@dataclass(frozen=True, slots=True)
class WordTargets:
    """Words that the points of one scene are compared with, and which are right for its voxels.

    A label may be coarser or finer than the words; then several words are right.

    Attributes:
        vectors: (W, D) float32, unit length, one row per word.
        meaning: (M,) int64, row of ``accepted`` for each voxel; −1 = no ground truth.
        accepted: (L, W + 1) bool, the words that are right for each of L meanings; the last
            column is "none of these words".
    """

    vectors: Tensor
    meaning: Tensor
    accepted: Tensor


def accepted_words_loss(vectors: Tensor, targets: WordTargets, logit_scale: Tensor) -> Tensor:
    """Return −log of the share of the right words in each voxel's softmax over words.

    If one word is right, this is the cross-entropy. If several are, their shares are added, as in
    Jin and Ghahramani, "Learning with Multiple Labels" (2002). One more word, whose similarity to
    everything is 0, stands for "none of these": points of a class that is not among the words
    learn to be unlike all of them.

    Args:
        vectors: (M, D) float32, unit length, vectors of the voxels.
        targets: the words and the ground truth.
        logit_scale: (), factor of the similarities: CLIP's exp(t).

    Returns:
        (), the mean over voxels with ground truth; 0 without any.
    """
    labelled = targets.meaning != IGNORED
    similarity = vectors[labelled] @ targets.vectors.T
    return right_words_loss(similarity, targets.accepted[targets.meaning[labelled]], logit_scale)


def right_words_loss(similarity: Tensor, right: Tensor, logit_scale: Tensor) -> Tensor:
    """Return `accepted_words_loss` for given similarities.

    Args:
        similarity: (P, W), cosines with the words.
        right: (P, W + 1) bool, the words that are right for each row; last, "none of these".
        logit_scale: (), factor of the similarities.

    Returns:
        (), the mean over rows; 0 without rows.
    """
    losses = right_words_losses(similarity, right, logit_scale)
    return losses.sum() / max(1, len(losses))


def right_words_losses(similarity: Tensor, right: Tensor, logit_scale: Tensor) -> Tensor:
    """Return the loss of each row: see `right_words_loss`.

    Args:
        similarity: (P, W), cosines with the words.
        right: (P, W + 1) bool, the words that are right for each row; last, "none of these".
        logit_scale: (), factor of the similarities.

    Returns:
        (P,) losses.
    """
    logits = functional.pad(similarity * logit_scale, (0, 1))
    right_logits = logits.masked_fill(~right, -torch.inf)
    return logits.logsumexp(dim=1) - right_logits.logsumexp(dim=1)
