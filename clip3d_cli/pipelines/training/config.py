"""Options that pretraining and fine-tuning share, as tables of a config."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from msgspec import Meta

from clip3d_cli.encoders.input_channels import CHANNELS
from clip3d_cli.training.distributed import World
from clip3d_cli.training.option_types import Count, NonNegative, Positive, PositiveCount, Share
from clip3d_cli.training.state import LoopOptions

if TYPE_CHECKING:
    ChannelName = str
else:
    ChannelName = Literal[tuple(CHANNELS)]

# Types of keys that several configs have, with defaults of their own.
LearningRate = Annotated[
    NonNegative, Meta(description="highest learning rate; it falls to zero along half a cosine")
]
AverageDecay = Annotated[
    Share,
    Meta(
        description="decay of the exponential moving average of the weights, which is saved at the "
        "end; 0 saves the last weights"
    ),
]
Epochs = Annotated[
    PositiveCount, Meta(description="how often each scene is used; only counts if steps is 0")
]
Templates = Annotated[
    str, Meta(description="named set of sentences around a word: clip2scene, photo, scene or none")
]

# Dotted keys that may change when a run is resumed, because they do not change its result.
RESUMABLE_KEYS = (
    "run.device",
    "run.backend",
    "run.workers",
    "run.save_every",
    "run.keep_last",
    "run.tensorboard",
    "data.root",
    "data.eval_split",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataOptions:
    """Table [data]: the scenes to train on."""

    dataset: Annotated[str, Meta(description="registered name of the data set")] = "folder"
    root: Annotated[str, Meta(description="folder of the data set")] = "."
    split: Annotated[
        str,
        Meta(
            description="split to train on; empty takes train, else its mini version, else the "
            "first split"
        ),
    ] = ""
    eval_split: Annotated[
        str,
        Meta(
            description="split with ground truth on which the weights are evaluated at the end; "
            "empty for no evaluation"
        ),
    ] = ""
    limit: Annotated[
        Count,
        Meta(
            description="largest number of scenes taken from a split, evenly spaced; 0 for all; "
            "it also holds for the split of the evaluation"
        ),
    ] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderOptions:
    """Table [encoder]: the point network."""

    architecture: Annotated[
        str, Meta(description="registered name of the network: minkunet or spvcnn")
    ] = "minkunet"
    layers: Annotated[Literal[14, 18, 34], Meta(description="number of layers of a MinkUNet")] = 18
    width: Annotated[
        Positive, Meta(description="factor on the number of channels inside the network")
    ] = 1.0
    inputs: Annotated[
        tuple[ChannelName, ...],
        Meta(
            min_length=1,
            description="input channels of a voxel; with intensity, red, green or blue, "
            "every cloud to be labelled must have them",
        ),
    ] = ("one", "height_near", "height_far", "z_spread", "z_offset", "log_voxel")
    voxel_sizes_m: Annotated[
        tuple[Positive, ...],
        Meta(
            min_length=1,
            description="voxel edge lengths in metres; of several, the one that suits the point "
            "density of a cloud is used",
        ),
    ] = (0.1,)


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerOptions:
    """Table [optimizer]: see also clip3d_cli.training.state.LoopOptions."""

    kind: Annotated[
        Literal["adamw", "sgd"], Meta(description="optimiser; AdamW has β 0.9 and 0.98")
    ] = "sgd"
    learning_rate: LearningRate = 0.1
    weight_decay: Annotated[
        NonNegative, Meta(description="weight decay; AdamW does not apply it to norms and biases")
    ] = 1e-4
    momentum: Annotated[Share, Meta(description="momentum of SGD")] = 0.9
    dampening: Annotated[Share, Meta(description="dampening of the momentum of SGD")] = 0.1
    clip_norm: Annotated[
        NonNegative, Meta(description="gradients longer than this are shortened to it; 0 for never")
    ] = 0.0
    average_decay: AverageDecay = 0.998
    batches_per_step: Annotated[
        PositiveCount, Meta(description="batches whose gradients are averaged for one step")
    ] = 1
    epochs: Epochs = 20
    steps: Annotated[Count, Meta(description="optimiser steps; 0 to count epochs instead")] = 0
    warmup: Annotated[
        Share, Meta(description="share of the steps in which the learning rate rises from zero")
    ] = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Table [run]: on a CPU only seed, precision and processes change a result."""

    seed: Annotated[Count, Meta(description="random seed")] = 0
    precision: Annotated[
        Literal["fp32", "bf16"],
        Meta(
            description="data type of the features inside the network; weights, heads and losses "
            "are always float32"
        ),
    ] = "fp32"
    device: Annotated[str, Meta(description="device to train on: auto, cpu, cuda or cuda:N")] = (
        "auto"
    )
    backend: Annotated[
        str, Meta(description="backend of the sparse convolutions; auto takes the fastest here")
    ] = "auto"
    workers: Annotated[
        Count,
        Meta(
            description="processes that prepare batches ahead; 0 prepares them in the training "
            "process"
        ),
    ] = 2
    save_every: Annotated[
        PositiveCount, Meta(description="steps from checkpoint to checkpoint")
    ] = 500
    keep_last: Annotated[PositiveCount, Meta(description="checkpoints that are kept")] = 2
    tensorboard: Annotated[
        bool,
        Meta(
            description="also write curves for TensorBoard to tensorboard/ in the run folder; "
            "needs pip install tensorboard"
        ),
    ] = False
    processes: Annotated[
        PositiveCount,
        Meta(
            description="processes that train together; recorded from --gpus and --nodes, not "
            "set by hand: a run must be resumed with as many, because each process draws its own "
            "batches"
        ),
    ] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """Config whose fields are option dataclasses, one per TOML table."""

    def tables(self) -> dict[str, Any]:
        """Return the config as nested dicts, ready for `clip3d_cli.training.toml_text`."""
        return asdict(self)


class BatchSize(Protocol):
    """Options of a batch, as far as every training has them."""

    @property
    def scenes(self) -> int:
        """Number of scenes in a batch."""


class TrainingConfig(Protocol):
    """Tables that the config of every training has."""

    @property
    def data(self) -> DataOptions:
        """Scenes to train on."""

    @property
    def batch(self) -> BatchSize:
        """Content of a batch."""

    @property
    def optimizer(self) -> OptimizerOptions:
        """Optimiser and length of the training."""

    @property
    def run(self) -> RunOptions:
        """Seed, device and checkpoints."""

    def tables(self) -> dict[str, Any]:
        """Return the config as nested dicts."""


def loop_options(config: TrainingConfig, scenes: int, world: World) -> LoopOptions:
    """Return the options of the training loop, with epochs and shares turned into steps.

    Args:
        config: config of the training.
        scenes: number of training scenes.
        world: this process among those that train together.
    """
    options = config.optimizer
    scenes_per_step = config.batch.scenes * options.batches_per_step * world.size
    steps = options.steps or options.epochs * math.ceil(scenes / scenes_per_step)
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
