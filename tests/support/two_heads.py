"""Small untrained networks with a text head and a closed one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from clip3d_cli.core.embeddings import FeatureSpace
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.encoders.closed_head import ClosedHead
from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.encoders.spec import EncoderSpec
from clip3d_cli.encoders.weights_torch import save_encoder
from clip3d_cli.sparse.plan import Plan
from clip3d_cli.sparse.tensor import SparseTensor

SPACE = FeatureSpace("tests/two-heads", 24)
NARROW: dict[str, dict[str, Any]] = {
    "minkunet": {"layers": 14, "width": 0.25},
    "spvcnn": {"width": 0.25},
}


def voxels(seed: int, rows: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Return (M, 3) int32 cells, sorted, and (M, 2) float32 channels."""
    draw = np.random.default_rng(seed)
    cells = np.unique(draw.integers(-16, 16, (rows, 3), dtype=np.int32), axis=0)
    return cells, draw.normal(size=(len(cells), 2)).astype(np.float32)


def tensor(seed: int) -> SparseTensor:
    """Return `voxels` as a tensor of PyTorch."""
    cells, channels = voxels(seed)
    batched = torch.from_numpy(np.pad(cells, ((0, 0), (1, 0))))
    return SparseTensor(batched, torch.from_numpy(channels))


def network(
    architecture: str = "minkunet", config: Mapping[str, Any] | None = None
) -> PointEncoder:
    """Return a point encoder with a text head, the same at every call."""
    torch.manual_seed(5)
    config = NARROW.get(architecture, {}) if config is None else config
    inputs = ("one", "z_offset")
    made = PointEncoder(EncoderSpec(architecture, config, inputs, (0.2,), SPACE, "mini", 20.0))
    made(tensor(0))  # moves the running statistics
    return made.eval()


def names(count: int) -> list[str]:
    return [f"class {number}" for number in range(count)]


def channels_of(encoder: PointEncoder) -> int:
    """Return C, the number of channels in front of both heads."""
    return int(encoder.network.get_parameter("head.weight").shape[1])


def trunk_of(encoder: PointEncoder, seed: int) -> Tensor:
    """Return the input of the heads for `voxels`, (M, C)."""
    cloud, inner = tensor(seed), cast(Any, encoder.network)
    with torch.no_grad():
        feats: Tensor = inner.trunk(cloud, Plan(cloud.cells))
    return feats


def closed_layer(encoder: PointEncoder, count: int) -> nn.Linear:
    """Return a closed head, the same at every call; each of its classes wins somewhere.

    Without its bias, which removes what the classes have in common, others would win.
    """
    torch.manual_seed(count)
    layer = nn.Linear(channels_of(encoder), count)
    with torch.no_grad():
        layer.weight *= 10
        layer.bias.copy_(-(layer.weight @ trunk_of(encoder, 0).mean(dim=0)))
    return layer


def closed_spec(encoder: PointEncoder, count: int, logit_scale: float = 1.0) -> PointEncoder:
    """Return the same network with the names of closed classes in its spec."""
    head = ClosedHead.of(Vocabulary.from_names(names(count), "numbers"), logit_scale)
    return PointEncoder(dataclasses.replace(encoder.spec, closed=head), encoder.network).eval()


def both_heads(
    folder: Path,
    encoder: PointEncoder,
    count: int,
    layer: nn.Linear | None = None,
    logit_scale: float = 1.0,
) -> Path:
    """Write a weights file with both heads, in float32."""
    path = folder / f"{count}-{logit_scale}.safetensors"
    layer = closed_layer(encoder, count) if layer is None else layer
    save_encoder(closed_spec(encoder, count, logit_scale), path, torch.float32, closed=layer)
    return path
