"""How similarities become scores."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

from clip3d_cli.training.clip2scene import Words
from clip3d_cli.training.learner import Clip2Scene
from clip3d_cli.training.posed_batches import PosedBatch

_SCALES = torch.logspace(0, 2, 41)


@torch.no_grad()
def fitted_scale(learner: Clip2Scene, batches: Sequence[PosedBatch]) -> float:
    """What similarities are multiplied by before the softmax over classes, from 1 to 100.

    The scale at which the words of the pixels are likeliest for the points that they see (Guo et
    al., "On Calibration of Modern Neural Networks", 2017, Eq. 9), over the words and one more of
    similarity 0, as labelling has it. It changes scores, never labels.

    Args:
        learner: trained; put into evaluation mode.
        batches: on its device; without any pair the answer is 1.
    """
    learner.eval()
    words = Words(learner.word_vectors, learner.class_of_word)
    losses = torch.zeros(len(_SCALES))
    for batch in batches:
        similarity = functional.pad(learner.pair_vectors(batch) @ words.vectors.T, (0, 1))
        wrong = words.class_of_word[batch.pair_word][:, None] != words.class_of_word
        masked = similarity.masked_fill(functional.pad(wrong, (0, 1), value=True), -torch.inf)
        for place, scale in enumerate(_SCALES.tolist()):
            told = (similarity * scale).logsumexp(dim=1) - (masked * scale).logsumexp(dim=1)
            losses[place] += told.sum().cpu()
    return float(_SCALES[losses.argmin()])
