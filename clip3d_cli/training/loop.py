"""The training loop: batches in, a better network out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Batch = TypeVar("Batch")


@dataclass(frozen=True, slots=True)
class LoopOptions:
    """How a network is optimised.

    Attributes:
        steps: how many optimiser steps.
        learning_rate: the highest, after the warm-up.
        weight_decay: AdamW's, on matrices and kernels only.
        warmup_steps: linear rise at the start; then a cosine falls to zero.
        clip_norm: the longest gradient.
        average_decay: of the exponential moving average of the weights; 0 for none.
    """

    steps: int
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    warmup_steps: int = 100
    clip_norm: float = 1.0
    average_decay: float = 0.998


@dataclass(frozen=True, slots=True)
class Step:
    """What is known after one optimiser step."""

    number: int
    loss: float
    learning_rate: float
    seconds: float


def train(
    network: nn.Module,
    batches: Iterable[Batch],
    loss_of: Callable[[nn.Module, Batch], Tensor],
    options: LoopOptions,
    on_step: Callable[[Step, nn.Module], None],
) -> nn.Module:
    """Optimise a network in place and return the average of its late weights.

    Args:
        network: what is trained; left in training mode.
        batches: at least ``options.steps`` of them.
        loss_of: the loss of one batch, a scalar that carries gradients.
        options: the schedule.
        on_step: told of every step and of the averaged network so far.

    Returns:
        a copy of the network with averaged weights and its own statistics.

    Raises:
        FloatingPointError: the loss is not a number.
    """
    groups: list[dict[str, Any]] = [
        {"params": [p for p in network.parameters() if p.requires_grad and p.ndim > 1]},
        {
            "params": [p for p in network.parameters() if p.requires_grad and p.ndim <= 1],
            "weight_decay": 0.0,
        },
    ]
    optimizer = torch.optim.AdamW(
        groups,
        lr=options.learning_rate,
        weight_decay=options.weight_decay,
        betas=(0.9, 0.98),
    )
    averaged = torch.optim.swa_utils.AveragedModel(
        network, avg_fn=_warm_average(options.average_decay), use_buffers=True
    )
    network.train()
    started = time.perf_counter()
    for number, batch in zip(range(1, options.steps + 1), batches, strict=False):
        rate = scheduled_rate(number, options)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = loss_of(network, batch)
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss.item()} at step {number}")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), options.clip_norm)
        optimizer.step()
        averaged.update_parameters(network)
        elapsed = time.perf_counter() - started
        on_step(Step(number, loss.item(), rate, elapsed), averaged.module)
    return averaged.module


def scheduled_rate(number: int, options: LoopOptions) -> float:
    """The learning rate of step ``number`` (from 1): a linear warm-up, then half a cosine."""
    warm = min(1.0, number / max(1, options.warmup_steps))
    done = min(1.0, number / options.steps)
    return options.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * done))


def _warm_average(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """An average whose memory grows from nothing, so that early weights are soon forgotten."""

    def average(mean: Tensor, current: Tensor, updates: Tensor | int) -> Tensor:
        if not mean.is_floating_point():
            return current
        keep = min(decay, (1 + float(updates)) / (10 + float(updates)))
        return mean * keep + current * (1 - keep)

    return average
