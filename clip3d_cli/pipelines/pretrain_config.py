"""What a pretraining is told: TOML tables, each key known, each value of its kind."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, get_type_hints

from clip3d_cli import registry
from clip3d_cli.pipelines.config_values import Unquoted, checked, refused, require_sense
from clip3d_cli.training.learner import LossOptions
from clip3d_cli.training.pixel_pairs import BatchOptions

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")

_PRESETS = Path(__file__).with_name("presets")


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
class EncoderOptions:
    """Which point network.

    Attributes:
        architecture: a name of kind ``point_encoders`` in the registry.
        layers: of a MinkUNet.
        width: all inner channels times this.
        inputs: the channels of a voxel.
        voxel_sizes_m: the voxel edges to choose from by a cloud's density, metres.
        start: weights to go on from, whose network and inputs are taken; empty for fresh ones.
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
    start: str = ""


@dataclass(frozen=True, slots=True)
class OptimizerOptions:
    """How it is optimised: see `clip3d_cli.training.trainee.LoopOptions`.

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


# What may differ when a run is resumed: it changes no result.
FREE = (
    "run.device",
    "run.backend",
    "run.workers",
    "run.save_every",
    "run.keep_last",
    "run.tensorboard",
    "data.root",
    "data.judged",
    "teacher.features",
)


@dataclass(frozen=True, slots=True)
class PretrainConfig:
    """All of a pretraining's options, a table each."""

    data: DataOptions = field(default_factory=DataOptions)
    teacher: TeacherOptions = field(default_factory=TeacherOptions)
    words: WordOptions = field(default_factory=WordOptions)
    encoder: EncoderOptions = field(default_factory=EncoderOptions)
    batch: BatchOptions = field(default_factory=BatchOptions)
    loss: LossOptions = field(default_factory=LossOptions)
    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    run: RunOptions = field(default_factory=RunOptions)

    def tables(self) -> dict[str, Any]:
        """The same as nested mappings, fit for TOML."""
        return asdict(self)


def preset(dataset: str) -> PretrainConfig:
    """CLIP2Scene's hyper-parameters for a data set, or the defaults where the paper has none."""
    path = _PRESETS / f"{dataset}.toml"
    config = replace(PretrainConfig(), data=DataOptions(dataset=dataset))
    return merged(config, read_config(path), str(path)) if path.is_file() else config


def read_config(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        UsageError: E_CONFIG: it is not there, or not TOML.
    """
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise refused(str(path), f"cannot be read: {error}", "It must be TOML.") from error
    return table


def with_settings(config: PretrainConfig, settings: Sequence[str]) -> PretrainConfig:
    """The configuration with ``table.key=value`` settings, values as TOML writes them.

    Text may stand without quotes, and several values with commas alone: ``words.classes=car,tree``.

    Raises:
        UsageError: E_CONFIG: no such key, or not a value of its kind.
    """
    for setting in settings:
        path, equals, text = setting.partition("=")
        table, dot, key = path.strip().partition(".")
        if not equals or not dot:
            raise refused("--set", f"{setting!r} is not table.key=value", "Try loss.start=0.5.")
        config = merged(config, {table: {key: Unquoted(text.strip())}}, "--set")
    return config


def merged(config: T, table: Mapping[str, Any], where: str) -> T:
    """The configuration with what a table says otherwise.

    Raises:
        UsageError: E_CONFIG: an unknown key, with the nearest known one, or a value of another
            kind than that of its key.
    """
    if not is_dataclass(config) or isinstance(config, type):
        raise TypeError("only a dataclass can be configured")
    hints = get_type_hints(type(config))
    changed: dict[str, Any] = {}
    for key, value in table.items():
        if key not in hints:
            known = [entry.name for entry in fields(config)]
            unknown = registry.unknown_name(where, key, known)
            raise refused(where, f"there is no key {key!r}", unknown.remedy)
        current = getattr(config, key)
        if is_dataclass(current):
            if not isinstance(value, Mapping):
                raise refused(where, f"{key} is a table", f"Write [{key}], then its keys.")
            changed[key] = merged(current, value, f"{where}: [{key}]")
        else:
            changed[key] = checked(value, hints[key], f"{where}: {key}")
            require_sense(key, changed[key], f"{where}: {key}")
    return replace(config, **changed)
