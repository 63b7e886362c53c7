"""MinkUNets on CPUs without PyTorch: numpy arrays through the native engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.encoders.native.head import NativeHead
from clip3d_cli.encoders.scoring import (
    ClassQuery,
    RankedClasses,
    rank_by_logits,
    rank_by_similarity,
)
from clip3d_cli.encoders.spec import EncoderSpec, HeadName
from clip3d_cli.encoders.unet import Stage, UNetShape
from clip3d_cli.encoders.weights_file import State, check_tensors, read_weights, weights_fault
from clip3d_cli.sparse.numpy_engine import (
    ArrayEngine,
    Feats,
    Finish,
    Floats,
    KernelMap,
    Packed,
    keys_of,
)

ARCHITECTURE = "minkunet"
LEVELS = 5

_NORM_EPSILON = 1e-5
_LEAST_LENGTH = 1e-6
_CHUNK_NUMBERS = 1 << 20
_MEMORY = 2_000_000_000
_MAP_BYTES = 200


@dataclass(frozen=True, slots=True, eq=False)
class _Conv:
    """A convolution with the normalisation behind it, folded.

    Attributes:
        weights: one for each of the features that stand side by side.
        scale, shift: (Cout,) float32.
    """

    weights: tuple[Packed, ...]
    scale: Floats
    shift: Floats

    def parts(self, feats: Sequence[Feats]) -> list[tuple[Feats, Packed]]:
        return list(zip(feats, self.weights, strict=True))

    def finish(self, residual: Feats | None = None, *, relu: bool = True) -> Finish:
        return Finish(self.scale, self.shift, residual, relu)


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """A residual block; without a shortcut its input is added as it is."""

    conv1: _Conv
    conv2: _Conv
    shortcut: _Conv | None


@dataclass(frozen=True, slots=True, eq=False)
class _Stage:
    """A convolution between levels, then residual blocks."""

    conv: _Conv
    blocks: tuple[_Block, ...]


class NativeEncoder:
    """Compares voxels with words, on a CPU.

    The vectors themselves are never made: for a voxel whose last features are x, with the head's
    weight H and bias b, a word w is as near as (x H w + b w) / |x H + b|; H w and b w are one
    small matrix for all words, and the length of x H + b is that of x R + r, where (R, r) is the
    triangular factor of (H, b), of as few columns as x has. Through a closed head, x H + b are the
    logits of its classes, and these are ranked as they are.

    Args:
        spec: of architecture ``minkunet``.
        state: the network's tensors, float32.
        path: where they come from, for messages.
        precision: ``exact``, ``high`` or ``fast``: see `clip3d_cli.sparse.backend.Backend`.
        threads: how many; answers do not depend on it.

    Raises:
        SetupError: E_WEIGHTS, the tensors are not those of the network.
        NotUsable: the library is not there.
    """

    stride = 1 << (LEVELS - 1)

    def __init__(
        self,
        spec: EncoderSpec,
        state: State,
        path: Path = Path("weights"),
        *,
        precision: str = "exact",
        threads: int | None = None,
    ) -> None:
        try:
            shape = UNetShape(len(spec.inputs), spec.space.dim, **spec.config)
            check_tensors(shape.tensors(), state, path)
        except (TypeError, ValueError, OverflowError) as error:
            raise weights_fault(
                path, f"describes a network that cannot be built: {error}"
            ) from error
        self.spec = spec
        self.reach = shape.reach
        self.max_voxels = _MEMORY // _bytes_a_voxel(shape)
        self.engine = ArrayEngine(precision, threads)
        self._stem_kernel = shape.stem_kernel
        layers = _Layers(state, self.engine)
        self._stem = layers.conv("stem.weight", "stem_norm", (shape.in_channels,))
        self._down = [layers.stage(f"down.{i}", stage) for i, stage in enumerate(shape.down)]
        self._up = [layers.stage(f"up.{i}", stage) for i, stage in enumerate(shape.up)]
        self._head = NativeHead.of(state["head.weight"], state.get("head.bias"))

    @classmethod
    def load(
        cls, path: Path, *, precision: str = "exact", head: HeadName = "text"
    ) -> NativeEncoder:
        """The encoder of a file, answering through one of its heads.

        Raises:
            SetupError: E_WEIGHTS: it is no file of weights, or its tensors do not fit.
            NotUsable: the library is not there.
        """
        return cls(*read_weights(path, head), path, precision=precision)

    def classify(
        self, cells: npt.NDArray[np.int32], channels: Floats, query: ClassQuery
    ) -> RankedClasses:
        """The nearest classes of every voxel: see `VoxelEncoder`."""
        scale = self.spec.logit_scale
        if self.spec.head == "closed":
            logits = self._answers(cells, channels, *self._head.plain())
            ranked = (rank_by_logits(chunk, query, scale) for chunk in logits)
        else:
            chunks = self.similarities(cells, channels, query.words)
            ranked = (rank_by_similarity(chunk, query, scale) for chunk in chunks)
        return RankedClasses.joined(ranked, query.width)

    def embed(self, cells: npt.NDArray[np.int32], channels: Floats) -> Floats:
        """Return a unit vector for every voxel: see `VoxelEncoder`."""
        if self.spec.head == "closed":
            raise ValueError("a closed head has no vectors in the text space")
        # The components of a unit vector are its cosines with the axes.
        axes = np.eye(self.spec.space.dim, dtype=np.float32)
        parts = [np.zeros((0, len(axes)), np.float32), *self.similarities(cells, channels, axes)]
        return np.concatenate(parts)

    def similarities(
        self, cells: npt.NDArray[np.int32], channels: Floats, words: Floats
    ) -> Iterator[Floats]:
        """How near every voxel is to every word, (M, W), some rows after others.

        Args:
            cells: (M, 3) int32, sorted by x, then y, then z; unique.
            channels: (M, C) float32.
            words: (W, D) float32, unit length.

        Raises:
            InputError: E_VOXEL_RANGE, a cell beyond what keys hold.
            ValueError: the cells are not sorted, or C is another.
        """
        for answer in self._answers(cells, channels, *self._head.asked(words)):
            length = np.sqrt(np.square(answer[:, : -len(words)]).sum(axis=1, keepdims=True))
            yield answer[:, -len(words) :] / np.maximum(length, np.float32(_LEAST_LENGTH))

    def _answers(
        self, cells: npt.NDArray[np.int32], channels: Floats, weight: Floats, shift: Floats
    ) -> Iterator[Floats]:
        """What a last layer (C, A) with a shift (A,) makes of every voxel, some rows at a time."""
        if channels.shape[1] != len(self.spec.inputs):
            raise ValueError(
                f"the encoder takes {len(self.spec.inputs)} channels "
                f"({', '.join(self.spec.inputs)}), not {channels.shape[1]}"
            )
        packed = self.engine.pack(weight[None])
        feats = self._trunk(_Geometry(self.engine, keys_of(cells), self._stem_kernel), channels)
        rows = max(1, _CHUNK_NUMBERS // len(shift))
        for start in range(0, len(feats), rows):
            yield self.engine.linear(feats[start : start + rows], packed, shift)

    def _trunk(self, geometry: _Geometry, channels: Floats) -> Feats:
        """(M, C): what the head turns into vectors; as `MinkUNet.trunk`."""
        convolve = self.engine.convolve
        channels = np.ascontiguousarray(channels, dtype=np.float32)
        feats = convolve(self._stem.parts([channels]), geometry.stem, self._stem.finish())
        skips = []
        for level, stage in enumerate(self._down):
            skips.append(feats)
            feats = convolve(
                stage.conv.parts([feats]), geometry.between[level], stage.conv.finish()
            )
            feats = self._blocks(stage.blocks, [feats], geometry.same[level + 1])
        for stage in self._up:
            level = len(skips) - 1
            between = geometry.between[level]
            feats = convolve(stage.conv.parts([feats]), between, stage.conv.finish(), reverse=True)
            feats = self._blocks(stage.blocks, [feats, skips.pop()], geometry.same[level])
        return feats

    def _blocks(self, blocks: Sequence[_Block], feats: list[Feats], kernel_map: KernelMap) -> Feats:
        """Residual blocks one after another; the features given are overwritten."""
        convolve = self.engine.convolve
        for block in blocks:
            inner = convolve(block.conv1.parts(feats), kernel_map, block.conv1.finish())
            if block.shortcut is not None:
                finish = block.shortcut.finish(relu=False)
                feats = [convolve(block.shortcut.parts(feats), None, finish)]
            finish = block.conv2.finish(feats[0])
            feats = [convolve(block.conv2.parts([inner]), kernel_map, finish)]
        return feats[0]


def _bytes_a_voxel(shape: UNetShape) -> int:
    """What a voxel takes at the worst moment, in the last stage's first block."""
    last = shape.up[-1]
    return 4 * (last.moved + last.skip + 2 * last.outer) + _MAP_BYTES


