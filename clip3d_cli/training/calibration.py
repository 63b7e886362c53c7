"""Calibration of scores: the factor of the similarities before the softmax over classes.

Source: Guo et al., "On Calibration of Modern Neural Networks" (2017), Eq. 9: the factor at which
the right words have the highest likelihood. As in labelling, the softmax has one more class of
similarity 0. The factor changes scores, never labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from clip3d_cli.training.clip2scene.batches import PosedBatch
from clip3d_cli.training.clip2scene.losses import Words
from clip3d_cli.training.clip2scene.model import Clip2Scene
from clip3d_cli.training.supervised.batches import LabelledBatch
from clip3d_cli.training.supervised.model import FineTuner

# (P, W) cosines with W words, and (P, W) bool: which of the words are right.
LabelledCosines = tuple[Tensor, Tensor]

# 41 factors from 1 to 100, evenly spaced by their logarithm.
_SCALES = torch.logspace(0, 2, 41)


@torch.no_grad()
def fit_logit_scale(model: Clip2Scene, batches: Sequence[PosedBatch]) -> float:
    """Return the factor, 1 … 100, that fits the points to the words of their pixels best.

    Args:
        model: trained network; it is put into evaluation mode.
        batches: batches on its device; without any pair the result is 1.
    """
    model.eval()
    words = Words(model.word_vectors, model.class_of_word)

    def labelled_cosines(batch: PosedBatch) -> LabelledCosines:
        right = words.class_of_word[batch.pair_word][:, None] == words.class_of_word
        return model.pair_vectors(batch) @ words.vectors.T, right

    return _most_likely_scale(map(labelled_cosines, batches))


@torch.no_grad()
def fit_text_head_scale(model: FineTuner, batches: Sequence[LabelledBatch]) -> float:
    """Return the factor, 1 … 100, that fits the text head of a fine-tuned network best.

    The closed head needs none: the softmax over its logits is what was trained.

    Args:
        model: trained network; it is put into evaluation mode.
        batches: batches on its device; without ground truth the result is 1.
    """
    model.eval()
    outputs = [model.predict(batch) for batch in batches]
    return _most_likely_scale(
        (cosines, model.accepted[truth, :-1]) for cosines, _, truth in outputs
    )


def _most_likely_scale(samples: Iterable[LabelledCosines]) -> float:
    losses = torch.zeros(len(_SCALES))
    for cosines, right in samples:
        # The last column is the class "none of these", which is never right here.
        cosines = functional.pad(cosines, (0, 1))
        right_cosines = cosines.masked_fill(~functional.pad(right, (0, 1)), -torch.inf)
        for index, scale in enumerate(_SCALES.tolist()):
            loss = (cosines * scale).logsumexp(dim=1) - (right_cosines * scale).logsumexp(dim=1)
            losses[index] += loss.sum().cpu()
    return float(_SCALES[losses.argmin()])
