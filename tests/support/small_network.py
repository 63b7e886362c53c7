"""A small point network for tests of labelling."""

from __future__ import annotations

import torch

from clip3d_cli.core.embeddings import FeatureSpace
from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.encoders.spec import EncoderSpec

SPACE = FeatureSpace("test", 16)
INPUTS = ("one", "height_near", "height_far", "z_spread", "z_offset", "log_voxel")


def small_network(*, seed: int = 0, voxel_sizes_m: tuple[float, ...] = (0.2, 0.4)) -> PointEncoder:
    """A small network with random weights: all of labelling but the learning."""
    torch.manual_seed(seed)
    spec = EncoderSpec(
        architecture="minkunet",
        config={"layers": 14, "width": 0.125},
        inputs=INPUTS,
        voxel_sizes_m=voxel_sizes_m,
        space=SPACE,
        text_encoder="mini",
        logit_scale=5.0,
    )
    return PointEncoder(spec).eval()
