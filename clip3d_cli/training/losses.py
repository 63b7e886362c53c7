"""What training minimises."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

IGNORED = -1


@dataclass(frozen=True, slots=True)
class WordTargets:
    """The words asked of one scene, and which of them are right for its voxels.

    A label may be coarser than the words asked, or finer: then several words are right.

    Attributes:
        vectors: (W, D) float32, unit length, one row per word.
        meaning: (M,) int64: a row of ``accepted``; −1 = not judged.
        accepted: (L, W + 1) bool: the words that are right for each meaning; the last column
            stands for "none of these words".
    """

    vectors: Tensor
    meaning: Tensor
    accepted: Tensor


def accepted_words_loss(vectors: Tensor, targets: WordTargets, logit_scale: Tensor) -> Tensor:
    """How little of a voxel's softmax falls on the words that are right for it.

    Cross-entropy where one word is right; where several are, their shares are summed, as in
    Jin and Ghahramani, "Learning with Multiple Labels" (2002). One more word of similarity 0
    to everything stands for "none of these", so that points of a class that is not asked for
    are drawn away from all words.

    Args:
        vectors: (M, D) float32, unit length, of the voxels.
        targets: the words and the truth.
        logit_scale: (), what similarity is multiplied with: CLIP's exp(t).

    Returns:
        (), the mean over judged voxels; 0 when none is judged.
    """
    judged = targets.meaning != IGNORED
    similarity = vectors[judged] @ targets.vectors.T
    return right_words_loss(similarity, targets.accepted[targets.meaning[judged]], logit_scale)


def right_words_loss(similarity: Tensor, right: Tensor, logit_scale: Tensor) -> Tensor:
    """`accepted_words_loss` of similarities with the words.

    Args:
        similarity: (P, W), cosines.
        right: (P, W + 1) bool: the words that are right for each row, and "none of these".
        logit_scale: ().

    Returns:
        (), the mean over rows; 0 without any.
    """
    logits = functional.pad(similarity * logit_scale, (0, 1))
    told = logits.masked_fill(~right, -torch.inf)
    loss = logits.logsumexp(dim=1) - told.logsumexp(dim=1)
    return loss.sum() / max(1, len(loss))
