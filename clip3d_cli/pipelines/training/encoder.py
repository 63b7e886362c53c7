"""Point network at the start of a training: new, or from a weights file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from clip3d_cli.core.embeddings import FeatureSpace
from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.encoders.spec import EncoderSpec
from clip3d_cli.encoders.weights_torch import load_encoder
from clip3d_cli.pipelines.training.config import EncoderOptions
from clip3d_cli.sparse.backend import Backend

# Factor of the similarities until it is calibrated at the end.
_INITIAL_LOGIT_SCALE = 14.0


def new_encoder(
    options: EncoderOptions, space: FeatureSpace, text_encoder: str, backend: Backend
) -> PointEncoder:
    """Return an encoder with random weights, which follow from PyTorch's seed.

    Args:
        options: architecture and size.
        space: feature space of the words that it will be compared with.
        text_encoder: name of the text encoder that embeds these words.
        backend: backend of its convolutions.
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
        logit_scale=_INITIAL_LOGIT_SCALE,
    )
    return PointEncoder(spec, backend=backend)


def encoder_from_file(
    path: Path,
    space: FeatureSpace,
    owner: str,
    backend: Backend,
    *,
    voxel_sizes_m: tuple[float, ...] = (),
) -> PointEncoder:
    """Return the encoder of a weights file, with its own network and input channels.

    Args:
        path: weights file.
        space: feature space of the words that it will be compared with.
        owner: what is of that space, for the error message.
        backend: backend of its convolutions.
        voxel_sizes_m: voxel edge lengths that replace its own, metres; empty to keep its own.

    Raises:
        SetupError: E_WEIGHTS: the file holds no encoder; E_SPACE_MISMATCH: the encoder is of
            another feature space.
    """
    encoder = load_encoder(path)
    encoder.space.require(space, owner)
    spec = replace(encoder.spec, voxel_sizes_m=voxel_sizes_m or encoder.spec.voxel_sizes_m)
    return PointEncoder(spec, encoder.network, backend=backend)
