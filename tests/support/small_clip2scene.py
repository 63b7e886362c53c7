"""A small CLIP2Scene network with any loss options, and the gradients of its parts."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from posed_sample import SPACE, four_words

from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.encoders.spec import EncoderSpec
from clip3d_cli.training.clip2scene.batches import PosedBatch
from clip3d_cli.training.clip2scene.losses import (
    Words,
)
from clip3d_cli.training.clip2scene.model import Clip2Scene, LossOptions

STEPS = 10
# Self-training starts after 5 of these steps. At step 7 the coin picks the network's own words,
# at step 8 the image's.
EARLY, IMAGE_TURN, OWN_TURN = 4, 8, 7


def learner_of(
    architecture: str = "minkunet",
    dtype: torch.dtype = torch.float32,
    *,
    seed: int = 0,
    **options: Any,
) -> Clip2Scene:
    torch.manual_seed(seed)
    shape: dict[str, Any] = {"width": 0.25}
    if architecture == "minkunet":
        shape["layers"] = 14
    spec = EncoderSpec(architecture, shape, ("intensity",), (0.2,), SPACE, "mini", 1.0)
    return Clip2Scene(
        PointEncoder(spec), four_words(), LossOptions(**options), steps=STEPS, dtype=dtype
    )


def set_ema_model(learner: Clip2Scene, batch: PosedBatch) -> Clip2Scene:
    """Give a network a moving average: another network with trained statistics and clear words."""
    average = learner_of(learner.encoder.spec.architecture, learner._dtype, seed=7)
    with torch.no_grad():
        for _ in range(20):
            average(batch, 0)
        head: Any = average.encoder.network.head
        head.weight[[0, 3]] *= 20
    learner.use_ema_model(average)
    return average


def words() -> Words:
    return Words(torch.from_numpy(four_words().vectors), torch.arange(4))


def gradients_of(learner: Clip2Scene, batch: PosedBatch, done: int) -> dict[str, float]:
    """Return the largest gradient of each part of the network; all must be finite."""
    torch.manual_seed(1)
    loss, parts = learner(batch, done)
    assert (loss.shape, loss.dtype) == ((), torch.float32)
    assert loss.item() == pytest.approx((parts["semantic"] + parts["consistency"]).item())
    assert math.isfinite(loss.item())
    assert 0 <= parts["agreement"].item() <= 1
    loss.backward()
    found = {"trunk": 0.0, "head": 0.0, "point_map": 0.0, "pixel_map": 0.0}
    for name, weight in learner.named_parameters():
        part = name.split(".")[0] if "map" in name else "head" if ".head." in name else "trunk"
        if weight.grad is not None:
            assert torch.isfinite(weight.grad).all(), name
            found[part] = max(found[part], weight.grad.abs().max().item())
    return found
