"""A loss that stands for intersection over union."""

from __future__ import annotations

import torch
from torch import Tensor

from clip3d_cli.training.losses import IGNORED


def lovasz_softmax(probabilities: Tensor, truth: Tensor) -> Tensor:
    """One minus the mean intersection over union, made convex: the Lovász-softmax loss.

    Berman, Triki and Blaschko, "The Lovász-Softmax loss" (CVPR 2018, arXiv 1705.08790), Eq. 9
    and 11: a class's errors, |[y = c] − p_c|, sorted from the largest, weigh as much as each of
    them in turn makes the class's Jaccard loss grow. The mean is over the classes that are truly
    there ("present"). All classes are sorted at once: O(M K log M) time, O(M K) memory.

    Args:
        probabilities: (M, K), rows that sum to 1.
        truth: (M,) int64, 0…K − 1; −1 = not judged.

    Returns:
        (), 0…1; 0 where nothing is judged.
    """
    judged = torch.nonzero(truth != IGNORED)[:, 0]
    truth = truth[judged]
    present = torch.unique(truth)
    # A row per class: sorting walks along memory.
    told = probabilities.index_select(0, judged).index_select(1, present).T
    # Halves do not count far.
    told = told.to(torch.promote_types(told.dtype, torch.float32))
    is_class = (present[:, None] == truth).to(told.dtype)
    errors, order = (is_class - told).abs().sort(dim=1, descending=True)
    # A constant of the order: the gradient flows through the errors alone.
    weights = _jaccard_growth(is_class.gather(1, order))
    total: Tensor = (errors * weights).sum()
    return total / max(1, len(present))


def _jaccard_growth(is_class: Tensor) -> Tensor:
    """(K, M): how much the Jaccard loss of each class grows with one more error.

    With the first i rows wrong, the class without them is left in the intersection, and
    the union is the class with the wrong rows of others (Algorithm 1 of the paper).

    Args:
        is_class: (K, M) float, 1 where a row is of the class, in the order of the errors.
    """
    wrong = is_class.cumsum(dim=1)
    size = is_class.sum(dim=1, keepdim=True)
    wrong_of_others = torch.arange(1, is_class.shape[1] + 1, device=is_class.device) - wrong
    loss = 1 - (size - wrong) / (size + wrong_of_others)
    return torch.diff(loss, dim=1, prepend=loss.new_zeros(len(loss), 1))
