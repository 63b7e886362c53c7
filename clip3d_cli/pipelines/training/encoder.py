"""The point network that a training begins with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from clip3d_cli.core.vocabulary import FeatureSpace
from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.encoders.spec import EncoderSpec
from clip3d_cli.encoders.weights_torch import load_encoder
from clip3d_cli.pipelines.training.config import EncoderOptions
from clip3d_cli.sparse.backend import Backend

_START_SCALE = 14.0


def fresh_encoder(
    options: EncoderOptions, space: FeatureSpace, text_encoder: str, backend: Backend
) -> PointEncoder:
    """An encoder whose weights follow from PyTorch's seed.

    Args:
        options: which network.
        space: of the words that it will be compared with.
        text_encoder: the name of what embeds them.
        backend: computes its convolutions.
    """
    shape = {"width": options.width}
    if options.architecture == "minkunet":
        shape["layers"] = options.layers
    spec = EncoderSpec(
        architecture=options.architecture,
        config=shape,
        inputs=options.inputs,
        voxel_sizes_m=options.voxel_sizes_m,
        space=space,
        text_encoder=text_encoder,
        logit_scale=_START_SCALE,
    )
    return PointEncoder(spec, backend=backend)


def stored_encoder(
    path: Path,
    space: FeatureSpace,
    what: str,
    backend: Backend,
    *,
    voxel_sizes_m: tuple[float, ...] = (),
) -> PointEncoder:
    """The encoder of a file, with its network and its inputs.

    Args:
        path: a file of weights.
        space: of the words that it will be compared with.
        what: they are, for the refusal.
        backend: computes its convolutions.
        voxel_sizes_m: instead of its own, metres; empty for these.

    Raises:
        SetupError: E_WEIGHTS, it is no encoder; E_SPACE_MISMATCH, it lives in another space.
    """
    encoder = load_encoder(path)
    encoder.space.require(space, what)
    spec = replace(encoder.spec, voxel_sizes_m=voxel_sizes_m or encoder.spec.voxel_sizes_m)
    return PointEncoder(spec, encoder.network, backend=backend)
