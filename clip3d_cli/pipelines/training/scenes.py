"""Scenes that a config names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from clip3d_cli import registry
from clip3d_cli.core.scenes import PosedScene
from clip3d_cli.datasets.dataset import Dataset
from clip3d_cli.datasets.splits import default_split, limit_scenes
from clip3d_cli.pipelines.training.config import DataOptions


def open_split(options: DataOptions) -> tuple[Dataset, str, Sequence[PosedScene]]:
    """Return the data set of a config, the name of the training split, and its scenes.

    Raises:
        UsageError: there is no such data set or split.
        InputError: the folder does not have the layout of the data set.
    """
    dataset: Dataset = registry.load("datasets", options.dataset)(Path(options.root))
    split = options.split or default_split(dataset, "train")
    return dataset, split, limit_scenes(dataset.scenes(split), options.limit)
