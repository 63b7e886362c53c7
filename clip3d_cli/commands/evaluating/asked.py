"""What is to be judged: as the command line says it, and as it was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from clip3d_cli.commands.engine_choice import EngineChoice
from clip3d_cli.core.scenes import PosedScene
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.datasets.dataset import Dataset
from clip3d_cli.metrics.scores import Convention
from clip3d_cli.pipelines.evaluate.run import EvalOptions


@dataclass(frozen=True, slots=True)
class EvalAsked:
    """What the command line says; None for what it does not say.

    Attributes:
        dataset: its name.
        root: its folder.
        split: which of its scenes.
        limit: how many of these.
        metric: what an absent class counts.
        bands: edges of distances, separated by commas.
        ignore: classes, separated by commas.
        novel: likewise.
        panoptic: also judge objects.
        prompts: a file with other words.
        head: what answers.
        templates: sentences around words; None if not said.
        text_encoder: the name of one; None if not said.
        output: a file for the document.
        overwrite: replace it.
        submission: a folder for the answers.
        as_json: give the document on stdout.
    """

    dataset: str | None
    root: Path | None
    split: str | None
    limit: int | None
    metric: Convention
    bands: str | None
    ignore: str | None
    novel: str | None
    panoptic: bool
    prompts: Path | None
    head: Literal["auto", "text", "closed"]
    templates: str | None
    text_encoder: str | None
    output: Path | None
    overwrite: bool
    submission: Path | None
    as_json: bool


@dataclass(frozen=True, slots=True)
class EvalRequest:
    """What is judged, found on disk, by which models.

    Attributes:
        dataset: opened.
        split: of it.
        scenes: those to judge.
        words: the classes of the truth with the words that are asked for.
        options: what is counted.
        choice: the models.
        output: a file for the document, or None.
        submission: a folder for the answers, or None.
        as_json: give the document on stdout.
    """

    dataset: Dataset
    split: str
    scenes: Sequence[PosedScene]
    words: Vocabulary
    options: EvalOptions
    choice: EngineChoice
    output: Path | None
    submission: Path | None
    as_json: bool
