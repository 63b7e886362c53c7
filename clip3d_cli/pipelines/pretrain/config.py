"""Config of a pretraining: a dataclass of options per TOML table."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated

from msgspec import Meta

from clip3d_cli.pipelines.training import config as training_config
from clip3d_cli.pipelines.training.config import (
    DataOptions,
    EncoderOptions,
    OptimizerOptions,
    RunOptions,
    Tables,
    Templates,
)
from clip3d_cli.pipelines.training.config_sources import with_preset
from clip3d_cli.training.clip2scene.model import LossOptions
from clip3d_cli.training.clip2scene.pixel_pairs import BatchOptions
from clip3d_cli.training.option_types import Count, Share

# Dotted keys that may change when a run is resumed, because they do not change its result.
RESUMABLE_KEYS = (*training_config.RESUMABLE_KEYS, "teacher.features")


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherOptions:
    """Table ``[teacher]``: the frozen image model."""

    kind: Annotated[str, Meta(description="registered name of the kind of teacher")] = "openclip"
    model: Annotated[
        str, Meta(description="open_clip's model/tag, or a folder with a model of open_clip")
    ] = "ViT-B-16/openai"
    variant: Annotated[
        str,
        Meta(
            description="how the last attention layer is read: value, value-released, self or "
            "neighbour"
        ),
    ] = "value"
    image_px: Annotated[
        Count,
        Meta(
            description="length in pixels to which the shorter side of an image is resized; 0 for "
            "the model's own"
        ),
    ] = 0
    features: Annotated[
        str,
        Meta(
            description="folder in which the features of the images are kept; empty for features/ "
            "in the run folder"
        ),
    ] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WordOptions:
    """Table ``[words]``: the classes that pixels are sorted into."""

    vocabulary: Annotated[
        str,
        Meta(
            description="name from clip3d vocabularies, or a TOML file; dataset for the vocabulary "
            "of the data set"
        ),
    ] = "dataset"
    classes: Annotated[
        tuple[str, ...], Meta(description="class names to use instead of a vocabulary")
    ] = ()
    templates: Templates = "clip2scene"
    least_share: Annotated[
        Share,
        Meta(
            description="keep only the classes that win at least this share of all image patches; "
            "0 keeps all"
        ),
    ] = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedEncoderOptions(EncoderOptions):
    """Table ``[encoder]``: the point network, new or from a weights file."""

    start: Annotated[
        str,
        Meta(
            description="weights file to start from, whose network and input channels are used; it "
            "must be of the teacher's feature space; empty for a new network"
        ),
    ] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainConfig(Tables):
    """All options of a pretraining, one field per table."""

    data: DataOptions = field(default_factory=DataOptions)
    teacher: TeacherOptions = field(default_factory=TeacherOptions)
    words: WordOptions = field(default_factory=WordOptions)
    encoder: StartedEncoderOptions = field(default_factory=StartedEncoderOptions)
    batch: BatchOptions = field(default_factory=BatchOptions)
    loss: LossOptions = field(default_factory=LossOptions)
    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    run: RunOptions = field(default_factory=RunOptions)


def preset(dataset: str) -> PretrainConfig:
    """Return the defaults with the preset of a data set.

    Args:
        dataset: a name of kind ``datasets`` in the registry.

    Raises:
        UsageError: E_UNKNOWN_NAME: there is no such data set.
    """
    config = replace(PretrainConfig(), data=DataOptions(dataset=dataset))
    return with_preset(config, dataset, "pretrain")
