"""Why a regulariser of CLIP2Scene does what it does: what its loss still asks of a trained network.

    python -m benchmarks.pretraining_why --scenes proof/scenes --teacher proof/teacher \\
        proof/ablation/paper*.0.run proof/ablation/without-switching*.0.run

For every run, before its first step and after its last, on batches of its own scenes:

- the length of the gradient of each loss in the point network, so how much each has to say;
- Eq. 2 beside the least it can be, 1 − sigmoid(1) = 0.269, and the mean cosine between what it
  compares where the words differ: 1 means that everything looks alike to it, and it says nothing;
- the words that the network itself would give to the pairs, as switching takes them: how many it
  says at all, and how often it agrees with the teacher's;
- by class, after the last step: how many pairs the teacher gives it and how many the network, and
  how well it puts its own pairs before all others (the area under the ROC curve: 1 is perfect,
  0.5 is chance), by its similarity and by its similarity less the mean over all classes. A class
  that ranks well and is never said lies too far from all points.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from torch.nn import functional

from clip3d_cli.pipelines.pretrain.config import PretrainConfig
from clip3d_cli.pipelines.pretrain.model import fresh_trainee
from clip3d_cli.pipelines.pretrain.run import open_scenes
from clip3d_cli.pipelines.pretrain.targets import look, open_teacher, targets_of
from clip3d_cli.pipelines.training.config import loop_options
from clip3d_cli.pipelines.training.config_files import merged, read_config, with_settings
from clip3d_cli.sparse.plan import Plan
from clip3d_cli.training.checkpoints import Checkpoints
from clip3d_cli.training.clip2scene.batches import NetworkInputs, PosedBatch, PosedBatches
from clip3d_cli.training.clip2scene.losses import Words
from clip3d_cli.training.clip2scene.model import Clip2Scene
from clip3d_cli.training.clip2scene.targets import self_words
from clip3d_cli.training.distributed import ALONE

_BATCHES = 6
_UNSEEN_BEFORE = 1_000_000


def main() -> None:
    args = _arguments()
    titles = ("run", "step", "gradient of the semantic loss", "of Eq. 2", "Eq. 2 (least 0.269)")
    titles += ("cosine of points, other words", "of pixels", "own words said", "agree")
    print("| " + " | ".join(titles) + " |\n" + "|---" * len(titles) + "|")
    for run in args.runs:
        _look_into(run, args)


def _look_into(run: Path, args: argparse.Namespace) -> None:
    config = merged(PretrainConfig(), read_config(run / "config.toml"), str(run))
    places = {"data.root": args.scenes, "teacher.model": args.teacher}
    config = with_settings(config, [f"{key}={str(path)!r}" for key, path in places.items()])
    dataset, scenes = open_scenes(config)
    teacher = open_teacher(config, torch.device("cpu"))
    if dataset.vocabulary is None:
        raise SystemExit("the scenes have no truth")
    targets = targets_of(config, teacher, scenes, dataset.vocabulary, run)
    look(teacher, scenes, targets.folder)
    trainee = fresh_trainee(config, targets, loop_options(config, len(scenes), ALONE), ALONE)
    learner = cast(Clip2Scene, trainee.network).train()
    inputs = NetworkInputs(learner.encoder.spec.inputs, config.encoder.voxel_sizes_m)
    batch_of = PosedBatches(
        dataset, scenes, targets.files, targets.words, inputs, config.batch, config.run.seed
    )
    batches = [batch_of(_UNSEEN_BEFORE + number) for number in range(_BATCHES)]
    _say(run, 0, learner, batches)
    found = Checkpoints(run / "checkpoints").latest()
    if found is not None:
        trainee.load(found.snapshot)
        _say(run, trainee.done, learner, batches)
        _say_classes([entry.name for entry in dataset.vocabulary.classes], learner, batches)


def _say(run: Path, step: int, learner: Clip2Scene, batches: list[PosedBatch]) -> None:
    rows = torch.tensor([_measured(learner, batch) for batch in batches])
    semantic, consistency, value, points, pixels, said, agree = rows.nanmean(dim=0).tolist()
    print(
        f"| {run.stem} | {step} | {semantic:.2f} | {consistency:.4f} | {value:.3f} | {points:.2f} "
        f"| {pixels:.2f} | {said:.1f} | {agree:.2f} |",
        flush=True,
    )


def _measured(learner: Clip2Scene, batch: PosedBatch) -> list[float]:
    options = learner.options
    without_eq2 = replace(options, semantic_weight=1.0, consistency="none")
    without_eq1 = replace(options, semantic_weight=0.0, consistency="paper")
    lengths = []
    for alone in (without_eq2, without_eq1):
        learner.options = alone
        learner.zero_grad()
        loss, parts = learner(batch, 0)
        loss.backward()
        grads = [p.grad for p in learner.encoder.network.parameters() if p.grad is not None]
        lengths.append(float(torch.stack([grad.norm() for grad in grads]).norm()))
    learner.options = options
    with torch.no_grad():
        trunk = learner.encoder.network.trunk(
            batch.voxels, Plan(batch.voxels.cells, learner.encoder.backend)
        )[batch.pair_row]
        raw = learner.encoder.network.head(trunk)
        separate = options.heads == "separate"
        points = learner.point_map(trunk) if separate else raw
        pixels = learner.pixel_map(batch.pixels) if separate else batch.pixels
        words = Words(learner.word_vectors, learner.class_of_word)
        own = words.class_of_word[self_words(functional.normalize(raw, dim=1), words)]
    told = words.class_of_word[batch.pair_word]
    return [
        *lengths,
        float(parts["consistency"].detach()),
        _likeness(points, told),
        _likeness(pixels, told),
        float(len(own.unique())),
        float((own == told).float().mean()),
    ]


def _say_classes(names: list[str], learner: Clip2Scene, batches: list[PosedBatch]) -> None:
    told = torch.cat([learner.class_of_word[batch.pair_word] for batch in batches])
    with torch.no_grad():
        vectors = torch.cat([learner.pair_vectors(batch) for batch in batches])
    likeness = torch.stack(
        [
            (vectors @ learner.word_vectors[learner.class_of_word == place].T).amax(dim=1)
            for place in range(len(names))
        ],
        dim=1,
    )
    said = likeness.argmax(dim=1)
    lead = likeness - likeness.mean(dim=1, keepdim=True)
    for place, name in enumerate(names):
        own = told == place
        areas = [_area(values[:, place], own) for values in (likeness, lead)]
        shares = (float(part.double().mean()) for part in (own, said == place))
        given, answered = (f"{100 * share:.1f} %" for share in shares)
        print(f"    {name}: told {given}, says {answered}, AUC {areas[0]:.2f}, {areas[1]:.2f}")


def _area(values: torch.Tensor, own: torch.Tensor) -> float:
    """The area under the ROC curve of values that should be high where ``own``."""
    few = int(own.sum())
    rank = values.argsort().argsort().double() + 1
    above = float(rank[own].sum()) - few * (few + 1) / 2
    return above / (few * (len(own) - few)) if 0 < few < len(own) else float("nan")


def _likeness(rows: torch.Tensor, told: torch.Tensor) -> float:
    """The mean cosine between rows whose words differ."""
    unit = functional.normalize(rows, dim=1)
    cosine = unit @ unit.T
    return float(cosine[told[:, None] != told].mean())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
