"""The sizes of the MinkUNet family (Choy et al. 2019), whatever computes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

STEM_CHANNELS = 32
_PLANES_A = (32, 64, 128, 256, 128, 128, 96, 96)
_PLANES_C = (32, 64, 128, 256, 256, 128, 96, 96)
_BLOCKS_AND_PLANES = {
    14: ((1, 1, 1, 1, 1, 1, 1, 1), _PLANES_A),
    18: ((2, 2, 2, 2, 2, 2, 2, 2), _PLANES_A),
    34: ((2, 3, 4, 6, 2, 2, 2, 2), _PLANES_C),
}


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a U-Net, down to cells twice as wide or up to cells half as wide.

    Attributes:
        inner: channels that come from the level before.
        moved: channels of the convolution between the levels.
        skip: channels that join from the way down; 0 on the way down.
        outer: channels of the blocks, and of the answer.
        blocks: how many residual blocks.
    """

    inner: int
    moved: int
    skip: int
    outer: int
    blocks: int


@dataclass(frozen=True, slots=True)
class UNetShape:
    """The sizes of one MinkUNet.

    Attributes:
        in_channels: C of the input features.
        out_channels: D of the vectors.
        layers: 14, 18 or 34: one, two, or 2-3-4-6-2-2-2-2 residual blocks a stage.
        width: all inner channels times this, to the nearest multiple of eight.
        stem_kernel: the edge of the first convolution, 3 or 5 cells (OpenScene: 5).
        head_bias: whether the last, linear layer has a bias (OpenScene: no).

    Raises:
        ValueError: no such number of layers, no such stem, or a negative number of channels.
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
            raise ValueError(f"a stem has 3 or 5 cells an edge, not {self.stem_kernel}")
        if min(self.in_channels, self.out_channels) < 0:
            raise ValueError(f"channels are negative: {self.in_channels}, {self.out_channels}")

    @property
    def stem(self) -> int:
        """Channels after the first convolution."""
        return self._planes[0]

    @property
    def _planes(self) -> tuple[int, ...]:
        """Channels of the stem and the eight stages."""
        if self.channels:
            return tuple(self.channels)
        return scaled((STEM_CHANNELS, *_BLOCKS_AND_PLANES[self.layers][1]), self.width)

    @property
    def _counts(self) -> tuple[int, ...]:
        """Residual blocks of the eight stages."""
        return tuple(self.blocks) or _BLOCKS_AND_PLANES[self.layers][0]

    @property
    def down(self) -> tuple[Stage, ...]:
        """The four stages down."""
        blocks, channels = self._counts, self._planes[:5]
        return tuple(
            Stage(channels[i], channels[i], 0, channels[i + 1], blocks[i]) for i in range(4)
        )

    @property
    def up(self) -> tuple[Stage, ...]:
        """The four stages up."""
        blocks, channels = self._counts, self._planes[4:]
        down = self.down
        return tuple(
            Stage(channels[i], channels[i + 1], down[3 - i].inner, channels[i + 1], blocks[4 + i])
            for i in range(4)
        )

    @property
    def trunk(self) -> int:
        """Channels before the head."""
        return self.up[-1].outer

    @property
    def reach(self) -> int:
        """How many voxels away the input can still change an answer: see `unet_reach`."""
        blocks = self._counts
        return unet_reach(self.stem_kernel // 2, blocks[:4], blocks[4:])

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """The shape of every tensor of the network, by its name in files."""
        shapes = _conv("stem", self.stem_kernel, self.in_channels, self.stem)
        shapes |= _norm("stem_norm", self.stem)
        for side, stages in (("down", self.down), ("up", self.up)):
            for number, stage in enumerate(stages):
                shapes |= _stage(f"{side}.{number}", stage)
        shapes["head.weight"] = (self.out_channels, self.trunk)
        if self.head_bias:
            shapes["head.bias"] = (self.out_channels,)
        return shapes


def scaled(planes: Iterable[int], width: float) -> tuple[int, ...]:
    """Channels times ``width``, to the nearest multiple of eight, at least eight."""
    return tuple(max(8, round(channels * width / 8) * 8) for channels in planes)


def unet_reach(stem: int, down: Sequence[int], up: Sequence[int]) -> int:
    """How many cells away an input voxel can still change a U-Net's answer.

    An input cell's influence is followed through every level as an interval of cells, for every
    place the cell can have among the widest cells; the farthest end counts.

    Args:
        stem: reach of the convolutions at stride 1 before the first stage, in cells.
        down: residual blocks of each stage down; each block reaches two cells of its stride.
        up: residual blocks of each stage up.
    """
    farthest = 0
    for cell in range(1 << len(down)):
        first, last = cell - stem, cell + stem
        skips = []
        for blocks in down:
            skips.append((first, last))
            first, last = (first >> 1) - 2 * blocks, (last >> 1) + 2 * blocks
        for blocks in up:
            skip = skips.pop()
            first = min(2 * first, skip[0]) - 2 * blocks
            last = max(2 * last + 1, skip[1]) + 2 * blocks
        farthest = max(farthest, cell - first, last - cell)
    return farthest


def _stage(name: str, stage: Stage) -> dict[str, tuple[int, ...]]:
    shapes = _conv(f"{name}.conv", 2, stage.inner, stage.moved) | _norm(f"{name}.norm", stage.moved)
    joined = stage.moved + stage.skip
    for number in range(stage.blocks):
        block, outer = f"{name}.blocks.{number}", stage.outer
        shapes |= _conv(f"{block}.conv1", 3, joined, outer) | _norm(f"{block}.norm1", outer)
        shapes |= _conv(f"{block}.conv2", 3, outer, outer) | _norm(f"{block}.norm2", outer)
        if joined != outer:
            shapes[f"{block}.shortcut.0.weight"] = (outer, joined)
            shapes |= _norm(f"{block}.shortcut.1", outer)
        joined = outer
    return shapes


def _conv(name: str, size: int, inner: int, outer: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (size**3, inner, outer)}


def _norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    leaves = ("weight", "bias", "running_mean", "running_var")
    counted: dict[str, tuple[int, ...]] = {f"{name}.num_batches_tracked": ()}
    return counted | {f"{name}.{leaf}": (channels,) for leaf in leaves}
