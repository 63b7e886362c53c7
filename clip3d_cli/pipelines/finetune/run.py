"""Fine-tuning: scenes with truth in, a point encoder with a closed head and its text head out."""

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
from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.encoders.spec import ClosedHead, HeadName
from clip3d_cli.encoders.weights_torch import save_encoder
from clip3d_cli.errors import Clip3DError, InputError, UsageError
from clip3d_cli.pipelines.evaluate.document import write_document
from clip3d_cli.pipelines.evaluate.weights import Judged, judge_weights
from clip3d_cli.pipelines.finetune.config import AUTO_SPLIT, RESUMABLE_KEYS, FinetuneConfig
from clip3d_cli.pipelines.finetune.start import (
    Start,
    embedded_words,
    fresh_tuner,
    open_start,
    start_notes,
)
from clip3d_cli.pipelines.training.config import loop_options
from clip3d_cli.pipelines.training.run import WEIGHTS, Ended, Hearing, TrainingRun
from clip3d_cli.pipelines.training.scenes import open_split
from clip3d_cli.text.templates import templates_named
from clip3d_cli.training.calibration import fitted_words_scale
from clip3d_cli.training.clip2scene.batches import NetworkInputs
from clip3d_cli.training.distributed import ALONE, World
from clip3d_cli.training.state import Trainee
from clip3d_cli.training.supervised.batches import LabelledBatch, LabelledBatches
from clip3d_cli.training.supervised.model import FineTuner

HEADS: tuple[HeadName, ...] = ("closed", "text")
# Batches that tell how far apart similarities lie.
_FITTED = 4
# Scenes whose labels are read before anything else is done, and to tell which classes have some.
_LOOKED_AT = 8
_COUNTED = 200


@dataclass(frozen=True, slots=True)
class Finetuned(Ended):
    """How a fine-tuning ended.

    Attributes:
        labelled: how many labelled scenes it learned from.
        split: what it was judged on; empty if it was not.
        judged: what each head was judged to be.
        before: the same of the start's text head; None for a fresh network, and for a probe,
            whose text head it still is.
    """

    labelled: int = 0
    split: str = ""
    judged: Mapping[HeadName, Judged] = field(default_factory=dict)
    before: Judged | None = None


def finetune(
    config: FinetuneConfig,
    folder: Path,
    *,
    resume: bool = False,
    world: World = ALONE,
    command_line: Sequence[str] = (),
    hearing: Hearing | None = None,
) -> Finetuned:
    """Train a point encoder and a closed head on labelled scenes, as CLIP2Scene fine-tunes.

    Args:
        config: every option.
        folder: where all results go.
        resume: go on with the run that is there.
        world: this process among others.
        command_line: what the user typed, for the records.
        hearing: who hears how it goes.

    Raises:
        Clip3DError: the configuration, a scene, the start or the folder cannot be used; the last
            checkpoint is there.
    """
    hearing = hearing or Hearing()
    start = open_start(config)
    config = replace(
        config,
        run=replace(config.run, processes=world.size),
        start=replace(config.start, sha256="" if start is None else start.sha256),
    )
    run = TrainingRun(config, folder, RESUMABLE_KEYS, resume, world, command_line, hearing)
    run.require_same()
    dataset, scenes = open_scenes(config)
    vocabulary = _vocabulary(dataset)
    split = judged_split(config, dataset, scenes)
    text_encoder, words = embedded_words(config, start, vocabulary)
    options = replace(
        loop_options(config, len(scenes), world), head_factor=config.optimizer.head_factor
    )
    tuner = fresh_tuner(config, start, text_encoder, words, world)
    trainee = Trainee(tuner, options)
    inputs = NetworkInputs(tuner.encoder.spec.inputs, tuner.encoder.spec.voxel_sizes_m)
    batch_of = LabelledBatches(dataset, scenes, inputs, config.batch, config.run.seed)
    # What can be refused is refused before anything is written: labels, channels that scans lack.
    notes = [*start_notes(config, start, vocabulary), *_unlabelled(dataset, scenes)]
    if not resume:
        batch_of(0)
    run.begin()
    for line in notes:
        hearing.note(line)
    told = ", ".join(entry.name for entry in vocabulary.classes[:12])
    finished = run.train(
        trainee,
        batch_of,
        f"labelled scenes: {len(scenes):,}; steps: {options.steps:,}; classes: {told}",
    )
    ended = Finetuned(finished, trainee.done, folder, None, len(scenes))
    if not (finished and world.leads):
        return ended
    tuned = cast(FineTuner, trainee.averaged)
    batches = [batch_of(number).to(world.device) for number in range(_FITTED)]
    provenance = _provenance(config, start, len(scenes), trainee.done)
    encoder = _finished_encoder(tuned, batches, vocabulary, provenance)
    save_encoder(encoder, folder / WEIGHTS, closed=tuned.closed)
    if not split:
        return replace(ended, weights=folder / WEIGHTS)
    # It can take longer than the training, and judges on the CPU.
    hearing.note(f"judging both heads on split {split}, on the CPU")
    judged = _judged(config, dataset, split, folder)
    before = None
    if start is not None and not config.loss.linear_probe:
        before = _judge(config, dataset, split, start.path, "text")
    return replace(ended, weights=folder / WEIGHTS, split=split, judged=judged, before=before)


