"""The receptive field: `reach` is the distance at which an input voxel can still change a result.

A halo of `reach` makes labels independent of tiles; one voxel less would not.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch
from native_twin import native_twin
from torch import Tensor

from clip3d_cli import registry
from clip3d_cli.core.embeddings import FeatureSpace
from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.encoders.spec import EncoderSpec
from clip3d_cli.sparse.plan import Plan
from clip3d_cli.sparse.tensor import SparseTensor

CONFIGS: dict[str, list[dict[str, Any]]] = {
    "minkunet": [
        {"layers": 14, "width": 0.25},
        {"layers": 18, "width": 0.25},
        {"layers": 18, "width": 0.25, "stem_kernel": 5},
        {"layers": 34, "width": 0.25},
        {"width": 0.25, "blocks": [1, 1, 2, 2, 1, 1, 1, 1]},
    ],
    "spvcnn": [{"width": 0.25}],
}
CASES = [
    (name, config)
    for name in registry.names("point_encoders")
    for config in CONFIGS.get(name, [{}])
]


def transparent(architecture: str, config: dict[str, Any]) -> PointEncoder:
    """An encoder with positive weights only, so that no ReLU and no sum hides an influence.

    Weights are such that a convolution on a line keeps the magnitude of features: they stay finite
    in float32, and a great number is still great at the end of its reach.
    """
    torch.manual_seed(0)
    space = FeatureSpace("tests/reach", 4)
    spec = EncoderSpec(architecture, config, ("one",), (0.1,), space, "mini", 20.0)
    encoder = PointEncoder(spec).eval()
    with torch.no_grad():
        for parameter in encoder.network.parameters():
            if parameter.ndim == 1:
                parameter.copy_(parameter.abs() + 0.01)
            else:
                # (K³, Cin, Cout), of which a line meets three offsets, or (Cout, Cin).
                inputs = 3 * parameter.shape[1] if parameter.ndim == 3 else parameter.shape[1]
                parameter.uniform_(0.5 / inputs, 1.5 / inputs)
    return encoder


def lines(span: int, axis: int, count: int) -> Tensor:
    """(count · (2 · span + 1), 4) int32: in each cloud of a batch a line of voxels on one axis."""
    cells = torch.zeros(count, 2 * span + 1, 4, dtype=torch.int32)
    cells[:, :, 0] = torch.arange(count).unsqueeze(1)
    cells[:, :, 1 + axis] = torch.arange(-span, span + 1)
    return cells.view(-1, 4)


def farthest_change(encoder: PointEncoder, axis: int, offset: float | None = None) -> int:
    """The greatest distance from a changed voxel to a changed result, over all its positions."""
    span, stride = encoder.reach + 2 * encoder.stride, encoder.stride
    cells = lines(span, axis, stride)
    feats = torch.ones(len(cells), 1, dtype=torch.float64)
    changed = feats.view(stride, -1).clone()
    # In cloud n the voxel at n: every position within the coarsest cells. The number is so great
    # that what is left of it at the end of its reach still changes a float64.
    changed[torch.arange(stride), span + torch.arange(stride)] = 1e40
    network = cast(Any, encoder.network.double())
    arguments = {}
    if offset is not None:
        arguments = {"offsets": torch.full((len(cells), 3), offset, dtype=torch.float64)}
    with torch.no_grad():
        before, after = (
            network(SparseTensor(cells, each), Plan(cells), **arguments)
            for each in (feats, changed.view(-1, 1))
        )
    rows = (before != after).any(dim=1)
    return int((cells[rows, 1 + axis] - cells[rows, 0]).abs().max())


@pytest.mark.parametrize("axis", [0, 1, 2], ids=["x", "y", "z"])
@pytest.mark.parametrize(("architecture", "config"), CASES, ids=str)
def test_reach_is_where_influence_ends(
    architecture: str, config: dict[str, Any], axis: int
) -> None:
    encoder = transparent(architecture, config)
    if architecture == "spvcnn":
        # Points at the edges of their voxels read one cell farther than those in the middle.
        found = [farthest_change(encoder, axis, offset) for offset in (-0.5, 0.5)]
        assert max(found) == encoder.reach
    else:
        assert farthest_change(encoder, axis) == encoder.reach


@pytest.mark.parametrize("axis", [0, 1, 2], ids=["x", "y", "z"])
@pytest.mark.parametrize("config", CONFIGS["minkunet"], ids=str)
def test_the_native_engine_has_the_same_reach(config: dict[str, Any], axis: int) -> None:
    native = native_twin(transparent("minkunet", config))
    span, stride = native.reach + 2 * native.stride, native.stride
    # One cloud only: the lines lie beside each other, farther apart than they reach.
    apart = -(-(2 * native.reach + 1) // stride) * stride
    cells = lines(span, axis, stride).numpy()
    cells[:, 1 + (axis + 1) % 3] = cells[:, 0] * apart
    order = np.lexsort(cells[:, :0:-1].T)
    numbers, along = cells[order, 0], cells[order, 1 + axis]
    feats = np.ones((len(cells), 1), np.float32)
    changed = feats.copy()
    changed[along == numbers] = 1e30
    # The last layer's results, not unit vectors: the square of such a length is not finite.
    before, after = (
        np.concatenate([*native._last_layer(cells[order, 1:], each, *native._head.layer())])
        for each in (feats, changed)
    )
    assert np.isfinite(after).all()
    rows = (before != after).any(axis=1)
    assert np.abs(along[rows] - numbers[rows]).max() == native.reach
