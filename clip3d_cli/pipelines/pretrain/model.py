"""The learner of a configuration, before the training and after."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import torch

from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.pipelines.pretrain.config import PretrainConfig
from clip3d_cli.pipelines.pretrain.targets import Targets
from clip3d_cli.pipelines.training.encoder import fresh_encoder, stored_encoder
from clip3d_cli.sparse.backend import backend_named
from clip3d_cli.training.clip2scene.model import Clip2Scene
from clip3d_cli.training.distributed import World
from clip3d_cli.training.state import LoopOptions, Trainee


def fresh_trainee(
    config: PretrainConfig, targets: Targets, options: LoopOptions, world: World
) -> Trainee:
    """A learner at its start, on its device, and what optimises it.

    Raises:
        SetupError: the weights to start from cannot be used, or live in another space.
        UsageError: E_CONFIG: an average is asked for its words, and none is kept.
    """
    learner = _fresh_learner(config, targets, options.steps, world)
    trainee = Trainee(learner, options)
    if config.loss.own_words == "average":
        learner.follow(trainee.averaged)
    return trainee


def _fresh_learner(
    config: PretrainConfig, targets: Targets, steps: int, world: World
) -> Clip2Scene:
    """Its weights follow from the seed."""
    torch.manual_seed(config.run.seed)
    options = config.encoder
    backend = backend_named(config.run.backend, world.device, precision="exact")
    words = targets.words
    if options.start:
        encoder = stored_encoder(
            Path(options.start),
            words.space,
            "the teacher",
            backend,
            voxel_sizes_m=options.voxel_sizes_m,
        )
    else:
        encoder = fresh_encoder(options, words.space, targets.text_encoder, backend)
    dtype = torch.bfloat16 if config.run.precision == "bf16" else torch.float32
    seed = config.run.seed
    learner = Clip2Scene(encoder, words, config.loss, steps=steps, seed=seed, dtype=dtype)
    return learner.to(world.device)


def finished_encoder(
    config: PretrainConfig, learner: Clip2Scene, targets: Targets, steps: int, logit_scale: float
) -> PointEncoder:
    """The encoder, told its scale and where it comes from."""
    spec = replace(
        learner.encoder.spec,
        logit_scale=logit_scale,
        provenance={
            "trained_by": "clip3d pretrain --method clip2scene",
            "teacher": targets.teacher,
            "steps": str(steps),
            "config": json.dumps(config.tables(), sort_keys=True),
        },
    )
    return PointEncoder(spec, learner.encoder.network, backend=learner.encoder.backend).eval()
