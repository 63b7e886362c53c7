"""State of a training: the network, its optimiser, the average of its weights, and the steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Literal

import torch
from torch import Tensor, nn

from clip3d_cli.errors import SetupError
from clip3d_cli.training.muon import Muon

OptimizerName = Literal["adamw", "sgd", "muon"]
ScheduleName = Literal["cosine", "constant", "linear"]

# Prefix of the parameters of a closed head, which is trained from nothing in every fine-tuning.
_CLOSED_HEAD = "closed."
_LEAST_MUON_CHANNELS = 8


@dataclass(frozen=True, slots=True)
class LoopOptions:
    """How a network is optimised.

    They are stored in checkpoints, and a training is only resumed with the same.

    Attributes:
        steps: number of optimiser steps.
        learning_rate: highest learning rate, reached after the warm-up.
        weight_decay: weight decay; AdamW's applies to matrices and kernels only, SGD's to all
            parameters, as in CLIP2Scene.
        warmup_steps: steps of linear rise.
        schedule: what comes after them: ``cosine`` falls to zero at the last step, ``constant``
            stays, so that a run has no end that must be known before, and ``linear`` falls to zero
            at the last step.
        clip_norm: largest norm of the gradient; 0 for no limit.
        average_decay: decay of the exponential moving average of the weights; 0 for none.
        optimizer: ``adamw`` (β 0.9, 0.98), ``sgd``, or ``muon`` for convolutions, with AdamW for
            all else. CLIP2Scene has SGD with learning rate 0.1,
            momentum 0.9, dampening 0.1 and weight decay 1e-4.
        momentum: momentum of SGD.
        dampening: dampening of SGD.
        batches_per_step: number of batches whose gradients are averaged before a step.
        seed: seed of PyTorch's random numbers; see `clip3d_cli.training.loop`.
        head_factor: learning rate of a closed head as a multiple of ``learning_rate``.
            CLIP2Scene's fine-tuning has 100 (2.0 and 0.02).
    """

    steps: int
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    warmup_steps: int = 100
    schedule: ScheduleName = "cosine"
    clip_norm: float = 1.0
    average_decay: float = 0.998
    optimizer: OptimizerName = "adamw"
    momentum: float = 0.9
    dampening: float = 0.1
    batches_per_step: int = 1
    seed: int = 0
    head_factor: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Copy of a `TrainState`, from which a training continues as if it had never stopped.

    No random number generator is part of it: all random draws follow from the seed and the number
    of a step or batch.

    Attributes:
        tensors: tensors on the CPU by name; they share no memory with the training.
        scalars: numbers and options by name, fit for JSON.
    """

    tensors: dict[str, Tensor]
    scalars: dict[str, Any]


class TrainState:
    """Network, optimiser, moving average of the weights, and number of steps done.

    Args:
        network: it is trained in place; every parameter that requires gradients is optimised.
        options: how it is optimised.
    """

    def __init__(self, network: nn.Module, options: LoopOptions) -> None:
        self.network = network
        self.options = options
        self.steps_done = 0
        self._names, groups = _parameter_groups(network, options)
        self.optimizer = _optimizer(groups, options)
        self._average: torch.optim.swa_utils.AveragedModel | None = None
        if options.average_decay > 0:
            self._average = torch.optim.swa_utils.AveragedModel(
                network, avg_fn=_warm_average(options.average_decay), use_buffers=True
            )

    @property
    def averaged(self) -> nn.Module:
        """Network with the averaged weights; the network itself where no average is kept."""
        return self.network if self._average is None else self._average.module

    @property
    def is_finished(self) -> bool:
        """Whether all steps are done."""
        return self.steps_done >= self.options.steps

    def finish_step(self) -> None:
        """Count a step of the optimiser and update the average of the weights."""
        self.steps_done += 1
        if self._average is not None:
            self._average.update_parameters(self.network)

    def snapshot(self) -> Snapshot:
        """Return a copy of the state; only valid between two steps."""
        tensors = {f"network/{name}": value for name, value in self.network.state_dict().items()}
        if self._average is not None:
            average = self._average.state_dict()
            tensors |= {f"average/{name}": value for name, value in average.items()}
        # The optimiser numbers parameters; names also hold if the order of definition changes.
        for index, entries in self.optimizer.state_dict()["state"].items():
            for key, value in entries.items():
                if value is not None:
                    tensors[f"optimizer/{self._names[index]}/{key}"] = value
        copies = {
            name: value.detach().to("cpu", copy=True).contiguous()
            for name, value in tensors.items()
        }
        return Snapshot(copies, {"done": self.steps_done, "options": asdict(self.options)})

    def restore(self, snapshot: Snapshot) -> None:
        """Restore the state from a snapshot.

        Raises:
            SetupError: E_CONFIG: the snapshot has other options, and nothing was changed; or it is
                of another network, and the weights may have been changed.
        """
        self._require_same_options(snapshot.scalars.get("options"))
        self._restore_tensors(snapshot)
        self.steps_done = int(snapshot.scalars["done"])

    def start_from(self, snapshot: Snapshot) -> None:
        """Take weights, their average and the optimiser from a snapshot, at step 0.

        The options may be others, such as those of a cooldown after a run of constant rate, but
        the optimiser must be the same.

        Raises:
            SetupError: E_CONFIG: it is of another network or optimiser; the weights may have been
                changed.
        """
        self._restore_tensors(snapshot)

    def _restore_tensors(self, snapshot: Snapshot) -> None:
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "average": {}, "optimizer": {}}
        for name, value in snapshot.tensors.items():
            part, _, rest = name.partition("/")
            parts.setdefault(part, {})[rest] = value
        try:
            self.network.load_state_dict(parts["network"])
            if self._average is not None:
                self._average.load_state_dict(parts["average"])
            self._restore_optimizer(parts["optimizer"])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise _other_training(f"is of another network: {error}") from error

    def _restore_optimizer(self, tensors: dict[str, Tensor]) -> None:
        index_of_name = {name: index for index, name in enumerate(self._names)}
        state: dict[int, dict[str, Tensor]] = {}
        for path, value in tensors.items():
            name, _, key = path.rpartition("/")
            # The optimiser keeps tensors that are on its device, and the snapshot stays as it is.
            state.setdefault(index_of_name[name], {})[key] = value.clone()
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})

    def _require_same_options(self, saved: object) -> None:
        own = asdict(self.options)
        if not isinstance(saved, dict):
            raise _other_training("has no options of its optimiser")
        # Options that are newer than the snapshot: their defaults are how it was done before.
        defaults = {entry.name: entry.default for entry in fields(LoopOptions)}
        saved = {name: value for name, value in defaults.items() if value is not MISSING} | saved
        differences = [
            f"{name} {saved.get(name)!r} instead of {own.get(name)!r}"
            for name in sorted({*own, *saved})
            if saved.get(name) != own.get(name)
        ]
        if differences:
            raise _other_training(f"was optimised with {', '.join(differences)}")


