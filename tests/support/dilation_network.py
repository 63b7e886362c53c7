"""A MinkUNet with weights set by hand whose output depends on the farthest voxel in its reach.

Random weights hardly react to voxels far away, so a test with them cannot see that a halo is too
narrow. Here every convolution is a binary dilation: a voxel is flagged where any voxel in its
receptive field is. One far voxel, added or lost, moves the similarity by 1.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from clip3d_cli.core.embeddings import ClassEmbeddings, FeatureSpace
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.encoders.spec import EncoderSpec
from clip3d_cli.sparse.layers import BatchNorm

SPACE = FeatureSpace("flags", 2)
# Class 0: no voxel in the receptive field is flagged. Class 1: at least one is.
CLASSES = ClassEmbeddings(
    np.eye(2, dtype=np.float32),
    np.array([0, 1], np.int32),
    Vocabulary.from_names(["nothing", "flagged"]),
    SPACE,
)
_CENTER = 13


def dilation_encoder(
    channel: str, *, over: float, voxel_m: float, same_voxel: bool = False
) -> PointEncoder:
    """Return an encoder that flags each voxel near which an input channel exceeds a threshold.

    "Near" is the whole receptive field of the network. A feature is held as two channels,
    relu(s) and relu(s - 1), whose difference is min(s, 1) for a sum s >= 0 over the kernel.

    Args:
        channel: name of the input channel.
        over: threshold of the channel.
        voxel_m: voxel size that the encoder takes by default, metres.
        same_voxel: apply the threshold to each voxel alone, where the channel may be below the
            threshold elsewhere. Otherwise the first convolution sums over its 27 cells, so the
            receptive field is complete, but the channel must nowhere be below the threshold.
    """
    spec = EncoderSpec(
        architecture="minkunet",
        config={"layers": 14, "width": 0.125},
        inputs=("one", channel),
        voxel_sizes_m=(voxel_m,),
        space=SPACE,
        text_encoder="mini",
        logit_scale=5.0,
    )
    encoder = PointEncoder(spec).eval()
    with torch.no_grad():
        for tensor in encoder.network.parameters():
            tensor.zero_()
        for name, module in encoder.network.named_modules():
            if isinstance(module, BatchNorm):
                _set_norm(module, _channel_of_excess(name))
        _set_stem(encoder.network, over, [_CENTER] if same_voxel else slice(None))
        for weight, inputs, outputs in _convolutions(encoder.network):
            for first in inputs:
                weight[:, first, outputs] = 1
                weight[:, first + 1, outputs] = -1
        _set_head(encoder.network)
    return encoder


def _set_stem(network: nn.Module, over: float, offsets: list[int] | slice) -> None:
    """Let s be 8 times the sum of (channel - over) at some offsets of the kernel."""
    for output in (0, 1):
        network.stem.weight[offsets, 0, output] = -8 * over
        network.stem.weight[offsets, 1, output] = 8


def _set_head(network: nn.Module) -> None:
    """Let the vector be (1 - flag, flag), of unit length for a flag of 0 or 1."""
    network.head.bias.copy_(torch.tensor([1.0, 0.0]))
    flag = torch.tensor([1.0, -1.0, 1.0, -1.0])
    network.head.weight[0, :4] = -flag
    network.head.weight[1, :4] = flag


def _convolutions(network: nn.Module) -> Iterator[tuple[Tensor, list[int], list[int]]]:
    """Yield weights, where the features to read begin, and the two channels to write.

    A block leaves its input in channels 0 and 1 where it has no shortcut layer, so its second
    convolution writes to 2 and 3; whatever follows reads both.
    """
    for stage in (*network.down, *network.up):
        yield stage.conv.weight, [0, 2], [0, 1]
        (block,) = stage.blocks
        # On the way up, the skip's channels stand behind those of the level below.
        moved, joined = stage.conv.weight.shape[2], block.conv1.weight.shape[1]
        yield block.conv1.weight, [0, 2, moved, moved + 2] if joined > moved else [0, 2], [0, 1]
        yield block.conv2.weight, [0], [2, 3]


def _channel_of_excess(norm: str) -> int | None:
    """Return the channel that is relu(s - 1) after a normalization layer, by the layer's name."""
    if "shortcut" in norm:
        return None
    return 3 if norm.endswith("norm2") else 1


def _set_norm(norm: BatchNorm, excess: int | None) -> None:
    """Let a normalization layer do nothing but subtract 1 in one channel."""
    nn.init.zeros_(norm.running_mean)
    nn.init.constant_(norm.running_var, 1 - norm.eps)
    nn.init.ones_(norm.weight)
    if excess is not None:
        norm.bias[excess] = -1
