"""Train the default point weights.

    python -m weights.recipe.points.train --data ../shared/data --simulated sim -o runs/points

Simulate first: see weights/points-default.md for the commands.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from clip3d_cli.core.vocabulary import FeatureSpace
from clip3d_cli.encoders.minkunet import MinkUNet
from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.encoders.spec import EncoderSpec
from clip3d_cli.encoders.weights_torch import load_encoder, save_encoder
from clip3d_cli.sparse.backend import backend_named
from clip3d_cli.sparse.plan import Plan
from clip3d_cli.text.mini.encoder import MiniTextEncoder
from clip3d_cli.training.loop import Step, train
from clip3d_cli.training.losses import accepted_words_loss
from clip3d_cli.training.state import LoopOptions, Trainee
from weights.recipe.points.batches import INPUTS, VOXEL_SIZES_M, Batch, Batches, Mixture
from weights.recipe.points.sources import read_scans, training_paths
from weights.recipe.points.taxonomy import Taxonomy

SHARES = {
    "pandaset": 0.16,
    "ika": 0.12,
    "sim-driving": 0.30,
    "ign": 0.12,
    "ahn": 0.05,
    "sim-aerial": 0.08,
    "sim-indoor": 0.17,
}
_START_SCALE = 14.0


class WordLearner(nn.Module):
    """A point encoder and the scale of its similarities, learned together."""

    def __init__(self, encoder: PointEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.log_scale = nn.Parameter(torch.tensor(math.log(encoder.spec.logit_scale)))

    def loss(self, batch: Batch) -> Tensor:
        """The mean over the clouds of a batch, at the rows that were drawn of each."""
        network = self.encoder.network
        if not isinstance(network, MinkUNet):
            raise TypeError("only a MinkUNet gives its trunk to this loss")
        trunk = network.trunk(batch.voxels, Plan(batch.voxels.cells, self.encoder.backend))
        # 512 channels on every voxel would cost more than the convolutions.
        vectors = functional.normalize(network.head(trunk[batch.rows]), dim=1, eps=1e-6)
        scale = self.log_scale.exp().clamp(max=100)
        counts = [len(targets.meaning) for targets in batch.targets]
        parts = [
            accepted_words_loss(part, targets, scale)
            for part, targets in zip(torch.split(vectors, counts), batch.targets, strict=True)
        ]
        return torch.stack(parts).mean()

    def finished(self, provenance: dict[str, str]) -> PointEncoder:
        """The encoder, told its scale and where it comes from."""
        scale = float(self.log_scale.exp().clamp(max=100))
        spec = replace(self.encoder.spec, logit_scale=scale, provenance=provenance)
        return PointEncoder(spec, self.encoder.network).eval()


def main() -> None:
    """Read scans, train, and write the averaged encoder every few hundred steps."""
    args = _arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    text = MiniTextEncoder()
    words = Taxonomy.read().all_words
    vector_of_word = dict(zip(words, torch.from_numpy(text(words)), strict=True))
    files = training_paths(args.data, args.simulated)
    for source in args.without:
        del files[source]
    scans = list(read_scans(files))
    counts = {source: len(entries) for source, entries in files.items()}
    print("scans:", counts, flush=True)
    mixture = Mixture(SHARES, args.scans_per_batch, args.voxels_per_scan, args.rows_per_scan)
    loader = DataLoader(
        Batches(scans, mixture, vector_of_word, args.seed),
        batch_size=None,
        num_workers=args.workers,
        prefetch_factor=4,
    )
    learner = WordLearner(_encoder(args, text.space))
    args.out.mkdir(parents=True, exist_ok=True)
    provenance = {
        "trained_by": "weights/recipe/points/train.py",
        "scans": json.dumps(counts),
        "steps": str(args.steps),
        "seed": str(args.seed),
    }
    options = LoopOptions(
        args.steps, args.learning_rate, warmup_steps=args.steps // 20, seed=args.seed
    )
    train(
        Trainee(learner, options),
        lambda _: loader,
        lambda _, batch, __: (learner.loss(batch), {}),
        partial(_report, args=args, provenance=provenance),
    )


def _encoder(args: argparse.Namespace, space: FeatureSpace) -> PointEncoder:
    backend = backend_named(args.backend, precision="exact")
    if args.start:
        encoder = load_encoder(args.start)
        spec = replace(encoder.spec, voxel_sizes_m=VOXEL_SIZES_M)
        return PointEncoder(spec, encoder.network, backend=backend)
    spec = EncoderSpec(
        architecture="minkunet",
        config={"layers": args.layers, "width": args.width},
        inputs=INPUTS,
        voxel_sizes_m=VOXEL_SIZES_M,
        space=space,
        text_encoder="mini",
        logit_scale=_START_SCALE,
    )
    return PointEncoder(spec, backend=backend)


def _report(
    step: Step, trainee: Trainee, *, args: argparse.Namespace, provenance: dict[str, str]
) -> None:
    line = {"step": step.number, "loss": step.loss, "seconds": round(step.seconds, 1)}
    with (args.out / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    if step.number % args.save_every == 0 or step.number == args.steps:
        averaged = trainee.averaged
        if not isinstance(averaged, WordLearner):
            raise TypeError("the loop averages something else than it trains")
        done = {**provenance, "steps_done": str(step.number)}
        save_encoder(averaged.finished(done), args.out / "points.safetensors")
        print(line, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder of real scans")
    parser.add_argument("--simulated", type=Path, required=True, help="folders driving*, …")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="weights to go on from")
    parser.add_argument("--without", action="append", default=[], help="leave a source out")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--layers", type=int, default=14)
    parser.add_argument("--width", type=float, default=0.75)
    parser.add_argument("--scans-per-batch", type=int, default=4)
    parser.add_argument("--voxels-per-scan", type=int, default=20_000)
    parser.add_argument("--rows-per-scan", type=int, default=3000)
    parser.add_argument("--save-every", type=int, default=100)
    parser.add_argument("--backend", default="auto", help="of the convolutions")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
