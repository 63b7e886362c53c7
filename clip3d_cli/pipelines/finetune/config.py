"""What a fine-tuning is told: TOML tables, each key known, each value of its kind."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from clip3d_cli.pipelines.training import config as training_config
from clip3d_cli.pipelines.training.config import (
    DataOptions,
    EncoderOptions,
    OptimizerOptions,
    RunOptions,
    Tables,
)
from clip3d_cli.pipelines.training.config_files import with_preset
from clip3d_cli.training.supervised.batches import LabelledOptions
from clip3d_cli.training.supervised.model import SupervisedOptions

SCRATCH = "scratch"
IF_APART = "auto"


@dataclass(frozen=True, slots=True)
class LabelledData(DataOptions):
    """Which scenes.

    Attributes:
        judged: a split with truth that the result is judged on at the end; ``auto`` for ``val``
            where there is one that shares no scene with those learned from; empty for none.
        fraction: the share of the split's scenes whose labels are used, above 0: every n-th,
            the first included (`clip3d_cli.datasets.splits.every_nth`).
    """

    judged: str = IF_APART
    fraction: float = 1.0


@dataclass(frozen=True, slots=True)
class StartOptions:
    """Where the network comes from.

    Attributes:
        weights: a file of weights, or the name of some that clip3d brings; ``scratch`` for a
            fresh network of the [encoder] table; empty for the default weights.
        voxels_m: voxel edges to choose from instead of those it was trained at, metres; empty for
            its own.
        sha256: of that file: recorded, for a run that is resumed needs the same.
    """

    weights: str = ""
    voxels_m: tuple[float, ...] = ()
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class ClassWordOptions:
    """How the classes are put into words for the text head.

    Attributes:
        templates: the named set of sentences around words.
        text_encoder: embeds them; empty for the start's own, which is ``mini`` of a fresh network.
    """

    templates: str = "photo"
    text_encoder: str = ""


@dataclass(frozen=True, slots=True)
class HeadedOptimizerOptions(OptimizerOptions):
    """How it is optimised: see `clip3d_cli.training.state.LoopOptions`.

    Attributes:
        head_factor: the learning rate of the closed head, in learning rates of all the rest.
    """

    kind: Literal["adamw", "sgd"] = "sgd"
    learning_rate: float = 0.02
    average_decay: float = 0.0
    epochs: int = 24
    head_factor: float = 100.0


# What may differ when a run is resumed: it changes no result.
FREE = (*training_config.FREE, "start.weights")


@dataclass(frozen=True, slots=True)
class FinetuneConfig(Tables):
    """All of a fine-tuning's options, a table each; [encoder] is that of a fresh network alone."""

    data: LabelledData = field(default_factory=LabelledData)
    start: StartOptions = field(default_factory=StartOptions)
    words: ClassWordOptions = field(default_factory=ClassWordOptions)
    encoder: EncoderOptions = field(default_factory=EncoderOptions)
    batch: LabelledOptions = field(default_factory=LabelledOptions)
    loss: SupervisedOptions = field(default_factory=SupervisedOptions)
    optimizer: HeadedOptimizerOptions = field(default_factory=HeadedOptimizerOptions)
    run: RunOptions = field(default_factory=RunOptions)


def preset(dataset: str) -> FinetuneConfig:
    """CLIP2Scene's hyper-parameters for a data set, or the defaults where the paper has none."""
    config = replace(FinetuneConfig(), data=LabelledData(dataset=dataset))
    return with_preset(config, dataset, "finetune")
