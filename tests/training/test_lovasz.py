"""The Lovász-softmax loss against hand, against its definition, and against IoU itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clip3d_cli.metrics.confusion import ConfusionMatrix
from clip3d_cli.training.supervised.lovasz import lovasz_softmax


@pytest.mark.parametrize(
    ("probabilities", "truth", "wanted"),
    [
        # Class 0: errors 0.4 (of the other class: Jaccard loss 1/2), 0.3 (its own: 1/2 more).
        # Class 1: errors 0.4 (its own: all of it), 0.3 (adds nothing).
        ([[0.7, 0.3], [0.4, 0.6]], [0, 1], (0.35 + 0.4) / 2),
        # One class is there: errors 0.5 and 0.1, each half of it.
        ([[0.9, 0.1], [0.5, 0.5]], [0, 0], 0.3),
        # Class 0 (two rows): errors 0.8 of the other class: 1/3; 0.6: 1/3 more; 0.1: the rest.
        # Class 2 (one row): 0.9 its own: all of it. Class 1 is not there.
        ([[0.9, 0.1, 0.0], [0.4, 0.6, 0.0], [0.8, 0.1, 0.1]], [0, 0, 2], (0.5 + 0.9) / 2),
        # Rows that are not judged say nothing.
        ([[0.0, 1.0], [0.9, 0.1], [0.5, 0.5], [1.0, 0.0]], [-1, 0, 0, -1], 0.3),
        ([[0.2, 0.8]], [1], 0.2),
        ([[0.2, 0.8]], [-1], 0.0),
    ],
)
def test_by_hand(probabilities: list[list[float]], truth: list[int], wanted: float) -> None:
    loss = lovasz_softmax(torch.tensor(probabilities), torch.tensor(truth))
    assert (loss.shape, loss.dtype) == ((), torch.float32)
    assert loss.item() == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_of_certain_answers_it_is_one_minus_the_mean_iou(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.choice([-1, 0, 1, 3], 60).astype(np.int32)
    answer = rng.integers(0, 4, 60).astype(np.int32)
    certain = torch.nn.functional.one_hot(torch.from_numpy(answer).long(), 4).float()
    loss = lovasz_softmax(certain, torch.from_numpy(truth).long())
    # Class 2 is not there, and left out of both means.
    assert loss.item() == pytest.approx(1 - ConfusionMatrix.of(truth, answer, 4).mean_iou, abs=1e-6)


def _as_defined(probabilities: torch.Tensor, truth: torch.Tensor) -> float:
    """The Lovász extension of the Jaccard loss, a set at a time."""
    losses = []
    for index in sorted(set(truth.tolist()) - {-1}):
        of_class = {row for row, told in enumerate(truth.tolist()) if told == index}
        error = {
            row: abs(float(row in of_class) - probabilities[row, index].item())
            for row, told in enumerate(truth.tolist())
            if told != -1
        }
        wrong: set[int] = set()
        before = total = 0.0
        for row in sorted(error, key=lambda row: -error[row]):
            wrong.add(row)
            jaccard = 1 - len(of_class - wrong) / len(of_class | wrong)
            total += error[row] * (jaccard - before)
            before = jaccard
        losses.append(total)
    return sum(losses) / len(losses)


@pytest.mark.parametrize("seed", range(4))
def test_it_is_what_the_paper_defines(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    probabilities = torch.randn(40, 5, generator=generator).softmax(dim=1)
    truth = torch.randint(-1, 4, (40,), generator=generator)
    loss = lovasz_softmax(probabilities, truth).item()
    assert loss == pytest.approx(_as_defined(probabilities, truth), abs=1e-6)


def test_its_gradient_is_that_of_small_changes() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(12, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    truth = torch.randint(-1, 4, (12,), generator=generator)
    assert torch.autograd.gradcheck(lambda x: lovasz_softmax(x.softmax(dim=1), truth), logits)


def test_halves_are_counted_in_full() -> None:
    truth = torch.arange(3000) % 2
    probabilities = torch.full((3000, 2), 0.5).bfloat16()
    assert lovasz_softmax(probabilities, truth).item() == pytest.approx(0.5, abs=1e-4)


def test_nothing_judged_has_a_gradient_of_nothing() -> None:
    probabilities = torch.rand(3, 2, requires_grad=True)
    loss = lovasz_softmax(probabilities, torch.full((3,), -1))
    loss.backward()
    assert loss.item() == 0
    assert probabilities.grad is not None
    assert not probabilities.grad.any()