class _Geometry:
    """The kernel maps of one cloud at all levels.

    Attributes:
        stem: of the first convolution.
        same: by level, of 3³ convolutions onto the same cells.
        between: by the finer level, of convolutions to the coarser one and back.
    """

    def __init__(self, engine: ArrayEngine, keys: npt.NDArray[np.int64], stem_kernel: int) -> None:
        self.same = [engine.submanifold_map(keys, 3)]
        self.stem = self.same[0] if stem_kernel == 3 else engine.submanifold_map(keys, stem_kernel)
        self.between = []
        for _ in range(LEVELS - 1):
            parents, parent_rows = engine.coarser(keys)
            self.between.append(engine.strided_map(keys, parent_rows, len(parents)))
            self.same.append(engine.submanifold_map(parents, 3))
            keys = parents


class _Layers:
    """Makes layers of a file's tensors."""

    def __init__(self, state: State, engine: ArrayEngine) -> None:
        self._state = state
        self._engine = engine

    def stage(self, name: str, stage: Stage) -> _Stage:
        conv = self.conv(f"{name}.conv.weight", f"{name}.norm", (stage.inner,))
        blocks = []
        inner: tuple[int, ...] = (stage.moved, stage.skip) if stage.skip else (stage.moved,)
        for number in range(stage.blocks):
            block = f"{name}.blocks.{number}"
            shortcut = f"{block}.shortcut"
            blocks.append(
                _Block(
                    self.conv(f"{block}.conv1.weight", f"{block}.norm1", inner),
                    self.conv(f"{block}.conv2.weight", f"{block}.norm2", (stage.outer,)),
                    self.conv(f"{shortcut}.0.weight", f"{shortcut}.1", inner)
                    if sum(inner) != stage.outer
                    else None,
                )
            )
            inner = (stage.outer,)
        return _Stage(conv, tuple(blocks))

    def conv(self, name: str, norm: str, inner: tuple[int, ...]) -> _Conv:
        """The convolution of features of ``inner`` channels that stand side by side."""
        weight = self._state[name]
        if weight.ndim == 2:
            # A linear layer's is (Cout, Cin).
            weight = weight.T[None]
        ends = np.cumsum(inner)
        columns = np.split(weight, ends[:-1], axis=1)
        values = (self._state[f"{norm}.{leaf}"] for leaf in ("weight", "bias"))
        mean, variance = (self._state[f"{norm}.running_{leaf}"] for leaf in ("mean", "var"))
        factor, bias = values
        scale = factor / np.sqrt(variance + np.float32(_NORM_EPSILON))
        packed = tuple(self._engine.pack(part) for part in columns)
        return _Conv(packed, scale, bias - mean * scale)