def open_scenes(config: FinetuneConfig) -> tuple[Dataset, Sequence[PosedScene]]:
    """The data set of a configuration, and the scenes whose labels are learned from.

    Raises:
        UsageError: there is no such data set or split, the fraction is none, or nobody knows
            what labels mean.
        InputError: the folder is not of its layout, no scene has labels, or those of the first
            ones are broken or of no class.
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
    elif not any(_tells(dataset, scene) for scene in labelled[:_LOOKED_AT]):
        fault = f"no label of {labelled[0].name} and the next ones is of a class that counts"
    if fault:
        raise InputError(
            "E_DATASET",
            f"{config.data.root}: split {split}",
            fault,
            "Fine-tuning learns from labels: name a split that has them, or use clip3d pretrain.",
        )
    return dataset, labelled


def judged_split(config: FinetuneConfig, dataset: Dataset, scenes: Sequence[PosedScene]) -> str:
    """The split that the result is judged on; empty for none.

    Args:
        config: names it, or leaves it to the scenes.
        dataset: has splits.
        scenes: that are learned from.

    Raises:
        UsageError: it is named, and is none.
        InputError: it is named, and is not on the disk.
    """
    wanted = config.data.eval_split
    if wanted != AUTO_SPLIT:
        if wanted:
            dataset.scenes(wanted)
        return wanted
    if "val" not in dataset.splits():
        return ""
    try:
        names = {scene.name for scene in dataset.scenes("val")}
    except Clip3DError:
        # Listed, and not unpacked.
        return ""
    return "" if names.intersection(scene.name for scene in scenes) else "val"


def _vocabulary(dataset: Dataset) -> Vocabulary:
    if dataset.vocabulary is None:
        raise UsageError(
            "E_DATASET",
            str(dataset.root),
            "has no vocabulary: nobody knows what its labels mean",
            "Add vocabulary.toml, as docs/folder.md says.",
        )
    return dataset.vocabulary


def _tells(dataset: Dataset, scene: PosedScene) -> bool:
    truth = dataset.ground_truth(scene)
    return truth is not None and bool((truth >= 0).any())


def _unlabelled(dataset: Dataset, scenes: Sequence[PosedScene]) -> list[str]:
    """A line about classes without labels, if there are any, of scenes spread over all."""
    names = [entry.name for entry in _vocabulary(dataset).classes]
    looked_at = limit_scenes(scenes, _COUNTED)
    points = np.zeros(len(names), dtype=np.int64)
    for scene in looked_at:
        truth = dataset.ground_truth(scene)
        if truth is not None:
            points += np.bincount(truth[truth >= 0], minlength=len(names))
    missing = [names[place] for place in np.flatnonzero(points == 0)]
    if not missing:
        return []
    among = "" if len(looked_at) == len(scenes) else f" in the {len(looked_at)} looked at"
    return [f"no labels of {', '.join(missing)}{among}: it may forget what it knew of these"]


def _finished_encoder(
    tuner: FineTuner,
    batches: Sequence[LabelledBatch],
    vocabulary: Vocabulary,
    provenance: Mapping[str, str],
) -> PointEncoder:
    """The encoder, told its classes, its scale and where it comes from."""
    spec = replace(
        tuner.encoder.spec, closed=ClosedHead.of(vocabulary), provenance=dict(provenance)
    )
    if not tuner.options.linear_probe:
        spec = replace(spec, logit_scale=fitted_words_scale(tuner, batches))
    return PointEncoder(spec, tuner.encoder.network, backend=tuner.encoder.backend).eval()


def _provenance(
    config: FinetuneConfig, start: Start | None, labelled: int, steps: int
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


def _judged(
    config: FinetuneConfig, dataset: Dataset, split: str, folder: Path
) -> dict[HeadName, Judged]:
    """How good each head of a run is; also written beside its weights."""
    judged: dict[HeadName, Judged] = {}
    for head in HEADS:
        judged[head] = _judge(config, dataset, split, folder / WEIGHTS, head)
        write_document(judged[head].document, folder / f"eval.{split}.{head}.json")
    return judged


def _judge(
    config: FinetuneConfig, dataset: Dataset, split: str, weights: Path, head: HeadName
) -> Judged:
    return judge_weights(
        weights,
        dataset,
        split,
        limit=config.data.limit,
        templates=templates_named(config.words.templates),
        head=head,
    )
