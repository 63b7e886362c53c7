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
    judged = truth != IGNORED
    truth = truth[judged]
    present = torch.unique(truth)
    is_class = (truth[:, None] == present).float()
    errors = (is_class - probabilities[judged][:, present].float()).abs()
    errors, order = errors.sort(dim=0, descending=True)
    # A constant of the order: the gradient flows through the errors alone.
    weights = _jaccard_growth(is_class.gather(0, order))
    total: Tensor = (errors * weights).sum()
    return total / max(1, len(present))


def _jaccard_growth(is_class: Tensor) -> Tensor:
    """(M, K): how much the Jaccard loss of each column grows with one more error.

    With the first i rows wrong, the class without them is left in the intersection, and
    the union is the class with the wrong rows of others (Algorithm 1 of the paper).

    Args:
        is_class: (M, K) float, 1 where a row is of the class, in the order of the errors.
    """
    inside = is_class.cumsum(dim=0)
    outside = (1 - is_class).cumsum(dim=0)
    size = is_class.sum(dim=0)
    loss = 1 - (size - inside) / (size + outside)
    return torch.diff(loss, dim=0, prepend=loss.new_zeros(1, loss.shape[1]))
