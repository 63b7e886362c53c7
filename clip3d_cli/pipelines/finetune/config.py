"""Config of a fine-tuning: a dataclass of options per TOML table."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated

from msgspec import Meta

from clip3d_cli.pipelines.training import config as training_config
from clip3d_cli.pipelines.training.config import (
    AverageDecay,
    DataOptions,
    EncoderOptions,
    Epochs,
    LearningRate,
    OptimizerOptions,
    RunOptions,
    Tables,
    Templates,
)
from clip3d_cli.pipelines.training.config_sources import with_preset
from clip3d_cli.training.option_types import Positive
from clip3d_cli.training.supervised.batches import LabelledOptions
from clip3d_cli.training.supervised.model import SupervisedOptions

SCRATCH = "scratch"
AUTO_SPLIT = "auto"

# Dotted keys that may change when a run is resumed, because they do not change its result.
RESUMABLE_KEYS = (*training_config.RESUMABLE_KEYS, "start.weights")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledData(DataOptions):
    """Table ``[data]``: the labelled scenes to train on."""

    eval_split: Annotated[
        str,
        Meta(
            description="split with ground truth on which both heads are evaluated at the end; "
            "auto takes val if it exists and shares no scene with the training scenes; empty for "
            "no evaluation"
        ),
    ] = AUTO_SPLIT
    fraction: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="share of the scenes whose labels are used: every n-th scene, the first "
            "included",
        ),
    ] = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOptions:
    """Table ``[start]``: the weights to start from."""

    weights: Annotated[
        str,
        Meta(
            description="weights file, or the name of weights shipped with clip3d; scratch for a "
            "new network as in [encoder]; empty for the default weights"
        ),
    ] = ""
    voxels_m: Annotated[
        tuple[Positive, ...],
        Meta(
            description="voxel edge lengths in metres to continue with; empty for those that the "
            "weights were trained with"
        ),
    ] = ()
    sha256: Annotated[
        str,
        Meta(
            description="SHA-256 of the weights file; recorded, not set by hand: a run must be "
            "resumed from the same file"
        ),
    ] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassWordOptions:
    """Table ``[words]``: how the names of the classes are embedded for the text head."""

    templates: Templates = "photo"
    text_encoder: Annotated[
        str,
        Meta(
            description="text encoder; empty for that of the start weights, or mini for a new "
            "network"
        ),
    ] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadedOptimizerOptions(OptimizerOptions):
    """Table ``[optimizer]``: the defaults are those of CLIP2Scene's fine-tuning on nuScenes."""

    learning_rate: LearningRate = 0.02
    average_decay: AverageDecay = 0.0
    epochs: Epochs = 24
    head_factor: Annotated[
        Positive,
        Meta(description="learning rate of the closed head as a multiple of learning_rate"),
    ] = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneConfig(Tables):
    """All options of a fine-tuning, one field per table; ``encoder`` is for a new network only."""

    data: LabelledData = field(default_factory=LabelledData)
    start: StartOptions = field(default_factory=StartOptions)
    words: ClassWordOptions = field(default_factory=ClassWordOptions)
    encoder: EncoderOptions = field(default_factory=EncoderOptions)
    batch: LabelledOptions = field(default_factory=LabelledOptions)
    loss: SupervisedOptions = field(default_factory=SupervisedOptions)
    optimizer: HeadedOptimizerOptions = field(default_factory=HeadedOptimizerOptions)
    run: RunOptions = field(default_factory=RunOptions)


def preset(dataset: str) -> FinetuneConfig:
    """Return the defaults with the preset of a data set.

    Args:
        dataset: a name of kind ``datasets`` in the registry.

    Raises:
        UsageError: E_UNKNOWN_NAME: there is no such data set.
    """
    config = replace(FinetuneConfig(), data=LabelledData(dataset=dataset))
    return with_preset(config, dataset, "finetune")
