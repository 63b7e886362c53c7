"""From posed scenes to batches of pairs: points, and the pixels that see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from clip3d_cli.core.grouping import group_rows
from clip3d_cli.core.scenes import PosedScene
from clip3d_cli.core.vocabulary import ClassEmbeddings
from clip3d_cli.core.voxels import choose_voxel, voxelize
from clip3d_cli.datasets.dataset import Dataset
from clip3d_cli.datasets.sweeps import MergedSweeps, merge_sweeps
from clip3d_cli.encoders.input_channels import Terrain, voxel_inputs
from clip3d_cli.errors import InputError
from clip3d_cli.sparse.tensor import SparseTensor
from clip3d_cli.teachers.cache import read_features
from clip3d_cli.teachers.sampling import pseudo_labels
from clip3d_cli.training.augmentation import Floats, Rows, batched, disc, drawn_scene, turned
from clip3d_cli.training.clip2scene.pixel_pairs import (
    BatchOptions,
    PixelPairs,
    balanced,
    pixel_pairs,
    sight,
)


@dataclass(frozen=True, slots=True)
class NetworkInputs:
    """What the network is told of a voxel: channels, and the voxel edges to choose from, m."""

    channels: tuple[str, ...]
    voxel_sizes_m: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class PosedBatch:
    """Voxels of several scans, pairs with pixels, and the cells where sweeps meet.

    Attributes:
        voxels: M cells, each sweep a cloud of its own.
        pair_row: (P,) int64, the voxel of each pair's point.
        pair_word: (P,) int64, the word nearest to its pixel.
        pair_cell: (P,) int64, its grid cell.
        pixels: (P, D) float32, unit length: the teacher's vector there.
        member_row: (R,) int64, the voxels that lie in a grid cell that a pair lies in.
        member_cell: (R,) int64, that cell.
        unseen_row: (U,) int64, a sample of the voxels that no image looked at sees.
        cells: G, how many grid cells there are.
    """

    voxels: SparseTensor
    pair_row: Tensor
    pair_word: Tensor
    pair_cell: Tensor
    pixels: Tensor
    member_row: Tensor
    member_cell: Tensor
    unseen_row: Tensor
    cells: int

    def to(self, device: torch.device | str) -> PosedBatch:
        """The same batch on a device."""
        tensors = {
            name: getattr(self, name).to(device)
            for name in self.__slots__
            if name not in ("voxels", "cells")
        }
        return PosedBatch(voxels=self.voxels.to(device), cells=self.cells, **tensors)


@dataclass(frozen=True, slots=True, eq=False)
class PosedBatches:
    """The batch of any number: a function of it and of the seed, in whichever process.

    Attributes:
        dataset: reads the scans.
        scenes: L ≥ 1 of them; every L scenes drawn, each is drawn once.
        features: the teacher's file of each scene, in the same order.
        words: the words that pixels are told apart by.
        inputs: what the network is told.
        options: what a batch is made of.
        seed: of every draw.
    """

    dataset: Dataset
    scenes: Sequence[PosedScene]
    features: Sequence[Path]
    words: ClassEmbeddings
    inputs: NetworkInputs
    options: BatchOptions
    seed: int = 0

    def __call__(self, number: int) -> PosedBatch:
        """The batch of a number.

        Raises:
            InputError: a scan or the teacher's features cannot be read.
        """
        first = number * self.options.scenes
        drawn = range(first, first + self.options.scenes)
        return _collated([self._sample(turn) for turn in drawn])

    def _sample(self, turn: int) -> _Sample:
        place, rng = drawn_scene(turn, len(self.scenes), self.seed)
        scene = self.scenes[place]
        earlier = scene.sweeps[1 : self.options.among + 1]
        further = rng.permutation(len(earlier))[: self.options.sweeps - 1]
        swept = merge_sweeps(
            self.dataset, [scene.sweeps[0], *(earlier[k] for k in np.sort(further))]
        )
        if not len(swept.cloud):
            fault = "has no point left that is finite and not of the vehicle"
            raise InputError("E_EMPTY_FILE", scene.sweeps[0].path, fault, "Leave the scene out.")
        sighted = sight(scene, swept, self.options, rng)
        key = np.flatnonzero(swept.sweep_of_point == 0)
        # Around a point that no image sees there may be no pair to learn from.
        middles = sighted.points if len(sighted.points) else key
        kept = disc(swept.cloud.xyz, key, middles, self.options.points, rng)
        features = read_features(self.features[place], scene, self.words.space)
        pairs = pixel_pairs(sighted, features, kept, self.options, rng)
        # A scene without pairs has vectors without a width.
        vectors = pairs.vectors.reshape(len(pairs), self.words.space.dim)
        word = pseudo_labels(vectors, self.words)[0].astype(np.int64)
        pairs = PixelPairs(pairs.point, vectors, pairs.seen)
        if self.options.balance:
            pairs, word = balanced(pairs, word, self.options, rng)
        xyz = turned(swept.cloud.xyz, rng) if self.options.augment else swept.cloud.xyz
        return _voxelised(swept, xyz, kept, (pairs, word), self)


@dataclass(frozen=True, slots=True, eq=False)
class _Sample:
    """One scene of a batch: each sweep's (M, 3) cells and (M, C) channels, and rows of them all."""

    cells: list[npt.NDArray[np.int32]]
    channels: list[npt.NDArray[np.float32]]
    vectors: npt.NDArray[np.float32]
    pair_row: Rows
    pair_word: Rows
    pair_cell: Rows
    member_row: Rows
    member_cell: Rows
    unseen_row: Rows
    grid_cells: int


