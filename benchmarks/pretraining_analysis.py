"""Explain the ablation of `benchmarks.pretraining`: what the losses still ask of trained networks.

    python -m benchmarks.pretraining_analysis --scenes proof/scenes --teacher proof/teacher \\
        proof/ablation/paper*.0.run proof/ablation/without-switching*.0.run

For each run, before its first step and after its last, on six batches of its own scenes:

- the norm of the gradient of each loss in the point network;
- Eq. 2, whose minimum is 1 − sigmoid(1) = 0.269, and the mean cosine between the vectors that it
  compares, over pairs whose words differ: at 1, all vectors are alike and Eq. 2 teaches nothing;
- the words that the network itself gives the pairs, as switching uses them: how many of the words
  occur, and how often they equal the teacher's;
- per class, after the last step: the share of pairs that the teacher and the network give the
  class, and how well the network's similarity to the class separates the teacher's pairs from all
  others, as the area under the ROC curve (1 perfect, 0.5 chance): for the similarity, and for its
  lead over the mean of all classes. A class that is ranked well and never predicted is too far
  from all points.

It takes about a minute per run.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from torch.nn import functional

from clip3d_cli.pipelines.pretrain.config import PretrainConfig
from clip3d_cli.pipelines.pretrain.model import initial_state
from clip3d_cli.pipelines.pretrain.run import open_scenes
from clip3d_cli.pipelines.pretrain.targets import (
    cache_teacher_features,
    open_teacher,
    prepare_targets,
)
from clip3d_cli.pipelines.training.config import loop_options
from clip3d_cli.pipelines.training.config_sources import read_config, with_settings, with_tables
from clip3d_cli.sparse.plan import Plan
from clip3d_cli.training.checkpoints import Checkpoints
from clip3d_cli.training.clip2scene.batches import NetworkInputs, PosedBatch, PosedBatches
from clip3d_cli.training.clip2scene.losses import Words
from clip3d_cli.training.clip2scene.model import Clip2Scene
from clip3d_cli.training.clip2scene.targets import nearest_words
from clip3d_cli.training.distributed import SINGLE_PROCESS
from clip3d_cli.training.run_folder import with_current_keys

_BATCHES = 6
# Batches depend on their number only; training has not used numbers this high.
_FIRST_BATCH = 1_000_000


def main() -> None:
    args = _arguments()
    columns = ("run", "step", "gradient of semantic loss", "of Eq. 2", "Eq. 2")
    columns += ("cosine of points", "of pixels", "own words used", "own word = teacher's")
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for run in args.runs:
        _analyse(run, args)


def _analyse(run: Path, args: argparse.Namespace) -> None:
    tables = with_current_keys(read_config(run / "config.toml"))
    config = with_tables(PretrainConfig(), tables, str(run))
    paths = {"data.root": args.scenes, "teacher.model": args.teacher}
    config = with_settings(config, [f"{key}={str(path)!r}" for key, path in paths.items()])
    dataset, scenes = open_scenes(config)
    teacher = open_teacher(config, torch.device("cpu"))
    if dataset.vocabulary is None:
        raise SystemExit("the scenes have no ground truth")
    targets = prepare_targets(config, teacher, scenes, dataset.vocabulary, run)
    cache_teacher_features(teacher, scenes, targets.folder)
    options = loop_options(config, len(scenes), SINGLE_PROCESS)
    state = initial_state(config, targets, options, SINGLE_PROCESS)
    learner = cast(Clip2Scene, state.network).train()
    inputs = NetworkInputs(learner.encoder.spec.inputs, config.encoder.voxel_sizes_m)
    batch_of = PosedBatches(
        dataset, scenes, targets.files, targets.words, inputs, config.batch, config.run.seed
    )
    batches = [batch_of(_FIRST_BATCH + number) for number in range(_BATCHES)]
    _print_row(run, 0, learner, batches)
    checkpoint = Checkpoints(run / "checkpoints").load_latest()
    if checkpoint is not None:
        state.restore(checkpoint.snapshot)
        _print_row(run, state.steps_done, learner, batches)
        _print_classes([entry.name for entry in dataset.vocabulary.classes], learner, batches)


def _print_row(run: Path, step: int, learner: Clip2Scene, batches: list[PosedBatch]) -> None:
    rows = torch.tensor([_measure(learner, batch) for batch in batches])
    semantic, consistency, eq2, points, pixels, used, equal = rows.nanmean(dim=0).tolist()
    print(
        f"| {run.stem} | {step} | {semantic:.2f} | {consistency:.4f} | {eq2:.3f} | {points:.2f} "
        f"| {pixels:.2f} | {used:.1f} | {equal:.2f} |",
        flush=True,
    )


def _measure(learner: Clip2Scene, batch: PosedBatch) -> list[float]:
    """Return the seven figures of a row for one batch, in the order of the columns."""
    options = learner.options
    without_eq2 = replace(options, semantic_weight=1.0, consistency="none")
    without_eq1 = replace(options, semantic_weight=0.0, consistency="paper")
    norms = []
    for single_loss in (without_eq2, without_eq1):
        learner.options = single_loss
        learner.zero_grad()
        loss, parts = learner(batch, 0)
        loss.backward()
        grads = [p.grad for p in learner.encoder.network.parameters() if p.grad is not None]
        norms.append(float(torch.stack([grad.norm() for grad in grads]).norm()))
    learner.options = options
    with torch.no_grad():
        trunk = learner.encoder.network.trunk(
            batch.voxels, Plan(batch.voxels.cells, learner.encoder.backend)
        )[batch.pair_row]
        vectors = learner.encoder.network.head(trunk)
        separate = options.heads == "separate"
        points = learner.point_map(trunk) if separate else vectors
        pixels = learner.pixel_map(batch.pixels) if separate else batch.pixels
        words = Words(learner.word_vectors, learner.class_of_word)
        own = words.class_of_word[nearest_words(functional.normalize(vectors, dim=1), words)]
    teacher = words.class_of_word[batch.pair_word]
    return [
        *norms,
        float(parts["consistency"].detach()),
        _mean_cosine(points, teacher),
        _mean_cosine(pixels, teacher),
        float(len(own.unique())),
        float((own == teacher).float().mean()),
    ]


def _print_classes(names: list[str], learner: Clip2Scene, batches: list[PosedBatch]) -> None:
    teacher = torch.cat([learner.class_of_word[batch.pair_word] for batch in batches])
    with torch.no_grad():
        vectors = torch.cat([learner.pair_vectors(batch) for batch in batches])
    # (P, K): a class is as similar as the most similar of its words.
    similarity = torch.stack(
        [
            (vectors @ learner.word_vectors[learner.class_of_word == index].T).amax(dim=1)
            for index in range(len(names))
        ],
        dim=1,
    )
    predicted = similarity.argmax(dim=1)
    lead = similarity - similarity.mean(dim=1, keepdim=True)
    for index, name in enumerate(names):
        own = teacher == index
        areas = [_area_under_roc(values[:, index], own) for values in (similarity, lead)]
        shares = [float(part.double().mean()) for part in (own, predicted == index)]
        by_teacher, by_network = (f"{100 * share:.1f} %" for share in shares)
        print(
            f"    {name}: teacher {by_teacher}, network {by_network}, "
            f"AUC {areas[0]:.2f}, of the lead {areas[1]:.2f}"
        )


def _area_under_roc(values: torch.Tensor, positive: torch.Tensor) -> float:
    """Return the area under the ROC curve of (P,) values; NaN if all are of one kind."""
    count = int(positive.sum())
    rank = values.argsort().argsort().double() + 1
    # The Mann–Whitney statistic: pairs of a positive and a lower negative.
    above = float(rank[positive].sum()) - count * (count + 1) / 2
    if not 0 < count < len(positive):
        return float("nan")
    return above / (count * (len(positive) - count))


def _mean_cosine(rows: torch.Tensor, class_index: torch.Tensor) -> float:
    """Return the mean cosine between (P, D) rows whose classes differ."""
    unit = functional.normalize(rows, dim=1)
    cosine = unit @ unit.T
    return float(cosine[class_index[:, None] != class_index].mean())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+", help="run folders of benchmarks.pretraining")
    parser.add_argument("--scenes", type=Path, required=True, help="rendered scenes")
    parser.add_argument("--teacher", type=Path, required=True, help="folder of the teacher")
    return parser.parse_args()


if __name__ == "__main__":
    main()
