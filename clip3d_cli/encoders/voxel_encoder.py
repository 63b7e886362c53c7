"""The interface of point encoders that labelling uses, with or without PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt

from clip3d_cli.encoders.scoring import ClassQuery, Floats, RankedClasses
from clip3d_cli.encoders.spec import EncoderSpec


class VoxelEncoder(Protocol):
    """A point network that classifies or embeds voxels.

    Attributes:
        spec: everything about the network except its weights.
        stride: edge of the coarsest cells, in voxels. Results are equivariant to shifts of the
            input by multiples of it.
        reach: radius of the receptive field, in voxels: input farther away changes nothing.
        max_voxels: number of voxels that one pass can process in about 2 GB.
    """

    @property
    def spec(self) -> EncoderSpec: ...  # noqa: D102

    @property
    def stride(self) -> int: ...  # noqa: D102

    @property
    def reach(self) -> int: ...  # noqa: D102

    @property
    def max_voxels(self) -> int: ...  # noqa: D102

    def classify(
        self, cells: npt.NDArray[np.int32], channels: Floats, query: ClassQuery
    ) -> RankedClasses:
        """Rank the classes of every voxel.

        Args:
            cells: (M, 3) int32, unique, sorted by x, then y, then z.
            channels: (M, C) float32, in the order of ``spec.inputs``.
            query: words, or classes of the closed head.

        Raises:
            InputError: E_VOXEL_RANGE: a cell lies outside the range of packed keys.
        """
        ...

    def embed(self, cells: npt.NDArray[np.int32], channels: Floats) -> Floats:
        """Return a unit vector in the text space for every voxel, (M, D) float32.

        Args:
            cells: (M, 3) int32, unique, sorted by x, then y, then z.
            channels: (M, C) float32, in the order of ``spec.inputs``.

        Raises:
            InputError: E_VOXEL_RANGE: a cell lies outside the range of packed keys.
            ValueError: the encoder was opened with its closed head.
        """
        ...

    def similarities(
        self, cells: npt.NDArray[np.int32], channels: Floats, words: Floats
    ) -> Iterator[Floats]:
        """Yield the cosine similarity of every voxel to every word, in blocks of rows.

        Args:
            cells: (M, 3) int32, unique, sorted by x, then y, then z.
            channels: (M, C) float32, in the order of ``spec.inputs``.
            words: (W, D) float32, unit length.

        Yields:
            (rows, W) float32; all blocks together have M rows, in the order of ``cells``.

        Raises:
            InputError: E_VOXEL_RANGE: a cell lies outside the range of packed keys.
            ValueError: the encoder was opened with its closed head.
        """
        ...