def _voxelised(
    swept: MergedSweeps,
    xyz: Floats,
    kept: npt.NDArray[np.bool_],
    told_pairs: tuple[PixelPairs, Rows],
    maker: PosedBatches,
) -> _Sample:
    pairs, word = told_pairs
    options, inputs = maker.options, maker.inputs
    clouds = np.zeros_like(swept.sweep_of_point) if options.merge else swept.sweep_of_point
    voxel_m = choose_voxel(xyz[clouds == 0], inputs.voxel_sizes_m)
    cells: list[npt.NDArray[np.int32]] = []
    channels: list[npt.NDArray[np.float32]] = []
    rows = np.full(len(xyz), -1, dtype=np.int64)
    moved = replace(swept.cloud, xyz=xyz)
    for number in np.unique(clouds):
        whole, inside = clouds == number, (clouds == number) & kept
        if not inside.any():
            continue
        part = moved.only(inside)
        grid = voxelize(part.xyz, voxel_m)
        rows[inside] = grid.voxel_of_point + sum(len(part) for part in cells)
        cells.append(grid.cells)
        channels.append(voxel_inputs(inputs.channels, part, grid, Terrain(xyz[whole])))
    place = np.floor(xyz[kept] / (options.cell_m or voxel_m)).astype(np.int64)
    grid_cell = np.full(len(xyz), -1, dtype=np.int64)
    grid_cell[kept] = group_rows(list(place.T))[1]
    told, pair_cell = np.unique(grid_cell[pairs.point], return_inverse=True)
    number_of_cell = np.full(int(grid_cell.max()) + 1, -1, dtype=np.int64)
    number_of_cell[told] = np.arange(len(told))
    inside = np.flatnonzero(kept & (number_of_cell[grid_cell] >= 0))
    members = np.unique(np.stack([number_of_cell[grid_cell[inside]], rows[inside]], axis=1), axis=0)
    pair_row = rows[pairs.point]
    unseen = np.setdiff1d(np.arange(sum(len(part) for part in cells)), rows[pairs.seen])
    few = np.random.default_rng((maker.seed, len(xyz))).permutation(len(unseen))[: options.pairs]
    return _Sample(
        cells,
        channels,
        pairs.vectors,
        pair_row,
        word,
        pair_cell.astype(np.int64),
        members[:, 1],
        members[:, 0],
        unseen[np.sort(few)],
        len(told),
    )


def _collated(samples: Sequence[_Sample]) -> PosedBatch:
    """The samples in one batch, their rows and cells counted on."""
    clouds = [cells for sample in samples for cells in sample.cells]
    channels = [part for sample in samples for part in sample.channels]
    voxels = [sum(len(part) for part in sample.cells) for sample in samples]
    row0 = np.cumsum([0, *voxels[:-1]])
    cell0 = np.cumsum([0, *(sample.grid_cells for sample in samples[:-1])])

    def counted(name: str, starts: Rows) -> Tensor:
        parts = [
            getattr(sample, name) + first for sample, first in zip(samples, starts, strict=True)
        ]
        return torch.from_numpy(np.concatenate(parts))

    return PosedBatch(
        batched(clouds, channels),
        counted("pair_row", row0),
        torch.from_numpy(np.concatenate([sample.pair_word for sample in samples])),
        counted("pair_cell", cell0),
        torch.from_numpy(np.concatenate([sample.vectors for sample in samples])),
        counted("member_row", row0),
        counted("member_cell", cell0),
        counted("unseen_row", row0),
        sum(sample.grid_cells for sample in samples),
    )
