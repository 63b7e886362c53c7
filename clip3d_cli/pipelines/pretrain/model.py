"""The network of a pretraining, at its start and at its end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import torch

from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.pipelines.pretrain.config import PretrainConfig
from clip3d_cli.pipelines.pretrain.targets import Targets
from clip3d_cli.pipelines.training.encoder import encoder_from_file, new_encoder
from clip3d_cli.sparse.backend import select_backend
from clip3d_cli.training.clip2scene.model import Clip2Scene
from clip3d_cli.training.distributed import World
from clip3d_cli.training.state import LoopOptions, TrainState


def initial_state(
    config: PretrainConfig, targets: Targets, options: LoopOptions, world: World
) -> TrainState:
    """Return the network at its start on its device, with its optimiser.

    Random weights follow from the seed.

    Args:
        config: all options.
        targets: words that the network is compared with.
        options: how it is optimised.
        world: device of this process.

    Raises:
        SetupError: the weights to start from cannot be read, or are of another feature space.
        UsageError: E_CONFIG: own words are to come from a moving average, and none is kept.
    """
    torch.manual_seed(config.run.seed)
    dtype = torch.bfloat16 if config.run.precision == "bf16" else torch.float32
    model = Clip2Scene(
        _initial_encoder(config, targets, world),
        targets.words,
        config.loss,
        steps=options.steps,
        seed=config.run.seed,
        dtype=dtype,
    ).to(world.device)
    state = TrainState(model, options)
    if config.loss.own_words == "average":
        model.use_ema_model(state.averaged)
    return state


def _initial_encoder(config: PretrainConfig, targets: Targets, world: World) -> PointEncoder:
    options, words = config.encoder, targets.words
    backend = select_backend(config.run.backend, world.device, precision="exact")
    if not options.start:
        return new_encoder(options, words.space, targets.text_encoder, backend)
    return encoder_from_file(
        Path(options.start),
        words.space,
        "the teacher",
        backend,
        voxel_sizes_m=options.voxel_sizes_m,
    )


def final_encoder(
    config: PretrainConfig, model: Clip2Scene, targets: Targets, steps: int, logit_scale: float
) -> PointEncoder:
    """Return the trained encoder with its calibrated scale and its provenance.

    Args:
        config: all options.
        model: the trained network.
        targets: teacher of the training.
        steps: number of steps done.
        logit_scale: calibrated factor of the similarities.
    """
    spec = replace(
        model.encoder.spec,
        logit_scale=logit_scale,
        provenance={
            "trained_by": "clip3d pretrain --method clip2scene",
            "teacher": targets.teacher,
            "steps": str(steps),
            "config": json.dumps(config.tables(), sort_keys=True),
        },
    )
    return PointEncoder(spec, model.encoder.network, backend=model.encoder.backend).eval()
