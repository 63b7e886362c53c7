"""Train the point encoder of the default weights on real and simulated scans.

python -m weights.recipe.points.train --data ../shared/data --simulated sim -o runs/points

The run is a folder with the config, metrics, checkpoints and the lists of scans. --resume goes on
from the newest checkpoint with the same batches, whether it was stopped by a signal or killed.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from clip3d_cli.core.embeddings import FeatureSpace
from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.encoders.spec import EncoderSpec
from clip3d_cli.encoders.weights_torch import load_encoder, save_encoder
from clip3d_cli.sparse.backend import select_backend
from clip3d_cli.text.mini.encoder import MiniTextEncoder
from clip3d_cli.training.batch_loader import BatchLoader
from clip3d_cli.training.checkpoints import read_snapshot
from clip3d_cli.training.environment import environment_info
from clip3d_cli.training.loop import Loss, train_steps
from clip3d_cli.training.run_folder import RunFolder
from clip3d_cli.training.signals import stop_on_signals
from clip3d_cli.training.state import LoopOptions, TrainState
from weights.recipe.points.batches import INPUTS, VOXEL_SIZES_M, Batch, Batches, BatchOptions
from weights.recipe.points.concepts import concepts_of, seen_leaves
from weights.recipe.points.learner import WordLearner
from weights.recipe.points.scan_lists import ScanLists, read_lists
from weights.recipe.points.taxonomy import Taxonomy

WEIGHT_OF_SOURCE = {
    "pandaset": 0.10,
    "boxes": 0.03,
    "ika": 0.07,
    "sim-driving": 0.27,
    "sim-mobile": 0.09,
    "ign": 0.08,
    "ahn": 0.03,
    "sim-aerial": 0.10,
    "sim-indoor": 0.30,
}
_INITIAL_LOGIT_SCALE = 20.0
_WEIGHTS = "points.safetensors"
# Folder of the lists of scans, in that of the run.
_LISTS = "scans"
# Options that do not change what is computed.
_RESUMABLE = ("threads", "workers", "save_every")


def main() -> None:
    """Train to the last step or until a signal, and write the averaged encoder at intervals."""
    args = _arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    text = MiniTextEncoder()
    words = Taxonomy.read().all_words
    vector_of_word = dict(zip(words, torch.from_numpy(text(words)), strict=True))
    learner = WordLearner(_initial_encoder(args, text.space))
    folder = RunFolder(args.out)
    config = _config(args)
    if args.resume:
        folder.require_same_config(config, resumable_keys=_RESUMABLE)
    state = TrainState(learner, _loop_options(args))
    lists = ScanLists(args.out / _LISTS, args.data, args.simulated, VOXEL_SIZES_M)
    options = BatchOptions(
        {
            source: weight
            for source, weight in WEIGHT_OF_SOURCE.items()
            if source not in args.without
        },
        tuple(args.inputs.split(",")),
        args.scans_per_batch,
        args.voxels_per_scan,
        args.targets_per_scan,
        args.rare_share,
        args.rarity,
    )
    batches = Batches(lists, options, vector_of_word, args.seed, args.steps_per_epoch)
    environment = environment_info(sys.argv, torch.device("cpu"))
    if args.resume:
        checkpoint = folder.checkpoints.load_latest()
        if checkpoint is not None:
            state.restore(checkpoint.snapshot)
        folder.resume(config, environment, state.steps_done, resumable_keys=_RESUMABLE)
    else:
        if args.continue_from:
            state.start_from(read_snapshot(args.continue_from))
        folder.create(config, environment)
    _train(state, batches, folder, args)


def _train(
    state: TrainState, batches: Batches, folder: RunFolder, args: argparse.Namespace
) -> None:
    """Make all steps; save the state and the averaged encoder every ``--save-every`` steps."""
    loader = BatchLoader(batches, args.workers)

    def loss_of(network: nn.Module, batch: Batch, _: int) -> Loss:
        learner = cast(WordLearner, network)
        return learner.loss(batch), {"logit_scale": learner.logit_scale}

    with stop_on_signals() as stop:
        for step in train_steps(state, loader, loss_of, stop=stop):
            folder.record(
                {
                    "step": step.number,
                    "loss": step.loss,
                    **step.parts,
                    "learning_rate": step.learning_rate,
                    "gradient_norm": step.gradient_norm,
                    "seconds": round(step.seconds, 2),
                }
            )
            if step.number % args.save_every == 0 and not state.is_finished:
                _save(state, folder)
        _save(state, folder)


def _save(state: TrainState, folder: RunFolder) -> None:
    """Write a checkpoint, and the averaged encoder as weights."""
    folder.checkpoints.save(state.snapshot())
    averaged = cast(WordLearner, state.averaged)
    provenance = {
        "trained_by": "weights/recipe/points/train.py",
        "options": json.dumps(asdict(state.options)),
        "steps_done": str(state.steps_done),
    }
    seen = seen_leaves(read_lists(folder.path / _LISTS), WEIGHT_OF_SOURCE, Taxonomy.read())
    concepts = concepts_of(Taxonomy.read(), seen)
    save_encoder(averaged.finished_encoder(provenance, concepts), folder.path / _WEIGHTS)


def _loop_options(args: argparse.Namespace) -> LoopOptions:
    return LoopOptions(
        args.steps,
        args.learning_rate,
        weight_decay=args.weight_decay,
        warmup_steps=args.warmup,
        schedule=args.schedule,
        average_decay=args.average_decay,
        optimizer=args.optimizer,
        seed=args.seed,
    )


def _initial_encoder(args: argparse.Namespace, space: FeatureSpace) -> PointEncoder:
    """Return the encoder of ``--start``, or a randomly initialised one."""
    backend = select_backend(args.backend, precision="exact")
    if args.start:
        encoder = load_encoder(args.start)
        spec = replace(encoder.spec, voxel_sizes_m=VOXEL_SIZES_M)
        return PointEncoder(spec, encoder.network, backend=backend)
    shape: dict[str, Any] = {"layers": args.layers, "width": args.width}
    for name in ("channels", "blocks"):
        if getattr(args, name):
            shape[name] = [int(part) for part in getattr(args, name).split(",")]
    spec = EncoderSpec(
        architecture="minkunet",
        config=shape,
        inputs=tuple(args.inputs.split(",")),
        voxel_sizes_m=VOXEL_SIZES_M,
        space=space,
        text_encoder="mini",
        logit_scale=_INITIAL_LOGIT_SCALE,
    )
    return PointEncoder(spec, backend=backend)


def _config(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options as TOML values."""
    values = {key: value for key, value in vars(args).items() if key not in ("out", "resume")}
    return {
        key: str(value) if isinstance(value, Path) else value
        for key, value in values.items()
        if value is not None
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, help="the folder ../shared/data of real scans; none without")
    add(
        "--simulated",
        type=Path,
        required=True,
        help="folder with folders driving*, aerial* and indoor* of simulated scans",
    )
    add("-o", "--out", type=Path, required=True, help="folder of the run")
    add("--resume", action="store_true", help="go on from the newest checkpoint of the run")
    add("--start", type=Path, help="weights to continue from")
    add("--without", action="append", default=[], help="source to leave out; can be repeated")
    add("--continue-from", type=Path, help="checkpoint of another run to start from at step 0")
    add("--steps", type=int, default=20_000, help="training steps (default: 20000)")
    add(
        "--schedule",
        choices=("cosine", "constant", "linear"),
        default="constant",
        help="learning rate after the warm-up (default: constant)",
    )
    add("--warmup", type=int, default=200, help="steps of linear rise (default: 200)")
    add("--learning-rate", type=float, default=3e-3, help="peak learning rate (default: 0.003)")
    add("--optimizer", choices=("adamw", "muon"), default="adamw", help="default: adamw")
    add("--weight-decay", type=float, default=0.02, help="weight decay (default: 0.02)")
    add("--average-decay", type=float, default=0.998, help="decay of the average of weights")
    add("--layers", type=int, default=14, help="depth of the MinkUNet (default: 14)")
    add("--width", type=float, default=0.75, help="factor of its channels (default: 0.75)")
    add("--channels", default="", help="channels of the stem and the eight stages, with commas")
    add("--blocks", default="", help="residual blocks of the eight stages, with commas")
    add("--inputs", default=",".join(INPUTS), help="input channels, with commas")
    add("--scans-per-batch", type=int, default=4, help="scans per step (default: 4)")
    add("--voxels-per-scan", type=int, default=15_000, help="most voxels of a scan")
    add("--targets-per-scan", type=int, default=6000, help="voxels of a scan that the loss uses")
    add("--rare-share", type=float, default=0.5, help="share of crops drawn by leaf")
    add("--rarity", type=float, default=0.5, help="exponent of the weight of rare leaves")
    add("--steps-per-epoch", type=int, default=500, help="steps before new scans are listed")
    add("--save-every", type=int, default=100, help="steps between checkpoints (default: 100)")
    add("--backend", default="auto", help="sparse-convolution backend (default: auto)")
    add("--threads", type=int, default=2, help="threads of PyTorch (default: 2)")
    add("--workers", type=int, default=1, help="processes that make batches (default: 1)")
    add("--seed", type=int, default=0, help="random seed (default: 0)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
