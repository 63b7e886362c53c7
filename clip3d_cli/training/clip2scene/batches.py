"""Batches of pretraining: voxels of several scans, and pairs of points and pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from clip3d_cli.core.embeddings import ClassEmbeddings
from clip3d_cli.core.grouping import group_equal_rows
from clip3d_cli.core.scenes import PosedScene
from clip3d_cli.core.voxels import choose_voxel_size, voxelize
from clip3d_cli.datasets.dataset import Dataset
from clip3d_cli.datasets.sweeps import MergedSweeps, merge_sweeps
from clip3d_cli.encoders.input_channels import CloudContext, voxel_inputs
from clip3d_cli.errors import InputError
from clip3d_cli.sparse.tensor import SparseTensor
from clip3d_cli.teachers.cache import read_features
from clip3d_cli.teachers.sampling import pseudo_labels
from clip3d_cli.training.augmentation import (
    Floats,
    Rows,
    augment_xyz,
    collate_voxels,
    crop_to_disc,
    sample_scene,
)
from clip3d_cli.training.clip2scene.pixel_pairs import (
    BatchOptions,
    PixelPairs,
    project_scene,
    sample_balanced_pairs,
    sample_pixel_pairs,
)


@dataclass(frozen=True, slots=True)
class NetworkInputs:
    """Input of a point network.

    Attributes:
        channels: input channels of a voxel, by name.
        voxel_sizes_m: voxel edge lengths to choose from, metres.
    """

    channels: tuple[str, ...]
    voxel_sizes_m: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class PosedBatch:
    """Voxels of several scans, pairs of points and pixels, and the grid cells where sweeps meet.

    Attributes:
        voxels: M voxels; every sweep is a cloud of its own, with its own batch number.
        pair_row: (P,) int64, voxel of each pair's point.
        pair_word: (P,) int64, word nearest to each pair's pixel.
        pair_cell: (P,) int64, grid cell of each pair.
        pixels: (P, D) float32, unit length: the teacher's vector at each pair's pixel.
        member_row: (R,) int64, voxels in grid cells that contain a pair.
        member_cell: (R,) int64, grid cell of each of these voxels.
        unseen_row: (U,) int64, a sample of the voxels that none of the chosen views sees.
        cells: G, number of grid cells that contain a pair.
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
        """Return the batch on a device."""
        tensors = {
            name: getattr(self, name).to(device)
            for name in self.__slots__
            if name not in ("voxels", "cells")
        }
        return PosedBatch(voxels=self.voxels.to(device), cells=self.cells, **tensors)


