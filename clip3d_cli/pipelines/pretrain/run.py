"""Pretraining: posed images and scans without labels in, a point encoder out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from clip3d_cli.core.scenes import PosedScene
from clip3d_cli.core.vocabulary import Vocabulary, load_vocabulary
from clip3d_cli.datasets.dataset import Dataset
from clip3d_cli.encoders.weights_torch import save_encoder
from clip3d_cli.errors import InputError, UsageError
from clip3d_cli.pipelines.evaluate.document import write_document
from clip3d_cli.pipelines.evaluate.weights import WeightsEvaluation, WeightsEvaluator
from clip3d_cli.pipelines.pretrain.config import RESUMABLE_KEYS, PretrainConfig
from clip3d_cli.pipelines.pretrain.model import final_encoder, initial_state
from clip3d_cli.pipelines.pretrain.targets import (
    Targets,
    cache_teacher_features,
    keep_frequent_words,
    open_teacher,
    prepare_targets,
)
from clip3d_cli.pipelines.training.config import loop_options
from clip3d_cli.pipelines.training.run import WEIGHTS, Callbacks, RunResult, TrainingRun
from clip3d_cli.pipelines.training.scenes import open_split
from clip3d_cli.training.calibration import fit_logit_scale
from clip3d_cli.training.clip2scene.batches import NetworkInputs, PosedBatches
from clip3d_cli.training.clip2scene.model import Clip2Scene
from clip3d_cli.training.distributed import SINGLE_PROCESS, World

# Number of batches that the scale of the scores is calibrated on.
_CALIBRATION_BATCHES = 4
# Number of classes that the summary of a run names.
_SHOWN_CLASSES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainResult(RunResult):
    """Result of a pretraining.

    Attributes:
        evaluation: evaluation on the split ``data.eval_split``; None without one.
    """

    evaluation: WeightsEvaluation | None = None


def pretrain(
    config: PretrainConfig,
    folder: Path,
    *,
    resume: bool = False,
    world: World = SINGLE_PROCESS,
    command_line: Sequence[str] = (),
    callbacks: Callbacks | None = None,
) -> PretrainResult:
    """Train a point encoder with a frozen image model as teacher, without labels (CLIP2Scene).

    Args:
        config: all options.
        folder: run folder, which receives all results.
        resume: continue the run in the folder instead of starting a new one.
        world: this process among those that train together.
        command_line: what the user typed, for the records.
        callbacks: functions that are called with the progress of the training.

    Raises:
        Clip3DError: the config, a scene, the teacher or the folder cannot be used, or a step
            failed; checkpoints are kept.
    """
    callbacks = callbacks or Callbacks()
    config = replace(config, run=replace(config.run, processes=world.size))
    run = TrainingRun(
        config=config,
        path=folder,
        resumable_keys=RESUMABLE_KEYS,
        resume=resume,
        world=world,
        command_line=command_line,
        callbacks=callbacks,
    )
    run.require_resumable()
    dataset, scenes = open_scenes(config)
    vocabulary = _vocabulary(config, dataset)
    # Everything that can be rejected is opened before the folder is created.
    teacher = open_teacher(config, world.device)
    targets = prepare_targets(config, teacher, scenes, vocabulary, folder)
    options = loop_options(config, len(scenes), world)
    state = initial_state(config, targets, options, world)
    if config.words.least_share:
        # Frequent words are known only when all images are encoded.
        cache_teacher_features(
            teacher, scenes, targets.folder, world=world, progress=callbacks.progress
        )
        frequent = keep_frequent_words(targets, scenes, config.words.least_share)
        targets = replace(targets, words=frequent)
        state = initial_state(config, targets, options, world)
    run.create_folder()
    cache_teacher_features(
        teacher, scenes, targets.folder, world=world, progress=callbacks.progress
    )
    channels = cast(Clip2Scene, state.network).encoder.spec.inputs
    batch_of = PosedBatches(
        dataset,
        scenes,
        targets.files,
        targets.words,
        NetworkInputs(channels, config.encoder.voxel_sizes_m),
        config.batch,
        config.run.seed,
    )
    names = ", ".join(entry.name for entry in targets.words.vocabulary.classes[:_SHOWN_CLASSES])
    summary = f"scenes: {len(scenes):,}; steps: {options.steps:,}; words: {names}"
    finished = run.train(state, batch_of, summary)
    if not (finished and world.is_rank_0):
        return PretrainResult(
            finished=finished, steps=state.steps_done, folder=folder, weights=None
        )
    model = cast(Clip2Scene, state.averaged)
    batches = [batch_of(number).to(world.device) for number in range(_CALIBRATION_BATCHES)]
    encoder = final_encoder(
        config, model, targets, state.steps_done, fit_logit_scale(model, batches)
    )
    save_encoder(encoder, folder / WEIGHTS)
    return PretrainResult(
        finished=True,
        steps=state.steps_done,
        folder=folder,
        weights=folder / WEIGHTS,
        evaluation=_evaluate(config, dataset, targets, folder, world),
    )


def open_scenes(config: PretrainConfig) -> tuple[Dataset, Sequence[PosedScene]]:
    """Return the data set of a config and its training scenes.

    Raises:
        UsageError: there is no such data set or split.
        InputError: the folder does not have the layout of the data set, or the split has no scene
            with images.
    """
    dataset, split, scenes = open_split(config.data)
    if not len(scenes) or not scenes[0].views:
        raise InputError(
            "E_DATASET",
            scenes[0].name if len(scenes) else config.data.root,
            "has no posed images" if len(scenes) else f"split {split!r} has no scene",
            "Pretraining needs images: see docs/guides/own-data.md on how to describe cameras.",
        )
    return dataset, scenes


def _vocabulary(config: PretrainConfig, dataset: Dataset) -> Vocabulary:
    """Return the words that pixels are labelled with."""
    options = config.words
    if options.classes:
        return Vocabulary.from_names(list(options.classes))
    if options.vocabulary != "dataset":
        path = Path(options.vocabulary)
        return Vocabulary.read(path) if path.suffix else load_vocabulary(options.vocabulary)
    if dataset.vocabulary is None:
        raise UsageError(
            "E_CONFIG",
            "words.vocabulary",
            "is 'dataset', but the data set has no vocabulary",
            'Name a vocabulary, or classes: --set \'words.classes=["road", "tree"]\'.',
        )
    return dataset.vocabulary


def _evaluate(
    config: PretrainConfig, dataset: Dataset, targets: Targets, folder: Path, world: World
) -> WeightsEvaluation | None:
    """Evaluate the weights of a run on the split of the config, and write the result there."""
    split = config.data.eval_split
    if not split or dataset.vocabulary is None:
        return None
    # The training may have embedded the classes of the data set already.
    is_embedded = targets.words.vocabulary == dataset.vocabulary
    evaluator = WeightsEvaluator(
        dataset,
        split,
        device=str(world.device),
        limit=config.data.limit,
        templates=targets.templates,
        words={targets.text_encoder: targets.words} if is_embedded else {},
    )
    result = evaluator.evaluate(folder / WEIGHTS)
    write_document(result.document, folder / f"eval.{split}.json")
    return result
