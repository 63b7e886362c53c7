"""Start weights: untrained weights of a small network, in the feature space of real words."""

from __future__ import annotations

from pathlib import Path

import torch

from clip3d_cli.core.embeddings import FeatureSpace
from clip3d_cli.encoders.closed_head import ClosedHead
from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.encoders.spec import EncoderSpec
from clip3d_cli.encoders.weights_torch import save_encoder

SPACE = FeatureSpace("openclip/ViT-B-32/openai", 512)
SHAPE = {"layers": 14, "width": 0.25}
INPUTS = ("one", "height_near")


def saved(
    path: Path,
    space: FeatureSpace = SPACE,
    closed: ClosedHead | None = None,
    inputs: tuple[str, ...] = INPUTS,
) -> Path:
    spec = EncoderSpec(
        "minkunet", SHAPE, inputs, (0.2,), space, "mini", 14.0, {"by": "a test"}, closed
    )
    torch.manual_seed(3)
    encoder = PointEncoder(spec).eval()
    channels = encoder.network.get_parameter("head.weight").shape[1]
    head = None if closed is None else torch.nn.Linear(channels, len(closed.names))
    save_encoder(encoder, path, closed=head)
    return path