@dataclass(frozen=True, slots=True, eq=False)
class PosedBatches:
    """Makes the batch of any number; it depends on the number and the seed only.

    Attributes:
        dataset: reads the scans.
        scenes: training scenes, at least one.
        features: file with the teacher's features of each scene, in the same order.
        words: words that pixels are labelled with.
        inputs: input of the network.
        options: content of a batch.
        seed: random seed of the run.
    """

    dataset: Dataset
    scenes: Sequence[PosedScene]
    features: Sequence[Path]
    words: ClassEmbeddings
    inputs: NetworkInputs
    options: BatchOptions
    seed: int = 0

    def __call__(self, number: int) -> PosedBatch:
        """Return the batch of a number.

        Raises:
            InputError: a scan or the teacher's features cannot be read.
        """
        first = number * self.options.scenes
        turns = range(first, first + self.options.scenes)
        return _collate([self._sample(turn) for turn in turns])

    def _sample(self, turn: int) -> _Sample:
        """Return the scene of a turn: sweeps, projection, crop, pairs, augmentation, voxels."""
        options = self.options
        index, rng = sample_scene(turn, len(self.scenes), self.seed)
        scene = self.scenes[index]
        swept = self._sweeps(scene, rng)
        projection = project_scene(scene, swept, options, rng)
        key = np.flatnonzero(swept.sweep_of_point == 0)
        # A disc around a point that no image sees may contain no pair.
        centers = projection.visible if len(projection.visible) else key
        keep = crop_to_disc(swept.cloud.xyz, key, centers, options.points, rng)
        features = read_features(self.features[index], scene, self.words.space)
        pairs = sample_pixel_pairs(projection, features, keep, options, rng)
        # Without pairs the vectors have no width yet.
        vectors = pairs.vectors.reshape(len(pairs), self.words.space.dim)
        word = pseudo_labels(vectors, self.words)[0].astype(np.int64)
        pairs = PixelPairs(pairs.point, vectors, pairs.visible)
        if options.balance:
            pairs, word = sample_balanced_pairs(pairs, word, options, rng)
        xyz = augment_xyz(swept.cloud.xyz, rng) if options.augment else swept.cloud.xyz
        return _voxelize_sample(swept, xyz, keep, (pairs, word), self)

    def _sweeps(self, scene: PosedScene, rng: np.random.Generator) -> MergedSweeps:
        """Return the key frame and some randomly chosen earlier sweeps in the world frame."""
        earlier = scene.sweeps[1 : self.options.among + 1]
        chosen = np.sort(rng.permutation(len(earlier))[: self.options.sweeps - 1])
        swept = merge_sweeps(self.dataset, [scene.sweeps[0], *(earlier[k] for k in chosen)])
        if not len(swept.cloud):
            fault = "has no finite point outside the vehicle"
            raise InputError("E_EMPTY_FILE", scene.sweeps[0].path, fault, "Leave the scene out.")
        return swept


@dataclass(frozen=True, slots=True, eq=False)
class _Sample:
    """One scene of a batch. Rows count the voxels of all its sweeps, one sweep after the other.

    Attributes:
        cells: (M, 3) int32 voxel cells of each sweep.
        channels: (M, C) float32 input channels of each sweep.
        vectors: see ``PosedBatch.pixels``; the other arrays have the names of `PosedBatch`.
        grid_cells: number of grid cells.
    """

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


def _voxelize_sample(
    swept: MergedSweeps,
    xyz: Floats,
    keep: npt.NDArray[np.bool_],
    labelled_pairs: tuple[PixelPairs, Rows],
    batches: PosedBatches,
) -> _Sample:
    """Return the voxels and grid cells of a scene, and its pairs as rows of them.

    Args:
        swept: N points of all sweeps.
        xyz: (N, 3) their coordinates after augmentation.
        keep: (N,) True for the points inside the crop.
        labelled_pairs: P pairs, and their words.
        batches: options, network input and seed.
    """
    pairs, word = labelled_pairs
    options, inputs = batches.options, batches.inputs
    # (N,): which input cloud each point belongs to: its sweep, or 0 if sweeps are merged.
    cloud_of_point = np.zeros_like(swept.sweep_of_point) if options.merge else swept.sweep_of_point
    voxel_m = choose_voxel_size(xyz[cloud_of_point == 0], inputs.voxel_sizes_m)
    cells: list[npt.NDArray[np.int32]] = []
    channels: list[npt.NDArray[np.float32]] = []
    # (N,): row of each point's voxel among the voxels of all clouds; −1 outside the crop.
    row_of_point = np.full(len(xyz), -1, dtype=np.int64)
    augmented = replace(swept.cloud, xyz=xyz)
    for number in np.unique(cloud_of_point):
        whole = cloud_of_point == number
        inside = whole & keep
        if not inside.any():
            continue
        part = augmented.select(inside)
        grid = voxelize(part.xyz, voxel_m)
        row_of_point[inside] = grid.voxel_of_point + sum(len(each) for each in cells)
        cells.append(grid.cells)
        # The context is the whole cloud, not the crop, as in labelling.
        context = CloudContext(augmented.select(whole))
        channels.append(voxel_inputs(inputs.channels, part, grid, context))
    pair_cell, member_cell, member_row, grid_cells = _grid_cells(
        xyz, keep, row_of_point, pairs.point, options.cell_m or voxel_m
    )
    voxels = sum(len(each) for each in cells)
    unseen = np.setdiff1d(np.arange(voxels), row_of_point[pairs.visible])
    # A generator of its own: this sample does not change the draws of the others.
    rng = np.random.default_rng((batches.seed, len(xyz)))
    unseen_sample = np.sort(rng.permutation(len(unseen))[: options.pairs])
    return _Sample(
        cells,
        channels,
        pairs.vectors,
        row_of_point[pairs.point],
        word,
        pair_cell,
        member_row,
        member_cell,
        unseen[unseen_sample],
        grid_cells,
    )


