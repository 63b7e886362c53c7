"""What training minimises."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

IGNORED = -1


@dataclass(frozen=True, slots=True)
class WordTargets:
    """The words of one scene, and what its voxels truly are.

    Attributes:
        vectors: (W, D) float32, unit length: one row per class, then rows of words that no
            voxel of the scene answers to.
        truth: (M,) int64: a row of ``vectors``; W = none of the words; −1 = not judged.
        weight: (W + 1,) float32: how much a voxel of each class counts, "none" last.
    """

    vectors: Tensor
    truth: Tensor
    weight: Tensor


def word_cross_entropy(vectors: Tensor, targets: WordTargets, logit_scale: Tensor) -> Tensor:
    """How badly voxels choose their words: cross-entropy over scaled similarities.

    One more class, of similarity 0 to everything, stands for "none of these words", so that
    a point of an unasked class is drawn away from all words that are asked.

    Args:
        vectors: (M, D) float32, unit length, of the voxels.
        targets: the words and the truth.
        logit_scale: (), what similarity is multiplied with: CLIP's exp(t).

    Returns:
        (), the weighted mean over judged voxels; 0 when none is judged.
    """
    similarity = vectors @ targets.vectors.T
    logits = functional.pad(similarity * logit_scale, (0, 1))
    judged = targets.truth != IGNORED
    if not judged.any():
        return logits.sum() * 0
    return functional.cross_entropy(logits[judged], targets.truth[judged], targets.weight)


def lovasz_softmax(vectors: Tensor, targets: WordTargets, logit_scale: Tensor) -> Tensor:
    """A convex surrogate of the mean of 1 − IoU over the classes that are there.

    Berman et al., "The Lovász-Softmax loss" (CVPR 2018), equations 8, 9 and 11.

    Args:
        vectors: (M, D) float32, unit length, of the voxels.
        targets: the words and the truth.
        logit_scale: (), what similarity is multiplied with.

    Returns:
        (), 0…1; 0 when no voxel is judged.
    """
    judged = targets.truth != IGNORED
    logits = functional.pad(vectors[judged] @ targets.vectors.T * logit_scale, (0, 1))
    share = logits.softmax(dim=1)
    truth = targets.truth[judged]
    losses = []
    for row in truth.unique().tolist():
        member = (truth == row).float()
        error, order = (member - share[:, row]).abs().sort(descending=True)
        losses.append(error @ _jaccard_gradient(member[order]))
    return torch.stack(losses).mean() if losses else logits.sum() * 0


def _jaccard_gradient(member: Tensor) -> Tensor:
    """The gradient of the Jaccard loss's Lovász extension at sorted errors (Alg. 1 there)."""
    missed = member.sum() - member.cumsum(0)
    union = member.sum() + (1 - member).cumsum(0)
    jaccard = 1 - missed / union
    return torch.cat((jaccard[:1], jaccard[1:] - jaccard[:-1]))
