from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import chain

import pytest
import torch
from small_state import train
from torch import nn

from clip3d_cli.errors import Clip3DError
from clip3d_cli.training.loop import Loss, StepReport, scheduled_rate
from clip3d_cli.training.losses import WordTargets, accepted_words_loss
from clip3d_cli.training.signals import StopRequest
from clip3d_cli.training.state import LoopOptions, TrainState


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


def test_other_schedules() -> None:
    constant = LoopOptions(steps=100, learning_rate=1.0, warmup_steps=10, schedule="constant")
    assert [scheduled_rate(step, constant) for step in (5, 10, 50, 100)] == [0.5, 1, 1, 1]
    linear = LoopOptions(steps=100, learning_rate=1.0, warmup_steps=0, schedule="linear")
    assert [scheduled_rate(step, linear) for step in (25, 50, 100)] == [0.75, 0.5, 0]


def _loss(network: nn.Module, batch: torch.Tensor, _: int = 0) -> Loss:
    loss = ((network(batch) - batch.sum(dim=1, keepdim=True)) ** 2).mean()
    return loss, {"square": loss}


def _batch(number: int) -> torch.Tensor:
    return torch.randn(8, 3, generator=torch.Generator().manual_seed(number)) + 1


def test_loop_learns_and_averages() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1))
    seen: list[StepReport] = []
    options = LoopOptions(steps=400, learning_rate=0.05, weight_decay=0.0, warmup_steps=5)
    state = TrainState(network, options)
    assert train(state, lambda numbers: map(_batch, numbers), _loss, seen.append)
    assert [step.number for step in seen] == list(range(1, 401))
    assert seen[-1].loss < seen[0].loss / 50
    assert seen[7].parts == {"square": seen[7].loss}
    assert _loss(state.averaged.eval(), _batch(1000))[0] < 0.2
    assert not torch.equal(state.averaged[1].weight, network[1].weight)


def test_loop_is_repeatable() -> None:
    def run() -> torch.Tensor:
        torch.manual_seed(3)
        network = nn.Linear(3, 1)
        state = TrainState(network, LoopOptions(steps=20))
        train(state, lambda numbers: map(_batch, numbers), _loss)
        return network.weight.detach()

    torch.testing.assert_close(run(), run(), rtol=0, atol=0)


def test_one_step_of_sgd_by_hand() -> None:
    # y = w·x with w = 1, x = 2: loss y² = 4, gradient 2·2·2 = 8, plus decay 0.1·1 = 8.1. The
    # last of one step has rate 0; of two, the first has 0.5·lr. So w = 1 − 0.5·0.01·8.1. Then
    # y = 2w, gradient 8w + 0.1w = 8.1w at rate 0.
    network = nn.Linear(1, 1, bias=False)
    nn.init.ones_(network.weight)
    options = LoopOptions(
        2, 0.01, 0.1, warmup_steps=1, clip_norm=0, average_decay=0, optimizer="sgd"
    )
    state = TrainState(network, options)
    seen: list[StepReport] = []
    train(
        state,
        lambda numbers: [torch.tensor([[2.0]])] * len(numbers),
        lambda network, x, _: (network(x).square().sum(), {}),
        seen.append,
    )
    assert network.weight.item() == pytest.approx(1 - 0.005 * 8.1)
    assert seen[0].gradient_norm == pytest.approx(8.0)
    assert state.averaged is network


def test_clipping_shortens_the_gradient() -> None:
    def moved(clip_norm: float) -> float:
        network = nn.Linear(1, 1, bias=False)
        nn.init.ones_(network.weight)
        options = LoopOptions(
            2, 1.0, 0.0, warmup_steps=1, clip_norm=clip_norm, average_decay=0, optimizer="sgd"
        )
        train(
            TrainState(network, options),
            lambda numbers: [torch.tensor([[2.0]])] * len(numbers),
            lambda network, x, _: (network(x).square().sum(), {}),
        )
        return 1 - network.weight.item()

    assert moved(0) == pytest.approx(0.5 * 8)
    assert moved(0.25) == pytest.approx(0.5 * 0.25, rel=1e-4)


def test_batches_of_a_step_are_averaged() -> None:
    def weights(batches_per_step: int) -> torch.Tensor:
        torch.manual_seed(3)
        network = nn.Linear(3, 1)
        # Neither AdamW nor a clipped gradient would notice a wrong length.
        options = LoopOptions(
            4, 0.1, clip_norm=0, optimizer="sgd", batches_per_step=batches_per_step
        )

        def batches(numbers: range) -> Iterable[torch.Tensor]:
            whole = map(_batch, range(4))
            return whole if batches_per_step == 1 else chain(*(b.split(4) for b in whole))

        train(TrainState(network, options), batches, _loss)
        return network.weight.detach()

    torch.testing.assert_close(weights(2), weights(1))


def test_loop_tells_the_loss_how_many_steps_are_done() -> None:
    done: list[int] = []

    def loss_of(network: nn.Module, batch: torch.Tensor, steps: int) -> Loss:
        done.append(steps)
        return _loss(network, batch)

    options = LoopOptions(3, batches_per_step=2)
    train(TrainState(nn.Linear(3, 1), options), lambda numbers: map(_batch, numbers), loss_of)
    assert done == [0, 0, 1, 1, 2, 2]


def test_random_numbers_of_a_step_do_not_depend_on_what_was_drawn_before() -> None:
    def drawn(spend: int) -> list[float]:
        seen: list[float] = []

        def loss_of(network: nn.Module, batch: torch.Tensor, _: int) -> Loss:
            seen.append(torch.rand(()).item())
            torch.rand(spend)
            return _loss(network, batch)

        state = TrainState(nn.Linear(3, 1), LoopOptions(4))
        train(state, lambda numbers: map(_batch, numbers), loss_of)
        return seen

    assert drawn(0) == drawn(7)
    assert len(set(drawn(0))) == 4


@pytest.mark.parametrize("scale", [float("nan"), 1e30])
def test_loop_stops_when_loss_or_gradient_is_no_number(scale: float) -> None:
    # 1e30² overflows float32.
    network = nn.Linear(3, 1)
    before = network.weight.detach().clone()
    state = TrainState(network, LoopOptions(steps=3))
    with pytest.raises(Clip3DError, match=r"step 1: the loss is .*square") as fault:
        train(state, lambda _: [torch.full((2, 3), scale)] * 3, _loss)
    assert fault.value.code == "E_BAD_VALUE"
    assert torch.equal(network.weight, before)
    assert state.steps_done == 0


def test_loop_says_when_batches_run_out() -> None:
    state = TrainState(nn.Linear(3, 1), LoopOptions(steps=5))
    assert not train(state, lambda _: map(_batch, range(2)), _loss)
    assert state.steps_done == 2


def test_loop_stops_after_the_step_when_asked() -> None:
    stop = StopRequest()
    state = TrainState(nn.Linear(3, 1), LoopOptions(steps=5))

    def loss_of(network: nn.Module, batch: torch.Tensor, done: int) -> Loss:
        stop.requested = done == 2
        return _loss(network, batch)

    assert not train(state, lambda n: map(_batch, n), loss_of, stop=stop)
    assert state.steps_done == 3