def _grid_cells(
    xyz: Floats,
    keep: npt.NDArray[np.bool_],
    row_of_point: Rows,
    pair_point: Rows,
    cell_m: float,
) -> tuple[Rows, Rows, Rows, int]:
    """Return the grid cells of Eq. 2 that contain a pair, and the voxels in them.

    The grid is common to all sweeps, so the voxels of several sweeps meet in a cell.

    Args:
        xyz: (N, 3) metres.
        keep: (N,) True for the points inside the crop.
        row_of_point: (N,) voxel of each point.
        pair_point: (P,) point of each pair.
        cell_m: edge length of a cell, metres.

    Returns:
        ``pair_cell`` (P,), ``member_cell`` (R,), ``member_row`` (R,) and the number of cells G.
    """
    # (N,): number of each point's cell among all occupied cells; −1 outside the crop.
    occupied_cell = np.full(len(xyz), -1, dtype=np.int64)
    position = np.floor(xyz[keep] / cell_m).astype(np.int64)
    occupied_cell[keep] = group_equal_rows(list(position.T))[1]
    # Only cells with a pair are used: (G,) their numbers, (P,) the place of each pair among them.
    with_pair, pair_cell = np.unique(occupied_cell[pair_point], return_inverse=True)
    # From the number of an occupied cell to its place among those with a pair; −1 for the others.
    cell_index = np.full(int(occupied_cell.max()) + 1, -1, dtype=np.int64)
    cell_index[with_pair] = np.arange(len(with_pair))
    # Outside the crop, −1 reads the last entry; the mask leaves these points out.
    inside = np.flatnonzero(keep & (cell_index[occupied_cell] >= 0))
    # Several points of a voxel in one cell are one member. A voxel may be a member of two cells.
    members = np.unique(
        np.stack([cell_index[occupied_cell[inside]], row_of_point[inside]], axis=1), axis=0
    )
    return pair_cell.astype(np.int64), members[:, 0], members[:, 1], len(with_pair)


def _collate(samples: Sequence[_Sample]) -> PosedBatch:
    """Return the samples as one batch, with rows and cells counted through all samples."""
    clouds = [cells for sample in samples for cells in sample.cells]
    channels = [part for sample in samples for part in sample.channels]
    voxels = [sum(len(part) for part in sample.cells) for sample in samples]
    # Number of voxels, and of grid cells, in the samples before each.
    first_row = np.cumsum([0, *voxels[:-1]])
    first_cell = np.cumsum([0, *(sample.grid_cells for sample in samples[:-1])])

    def shifted(name: str, first: Rows) -> Tensor:
        parts = [
            getattr(sample, name) + start for sample, start in zip(samples, first, strict=True)
        ]
        return torch.from_numpy(np.concatenate(parts))

    return PosedBatch(
        collate_voxels(clouds, channels),
        shifted("pair_row", first_row),
        torch.from_numpy(np.concatenate([sample.pair_word for sample in samples])),
        shifted("pair_cell", first_cell),
        torch.from_numpy(np.concatenate([sample.vectors for sample in samples])),
        shifted("member_row", first_row),
        shifted("member_cell", first_cell),
        shifted("unseen_row", first_row),
        sum(sample.grid_cells for sample in samples),
    )
