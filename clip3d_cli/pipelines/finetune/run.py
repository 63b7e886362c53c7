"""Fine-tuning: scenes with ground truth in, a point encoder with a closed and a text head out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import numpy as np

from clip3d_cli.core.scenes import PosedScene
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.datasets.dataset import Dataset
from clip3d_cli.datasets.splits import every_nth, limit_scenes
from clip3d_cli.encoders.closed_head import ClosedHead
from clip3d_cli.encoders.concepts import Concept
from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.encoders.spec import HeadName
from clip3d_cli.encoders.weights_torch import save_encoder
from clip3d_cli.errors import Clip3DError, InputError, UsageError
from clip3d_cli.pipelines.evaluate.document import write_document
from clip3d_cli.pipelines.evaluate.weights import WeightsEvaluation, WeightsEvaluator
from clip3d_cli.pipelines.finetune.config import AUTO_SPLIT, RESUMABLE_KEYS, FinetuneConfig
from clip3d_cli.pipelines.finetune.start import (
    StartWeights,
    describe_start,
    embed_classes,
    initial_model,
    open_start_weights,
)
from clip3d_cli.pipelines.training.config import loop_options
from clip3d_cli.pipelines.training.run import WEIGHTS, Callbacks, RunResult, TrainingRun
from clip3d_cli.pipelines.training.scenes import open_split
from clip3d_cli.text.templates import load_templates
from clip3d_cli.training.calibration import fit_text_head_scale
from clip3d_cli.training.clip2scene.batches import NetworkInputs
from clip3d_cli.training.distributed import SINGLE_PROCESS, World
from clip3d_cli.training.state import TrainState
from clip3d_cli.training.supervised.batches import LabelledBatch, LabelledBatches
from clip3d_cli.training.supervised.model import FineTuner

HEADS: tuple[HeadName, ...] = ("closed", "text")
# Number of batches that the scale of the scores is calibrated on.
_CALIBRATION_BATCHES = 4
# Number of classes that the summary of a run names.
_SHOWN_CLASSES = 12
# Number of scenes whose labels are read before anything else, and to find classes without labels.
_CHECKED_SCENES = 8
_COUNTED_SCENES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneResult(RunResult):
    """Result of a fine-tuning.

    Attributes:
        labelled: number of labelled training scenes.
        split: split of the evaluation; empty without one.
        evaluations: evaluation of each head; empty without a split.
        before: evaluation of the text head of the start weights; None for a new network, and for a
            linear probe, whose text head is still the same.
    """

    labelled: int = 0
    split: str = ""
    evaluations: Mapping[HeadName, WeightsEvaluation] = field(default_factory=dict)
    before: WeightsEvaluation | None = None


def finetune(
    config: FinetuneConfig,
    folder: Path,
    *,
    resume: bool = False,
    world: World = SINGLE_PROCESS,
    command_line: Sequence[str] = (),
    callbacks: Callbacks | None = None,
) -> FinetuneResult:
    """Train a point encoder and a closed head on labelled scenes, as CLIP2Scene fine-tunes.

    Args:
        config: all options.
        folder: run folder, which receives all results.
        resume: continue the run in the folder instead of starting a new one.
        world: this process among those that train together.
        command_line: what the user typed, for the records.
        callbacks: functions that are called with the progress of the training.

    Raises:
        Clip3DError: the config, a scene, the start weights or the folder cannot be used, or a step
            failed; checkpoints are kept.
    """
    callbacks = callbacks or Callbacks()
    start = open_start_weights(config)
    config = replace(
        config,
        run=replace(config.run, processes=world.size),
        start=replace(config.start, sha256="" if start is None else start.sha256),
    )
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
    vocabulary = _vocabulary(dataset)
    split = evaluation_split(config, dataset, scenes)
    text_encoder, words = embed_classes(config, start, vocabulary)
    options = replace(
        loop_options(config, len(scenes), world), head_factor=config.optimizer.head_factor
    )
    model = initial_model(config, start, text_encoder, words, world)
    state = TrainState(model, options)
    inputs = NetworkInputs(model.encoder.spec.inputs, model.encoder.spec.voxel_sizes_m)
    batch_of = LabelledBatches(dataset, scenes, inputs, config.batch, config.run.seed)
    notes = [*describe_start(config, start, vocabulary), *_missing_classes(dataset, scenes)]
    if not resume:
        # Unusable labels, and channels that scans lack, are rejected before anything is written.
        batch_of(0)
    run.create_folder()
    for line in notes:
        callbacks.note(line)
    names = ", ".join(entry.name for entry in vocabulary.classes[:_SHOWN_CLASSES])
    summary = f"labelled scenes: {len(scenes):,}; steps: {options.steps:,}; classes: {names}"
    finished = run.train(state, batch_of, summary)
    result = FinetuneResult(
        finished=finished,
        steps=state.steps_done,
        folder=folder,
        weights=None,
        labelled=len(scenes),
    )
    if not (finished and world.is_rank_0):
        return result
    tuned = cast(FineTuner, state.averaged)
    batches = [batch_of(number).to(world.device) for number in range(_CALIBRATION_BATCHES)]
    provenance = _provenance(config, start, len(scenes), state.steps_done)
    encoder = _final_encoder(tuned, batches, vocabulary, provenance)
    save_encoder(encoder, folder / WEIGHTS, closed=tuned.closed)
    result = replace(result, weights=folder / WEIGHTS)
    if not split:
        return result
    callbacks.note(f"evaluating both heads on split {split}, on {world.device}")
    evaluator = WeightsEvaluator(
        dataset,
        split,
        device=str(world.device),
        limit=config.data.limit,
        templates=load_templates(config.words.templates),
        words={text_encoder: words},
    )
    evaluations = _evaluate_heads(evaluator, folder)
    before = None
    if start is not None and not config.loss.linear_probe:
        before = evaluator.evaluate(start.path, "text")
    return replace(result, split=split, evaluations=evaluations, before=before)


def open_scenes(config: FinetuneConfig) -> tuple[Dataset, Sequence[PosedScene]]:
    """Return the data set of a config, and the labelled training scenes.

    Raises:
        UsageError: there is no such data set or split, the fraction is out of range, or the data
            set has no vocabulary.
        InputError: the folder does not have the layout of the data set, no scene has labels, or
            the labels of the first scenes are broken or of no class.
    """
    dataset, split, scenes = open_split(config.data)
    _vocabulary(dataset)
    chosen = every_nth(scenes, config.data.fraction)
    labelled = [scene for scene in chosen if scene.ground_truth is not None]
    fault = ""
    if not len(chosen):
        fault = "has no scene"
    elif not labelled:
        fault = f"none of its {len(chosen):,} scenes has labels"
    elif not any(_has_classes(dataset, scene) for scene in labelled[:_CHECKED_SCENES]):
        fault = f"no label of {labelled[0].name} and the next scenes is of a class that counts"
    if fault:
        raise InputError(
            "E_DATASET",
            f"{config.data.root}: split {split}",
            fault,
            "Fine-tuning learns from labels: name a split that has them, or use clip3d pretrain.",
        )
    return dataset, labelled


def evaluation_split(config: FinetuneConfig, dataset: Dataset, scenes: Sequence[PosedScene]) -> str:
    """Return the split on which the result is evaluated; empty for none.

    Args:
        config: names the split, or leaves the choice to this function.
        dataset: data set.
        scenes: training scenes; ``val`` is only chosen if it has none of them.

    Raises:
        UsageError: the config names a split that does not exist.
        InputError: the config names a split whose files are missing.
    """
    split = config.data.eval_split
    if split != AUTO_SPLIT:
        if split:
            # Its files must be there: find out before the training.
            dataset.scenes(split)
        return split
    if "val" not in dataset.splits():
        return ""
    try:
        names = {scene.name for scene in dataset.scenes("val")}
    except Clip3DError:
        # The split is listed, but its scenes are not on the disk.
        return ""
    return "" if names.intersection(scene.name for scene in scenes) else "val"


def _vocabulary(dataset: Dataset) -> Vocabulary:
    if dataset.vocabulary is None:
        raise UsageError(
            "E_DATASET",
            str(dataset.root),
            "has no vocabulary, so the meaning of its labels is unknown",
            "Add vocabulary.toml, as docs/guides/own-data.md says.",
        )
    return dataset.vocabulary


def _has_classes(dataset: Dataset, scene: PosedScene) -> bool:
    """Return whether any point of a scene has a class."""
    truth = dataset.ground_truth(scene)
    return truth is not None and bool((truth >= 0).any())


def _missing_classes(dataset: Dataset, scenes: Sequence[PosedScene]) -> list[str]:
    """Return a line about classes without labels, if there are any.

    The labels of at most 200 scenes are counted, spread evenly over all.
    """
    names = [entry.name for entry in _vocabulary(dataset).classes]
    counted = limit_scenes(scenes, _COUNTED_SCENES)
    points = np.zeros(len(names), dtype=np.int64)
    for scene in counted:
        truth = dataset.ground_truth(scene)
        if truth is not None:
            points += np.bincount(truth[truth >= 0], minlength=len(names))
    missing = [names[index] for index in np.flatnonzero(points == 0)]
    if not missing:
        return []
    where = "" if len(counted) == len(scenes) else f" in the {len(counted)} scenes counted"
    return [f"no labels of {', '.join(missing)}{where}: the network may forget these classes"]


def _final_encoder(
    model: FineTuner,
    batches: Sequence[LabelledBatch],
    vocabulary: Vocabulary,
    provenance: Mapping[str, str],
) -> PointEncoder:
    """Return the trained encoder with its classes, calibrated scale and provenance."""
    spec = replace(
        model.encoder.spec,
        closed=ClosedHead.of(vocabulary),
        provenance=dict(provenance),
        concepts=_trained_concepts(model.encoder.spec.concepts, vocabulary),
    )
    if not model.options.linear_probe:
        spec = replace(spec, logit_scale=fit_text_head_scale(model, batches))
    return PointEncoder(spec, model.encoder.network, backend=model.encoder.backend).eval()


def _trained_concepts(before: tuple[Concept, ...], vocabulary: Vocabulary) -> tuple[Concept, ...]:
    """Return the concepts of the start weights after those of the classes, each word for itself.

    What the start weights reached is left out, as it has changed. If they do not say what they
    were trained on, neither do the new ones.
    """
    words = [word for entry in vocabulary.classes for word in entry.words]
    own = tuple(Concept(word, (word,)) for word in dict.fromkeys(words))
    return (*own, *(replace(concept, iou={}) for concept in before)) if before else ()


def _provenance(
    config: FinetuneConfig, start: StartWeights | None, labelled: int, steps: int
) -> dict[str, str]:
    origin: dict[str, object] = {"weights": config.start.weights}
    if start is not None:
        origin = {
            "weights": start.path.name,
            "sha256": start.sha256,
            "provenance": dict(start.spec.provenance),
        }
    return {
        "trained_by": "clip3d finetune" + (" --linear-probe" if config.loss.linear_probe else ""),
        "start": json.dumps(origin, sort_keys=True),
        "dataset": config.data.dataset,
        "fraction": f"{config.data.fraction:g}",
        "labelled_scenes": str(labelled),
        "steps": str(steps),
        "config": json.dumps(config.tables(), sort_keys=True),
    }


def _evaluate_heads(evaluator: WeightsEvaluator, folder: Path) -> dict[HeadName, WeightsEvaluation]:
    """Evaluate each head of a run, and write the results beside its weights."""
    evaluations: dict[HeadName, WeightsEvaluation] = {}
    for head in HEADS:
        evaluations[head] = evaluator.evaluate(folder / WEIGHTS, head)
        write_document(evaluations[head].document, folder / f"eval.{evaluator.split}.{head}.json")
    return evaluations
