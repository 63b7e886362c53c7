"""A network in training: with its optimiser, its average and how far it came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Literal

import torch
from torch import Tensor, nn

from clip3d_cli.errors import SetupError

Kind = Literal["adamw", "sgd"]
Scalar = int | float | str | bool | None

# The parameters of a head that is learned from nothing, in whatever network has one.
_HEAD = "closed."


@dataclass(frozen=True, slots=True)
class LoopOptions:
    """How a network is optimised.

    Attributes:
        steps: how many optimiser steps.
        learning_rate: the highest, after the warm-up.
        weight_decay: AdamW's on matrices and kernels only, SGD's on all, as CLIP2Scene's.
        warmup_steps: linear rise at the start; then a cosine falls to zero.
        clip_norm: the longest gradient; 0 for any.
        average_decay: of the exponential moving average of the weights; 0 for none.
        optimizer: ``adamw`` (β 0.9, 0.98) or ``sgd``; CLIP2Scene's is SGD at learning rate 0.1,
            momentum 0.9, dampening 0.1 and weight decay 1e-4.
        momentum: SGD's.
        dampening: SGD's.
        batches_per_step: gradients of so many batches are averaged before a step.
        seed: of PyTorch's random numbers, which every step draws anew from it and its number.
        head_factor: the learning rate of a closed head, in learning rates of all the rest;
            CLIP2Scene's fine-tuning has 100 (2.0 and 0.02).
    """

    steps: int
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    warmup_steps: int = 100
    clip_norm: float = 1.0
    average_decay: float = 0.998
    optimizer: Kind = "adamw"
    momentum: float = 0.9
    dampening: float = 0.1
    batches_per_step: int = 1
    seed: int = 0
    head_factor: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """All that a training needs to go on as if it had never stopped.

    Attributes:
        tensors: by name, on the CPU, sharing nothing with what trains on.
        scalars: by name: fit for JSON.
    """

    tensors: dict[str, Tensor]
    scalars: dict[str, Any]


class Trainee:
    """A network, what optimises it, the average of its late weights, and the steps done.

    Args:
        network: trained in place; every parameter that takes gradients is optimised.
        options: how.
    """

    def __init__(self, network: nn.Module, options: LoopOptions) -> None:
        self.network = network
        self.options = options
        self.done = 0
        self._names, groups = _parameter_groups(network, options)
        self.optimizer = _optimizer(groups, options)
        self._average: torch.optim.swa_utils.AveragedModel | None = None
        if options.average_decay > 0:
            self._average = torch.optim.swa_utils.AveragedModel(
                network, avg_fn=_warm_average(options.average_decay), use_buffers=True
            )

    @property
    def averaged(self) -> nn.Module:
        """The network with the average of its weights; the network itself without averaging."""
        return self.network if self._average is None else self._average.module

    def follow(self) -> None:
        """Count a step that the optimiser made, and let the average follow."""
        self.done += 1
        if self._average is not None:
            self._average.update_parameters(self.network)

    def snapshot(self) -> Snapshot:
        """A copy of everything, after whole steps only."""
        tensors = {f"network/{name}": value for name, value in self.network.state_dict().items()}
        if self._average is not None:
            average = self._average.state_dict()
            tensors |= {f"average/{name}": value for name, value in average.items()}
        for index, entries in self.optimizer.state_dict()["state"].items():
            for key, value in entries.items():
                if value is not None:
                    tensors[f"optimizer/{self._names[index]}/{key}"] = value
        copies = {
            name: value.detach().to("cpu", copy=True).contiguous()
            for name, value in tensors.items()
        }
        return Snapshot(copies, {"done": self.done, "options": asdict(self.options)})

    def load(self, snapshot: Snapshot) -> None:
        """Become what a snapshot was taken of.

        Raises:
            SetupError: E_CONFIG: it is of other options or of another network, and nothing was
                changed, or the network and its average may have been.
        """
        self._require_same_options(snapshot.scalars.get("options"))
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "average": {}, "optimizer": {}}
        for name, value in snapshot.tensors.items():
            part, _, rest = name.partition("/")
            parts.setdefault(part, {})[rest] = value
        try:
            self.network.load_state_dict(parts["network"])
            if self._average is not None:
                self._average.load_state_dict(parts["average"])
            self._load_optimizer(parts["optimizer"])
            self.done = int(snapshot.scalars["done"])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise _foreign(f"is of another network: {error}") from error

    def _load_optimizer(self, tensors: dict[str, Tensor]) -> None:
        index_of_name = {name: index for index, name in enumerate(self._names)}
        state: dict[int, dict[str, Tensor]] = {}
        for path, value in tensors.items():
            name, _, key = path.rpartition("/")
            state.setdefault(index_of_name[name], {})[key] = value.clone()
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})

    def _require_same_options(self, saved: object) -> None:
        own: dict[str, Scalar] = asdict(self.options)
        if not isinstance(saved, dict):
            raise _foreign("does not say how it was optimised")
        # Options that came after the snapshot was taken: their defaults are how it was before.
        defaults = {entry.name: entry.default for entry in fields(LoopOptions)}
        saved = {name: value for name, value in defaults.items() if value is not MISSING} | saved
        other = [
            f"{name} {saved.get(name)!r} instead of {own.get(name)!r}"
            for name in sorted({*own, *saved})
            if saved.get(name) != own.get(name)
        ]
        if other:
            raise _foreign(f"was optimised with {', '.join(other)}")


def _foreign(fault: str) -> SetupError:
    remedy = "Resume with the configuration of its own run, or start a new one."
    return SetupError("E_CONFIG", "checkpoint", fault, remedy)


def _parameter_groups(
    network: nn.Module, options: LoopOptions
) -> tuple[list[str], list[dict[str, Any]]]:
    """The names in the optimiser's order, and its groups, each with its ``factor``."""
    wanted = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    kinds = [
        (name.startswith(_HEAD), options.optimizer == "adamw" and p.ndim <= 1) for name, p in wanted
    ]
    names: list[str] = []
    groups: list[dict[str, Any]] = []
    for head, narrow in sorted(set(kinds)):
        rows = [entry for entry, kind in zip(wanted, kinds, strict=True) if kind == (head, narrow)]
        names += [name for name, _ in rows]
        group = {"params": [p for _, p in rows], "factor": options.head_factor if head else 1.0}
        groups.append(group | ({"weight_decay": 0.0} if narrow else {}))
    return names, groups


def _optimizer(groups: list[dict[str, Any]], options: LoopOptions) -> torch.optim.Optimizer:
    if options.optimizer == "adamw":
        return torch.optim.AdamW(
            groups,
            lr=options.learning_rate,
            weight_decay=options.weight_decay,
            betas=(0.9, 0.98),
        )
    if options.optimizer == "sgd":
        return torch.optim.SGD(
            groups,
            lr=options.learning_rate,
            momentum=options.momentum,
            dampening=options.dampening,
            weight_decay=options.weight_decay,
        )
    raise ValueError(f"no optimizer is called {options.optimizer!r}")


def _warm_average(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """An average whose memory grows from nothing, so that early weights are soon forgotten."""

    def average(mean: Tensor, current: Tensor, updates: Tensor | int) -> Tensor:
        if not mean.is_floating_point():
            return current
        keep = min(decay, (1 + float(updates)) / (10 + float(updates)))
        # A weight that does not change stays as it is, to the bit.
        return torch.lerp(mean, current, 1 - keep)

    return average
