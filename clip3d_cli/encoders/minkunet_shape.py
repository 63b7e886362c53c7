"""Sizes of the MinkUNet family: channels, tensors and receptive field, without PyTorch.

Source: Choy et al., "4D Spatio-Temporal ConvNets: Minkowski Convolutional Neural Networks" (2019),
and its implementation in MinkowskiEngine (``examples/minkunet.py``: MinkUNet14A, 18A, 34C).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

STEM_CHANNELS = 32
_PLANES_A = (32, 64, 128, 256, 128, 128, 96, 96)
_PLANES_C = (32, 64, 128, 256, 256, 128, 96, 96)
# By number of layers: residual blocks and channels of the eight stages, four down and four up.
_BLOCKS_AND_PLANES = {
    14: ((1, 1, 1, 1, 1, 1, 1, 1), _PLANES_A),
    18: ((2, 2, 2, 2, 2, 2, 2, 2), _PLANES_A),
    34: ((2, 3, 4, 6, 2, 2, 2, 2), _PLANES_C),
}


@dataclass(frozen=True, slots=True)
class Stage:
    """Sizes of one stage of a U-Net: a convolution between levels, then residual blocks.

    Attributes:
        in_channels: channels of the features that enter the stage.
        conv_channels: channels after the convolution between the levels.
        skip_channels: channels of the skip connection that joins them; 0 on the way down.
        out_channels: channels of the residual blocks and of the result.
        blocks: number of residual blocks.
    """

    in_channels: int
    conv_channels: int
    skip_channels: int
    out_channels: int
    blocks: int


@dataclass(frozen=True, slots=True)
class MinkUNetShape:
    """Sizes of one MinkUNet.

    Attributes:
        in_channels: C of the input features.
        out_channels: D of the result.
        layers: 14, 18 or 34: 1, 2, or 2-3-4-6-2-2-2-2 residual blocks per stage.
        width: factor of all inner channels, which are rounded to multiples of eight.
        stem_kernel: edge of the first convolution in cells, 3 or 5 (OpenScene: 5).
        head_bias: whether the last, linear layer has a bias (OpenScene: no).
        channels: channels of the stem and the eight stages, instead of those of ``layers`` times
            ``width``; empty for those.
        blocks: residual blocks of the eight stages, instead of those of ``layers``; empty for
            those.

    Raises:
        ValueError: an unsupported number of layers or stem, other numbers of stages,
            or numbers of channels or blocks that are too low.
    """

    in_channels: int
    out_channels: int
    layers: int = 18
    width: float = 1.0
    stem_kernel: int = 3
    head_bias: bool = True
    channels: Sequence[int] = ()
    blocks: Sequence[int] = ()

    def __post_init__(self) -> None:
        if self.layers not in _BLOCKS_AND_PLANES:
            raise ValueError(
                f"a MinkUNet has {sorted(_BLOCKS_AND_PLANES)} layers, not {self.layers}"
            )
        if self.stem_kernel not in (3, 5):
            raise ValueError(f"a stem has an edge of 3 or 5 cells, not {self.stem_kernel}")
        if min(self.in_channels, self.out_channels) < 0:
            raise ValueError(
                f"numbers of channels are negative: {self.in_channels}, {self.out_channels}"
            )

        if len(self.channels) not in (0, 9) or min(self.channels, default=1) < 1:
            raise ValueError(f"channels are of a stem and eight stages, not {self.channels}")
        if len(self.blocks) not in (0, 8) or min(self.blocks, default=1) < 1:
            raise ValueError(f"blocks are of eight stages, not {self.blocks}")

    @property
    def stem_channels(self) -> int:
        """Channels after the first convolution."""
        return self._channels[0]

    @property
    def _channels(self) -> tuple[int, ...]:
        """Channels of the stem and the eight stages."""
        if self.channels:
            return tuple(self.channels)
        return scale_channels((STEM_CHANNELS, *_BLOCKS_AND_PLANES[self.layers][1]), self.width)

    @property
    def _blocks(self) -> tuple[int, ...]:
        """Residual blocks of the eight stages."""
        return tuple(self.blocks) or _BLOCKS_AND_PLANES[self.layers][0]

    @property
    def down(self) -> tuple[Stage, ...]:
        """The four stages down, the finest first."""
        blocks, channels = self._blocks, self._channels[:5]
        return tuple(
            Stage(channels[i], channels[i], 0, channels[i + 1], blocks[i]) for i in range(4)
        )

    @property
    def up(self) -> tuple[Stage, ...]:
        """The four stages up, the coarsest first."""
        blocks, channels = self._blocks, self._channels[4:]
        down = self.down
        # Stage up i ends at the level that stage down 3 − i started from.
        return tuple(
            Stage(
                channels[i],
                channels[i + 1],
                down[3 - i].in_channels,
                channels[i + 1],
                blocks[4 + i],
            )
            for i in range(4)
        )

    @property
    def trunk_channels(self) -> int:
        """Channels of the features that the head reads."""
        return self.up[-1].out_channels

    @property
    def reach(self) -> int:
        """Radius of the receptive field in voxels: see `unet_reach`."""
        blocks = self._blocks
        return unet_reach(self.stem_kernel // 2, blocks[:4], blocks[4:])

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every tensor of the network, by its name in weights files."""
        shapes = _conv_shapes("stem", self.stem_kernel, self.in_channels, self.stem_channels)
        shapes |= _norm_shapes("stem_norm", self.stem_channels)
        for side, stages in (("down", self.down), ("up", self.up)):
            for number, stage in enumerate(stages):
                shapes |= _stage_shapes(f"{side}.{number}", stage)
        shapes["head.weight"] = (self.out_channels, self.trunk_channels)
        if self.head_bias:
            shapes["head.bias"] = (self.out_channels,)
        return shapes


