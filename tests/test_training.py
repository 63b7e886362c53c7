from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from clip3d_cli.training.loop import LoopOptions, Step, scheduled_rate, train
from clip3d_cli.training.losses import WordTargets, accepted_words_loss


def _targets(accepted: list[list[bool]], meaning: list[int]) -> WordTargets:
    return WordTargets(torch.eye(2), torch.tensor(meaning), torch.tensor(accepted))


def test_loss_by_hand() -> None:
    vectors = torch.tensor([[0.6, 0.8], [1.0, 0.0], [0.0, 1.0]])
    targets = _targets([[True, False, False], [True, True, False]], [0, 1, -1])
    scale = torch.tensor(2.0)
    first = math.exp(1.2) / (math.exp(1.2) + math.exp(1.6) + 1)
    second = (math.exp(2.0) + 1) / (math.exp(2.0) + 1 + 1)
    wanted = -(math.log(first) + math.log(second)) / 2
    assert accepted_words_loss(vectors, targets, scale).item() == pytest.approx(wanted, rel=1e-5)


def test_loss_draws_unasked_classes_to_none() -> None:
    targets = _targets([[False, False, True]], [0])
    far = torch.tensor([[-0.7, -0.7]])
    near = torch.tensor([[0.7, 0.7]])
    scale = torch.tensor(5.0)
    assert accepted_words_loss(far, targets, scale) < accepted_words_loss(near, targets, scale)


def test_loss_of_nothing_judged_is_zero_and_carries_gradients() -> None:
    vectors = torch.ones(1, 2, requires_grad=True)
    loss = accepted_words_loss(vectors, _targets([[True, False, False]], [-1]), torch.tensor(1.0))
    loss.backward()
    assert loss.item() == 0
    assert vectors.grad is not None


def test_rate_rises_then_falls_to_zero() -> None:
    options = LoopOptions(steps=100, learning_rate=1.0, warmup_steps=10)
    rates = [scheduled_rate(step, options) for step in range(1, 101)]
    assert rates[0] < rates[5] < rates[9]
    assert max(rates) == pytest.approx(rates[9], rel=0.05)
    assert rates[-1] == pytest.approx(0, abs=1e-9)


def _loss(network: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    return ((network(batch) - batch.sum(dim=1, keepdim=True)) ** 2).mean()


def test_loop_learns_and_averages() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1))
    seen: list[Step] = []
    batches = (torch.randn(64, 3) + 1 for _ in range(400))
    options = LoopOptions(steps=400, learning_rate=0.05, weight_decay=0.0, warmup_steps=5)
    averaged = train(network, batches, _loss, options, lambda step, _: seen.append(step))
    assert [step.number for step in seen] == list(range(1, 401))
    assert seen[-1].loss < seen[0].loss / 50
    probe = torch.randn(64, 3) + 1
    assert _loss(averaged.eval(), probe) < 0.2
    assert not torch.equal(averaged[1].weight, network[1].weight)


def test_loop_is_repeatable() -> None:
    def run() -> torch.Tensor:
        torch.manual_seed(3)
        network = nn.Linear(3, 1)
        batches = (torch.randn(8, 3) for _ in range(20))
        train(network, batches, _loss, LoopOptions(steps=20), lambda *_: None)
        return network.weight.detach()

    torch.testing.assert_close(run(), run(), rtol=0, atol=0)


def test_loop_stops_when_the_loss_is_no_number() -> None:
    network = nn.Linear(3, 1)
    batches = iter([torch.full((2, 3), float("nan"))])
    with pytest.raises(FloatingPointError, match="step 1"):
        train(network, batches, _loss, LoopOptions(steps=1), lambda *_: None)
