"""Train the point encoder of the default weights on real and simulated scans.

python -m weights.recipe.points.train --data ../shared/data --simulated sim -o runs/points

weights/recipe/README.md has all commands, from the simulation on. With the settings given there,
a step takes about 0.7 s on two cores: an hour for 4,500 steps.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from clip3d_cli.core.embeddings import FeatureSpace
from clip3d_cli.encoders.concepts import Concept
from clip3d_cli.encoders.minkunet import MinkUNet
from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.encoders.spec import EncoderSpec
from clip3d_cli.encoders.weights_torch import load_encoder, save_encoder
from clip3d_cli.sparse.backend import select_backend
from clip3d_cli.sparse.plan import Plan
from clip3d_cli.text.mini.encoder import MiniTextEncoder
from clip3d_cli.training.loop import StepReport, train_steps
from clip3d_cli.training.losses import accepted_words_loss
from clip3d_cli.training.state import LoopOptions, TrainState
from weights.recipe.points.batches import INPUTS, VOXEL_SIZES_M, Batch, Batches, BatchOptions
from weights.recipe.points.concepts import concepts_of, seen_leaves
from weights.recipe.points.sources import read_scans, training_paths
from weights.recipe.points.taxonomy import Taxonomy

WEIGHT_OF_SOURCE = {
    "pandaset": 0.16,
    "ika": 0.12,
    "sim-driving": 0.30,
    "ign": 0.12,
    "ahn": 0.05,
    "sim-aerial": 0.08,
    "sim-indoor": 0.17,
}
_INITIAL_LOGIT_SCALE = 14.0
_MAX_LOGIT_SCALE = 100


class WordLearner(nn.Module):
    """A point encoder and the logit scale of its similarities, trained together."""

    def __init__(self, encoder: PointEncoder) -> None:
        """Start from an encoder and the logit scale of its spec."""
        super().__init__()
        self.encoder = encoder
        self.log_scale = nn.Parameter(torch.tensor(math.log(encoder.spec.logit_scale)))

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean over scans of `accepted_words_loss` at their target rows."""
        network = self.encoder.network
        if not isinstance(network, MinkUNet):
            raise TypeError("this loss needs the trunk of a MinkUNet")
        trunk = network.trunk(batch.voxels, Plan(batch.voxels.cells, self.encoder.backend))
        # The head only at target rows: 512 channels for all voxels would cost more than all
        # convolutions.
        vectors = functional.normalize(network.head(trunk[batch.target_rows]), dim=1, eps=1e-6)
        scale = self.log_scale.exp().clamp(max=_MAX_LOGIT_SCALE)
        counts = [len(targets.meaning) for targets in batch.targets]
        losses = [
            accepted_words_loss(scan_vectors, targets, scale)
            for scan_vectors, targets in zip(
                torch.split(vectors, counts), batch.targets, strict=True
            )
        ]
        return torch.stack(losses).mean()

    def finished_encoder(
        self, provenance: dict[str, str], concepts: tuple[Concept, ...]
    ) -> PointEncoder:
        """Return the encoder with its learned logit scale and what it was trained on in its spec.

        Args:
            provenance: how it was trained.
            concepts: what its words stood for; how well it knows each is measured afterwards, by
                `weights.recipe.points.write_concepts`.
        """
        scale = float(self.log_scale.exp().clamp(max=_MAX_LOGIT_SCALE))
        spec = replace(
            self.encoder.spec, logit_scale=scale, provenance=provenance, concepts=concepts
        )
        return PointEncoder(spec, self.encoder.network).eval()


def main() -> None:
    """Read the scans, train, and write the averaged encoder at intervals."""
    args = _arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    text = MiniTextEncoder()
    taxonomy = Taxonomy.read()
    words = taxonomy.all_words
    vector_of_word = dict(zip(words, torch.from_numpy(text(words)), strict=True))
    files = training_paths(args.data, args.simulated)
    for source in args.without:
        del files[source]
    scans = list(read_scans(files))
    concepts = concepts_of(taxonomy, seen_leaves(scans, WEIGHT_OF_SOURCE, taxonomy))
    counts = {source: len(entries) for source, entries in files.items()}
    print("scans:", counts, flush=True)
    batch_options = BatchOptions(
        WEIGHT_OF_SOURCE, args.scans_per_batch, args.voxels_per_scan, args.rows_per_scan
    )
    loader = DataLoader(
        Batches(scans, batch_options, vector_of_word, args.seed),
        batch_size=None,
        num_workers=args.workers,
        prefetch_factor=4,
    )
    learner = WordLearner(_initial_encoder(args, text.space))
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
    state = TrainState(learner, options)
    steps = train_steps(state, lambda _: loader, lambda _, batch, __: (learner.loss(batch), {}))
    for step in steps:
        _record_step(step, state, args, provenance, concepts)


def _initial_encoder(args: argparse.Namespace, space: FeatureSpace) -> PointEncoder:
    """Return the encoder of ``--start``, or a randomly initialised one."""
    backend = select_backend(args.backend, precision="exact")
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
        logit_scale=_INITIAL_LOGIT_SCALE,
    )
    return PointEncoder(spec, backend=backend)


def _record_step(
    step: StepReport,
    state: TrainState,
    args: argparse.Namespace,
    provenance: dict[str, str],
    concepts: tuple[Concept, ...],
) -> None:
    """Append a line to metrics.jsonl; write the averaged encoder every ``--save-every`` steps."""
    line = {"step": step.number, "loss": step.loss, "seconds": round(step.seconds, 1)}
    with (args.out / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    if step.number % args.save_every == 0 or step.number == args.steps:
        averaged = state.averaged
        if not isinstance(averaged, WordLearner):
            raise TypeError("the averaged network is not a WordLearner")
        encoder = averaged.finished_encoder(
            {**provenance, "steps_done": str(step.number)}, concepts
        )
        save_encoder(encoder, args.out / "points.safetensors")
        print(line, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="the folder ../shared/data of real scans")
    add(
        "--simulated",
        type=Path,
        required=True,
        help="folder with folders driving*, aerial* and indoor* of simulated scans",
    )
    add("-o", "--out", type=Path, required=True, help="folder for metrics and weights")
    add("--start", type=Path, help="weights to continue from")
    add("--without", action="append", default=[], help="source to leave out; can be repeated")
    add("--steps", type=int, default=2000, help="training steps (default: 2000)")
    add("--learning-rate", type=float, default=3e-3, help="peak learning rate (default: 0.003)")
    add("--layers", type=int, default=14, help="depth of the MinkUNet (default: 14)")
    add("--width", type=float, default=0.75, help="factor of its channels (default: 0.75)")
    add("--scans-per-batch", type=int, default=4, help="scans per step (default: 4)")
    add("--voxels-per-scan", type=int, default=20_000, help="most voxels of a scan")
    add("--rows-per-scan", type=int, default=3000, help="voxels of a scan that the loss uses")
    add("--save-every", type=int, default=100, help="steps between saved weights (default: 100)")
    add("--backend", default="auto", help="sparse-convolution backend (default: auto)")
    add("--threads", type=int, default=2, help="threads of PyTorch (default: 2)")
    add("--workers", type=int, default=2, help="processes that make batches (default: 2)")
    add("--seed", type=int, default=0, help="random seed (default: 0)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