def scale_channels(planes: Iterable[int], width: float) -> tuple[int, ...]:
    """Return channels times ``width``, rounded to multiples of eight, at least eight."""
    return tuple(max(8, round(channels * width / 8) * 8) for channels in planes)


def unet_reach(stem_radius: int, down_blocks: Sequence[int], up_blocks: Sequence[int]) -> int:
    """Return the radius of a U-Net's receptive field: how far away a voxel can change a result.

    The influence of one input voxel is followed through the network as the interval of cells, on
    one axis, that it can have changed. How the interval grows where the stride changes depends on
    the voxel's position within the coarsest cell, so all positions are tried.

    Args:
        stem_radius: radius of the convolutions at stride 1 before the first stage, in cells.
        down_blocks: residual blocks of each stage down.
        up_blocks: residual blocks of each stage up.

    Returns:
        The greatest distance, in voxels along any axis, from the input to a changed result.
    """
    farthest = 0
    for cell in range(1 << len(down_blocks)):
        first, last = cell - stem_radius, cell + stem_radius
        skips = []
        for blocks in down_blocks:
            skips.append((first, last))
            # The convolution changes the parents; each block's two 3³ convolutions reach two
            # cells of the coarser level.
            first, last = (first >> 1) - 2 * blocks, (last >> 1) + 2 * blocks
        for blocks in up_blocks:
            skip = skips.pop()
            # A coarse cell changes both of its children; the skip connection may reach farther.
            first = min(2 * first, skip[0]) - 2 * blocks
            last = max(2 * last + 1, skip[1]) + 2 * blocks
        farthest = max(farthest, cell - first, last - cell)
    return farthest


def _stage_shapes(name: str, stage: Stage) -> dict[str, tuple[int, ...]]:
    shapes = _conv_shapes(f"{name}.conv", 2, stage.in_channels, stage.conv_channels)
    shapes |= _norm_shapes(f"{name}.norm", stage.conv_channels)
    channels_in, channels_out = stage.conv_channels + stage.skip_channels, stage.out_channels
    for number in range(stage.blocks):
        block = f"{name}.blocks.{number}"
        shapes |= _conv_shapes(f"{block}.conv1", 3, channels_in, channels_out)
        shapes |= _norm_shapes(f"{block}.norm1", channels_out)
        shapes |= _conv_shapes(f"{block}.conv2", 3, channels_out, channels_out)
        shapes |= _norm_shapes(f"{block}.norm2", channels_out)
        if channels_in != channels_out:
            shapes[f"{block}.shortcut.0.weight"] = (channels_out, channels_in)
            shapes |= _norm_shapes(f"{block}.shortcut.1", channels_out)
        channels_in = channels_out
    return shapes


def _conv_shapes(
    name: str, size: int, channels_in: int, channels_out: int
) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (size**3, channels_in, channels_out)}


def _norm_shapes(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    leaves = ("weight", "bias", "running_mean", "running_var")
    counter: dict[str, tuple[int, ...]] = {f"{name}.num_batches_tracked": ()}
    return counter | {f"{name}.{leaf}": (channels,) for leaf in leaves}
