"""Pretraining: unlabelled posed images and clouds in, a point encoder out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from clip3d_cli.core.scenes import PosedScene
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.core.vocabulary_files import named_vocabulary
from clip3d_cli.datasets.dataset import Dataset
from clip3d_cli.encoders.weights_torch import save_encoder
from clip3d_cli.errors import InputError, UsageError
from clip3d_cli.pipelines.evaluate.document import write_document
from clip3d_cli.pipelines.evaluate.weights import Judged, judge_weights
from clip3d_cli.pipelines.pretrain.config import RESUMABLE_KEYS, PretrainConfig
from clip3d_cli.pipelines.pretrain.model import finished_encoder, fresh_trainee
from clip3d_cli.pipelines.pretrain.targets import (
    kept_words,
    look,
    open_teacher,
    targets_of,
)
from clip3d_cli.pipelines.training.config import loop_options
from clip3d_cli.pipelines.training.run import WEIGHTS, Ended, Hearing, TrainingRun
from clip3d_cli.pipelines.training.scenes import open_split
from clip3d_cli.training.calibration import fitted_scale
from clip3d_cli.training.clip2scene.batches import NetworkInputs, PosedBatches
from clip3d_cli.training.clip2scene.model import Clip2Scene
from clip3d_cli.training.distributed import ALONE, World

# Batches that tell how far apart similarities lie.
_FITTED = 4


@dataclass(frozen=True, slots=True)
class Pretrained(Ended):
    """How a pretraining ended.

    Attributes:
        judged: on the split ``data.eval_split``, if one was named.
    """

    judged: Judged | None = None


def pretrain(
    config: PretrainConfig,
    folder: Path,
    *,
    resume: bool = False,
    world: World = ALONE,
    command_line: Sequence[str] = (),
    hearing: Hearing | None = None,
) -> Pretrained:
    """Train a point encoder on what a frozen image model sees, without labels (CLIP2Scene).

    Args:
        config: every option.
        folder: where all results go.
        resume: go on with the run that is there.
        world: this process among others.
        command_line: what the user typed, for the records.
        hearing: who hears how it goes.

    Raises:
        Clip3DError: the configuration, a scene, the teacher or the folder cannot be used; the
            last checkpoint is there.
    """
    hearing = hearing or Hearing()
    config = replace(config, run=replace(config.run, processes=world.size))
    run = TrainingRun(config, folder, RESUMABLE_KEYS, resume, world, command_line, hearing)
    run.require_same()
    dataset, scenes = open_scenes(config)
    words = _words(config, dataset)
    # All that can be refused is refused before anything is written.
    teacher = open_teacher(config, world.device)
    targets = targets_of(config, teacher, scenes, words, folder)
    options = loop_options(config, len(scenes), world)
    trainee = fresh_trainee(config, targets, options, world)
    if config.words.least_share:
        look(teacher, scenes, targets.folder, world=world, progress=hearing.progress)
        targets = replace(targets, words=kept_words(targets, scenes, config.words.least_share))
        trainee = fresh_trainee(config, targets, options, world)
    run.begin()
    look(teacher, scenes, targets.folder, world=world, progress=hearing.progress)
    batch_of = PosedBatches(
        dataset,
        scenes,
        targets.files,
        targets.words,
        NetworkInputs(
            cast(Clip2Scene, trainee.network).encoder.spec.inputs, config.encoder.voxel_sizes_m
        ),
        config.batch,
        config.run.seed,
    )
    told = ", ".join(entry.name for entry in targets.words.vocabulary.classes[:12])
    finished = run.train(
        trainee, batch_of, f"scenes: {len(scenes):,}; steps: {options.steps:,}; words: {told}"
    )
    if not (finished and world.leads):
        return Pretrained(finished, trainee.done, folder, None)
    trained = cast(Clip2Scene, trainee.averaged)
    scale = fitted_scale(trained, [batch_of(number).to(world.device) for number in range(_FITTED)])
    save_encoder(finished_encoder(config, trained, targets, trainee.done, scale), folder / WEIGHTS)
    judged = _judged(config, dataset, targets.templates, folder)
    return Pretrained(True, trainee.done, folder, folder / WEIGHTS, judged)


def open_scenes(config: PretrainConfig) -> tuple[Dataset, Sequence[PosedScene]]:
    """The data set of a configuration, and the scenes to learn from.

    Raises:
        UsageError: there is no such data set or split.
        InputError: the folder is not of its layout, or the split holds no scene with images.
    """
    dataset, split, scenes = open_split(config.data)
    if not len(scenes) or not scenes[0].views:
        what = f"split {split!r} has no scene" if not len(scenes) else "has no posed images"
        raise InputError(
            "E_DATASET",
            scenes[0].name if len(scenes) else config.data.root,
            what,
            "Pretraining learns from images: see docs/folder.md for how to say where they were "
            "taken.",
        )
    return dataset, scenes


def _words(config: PretrainConfig, dataset: Dataset) -> Vocabulary:
    """The vocabulary that pixels are told apart by."""
    options = config.words
    if options.classes:
        return Vocabulary.of_words(list(options.classes))
    if options.vocabulary != "dataset":
        path = Path(options.vocabulary)
        return Vocabulary.read(path) if path.suffix else named_vocabulary(options.vocabulary)
    if dataset.vocabulary is None:
        raise UsageError(
            "E_CONFIG",
            "words.vocabulary",
            "the data set brings no vocabulary",
            'Name one, or words: --set \'words.classes=["road", "tree"]\'.',
        )
    return dataset.vocabulary


def _judged(
    config: PretrainConfig, dataset: Dataset, templates: Sequence[str], folder: Path
) -> Judged | None:
    """How good the weights of a run are; also written beside them."""
    split = config.data.eval_split
    if not split or dataset.vocabulary is None:
        return None
    judged = judge_weights(
        folder / WEIGHTS, dataset, split, limit=config.data.limit, templates=templates
    )
    write_document(judged.document, folder / f"eval.{split}.json")
    return judged
