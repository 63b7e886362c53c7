"""Lovász-softmax: a loss that stands for intersection over union."""

from __future__ import annotations

import torch
from torch import Tensor

from clip3d_cli.training.losses import IGNORED


def lovasz_softmax(probabilities: Tensor, truth: Tensor) -> Tensor:
    """Return the Lovász-softmax loss: a convex surrogate of one minus the mean IoU.

    Berman, Triki and Blaschko, "The Lovász-Softmax loss" (CVPR 2018, arXiv 1705.08790), Eq. 9
    and 11: the errors of a class, |[y = c] − p_c|, sorted from the largest, are each weighted by
    how much the Jaccard loss of the class grows when this row becomes wrong too. The mean is over
    the classes that occur in the ground truth ("present"). All classes are sorted at once, in
    O(M K log M) time and O(M K) memory.

    Args:
        probabilities: (M, K), rows that sum to 1.
        truth: (M,) int64, 0 … K − 1; −1 = no ground truth.

    Returns:
        (), from 0 to 1; 0 where there is no ground truth.
    """
    labelled = torch.nonzero(truth != IGNORED)[:, 0]
    truth = truth[labelled]
    present = torch.unique(truth)
    # (C, J): a row for each present class, because sorting runs along contiguous memory.
    of_class = probabilities.index_select(0, labelled).index_select(1, present).T
    # Half precision counts exactly only up to 2048 (float16) or 256 (bfloat16).
    of_class = of_class.to(torch.promote_types(of_class.dtype, torch.float32))
    is_class = (present[:, None] == truth).to(of_class.dtype)
    errors, order = (is_class - of_class).abs().sort(dim=1, descending=True)
    # The weights depend on the order only, so they are constants for the gradient.
    weights = _jaccard_growth(is_class.gather(1, order))
    total: Tensor = (errors * weights).sum()
    return total / max(1, len(present))


def _jaccard_growth(is_class: Tensor) -> Tensor:
    """Return how much each class's Jaccard loss grows with each further error, (C, J).

    If the first i rows are wrong, the intersection is the class without its wrong rows, and the
    union is the class and the wrong rows of other classes (Algorithm 1 of the paper).

    Args:
        is_class: (C, J) float, 1 where a row belongs to the class, in the order of the errors.
    """
    wrong = is_class.cumsum(dim=1)  # wrong rows of the class after i errors
    size = is_class.sum(dim=1, keepdim=True)
    wrong_of_others = torch.arange(1, is_class.shape[1] + 1, device=is_class.device) - wrong
    loss = 1 - (size - wrong) / (size + wrong_of_others)
    return torch.diff(loss, dim=1, prepend=loss.new_zeros(len(loss), 1))
