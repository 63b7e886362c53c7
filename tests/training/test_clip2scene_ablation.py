"""Every row of the paper's ablation is a training of its own."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from posed_sample import make
from small_clip2scene import EARLY, IMAGE_TURN, OWN_TURN, learner_of

from clip3d_cli.pipelines.pretrain.config import PretrainConfig
from clip3d_cli.pipelines.training.config_sources import with_settings

ABLATION = {
    "baseline": ["batch.sweeps=1", "loss.consistency=none", "loss.self_training=image"],
    "one sweep": ["batch.sweeps=1"],
    "three sweeps": [],
    "five sweeps": ["batch.sweeps=5"],
    "merged": ["batch.merge=true"],
    "without SSR": ["loss.consistency=none"],
    "without SCR": ["loss.semantic_weight=0"],
    "KL": ["loss.semantic=kl"],
    "without S3": ["loss.self_training=image"],
    "self only": ["loss.self_training=own"],
    "other words": ["words.classes=road,tree,car"],
    "released code": ["loss.semantic=code", "loss.consistency=code", "loss.cell_word=first"],
}


def test_every_row_of_the_ablation_is_another_training(tmp_path: Path) -> None:
    maker = make(tmp_path, sweeps=6, voxel_m=0.2)
    told: dict[str, tuple[Any, ...]] = {}
    for name, settings in ABLATION.items():
        config = with_settings(
            PretrainConfig(), [*settings, "batch.scenes=1", "batch.occlusion=none"]
        )
        options = replace(config.batch, pairs=100, augment=False, cell_m=0.5)
        batch = replace(maker, options=options)(0)
        learner = learner_of(**asdict(config.loss))
        losses = []
        for done in (EARLY, IMAGE_TURN, OWN_TURN):
            loss, parts = learner(batch, done)
            assert math.isfinite(loss.item())
            losses += [round(parts[each].item(), 6) for each in ("semantic", "consistency")]
        told[name] = (*losses, config.words.classes)
    assert len(set(told.values())) == len(ABLATION), told