def _other_training(fault: str) -> SetupError:
    remedy = "Resume with the config of its own run, or start a new run."
    return SetupError("E_CONFIG", "checkpoint", fault, remedy)


def _parameter_groups(
    network: nn.Module, options: LoopOptions
) -> tuple[list[str], list[dict[str, Any]]]:
    """Return parameter names in the optimiser's order, and its groups.

    Every group has a ``factor`` on the learning rate: that of a closed head, or 1.
    """
    trained = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    # AdamW and Muon do not decay biases and the scales of norms, which have one dimension. Muon
    # takes kernels of convolutions; those with fewer than eight channels, such as a stem's, have
    # too few directions to be made equal.
    kinds = [
        (
            name.startswith(_CLOSED_HEAD),
            options.optimizer != "sgd" and p.ndim <= 1,
            options.optimizer == "muon" and p.ndim == 3 and p.shape[1] >= _LEAST_MUON_CHANNELS,
        )
        for name, p in trained
    ]
    names: list[str] = []
    groups: list[dict[str, Any]] = []
    for is_head, is_undecayed, is_orthogonal in sorted(set(kinds)):
        members = [
            entry
            for entry, kind in zip(trained, kinds, strict=True)
            if kind == (is_head, is_undecayed, is_orthogonal)
        ]
        names += [name for name, _ in members]
        factor = options.head_factor if is_head else 1.0
        group: dict[str, Any] = {"params": [p for _, p in members], "factor": factor}
        group |= {"weight_decay": 0.0} if is_undecayed else {}
        groups.append(group | ({"orthogonal": True} if is_orthogonal else {}))
    return names, groups


def _optimizer(groups: list[dict[str, Any]], options: LoopOptions) -> torch.optim.Optimizer:
    if options.optimizer == "adamw":
        return torch.optim.AdamW(
            groups,
            lr=options.learning_rate,
            weight_decay=options.weight_decay,
            betas=(0.9, 0.98),
        )
    if options.optimizer == "muon":
        return Muon(groups, lr=options.learning_rate, weight_decay=options.weight_decay)
    if options.optimizer == "sgd":
        return torch.optim.SGD(
            groups,
            lr=options.learning_rate,
            momentum=options.momentum,
            dampening=options.dampening,
            weight_decay=options.weight_decay,
        )
    raise ValueError(f"there is no optimizer {options.optimizer!r}")


def _warm_average(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """Return an averaging function whose decay rises from 0.1, so early weights are forgotten."""

    def average(mean: Tensor, current: Tensor, updates: Tensor | int) -> Tensor:
        if not mean.is_floating_point():
            return current
        keep = min(decay, (1 + float(updates)) / (10 + float(updates)))
        # lerp leaves a weight that does not change as it is, to the bit.
        return torch.lerp(mean, current, 1 - keep)

    return average
