"""How similarities become scores."""

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

# (P, W) cosines of what was answered with W words, and which of these are right: (P, W) bool.
Told = tuple[Tensor, Tensor]

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

    def told(batch: PosedBatch) -> Told:
        right = words.class_of_word[batch.pair_word][:, None] == words.class_of_word
        return learner.pair_vectors(batch) @ words.vectors.T, right

    return _likeliest(map(told, batches))


@torch.no_grad()
def fitted_words_scale(tuner: FineTuner, batches: Sequence[LabelledBatch]) -> float:
    """The same of the text head of a fine-tuned network.

    Its closed head needs none: the softmax over its logits is what was trained.

    Args:
        tuner: trained; put into evaluation mode.
        batches: on its device; without any judged voxel the answer is 1.
    """
    tuner.eval()
    answers = [tuner.answers(batch) for batch in batches]
    return _likeliest((words, tuner.accepted[truth, :-1]) for words, _, truth in answers)


def _likeliest(answers: Iterable[Told]) -> float:
    losses = torch.zeros(len(_SCALES))
    for similarity, right in answers:
        # The class "none of these" has similarity 0 to everything, and is never right.
        similarity = functional.pad(similarity, (0, 1))
        masked = similarity.masked_fill(~functional.pad(right, (0, 1)), -torch.inf)
        for place, scale in enumerate(_SCALES.tolist()):
            loss = (similarity * scale).logsumexp(dim=1) - (masked * scale).logsumexp(dim=1)
            losses[place] += loss.sum().cpu()
    return float(_SCALES[losses.argmin()])
