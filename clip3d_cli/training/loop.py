"""Training loop: a generator that makes one optimiser step after the other.

Resuming is exact because a step depends on nothing but the training state and its number:

* the batches of a step are given by numbers that follow from the number of the step,
* PyTorch's random numbers (dropout) are seeded anew for every batch, from the seed and the number
  of the batch, so no state of a generator has to be saved,
* the learning rate follows from the number of the step.

Several processes: in step s (from 0) of n processes with k batches per step, process r takes the
batches s·n·k + r, s·n·k + r + n, …, one after the other. Gradients are averaged over the k batches
here (the loss is divided by k), and over the n processes by DistributedDataParallel.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import TypeVar

import torch
from torch import Tensor, nn

from clip3d_cli.errors import Clip3DError
from clip3d_cli.training.distributed import SINGLE_PROCESS, World, without_gradient_sync
from clip3d_cli.training.signals import StopRequest
from clip3d_cli.training.state import LoopOptions, TrainState

Batch = TypeVar("Batch")
Loss = tuple[Tensor, Mapping[str, Tensor]]

# Runs with neighbouring seeds would otherwise share most of the seeds of their batches. The number
# is the prime of Knuth's multiplicative hash.
_SEED_STRIDE = 2_654_435_761


@dataclass(frozen=True, slots=True)
class StepReport:
    """Numbers of one optimiser step.

    Attributes:
        number: number of the step, from 1.
        loss: mean loss of its batches in all processes.
        parts: parts of the loss by name, means likewise.
        learning_rate: learning rate of the step; that of a closed head is ``head_factor`` times
            as high.
        gradient_norm: norm of the gradient before clipping.
        seconds: time since the loop began in this process.
    """

    number: int
    loss: float
    parts: dict[str, float]
    learning_rate: float
    gradient_norm: float
    seconds: float


def train_steps(
    state: TrainState,
    batches: Callable[[range], Iterable[Batch]],
    loss_of: Callable[[nn.Module, Batch, int], Loss],
    *,
    world: World = SINGLE_PROCESS,
    stop: StopRequest | None = None,
) -> Iterator[StepReport]:
    """Make optimiser steps until all are done, and yield a report after each.

    The state is complete whenever a report is yielded. The iterator ends early when a stop is
    requested or the batches run out; ``state.is_finished`` tells whether all steps were done.

    Args:
        state: what is trained; its network is put into training mode.
        batches: makes the batches of these numbers, in order.
        loss_of: loss of one batch and its parts, given the network to call (with several
            processes a wrapper that must be called as such), the batch, and the number of steps
            done. Every process must return the same parts.
        world: this process among those that train together.
        stop: checked after every step. When any process is asked to stop, all stop together, at
            the latest one step later.

    Yields:
        The report of every step, in every process.

    Raises:
        Clip3DError: E_BAD_VALUE: the loss or the gradient is not finite; the weights are those
            before the step.
    """
    options = state.options
    batches_per_step = options.batches_per_step * world.size
    first, last = state.steps_done * batches_per_step + world.rank, options.steps * batches_per_step
    supply = iter(batches(range(first, last, world.size)))
    network = world.wrap(state.network)
    network.train()
    began = time.perf_counter()
    while not state.is_finished:
        step_batches = list(islice(supply, options.batches_per_step))
        if len(step_batches) < options.batches_per_step:
            return
        loss, parts = _compute_gradient(network, step_batches, loss_of, state, world)
        requested = stop is not None and stop.requested
        # One message tells every process the mean loss and whether any process was asked to stop.
        # All must have sent it before one of them may raise an error.
        loss, stops, *means = world.mean([loss, float(requested), *parts.values()])
        parts = dict(zip(parts, means, strict=True))
        rate = scheduled_rate(state.steps_done + 1, options)
        norm = _apply_gradient(state, rate, loss, parts)
        seconds = time.perf_counter() - began
        yield StepReport(state.steps_done, loss, parts, rate, norm, seconds)
        if stops or (world.size == 1 and stop is not None and stop.requested):
            return


def scheduled_rate(number: int, options: LoopOptions) -> float:
    """Return the learning rate of a step: linear warm-up times the schedule.

    Args:
        number: number of the step, from 1; at the last step the rate is 0, unless it is constant.
        options: highest rate, steps, warm-up and schedule.
    """
    warm = min(1.0, number / max(1, options.warmup_steps))
    done = min(1.0, number / options.steps)
    factor = {
        "cosine": 0.5 * (1 + math.cos(math.pi * done)),
        "constant": 1.0,
        "linear": 1 - done,
    }[options.schedule]
    return options.learning_rate * warm * factor


def _compute_gradient(
    network: nn.Module,
    batches: Sequence[Batch],
    loss_of: Callable[[nn.Module, Batch, int], Loss],
    state: TrainState,
    world: World,
) -> tuple[float, dict[str, float]]:
    """Leave the mean gradient of a step's batches in the network; return mean loss and parts."""
    state.optimizer.zero_grad(set_to_none=True)
    sums: list[float] = []
    names: list[str] = []
    for turn, batch in enumerate(batches):
        number = (state.steps_done * len(batches) + turn) * world.size + world.rank
        torch.manual_seed((state.options.seed * _SEED_STRIDE + number) % 2**32)
        # Only the backward pass of the last batch sends the sum of gradients to other processes.
        is_last = turn + 1 == len(batches)
        with nullcontext() if is_last else without_gradient_sync(network):
            loss, parts = loss_of(network, batch, state.steps_done)
            (loss / len(batches)).backward()  # type: ignore[no-untyped-call]
        names = sorted(parts)
        # One transfer from the device for all numbers of a batch.
        values = torch.stack([loss.detach(), *(parts[name].detach() for name in names)]).tolist()
        sums = [total + value for total, value in zip_longest(sums, values, fillvalue=0.0)]
    mean, *means = (value / len(batches) for value in sums)
    return mean, dict(zip(names, means, strict=True))


def _apply_gradient(
    state: TrainState, rate: float, loss: float, parts: Mapping[str, float]
) -> float:
    """Make the optimiser step; return the norm of the gradient before clipping."""
    options = state.options
    norm = float(
        torch.nn.utils.clip_grad_norm_(state.network.parameters(), options.clip_norm or math.inf)
    )
    if not (math.isfinite(loss) and math.isfinite(norm)):
        shown = ", ".join(f"{name} {value:g}" for name, value in parts.items())
        raise Clip3DError(
            "E_BAD_VALUE",
            f"step {state.steps_done + 1}",
            f"the loss is {loss:g} ({shown or 'one part'}), the norm of its gradient is {norm:g}",
            "Resume from the last checkpoint; if it happens again, lower the learning rate.",
        )
    for group in state.optimizer.param_groups:
        group["lr"] = rate * group["factor"]
    state.optimizer.step()
    state.finish_step()
    return norm
