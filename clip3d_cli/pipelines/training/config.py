"""What every training is told, whatever it learns from."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

from clip3d_cli.training.distributed import World
from clip3d_cli.training.state import LoopOptions

# What may differ when a run is resumed, in every training: it changes no result.
FREE = (
    "run.device",
    "run.backend",
    "run.workers",
    "run.save_every",
    "run.keep_last",
    "run.tensorboard",
    "data.root",
    "data.judged",
)


@dataclass(frozen=True, slots=True)
class DataOptions:
    """Which scenes.

    Attributes:
        dataset: a name of kind ``datasets`` in the registry.
        root: its folder.
        split: the scenes to learn from.
        judged: a split with truth that the result is judged on at the end; empty for none.
        limit: take so many scenes of a split, spread evenly over it; 0 for all.
    """

    dataset: str = "folder"
    root: str = "."
    split: str = ""
    judged: str = ""
    limit: int = 0


@dataclass(frozen=True, slots=True)
class EncoderOptions:
    """Which point network.

    Attributes:
        architecture: a name of kind ``point_encoders`` in the registry.
        layers: of a MinkUNet.
        width: all inner channels times this.
        inputs: the channels of a voxel.
        voxel_sizes_m: the voxel edges to choose from by a cloud's density, metres.
    """

    architecture: str = "minkunet"
    layers: Literal[14, 18, 34] = 18
    width: float = 1.0
    inputs: tuple[str, ...] = (
        "one",
        "height_near",
        "height_far",
        "z_spread",
        "z_offset",
        "log_voxel",
    )
    voxel_sizes_m: tuple[float, ...] = (0.1,)


@dataclass(frozen=True, slots=True)
class OptimizerOptions:
    """How it is optimised: see `clip3d_cli.training.state.LoopOptions`.

    Attributes:
        epochs: how often every scene is seen.
        steps: how many steps instead; 0 counts epochs.
        warmup: the share of steps in which the learning rate rises.
    """

    kind: Literal["adamw", "sgd"] = "sgd"
    learning_rate: float = 0.1
    weight_decay: float = 1e-4
    momentum: float = 0.9
    dampening: float = 0.1
    clip_norm: float = 0.0
    average_decay: float = 0.998
    batches_per_step: int = 1
    epochs: int = 20
    steps: int = 0
    warmup: float = 0.0


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How the run goes; ``seed``, ``precision`` and ``processes`` alone change a result on a CPU.

    Attributes:
        seed: of every draw.
        precision: ``fp32``, or ``bf16`` for features inside the network.
        device: ``auto``, ``cpu`` or ``cuda``.
        backend: of the convolutions.
        workers: processes that make batches ahead.
        save_every: a checkpoint after so many steps.
        keep_last: how many checkpoints are kept.
        tensorboard: also write curves for it.
        processes: how many trained together: recorded, since each of them draws its own batches.
    """

    seed: int = 0
    precision: Literal["fp32", "bf16"] = "fp32"
    device: str = "auto"
    backend: str = "auto"
    workers: int = 2
    save_every: int = 500
    keep_last: int = 2
    tensorboard: bool = False
    processes: int = 1


@dataclass(frozen=True, slots=True)
class Tables:
    """A configuration whose every field is a dataclass: a table of TOML."""

    def tables(self) -> dict[str, Any]:
        """The same as nested mappings, fit for TOML."""
        return asdict(self)


class Batch(Protocol):
    """What a batch is made of."""

    @property
    def scenes(self) -> int:
        """How many scenes it has."""


class TrainingConfig(Protocol):
    """The options that every training has, a table each."""

    @property
    def data(self) -> DataOptions:
        """Which scenes."""

    @property
    def batch(self) -> Batch:
        """What a batch is made of."""

    @property
    def optimizer(self) -> OptimizerOptions:
        """How it is optimised."""

    @property
    def run(self) -> RunOptions:
        """How the run goes."""

    def tables(self) -> dict[str, Any]:
        """The same as nested mappings, fit for TOML."""


def loop_options(config: TrainingConfig, scenes: int, world: World) -> LoopOptions:
    """How many steps there are, and how they are made."""
    options = config.optimizer
    a_step = config.batch.scenes * options.batches_per_step * world.size
    steps = options.steps or options.epochs * math.ceil(scenes / a_step)
    return LoopOptions(
        steps=steps,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        warmup_steps=round(options.warmup * steps),
        clip_norm=options.clip_norm,
        average_decay=options.average_decay,
        optimizer=options.kind,
        momentum=options.momentum,
        dampening=options.dampening,
        batches_per_step=options.batches_per_step,
        seed=config.run.seed,
    )
