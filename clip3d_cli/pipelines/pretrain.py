"""Pretraining: unlabelled posed images and clouds in, a point encoder out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch

from clip3d_cli import registry
from clip3d_cli.core.scenes import PosedScene
from clip3d_cli.core.vocabularies import named_vocabulary
from clip3d_cli.core.words import Vocabulary
from clip3d_cli.datasets.chosen import default_split, thinned
from clip3d_cli.datasets.contract import Dataset
from clip3d_cli.encoders.weights import save_encoder
from clip3d_cli.errors import InputError, UsageError
from clip3d_cli.pipelines.evaluation_document import write_document
from clip3d_cli.pipelines.judge_weights import Judged, judge_weights
from clip3d_cli.pipelines.label import Progress, silent
from clip3d_cli.pipelines.pretrain_config import FREE, PretrainConfig
from clip3d_cli.pipelines.pretrain_learner import (
    finished_encoder,
    fresh_trainee,
    loop_options,
)
from clip3d_cli.pipelines.pretrain_targets import (
    kept_words,
    look,
    open_teacher,
    targets_of,
)
from clip3d_cli.training.calibration import fitted_scale
from clip3d_cli.training.distributed import ALONE, World
from clip3d_cli.training.learner import Clip2Scene
from clip3d_cli.training.loop import Step
from clip3d_cli.training.posed_batches import NetworkInputs, PosedBatch, PosedBatches
from clip3d_cli.training.prefetch import Prefetched
from clip3d_cli.training.run_folder import RunFolder
from clip3d_cli.training.session import Session
from clip3d_cli.training.trainee import Trainee
from clip3d_cli.training.versions import versions_here

WEIGHTS = "points.safetensors"
# Batches that tell how far apart similarities lie.
_FITTED = 4


@dataclass(frozen=True, slots=True)
class Pretrained:
    """How a pretraining ended.

    Attributes:
        finished: whether all steps were done; False when a signal stopped it.
        steps: how many were done in all.
        folder: the run's.
        weights: the encoder of the averaged weights; None when stopped.
        judged: on the split ``data.judged``, if one was named.
    """

    finished: bool
    steps: int
    folder: Path
    weights: Path | None
    judged: Judged | None


def _nothing(*_: object) -> None:
    """Hear and forget."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """Who hears how a pretraining goes.

    Attributes:
        progress: wraps the scenes while the teacher looks at their images.
        note: told lines for people.
        on_step: told of every step.
        steps: told how many there are in all, and how many were done before.
    """

    progress: Progress = silent
    note: Callable[[str], None] = _nothing
    on_step: Callable[[Step], None] = _nothing
    steps: Callable[[int, int], None] = _nothing


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
    run = RunFolder(folder, config.run.keep_last)
    if resume:
        run.require_same(config.tables(), free=FREE)
    dataset, scenes = open_scenes(config)
    versions = versions_here(command_line, world.device)
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
    if world.leads and not resume:
        run.begin(config.tables(), versions)
    look(teacher, scenes, targets.folder, world=world, progress=hearing.progress)
    session = Session(
        run, config.run.save_every, world, on_step=lambda step, _: hearing.on_step(step)
    )
    if resume:
        _take_up(session, trainee, config, versions, hearing)
    told = ", ".join(entry.name for entry in targets.words.vocabulary.classes[:12])
    hearing.note(f"scenes: {len(scenes):,}; steps: {options.steps:,}; words: {told}")
    hearing.steps(options.steps, trainee.done)
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
    batches = Prefetched(batch_of, config.run.workers)
    finished = session.run(trainee, batches, _loss_of(world.device))
    if not (finished and world.leads):
        return Pretrained(finished, trainee.done, folder, None, None)
    trained = cast(Clip2Scene, trainee.averaged)
    scale = fitted_scale(trained, [batch_of(number).to(world.device) for number in range(_FITTED)])
    save_encoder(finished_encoder(config, trained, targets, trainee.done, scale), folder / WEIGHTS)
    judged = _judged(config, dataset, targets.templates, folder)
    return Pretrained(True, trainee.done, folder, folder / WEIGHTS, judged)


def _take_up(
    session: Session,
    trainee: Trainee,
    config: PretrainConfig,
    versions: dict[str, Any],
    hearing: Hearing,
) -> None:
    found = session.take_up(trainee)
    for refusal in found.passed_over if found else ():
        hearing.note(f"a checkpoint was passed over: {refusal}")
    if session.world.leads:
        session.folder.resume(config.tables(), versions, trainee.done, free=FREE)


def open_scenes(config: PretrainConfig) -> tuple[Dataset, Sequence[PosedScene]]:
    """The data set of a configuration, and the scenes to learn from.

    Raises:
        UsageError: there is no such data set or split.
        InputError: the folder is not of its layout, or the split holds no scene with images.
    """
    options = config.data
    dataset: Dataset = registry.part("datasets", options.dataset)(Path(options.root))
    split = options.split or default_split(dataset, "train")
    scenes = thinned(dataset.scenes(split), options.limit)
    if not len(scenes) or not scenes[0].views:
        what = f"split {split!r} has no scene" if not len(scenes) else "has no posed images"
        raise InputError(
            "E_DATASET",
            scenes[0].name if len(scenes) else options.root,
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


def _loss_of(
    device: torch.device,
) -> Callable[[torch.nn.Module, PosedBatch, int], tuple[torch.Tensor, dict[str, torch.Tensor]]]:
    def loss_of(
        network: torch.nn.Module, batch: PosedBatch, done: int
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        answer: tuple[torch.Tensor, dict[str, torch.Tensor]] = network(batch.to(device), done)
        return answer

    return loss_of


def _judged(
    config: PretrainConfig, dataset: Dataset, templates: Sequence[str], folder: Path
) -> Judged | None:
    """How good the weights of a run are; also written beside them."""
    split = config.data.judged
    if not split or dataset.vocabulary is None:
        return None
    judged = judge_weights(
        folder / WEIGHTS, dataset, split, limit=config.data.limit, templates=templates
    )
    write_document(judged.document, folder / f"eval.{split}.json")
    return judged
