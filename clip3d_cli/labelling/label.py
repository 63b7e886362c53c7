"""Labels and features of every point of a cloud, computed on voxels, tile by tile."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.embeddings import ClassEmbeddings, FeatureSpace
from clip3d_cli.core.labels import UNLABELED_INDEX, Labels
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.voxels import ANCHOR_CELLS, choose_voxel_size, voxelize
from clip3d_cli.encoders.input_channels import CloudContext, voxel_inputs
from clip3d_cli.encoders.scoring import ClassQuery, RankedClasses
from clip3d_cli.encoders.voxel_encoder import VoxelEncoder
from clip3d_cli.labelling.background import Background
from clip3d_cli.labelling.tiles import TileLimits, cut_tiles
from clip3d_cli.sparse.key_layout import HIGHEST_CELL

T = TypeVar("T")
Rows = npt.NDArray[np.int64]


class Progress(Protocol):
    """Reports the progress of a long loop."""

    def __call__(self, steps: Iterable[T], description: str) -> Iterable[T]:
        """Return the same steps, and report each one that is taken.

        Args:
            steps: the items of the loop.
            description: a word or two to show beside the progress bar.
        """
        ...


def silent(steps: Iterable[T], description: str) -> Iterable[T]:
    """Return the steps and report nothing: the default `Progress`."""
    del description
    return steps


@dataclass(frozen=True, slots=True)
class LabelOptions:
    """Options of labelling.

    Attributes:
        voxel_m: voxel edge in metres. None chooses one of the encoder's sizes by the density of
            the cloud.
        tile_m: maximum tile width in metres. None cuts the cloud only where it does not fit into
            memory.
        unknown_threshold: points with a lower score are left unlabeled, 0…1.
        ranking: number of classes to rank for each point; 0 for the best class only.
    """

    voxel_m: float | None = None
    tile_m: float | None = None
    unknown_threshold: float = 0.0
    ranking: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class VoxelFeatures:
    """Features of the M voxels of a cloud, and the voxel of each of its N points.

    Attributes:
        vectors: (M, D) float32, unit length, in the text space of the encoder.
        voxel_of_point: (N,) int64, row of ``vectors`` for each point; -1 where a coordinate of
            the point is not finite.
        cells: (M, 3) int32, sorted by x, then y, then z.
        voxel_m: voxel edge in metres.
        space: the feature space of the vectors.
    """

    vectors: npt.NDArray[np.float32]
    voxel_of_point: Rows
    cells: npt.NDArray[np.int32]
    voxel_m: float
    space: FeatureSpace


def label_cloud(
    cloud: PointCloud,
    encoder: VoxelEncoder,
    classes: ClassEmbeddings,
    options: LabelOptions | None = None,
    *,
    background: Background | None = None,
    progress: Progress = silent,
) -> Labels:
    """Give every point the class with the nearest word.

    The labels depend neither on the order of the points nor on ``tile_m``. Points with a
    coordinate that is not finite are unlabeled, with score 0.

    Args:
        cloud: N points.
        encoder: a point network.
        classes: word vectors in the space of the encoder, or rows of its closed head.
        options: voxel size, tiles, threshold, ranking.
        background: what competes with the classes; a point that fits none of them is unlabeled.
            None gives every point its nearest class.
        progress: reports each tile.

    Returns:
        Labels of the N points. Scores are explained in `clip3d_cli.encoders.scoring`; they are
        comparable between points, but they are not calibrated probabilities.

    Raises:
        SetupError: E_SPACE_MISMATCH: words and points live in different spaces.
        InputError: E_NO_CHANNEL: the cloud lacks a channel that the encoder needs;
            E_VOXEL_RANGE: its extent is too large for the voxel size.
    """
    options = options or LabelOptions()
    encoder.spec.space.require(classes.space, "the text encoder")
    width = max(1, min(options.ranking, len(classes.vocabulary)))
    query = ClassQuery.of(classes, width, None if background is None else background.vectors)
    ranking = np.full((len(cloud), width), UNLABELED_INDEX, dtype=np.int32)
    score = np.zeros((len(cloud), width), dtype=np.float32)
    fits = np.ones(len(cloud), dtype=bool)
    finite, rows = _finite_points(cloud)
    if len(finite):
        voxel_m = options.voxel_m or choose_voxel_size(finite.xyz, encoder.spec.voxel_sizes_m)
        for tile in _tiles(finite, encoder, voxel_m, options.tile_m, progress):
            ranked: RankedClasses = encoder.classify(tile.cells, tile.channels, query)
            ranking[rows[tile.points]] = ranked.ranking[tile.voxel_of_point]
            score[rows[tile.points]] = ranked.score[tile.voxel_of_point]
            fits[rows[tile.points]] = ranked.fits[tile.voxel_of_point]
    unlabeled = score[:, 0] < options.unknown_threshold
    if background is not None:
        unlabeled[rows] |= background.unlabeled(fits[rows])
    best = np.where(unlabeled, UNLABELED_INDEX, ranking[:, 0])
    is_ranked = options.ranking > 0
    return Labels(
        best.astype(np.int32),
        score[:, 0].copy(),
        classes.vocabulary,
        ranking if is_ranked else None,
        score if is_ranked else None,
    )


def embed_cloud(
    cloud: PointCloud,
    encoder: VoxelEncoder,
    *,
    voxel_m: float | None = None,
    tile_m: float | None = None,
    progress: Progress = silent,
) -> VoxelFeatures:
    """Return a unit vector in the text space for every voxel of a cloud.

    The vectors depend neither on the order of the points nor on ``tile_m``.

    Args:
        cloud: N points.
        encoder: a point network that is opened with its text head.
        voxel_m: voxel edge in metres; None chooses one of the encoder's sizes by density.
        tile_m: maximum tile width in metres; None cuts only where it does not fit into memory.
        progress: reports each tile.

    Raises:
        InputError: E_NO_CHANNEL: the cloud lacks a channel that the encoder needs;
            E_VOXEL_RANGE: its extent is too large for the voxel size.
        ValueError: the encoder was opened with its closed head.
    """
    space = encoder.spec.space
    finite, rows = _finite_points(cloud)
    voxel_of_point = np.full(len(cloud), -1, dtype=np.int64)
    if not len(finite):
        nothing = np.zeros((0, space.dim), np.float32), np.zeros((0, 3), np.int32)
        size_m = voxel_m or min(encoder.spec.voxel_sizes_m)
        return VoxelFeatures(nothing[0], voxel_of_point, nothing[1], size_m, space)
    size_m = voxel_m or choose_voxel_size(finite.xyz, encoder.spec.voxel_sizes_m)
    grid = voxelize(finite.xyz, size_m)
    voxel_of_point[rows] = grid.voxel_of_point
    vectors = np.zeros((len(grid.cells), space.dim), dtype=np.float32)
    for tile in _tiles(finite, encoder, size_m, tile_m, progress):
        # A voxel on the border of two tiles gets the same vector from both.
        vectors[grid.voxel_of_point[tile.points]] = encoder.embed(tile.cells, tile.channels)[
            tile.voxel_of_point
        ]
    return VoxelFeatures(vectors, voxel_of_point, grid.cells, size_m, space)


def suitable_voxel_m(cloud: PointCloud, encoder: VoxelEncoder) -> float | None:
    """Return the voxel edge in metres that labelling chooses; None if no point is finite."""
    finite, _ = _finite_points(cloud)
    return choose_voxel_size(finite.xyz, encoder.spec.voxel_sizes_m) if len(finite) else None


@dataclass(frozen=True, slots=True, eq=False)
class _VoxelTile:
    """The network input of one tile, halo included, and the points that belong to the tile.

    Attributes:
        cells: (M, 3) int32 voxels of the tile and its halo.
        channels: (M, C) float32.
        points: (P,) int64, rows in the cloud of the points that belong to this tile alone.
        voxel_of_point: (P,) int64, row of ``cells`` for each of these points.
    """

    cells: npt.NDArray[np.int32]
    channels: npt.NDArray[np.float32]
    points: Rows
    voxel_of_point: Rows


def _tiles(
    cloud: PointCloud,
    encoder: VoxelEncoder,
    voxel_m: float,
    tile_m: float | None,
    progress: Progress,
) -> Iterator[_VoxelTile]:
    """Cut a cloud of finite points into tiles and voxelize each with its halo."""
    tiles = list(cut_tiles(cloud.xyz, _tile_limits(encoder, voxel_m, tile_m)))
    # Of the whole cloud: a tile alone would find another ground and other ranks.
    context = CloudContext(cloud)
    for tile in progress(tiles, "labelling"):
        part = cloud.select(tile.points)
        grid = voxelize(part.xyz, voxel_m)
        channels = voxel_inputs(encoder.spec.inputs, part, grid, context)
        own = np.flatnonzero(tile.own)
        yield _VoxelTile(grid.cells, channels, tile.points[own], grid.voxel_of_point[own])


def _tile_limits(encoder: VoxelEncoder, voxel_m: float, tile_m: float | None) -> TileLimits:
    """Return when to cut: at the number of voxels that fit, or at the requested width."""
    # The halo is the receptive field, so that no voxel of a tile misses input that affects it, and
    # one voxel more: the borders of the tile and of the halo cut voxels in two.
    halo_m = (encoder.reach + 1) * voxel_m
    widest_m = (HIGHEST_CELL - ANCHOR_CELLS) * voxel_m - 2 * halo_m
    if tile_m is None:
        return TileLimits(halo_m, voxel_m, encoder.max_voxels, widest_m)
    # A tile narrower than a voxel is useless, and coordinates that differ in their last digit
    # only cannot be cut.
    return TileLimits(halo_m, voxel_m, sys.maxsize, max(voxel_m, min(tile_m, widest_m)))


def _finite_points(cloud: PointCloud) -> tuple[PointCloud, Rows]:
    """Return the points with finite coordinates, and their rows in the cloud."""
    if np.isfinite(cloud.xyz).all():
        return cloud, np.arange(len(cloud))
    rows = np.flatnonzero(np.isfinite(cloud.xyz).all(axis=1))
    return cloud.select(rows), rows
