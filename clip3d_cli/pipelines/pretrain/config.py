"""What a pretraining is told: TOML tables, each key known, each value of its kind."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from clip3d_cli.pipelines.training import config as training_config
from clip3d_cli.pipelines.training.config import (
    DataOptions,
    EncoderOptions,
    OptimizerOptions,
    RunOptions,
    Tables,
)
from clip3d_cli.pipelines.training.config_files import with_preset
from clip3d_cli.training.clip2scene.model import LossOptions
from clip3d_cli.training.clip2scene.pixel_pairs import BatchOptions


@dataclass(frozen=True, slots=True)
class TeacherOptions:
    """Which frozen image model.

    Attributes:
        kind: a name of kind ``teachers`` in the registry.
        model: open_clip's ``model/tag``, or a folder with a model.
        variant: how its last attention is read.
        image_px: what the shorter side of an image is resized to, px; 0 for the model's own.
        features: the folder that its vectors are kept in; empty for one inside the run's folder.
    """

    kind: str = "openclip"
    model: str = "ViT-B-16/openai"
    variant: str = "value"
    image_px: int = 0
    features: str = ""


@dataclass(frozen=True, slots=True)
class WordOptions:
    """Which words pixels are told apart by.

    Attributes:
        vocabulary: the name or TOML file of one; ``dataset`` for that of the data set.
        classes: words instead of a vocabulary.
        templates: the named set of sentences around words.
        least_share: of the pixels that must have a word for it to be kept; 0 keeps all. With a
            long vocabulary this finds the words of the scenes at hand.
    """

    vocabulary: str = "dataset"
    classes: tuple[str, ...] = ()
    templates: str = "clip2scene"
    least_share: float = 0.0


@dataclass(frozen=True, slots=True)
class StartedEncoderOptions(EncoderOptions):
    """Which point network.

    Attributes:
        start: weights to go on from, whose network and inputs are taken; empty for fresh ones.
    """

    start: str = ""


# What may differ when a run is resumed: it changes no result.
FREE = (*training_config.FREE, "teacher.features")


@dataclass(frozen=True, slots=True)
class PretrainConfig(Tables):
    """All of a pretraining's options, a table each."""

    data: DataOptions = field(default_factory=DataOptions)
    teacher: TeacherOptions = field(default_factory=TeacherOptions)
    words: WordOptions = field(default_factory=WordOptions)
    encoder: StartedEncoderOptions = field(default_factory=StartedEncoderOptions)
    batch: BatchOptions = field(default_factory=BatchOptions)
    loss: LossOptions = field(default_factory=LossOptions)
    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    run: RunOptions = field(default_factory=RunOptions)


def preset(dataset: str) -> PretrainConfig:
    """CLIP2Scene's hyper-parameters for a data set, or the defaults where the paper has none."""
    config = replace(PretrainConfig(), data=DataOptions(dataset=dataset))
    return with_preset(config, dataset, "pretrain")
