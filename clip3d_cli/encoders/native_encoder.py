"""MinkUNet encoder on CPUs without PyTorch: numpy arrays and the native library.

Labelling never computes the vectors of voxels. With the features x of a voxel before the head, the
head's weight H (C × D) and bias b, the similarity to a word w of unit length is

    (x H + b) · w / |x H + b|.

* Numerator: x (H w) + b · w. H w and b · w are computed once for all words: W columns, not D.
* Denominator: append a 1 to x and b as a last row to H, so that x H + b becomes x H. With the QR
  decomposition Hᵀ = Q R, where Q has orthonormal columns,

      |x H|² = x H Hᵀ xᵀ = x Rᵀ Qᵀ Q R xᵀ = |x Rᵀ|²,

  and Rᵀ has at most C + 1 columns.

With C = 96 features, 512 dimensions and 8 words these are 105 columns and not 512 + 8.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.encoders.minkunet_shape import MinkUNetShape, Stage
from clip3d_cli.encoders.scoring import (
    ClassQuery,
    RankedClasses,
    rank_by_logits,
    rank_by_similarity,
)
from clip3d_cli.encoders.spec import EncoderSpec, HeadName
from clip3d_cli.encoders.weights_file import State, check_tensors, read_weights, weights_error
from clip3d_cli.sparse.numpy_engine import (
    Epilogue,
    Feats,
    Floats,
    KernelMap,
    Keys,
    NumpyEngine,
    PackedWeight,
    pack_sorted_cells,
)

ARCHITECTURE = "minkunet"
LEVELS = 5

_NORM_EPSILON = 1e-5
_MIN_LENGTH = np.float32(1e-6)
# The last layer is computed in blocks of rows with this many results, 16 MB. Smaller blocks are
# slower: the threads wait for each other once per block.
_BLOCK_NUMBERS = 1 << 22
_MEMORY_BYTES = 2_000_000_000
# Measured: kernel maps of all levels, per finest voxel.
_MAP_BYTES_PER_VOXEL = 200


@dataclass(frozen=True, slots=True, eq=False)
class _Convolution:
    """A convolution with the batch normalization after it, folded into its epilogue.

    Attributes:
        weights: (K³, Cin, Cout) each, one per part of the input features.
        scale: (Cout,) float32.
        shift: (Cout,) float32.
    """

    weights: tuple[PackedWeight, ...]
    scale: Floats
    shift: Floats

    def parts(self, feats: Sequence[Feats]) -> list[tuple[Feats, PackedWeight]]:
        return list(zip(feats, self.weights, strict=True))

    def epilogue(self, residual: Feats | None = None, *, relu: bool = True) -> Epilogue:
        return Epilogue(self.scale, self.shift, residual, relu)


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """A residual block; without ``shortcut`` its input itself is added."""

    conv1: _Convolution
    conv2: _Convolution
    shortcut: _Convolution | None


@dataclass(frozen=True, slots=True, eq=False)
class _Stage:
    """A convolution between levels, then residual blocks."""

    conv: _Convolution
    blocks: tuple[_Block, ...]


class NativeEncoder:
    """Computes classes or vectors of voxels on a CPU, without PyTorch.

    Results have the same bits for any number of threads, and a voxel has the same bits in any
    tile that contains its receptive field.

    Args:
        spec: specification, of architecture ``minkunet``.
        state: the network's tensors by name, float32.
        path: file they come from, for messages.
        precision: ``exact``, ``high`` or ``fast``: see `clip3d_cli.sparse.backend.Backend`.
        threads: number of threads; by default as many as the library can use.

    Attributes:
        spec: specification of the network.
        stride: edge of the coarsest cells in voxels: a shift by a multiple of it shifts the
            results.
        reach: radius of the receptive field in voxels: an input farther away changes nothing.
        max_voxels: number of voxels to compute at once in about 2 GB.
        engine: computes the convolutions.

    Raises:
        SetupError: E_WEIGHTS, the tensors are not those of the network.
        EngineUnavailableError: the native library cannot be used.
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
            shape = MinkUNetShape(len(spec.inputs), spec.space.dim, **spec.config)
            check_tensors(shape.tensor_shapes(), state, path)
        except (TypeError, ValueError, OverflowError) as error:
            raise weights_error(
                path, f"specifies a network that cannot be built: {error}"
            ) from error
        self.spec = spec
        self.reach = shape.reach
        self.max_voxels = _MEMORY_BYTES // _bytes_per_voxel(shape)
        self.engine = NumpyEngine(precision, threads)
        self._stem_kernel = shape.stem_kernel
        layers = _LayerBuilder(state, self.engine)
        self._stem = layers.convolution("stem.weight", "stem_norm", (shape.in_channels,))
        self._down = [layers.stage(f"down.{i}", stage) for i, stage in enumerate(shape.down)]
        self._up = [layers.stage(f"up.{i}", stage) for i, stage in enumerate(shape.up)]
        self._head = _Head.of(state["head.weight"], state.get("head.bias"))

    @classmethod
    def load(
        cls, path: Path, *, precision: str = "exact", head: HeadName = "text"
    ) -> NativeEncoder:
        """Load the encoder of a weights file.

        Args:
            path: weights file of a MinkUNet.
            precision: see the class.
            head: which of the file's heads to use.

        Raises:
            SetupError: E_WEIGHTS, not a weights file, or its tensors do not match.
            EngineUnavailableError: the native library cannot be used.
        """
        return cls(*read_weights(path, head), path, precision=precision)

    def embed(
        self, cells: npt.NDArray[np.int32], channels: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        """Return the unit vector of every voxel in the text space.

        Args:
            cells: (M, 3) int32, sorted by x, then y, then z; unique.
            channels: (M, C) float32, the channels that ``spec.inputs`` names.

        Returns:
            (M, D) float32, unit length, in the order of ``cells``. Besides it, memory for one
            block of rows is used.

        Raises:
            InputError: E_VOXEL_RANGE, a cell that no key can hold.
            ValueError: cells that are not sorted or not unique, another number of channels, or the
                encoder was opened with its closed head.
        """
        self.spec.require_text_head()
        vectors = np.empty((len(cells), self.spec.space.dim), np.float32)
        done = 0
        for block in self._last_layer(cells, channels, *self._head.layer()):
            # (rows, 1); a voxel without any feature has length 0 and stays 0.
            length = np.sqrt(np.square(block).sum(axis=1, keepdims=True))
            part = slice(done, done + len(block))
            np.divide(block, np.maximum(length, _MIN_LENGTH), out=vectors[part])
            done += len(block)
        return vectors

    def classify(
        self, cells: npt.NDArray[np.int32], channels: Floats, query: ClassQuery
    ) -> RankedClasses:
        """Return the best classes of every voxel: see `VoxelEncoder`."""
        scale = self.spec.logit_scale
        if self.spec.head == "closed":
            logits = self._last_layer(cells, channels, *self._head.layer())
            ranked = (rank_by_logits(block, query, scale) for block in logits)
        else:
            blocks = self.similarities(cells, channels, query.words)
            ranked = (rank_by_similarity(block, query, scale) for block in blocks)
        return RankedClasses.joined(ranked, query.width)

    def similarities(
        self, cells: npt.NDArray[np.int32], channels: Floats, words: Floats
    ) -> Iterator[Floats]:
        """Yield the cosine similarity of every voxel to every word, in blocks of rows.

        Args:
            cells: (M, 3) int32, sorted by x, then y, then z; unique.
            channels: (M, C) float32, the channels that ``spec.inputs`` names.
            words: (W, D) float32, unit length.

        Yields:
            (rows, W) float32; all blocks together have M rows, in the order of ``cells``.

        Raises:
            InputError: E_VOXEL_RANGE, a cell that no key can hold.
            ValueError: cells that are not sorted or not unique, or another number of channels.
        """
        layer = self._head.length_and_word_layer(words)
        for block in self._last_layer(cells, channels, *layer):
            # (rows, r) whose length is that of the vector, and (rows, W) products with the words.
            length_factor, products = block[:, : -len(words)], block[:, -len(words) :]
            length = np.sqrt(np.square(length_factor).sum(axis=1, keepdims=True))
            yield products / np.maximum(length, _MIN_LENGTH)

    def _last_layer(
        self, cells: npt.NDArray[np.int32], channels: Floats, weight: Floats, shift: Floats
    ) -> Iterator[Floats]:
        """Yield the network's result with a given last layer, in blocks of rows.

        Args:
            cells: (M, 3) int32, sorted and unique.
            channels: (M, C) float32.
            weight: (trunk channels, A) float32.
            shift: (A,) float32.

        Yields:
            (rows, A) float32; all blocks together have M rows.
        """
        if channels.shape[1] != len(self.spec.inputs):
            raise ValueError(
                f"the encoder takes {len(self.spec.inputs)} channels "
                f"({', '.join(self.spec.inputs)}), not {channels.shape[1]}"
            )
        packed = self.engine.pack(weight[None])
        kernel_maps = _KernelMaps(self.engine, pack_sorted_cells(cells), self._stem_kernel)
        feats = self._trunk(kernel_maps, channels)
        rows = max(1, _BLOCK_NUMBERS // len(shift))
        for start in range(0, len(feats), rows):
            yield self.engine.linear(feats[start : start + rows], packed, shift)

    def _trunk(self, kernel_maps: _KernelMaps, channels: Floats) -> Feats:
        """Return (M, trunk channels): the features that the head reads, as `MinkUNet.trunk`."""
        convolve = self.engine.convolve
        channels = np.ascontiguousarray(channels, dtype=np.float32)
        feats = convolve(self._stem.parts([channels]), kernel_maps.stem, self._stem.epilogue())
        # Level n has stride 2ⁿ; skips[n] are the features of the way down at level n.
        skips = []
        for level, stage in enumerate(self._down):
            skips.append(feats)
            feats = convolve(
                stage.conv.parts([feats]), kernel_maps.strided[level], stage.conv.epilogue()
            )
            feats = self._blocks(stage.blocks, [feats], kernel_maps.submanifold[level + 1])
        for stage in self._up:
            level = len(skips) - 1
            feats = convolve(
                stage.conv.parts([feats]),
                kernel_maps.strided[level],
                stage.conv.epilogue(),
                transposed=True,
            )
            parts = [feats, skips.pop()]
            feats = self._blocks(stage.blocks, parts, kernel_maps.submanifold[level])
        return feats

    def _blocks(self, blocks: Sequence[_Block], feats: list[Feats], kernel_map: KernelMap) -> Feats:
        """Apply residual blocks in sequence; the features of a single part are overwritten."""
        convolve = self.engine.convolve
        for block in blocks:
            inner = convolve(block.conv1.parts(feats), kernel_map, block.conv1.epilogue())
            if block.shortcut is not None:
                epilogue = block.shortcut.epilogue(relu=False)
                feats = [convolve(block.shortcut.parts(feats), None, epilogue)]
            # The sum is written into the memory of the residual, feats[0].
            epilogue = block.conv2.epilogue(feats[0])
            feats = [convolve(block.conv2.parts([inner]), kernel_map, epilogue)]
        return feats[0]


@dataclass(frozen=True, slots=True, eq=False)
class _Head:
    """The last, linear layer: x H + b; r ≤ C + 1 is the rank of the QR decomposition.

    Attributes:
        matrix: (C + 1, D) float64: H, and b as its last row.
        length_factor: (C + 1, r) float64: Rᵀ of Hᵀ = Q R, so that |x matrix| = |x length_factor|
            for every x.
    """

    matrix: npt.NDArray[np.float64]
    length_factor: npt.NDArray[np.float64]

    @classmethod
    def of(cls, weight: Floats, bias: Floats | None) -> _Head:
        """Return the head of a linear layer's weight (D, C) and bias (D,) or None."""
        last = np.zeros(len(weight)) if bias is None else bias
        matrix = np.vstack((weight.T, last)).astype(np.float64)
        _, triangle = np.linalg.qr(matrix.T)
        return cls(matrix, triangle.T)

    def layer(self) -> tuple[Floats, Floats]:
        """Return the layer itself: weight (C, D) and shift (D,)."""
        return _weight_and_shift(self.matrix)

    def length_and_word_layer(self, words: Floats) -> tuple[Floats, Floats]:
        """Return a layer of r + W columns for similarities to words (W, D).

        Its first r results have the length of the vector, the others are the vector's products
        with the words.

        Returns:
            Weight (C, r + W) and shift (r + W,).
        """
        # Not matmul: BLAS sums in an order that depends on the number of threads.
        products = np.einsum("cd,wd->cw", self.matrix, words.astype(np.float64))
        return _weight_and_shift(np.hstack((self.length_factor, products)))


def _weight_and_shift(matrix: npt.NDArray[np.float64]) -> tuple[Floats, Floats]:
    """Split (C + 1, A) into the weight (C, A) and the shift (A,) of its last row."""
    single = matrix.astype(np.float32)
    return single[:-1], np.ascontiguousarray(single[-1])


def _bytes_per_voxel(shape: MinkUNetShape) -> int:
    """Return the memory per finest voxel at its peak, in the first block of the last stage.

    There the two parts of the input, the block's inner features and the shortcut's exist at once.
    """
    last = shape.up[-1]
    channels = last.conv_channels + last.skip_channels + 2 * last.out_channels
    return 4 * channels + _MAP_BYTES_PER_VOXEL


class _KernelMaps:
    """The kernel maps of one cloud at all levels; level n has stride 2ⁿ.

    Args:
        engine: builds the maps.
        keys: (M,) int64, sorted and unique.
        stem_kernel: edge of the stem's kernel in cells.

    Attributes:
        stem: map of the first convolution.
        submanifold: map of 3³ cells of every level onto itself.
        strided: map of 2³ cells from level n (sources) to level n + 1 (targets).
    """

    def __init__(self, engine: NumpyEngine, keys: Keys, stem_kernel: int) -> None:
        self.submanifold = [engine.submanifold_map(keys, 3)]
        self.stem = self.submanifold[0]
        if stem_kernel != 3:
            self.stem = engine.submanifold_map(keys, stem_kernel)
        self.strided = []
        for _ in range(LEVELS - 1):
            parents, parent_rows = engine.coarsen(keys)
            self.strided.append(engine.strided_map(keys, parent_rows, len(parents)))
            self.submanifold.append(engine.submanifold_map(parents, 3))
            keys = parents


class _LayerBuilder:
    """Builds layers from the tensors of a weights file.

    Args:
        state: tensors by name.
        engine: packs the weights.
    """

    def __init__(self, state: State, engine: NumpyEngine) -> None:
        self._state = state
        self._engine = engine

    def stage(self, name: str, stage: Stage) -> _Stage:
        """Return a stage; ``name`` is the prefix of its tensors, such as ``down.0``."""
        conv = self.convolution(f"{name}.conv.weight", f"{name}.norm", (stage.in_channels,))
        blocks = []
        # Channels of each part of a block's input: the first block of a stage up has two.
        parts: tuple[int, ...] = (stage.conv_channels,)
        if stage.skip_channels:
            parts = (stage.conv_channels, stage.skip_channels)
        for number in range(stage.blocks):
            block = f"{name}.blocks.{number}"
            shortcut = f"{block}.shortcut"
            blocks.append(
                _Block(
                    self.convolution(f"{block}.conv1.weight", f"{block}.norm1", parts),
                    self.convolution(
                        f"{block}.conv2.weight", f"{block}.norm2", (stage.out_channels,)
                    ),
                    self.convolution(f"{shortcut}.0.weight", f"{shortcut}.1", parts)
                    if sum(parts) != stage.out_channels
                    else None,
                )
            )
            parts = (stage.out_channels,)
        return _Stage(conv, tuple(blocks))

    def convolution(self, name: str, norm: str, parts: tuple[int, ...]) -> _Convolution:
        """Return a convolution with its normalization folded.

        Args:
            name: name of the weight.
            norm: prefix of the normalization's tensors.
            parts: channels of each part of the input features.
        """
        weight = self._state[name]
        if weight.ndim == 2:
            # (Cout, Cin) of a linear layer → (1, Cin, Cout) of a kernel of one cell.
            weight = weight.T[None]
        ends = np.cumsum(parts)
        part_weights = np.split(weight, ends[:-1], axis=1)
        norm_weight, norm_bias = (self._state[f"{norm}.{leaf}"] for leaf in ("weight", "bias"))
        mean, variance = (self._state[f"{norm}.running_{leaf}"] for leaf in ("mean", "var"))
        # (x − mean) / √(variance + ε) · weight + bias = x · scale + shift.
        scale = norm_weight / np.sqrt(variance + np.float32(_NORM_EPSILON))
        packed = tuple(self._engine.pack(part) for part in part_weights)
        return _Convolution(packed, scale, norm_bias - mean * scale)
