"""What commands that train differ in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from clip3d_cli.commands.terminal import Voice
from clip3d_cli.core.scenes import PosedScene
from clip3d_cli.datasets.dataset import Dataset
from clip3d_cli.pipelines.training.config import TrainingConfig
from clip3d_cli.pipelines.training.run import Ended, Hearing
from clip3d_cli.training.distributed import World

Config = TypeVar("Config", bound=TrainingConfig)
Told = TypeVar("Told", bound=TrainingConfig, contravariant=True)
End = TypeVar("End", bound=Ended)
Given = TypeVar("Given", bound=Ended, covariant=True)


class Train(Protocol[Told, Given]):
    """Trains in a folder: see `clip3d_cli.pipelines.pretrain.run.pretrain`."""

    def __call__(
        self,
        config: Told,
        folder: Path,
        *,
        resume: bool,
        world: World,
        command_line: Sequence[str],
        hearing: Hearing,
    ) -> Given:
        """How it ended."""


@dataclass(frozen=True, slots=True)
class Training(Generic[Config, End]):
    """What one command trains.

    Attributes:
        command: its name.
        usual: the configuration of defaults.
        preset: the configuration that is usual for a data set, by its name.
        free: dotted keys that may differ when a run is resumed.
        open_scenes: the data set of a configuration and the scenes to learn from.
        train: trains.
        show_end: says to people how it ended.
        ending: what the run's document says of it besides the usual.
    """

    command: str
    usual: Config
    preset: Callable[[str], Config]
    free: Sequence[str]
    open_scenes: Callable[[Config], tuple[Dataset, Sequence[PosedScene]]]
    train: Train[Config, End]
    show_end: Callable[[End, Config, Voice], None]
    ending: Callable[[End], Mapping[str, Any]]
