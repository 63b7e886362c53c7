"""The training loop: batches in, a better network out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import TypeVar

import torch
from torch import Tensor, nn

from clip3d_cli.errors import Clip3DError
from clip3d_cli.training.distributed import ALONE, World, unshared_gradients
from clip3d_cli.training.signals import Stop
from clip3d_cli.training.state import LoopOptions, Trainee

Batch = TypeVar("Batch")
Loss = tuple[Tensor, Mapping[str, Tensor]]

# Seeds side by side would share most of their batches' draws.
_FAR_APART = 2_654_435_761


@dataclass(frozen=True, slots=True)
class Step:
    """What is known after one optimiser step.

    Attributes:
        number: from 1.
        loss: the mean over its batches and over all processes.
        parts: what the loss is made of, likewise.
        learning_rate: of this step; that of a closed head is ``head_factor`` times as high.
        gradient_norm: before it was clipped.
        seconds: since the loop began, in this process.
    """

    number: int
    loss: float
    parts: dict[str, float]
    learning_rate: float
    gradient_norm: float
    seconds: float


def train(
    trainee: Trainee,
    batches: Callable[[range], Iterable[Batch]],
    loss_of: Callable[[nn.Module, Batch, int], Loss],
    on_step: Callable[[Step, Trainee], None],
    *,
    world: World = ALONE,
    stop: Stop | None = None,
) -> bool:
    """Optimise a network in place from the steps it has done to the last one.

    What a step does follows from the weights, the optimiser, the step's number and its batches
    alone: a training that is taken up from a snapshot goes on as if it had never stopped.

    Args:
        trainee: what is trained; its network is put into training mode.
        batches: the batches of these numbers, in order; step s (from 0) of n processes takes
            n · ``batches_per_step`` from s · n · ``batches_per_step`` on.
        loss_of: the loss of one batch and its parts, of the network to call (in a world of
            several, a wrapper that must be called as such), the batch, and the number of steps
            done before; every process names the same parts.
        on_step: told of every step, in every process.
        world: this process among others.
        stop: looked at after every step; when any process of several is asked, all stop together,
            at the latest one step later.

    Returns:
        whether all steps were done; False when stopped, or when batches ran out.

    Raises:
        Clip3DError: E_BAD_VALUE: the loss or the gradient is not a number; the weights are those
            of the step before.
    """
    options = trainee.options
    a_step = options.batches_per_step * world.size
    first, last = trainee.done * a_step + world.rank, options.steps * a_step
    supply = iter(batches(range(first, last, world.size)))
    network = world.shared(trainee.network)
    network.train()
    began = time.perf_counter()
    while trainee.done < options.steps:
        drawn = list(islice(supply, options.batches_per_step))
        if len(drawn) < options.batches_per_step:
            return False
        loss, parts = _find_gradient(network, drawn, loss_of, trainee, world)
        asked = stop is not None and stop.asked
        # One exchange among processes tells all of it; only then may one of them refuse.
        loss, stopping, *means = world.mean([loss, float(asked), *parts.values()])
        parts = dict(zip(parts, means, strict=True))
        rate = scheduled_rate(trainee.done + 1, options)
        norm = _follow_gradient(trainee, rate, loss, parts)
        seconds = time.perf_counter() - began
        on_step(Step(trainee.done, loss, parts, rate, norm, seconds), trainee)
        if stopping or (world.size == 1 and stop is not None and stop.asked):
            break
    return trainee.done >= options.steps


def scheduled_rate(number: int, options: LoopOptions) -> float:
    """The learning rate of step ``number`` (from 1): a linear warm-up, then half a cosine."""
    warm = min(1.0, number / max(1, options.warmup_steps))
    done = min(1.0, number / options.steps)
    return options.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * done))


def _find_gradient(
    network: nn.Module,
    batches: Sequence[Batch],
    loss_of: Callable[[nn.Module, Batch, int], Loss],
    trainee: Trainee,
    world: World,
) -> tuple[float, dict[str, float]]:
    """Leave the mean gradient of a step's batches in the network; the mean loss and its parts."""
    trainee.optimizer.zero_grad(set_to_none=True)
    sums: list[float] = []
    names: list[str] = []
    for turn, batch in enumerate(batches):
        number = (trainee.done * len(batches) + turn) * world.size + world.rank
        # A draw depends on the batch's number alone: nothing about it needs to be remembered.
        torch.manual_seed((trainee.options.seed * _FAR_APART + number) % 2**32)
        with nullcontext() if turn + 1 == len(batches) else unshared_gradients(network):
            loss, parts = loss_of(network, batch, trainee.done)
            (loss / len(batches)).backward()  # type: ignore[no-untyped-call]
        names = sorted(parts)
        values = torch.stack([loss.detach(), *(parts[name].detach() for name in names)]).tolist()
        sums = [before + value for before, value in zip_longest(sums, values, fillvalue=0.0)]
    mean, *means = (value / len(batches) for value in sums)
    return mean, dict(zip(names, means, strict=True))


def _follow_gradient(
    trainee: Trainee, rate: float, loss: float, parts: Mapping[str, float]
) -> float:
    """Let the optimiser make its step; returns the length of the gradient before clipping."""
    options = trainee.options
    norm = float(
        torch.nn.utils.clip_grad_norm_(trainee.network.parameters(), options.clip_norm or math.inf)
    )
    if not (math.isfinite(loss) and math.isfinite(norm)):
        made_of = ", ".join(f"{name} {value:g}" for name, value in parts.items())
        raise Clip3DError(
            "E_BAD_VALUE",
            f"step {trainee.done + 1}",
            f"the loss is {loss:g} ({made_of or 'one part'}), its gradient's length {norm:g}",
            "Go on from the last checkpoint; if it comes again, lower the learning rate.",
        )
    for group in trainee.optimizer.param_groups:
        group["lr"] = rate * group["factor"]
    trainee.optimizer.step()
    trainee.follow()
    return norm
