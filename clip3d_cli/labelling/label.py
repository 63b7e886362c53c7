"""Labels and features of every point of a cloud, computed on voxels, tile by tile."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.embeddings import ClassEmbeddings, FeatureSpace
from clip3d_cli.core.labels import UNLABELED_INDEX, Labels
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.voxels import ANCHOR_CELLS, choose_voxel_size, voxelize
from clip3d_cli.encoders.input_channels import CloudContext, voxel_inputs
from clip3d_cli.encoders.scoring import ClassQuery, RankedClasses, rank_by_similarity
from clip3d_cli.encoders.voxel_encoder import VoxelEncoder
from clip3d_cli.labelling.background import Background
from clip3d_cli.labelling.preparation import Up, move_storeys_apart, prepare_cloud
from clip3d_cli.labelling.tiles import TileLimits, cut_tiles, pack_tiles
from clip3d_cli.sparse.key_layout import HIGHEST_CELL

# With more tiles than this, points are scattered over a wide area.
_MANY_TILES = 100

T = TypeVar("T")
Rows = npt.NDArray[np.int64]
Quality = Literal["fast", "best"]

# Turns of the second and the third pass. No multiple of 45°, so that voxels cut walls elsewhere.
_TURN_RAD = math.pi / 2 + 0.1
_FINER_TURN_RAD = math.pi / 4 + 0.1


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
        quality: ``best`` averages the similarities of three passes, two of them over the cloud
            turned about the vertical, one of these with smaller voxels.
        up: axis of the cloud that points up; ``auto`` estimates it.
    """

    voxel_m: float | None = None
    tile_m: float | None = None
    unknown_threshold: float = 0.0
    ranking: int = 0
    quality: Quality = "fast"
    up: Up = "z"


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

    The labels depend neither on the order of the points nor on ``tile_m``. Points that
    are no measurements are unlabeled, with score 0: those with a coordinate that is not finite, and
    those at exactly (0, 0, 0), unless there is only one.

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
    finite, rows = prepare_cloud(cloud, options.up)
    if len(finite):
        voxel_m = options.voxel_m or choose_voxel_size(finite.xyz, encoder.spec.voxel_sizes_m)
        passes = _passes(encoder, voxel_m, options.quality)
        for tile in _tiles(finite, encoder, passes, options.tile_m, progress):
            ranked = _classify(encoder, tile, query, passes)
            ranking[rows[tile.points]] = ranked.ranking
            score[rows[tile.points]] = ranked.score
            fits[rows[tile.points]] = ranked.fits
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
    finite, rows = prepare_cloud(cloud)
    voxel_of_point = np.full(len(cloud), -1, dtype=np.int64)
    if not len(finite):
        nothing = np.zeros((0, space.dim), np.float32), np.zeros((0, 3), np.int32)
        size_m = voxel_m or min(encoder.spec.voxel_sizes_m)
        return VoxelFeatures(nothing[0], voxel_of_point, nothing[1], size_m, space)
    size_m = voxel_m or choose_voxel_size(finite.xyz, encoder.spec.voxel_sizes_m)
    grid = voxelize(finite.xyz, size_m)
    voxel_of_point[rows] = grid.voxel_of_point
    vectors = np.zeros((len(grid.cells), space.dim), dtype=np.float32)
    once = [_Pass(size_m)]
    for tile in _tiles(finite, encoder, once, tile_m, progress):
        # A voxel on the border of two tiles gets the same vector from both.
        cells, channels, voxel_of_point_of_tile = tile.voxels(once[0])
        of_tile = encoder.embed(cells, channels)
        vectors[grid.voxel_of_point[tile.points]] = of_tile[voxel_of_point_of_tile]
    return VoxelFeatures(vectors, voxel_of_point, grid.cells, size_m, space)


def suitable_voxel_m(cloud: PointCloud, encoder: VoxelEncoder, up: Up = "z") -> float | None:
    """Return the voxel edge in metres that labelling chooses; None if no point is finite."""
    finite, _ = prepare_cloud(cloud, up)
    return choose_voxel_size(finite.xyz, encoder.spec.voxel_sizes_m) if len(finite) else None


@dataclass(frozen=True, slots=True)
class _Pass:
    """One way to cut a cloud into voxels.

    Attributes:
        voxel_m: voxel edge in metres.
        turn_rad: angle by which the cloud is turned about the vertical.
    """

    voxel_m: float
    turn_rad: float = 0.0


def _passes(encoder: VoxelEncoder, voxel_m: float, quality: Quality) -> list[_Pass]:
    """Return the passes of a quality: what was measured best is in `LabelOptions`."""
    if quality == "fast":
        return [_Pass(voxel_m)]
    smaller = [size for size in encoder.spec.voxel_sizes_m if size < voxel_m]
    finer_m = max(smaller, default=voxel_m)
    return [_Pass(voxel_m), _Pass(voxel_m, _TURN_RAD), _Pass(finer_m, _FINER_TURN_RAD)]


@dataclass(frozen=True, slots=True, eq=False)
class _Tile:
    """A part of a cloud with its halo.

    Attributes:
        cloud: the points of the tile and its halo.
        own: (P,) int64, rows in ``cloud`` of the points that belong to this tile alone.
        points: (P,) int64, rows of the same points in the whole cloud.
        shift_m: metres along x and y, by which each point is moved before it is put into voxels:
            see `pack_tiles`; None for not at all.
        context: of the whole cloud: a tile alone would find another ground and other ranks.
        inputs: names of the channels.
    """

    cloud: PointCloud
    own: Rows
    points: Rows
    shift_m: npt.NDArray[np.float64] | None
    context: CloudContext
    inputs: Sequence[str]

    def voxels(
        self, cut: _Pass
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Return the input of the network in one pass.

        Returns:
            Cells (M, 3), channels (M, C), and the row of cells for each of the P own points.
        """
        # Turned about the origin of coordinates, so that all tiles of a cloud are cut alike.
        # Heights above the ground do not change with it, nor with a shift along x and y.
        xyz = self.cloud.xyz if self.shift_m is None else self.cloud.xyz + self.shift_m
        grid = voxelize(_turned(xyz, cut.turn_rad), cut.voxel_m)
        channels = voxel_inputs(self.inputs, self.cloud, grid, self.context)
        return grid.cells, channels, grid.voxel_of_point[self.own]


def _turned(xyz: npt.NDArray[np.float64], angle_rad: float) -> npt.NDArray[np.float64]:
    """Turn (N, 3) coordinates about the z axis."""
    if angle_rad == 0:
        return xyz
    cos, sin = math.cos(angle_rad), math.sin(angle_rad)
    x, y, z = xyz.T
    return np.column_stack((cos * x - sin * y, sin * x + cos * y, z))


def _classify(
    encoder: VoxelEncoder, tile: _Tile, query: ClassQuery, passes: Sequence[_Pass]
) -> RankedClasses:
    """Rank the classes of a tile's own P points, by the mean similarity over all passes."""
    if len(passes) == 1:
        cells, channels, voxel = tile.voxels(passes[0])
        ranked: RankedClasses = encoder.classify(cells, channels, query)
        return RankedClasses(ranked.ranking[voxel], ranked.score[voxel], ranked.fits[voxel])
    mean = np.zeros((len(tile.own), len(query.words)), dtype=np.float32)
    for cut in passes:
        cells, channels, voxel = tile.voxels(cut)
        of_voxel = np.concatenate(list(encoder.similarities(cells, channels, query.words)))
        mean += of_voxel[voxel] / np.float32(len(passes))
    return rank_by_similarity(mean, query, encoder.spec.logit_scale)


def _tiles(
    cloud: PointCloud,
    encoder: VoxelEncoder,
    passes: Sequence[_Pass],
    tile_m: float | None,
    progress: Progress,
) -> Iterator[_Tile]:
    """Cut a cloud of finite points into tiles with halos."""
    # Of the whole cloud: a tile alone would find another ground and other ranks.
    context = CloudContext(cloud)
    coarsest_m = max(each.voxel_m for each in passes)
    xyz = move_storeys_apart(cloud.xyz, context.storeys, coarsest_m, encoder.reach)
    if xyz is not cloud.xyz:
        cloud = replace(cloud, xyz=xyz)
        # Of one storey, the ground depends on x and y alone.
        context = CloudContext(cloud) if context.storeys.floor_m.shape[1] else context
    limits = _tile_limits(encoder, passes, tile_m)
    tiles = list(cut_tiles(cloud.xyz, limits))
    # Turned blocks of voxels are no blocks.
    if len(tiles) > _MANY_TILES and not any(each.turn_rad for each in passes):
        tiles = list(pack_tiles(tiles, cloud.xyz, limits))
    for tile in progress(tiles, "labelling"):
        own = np.flatnonzero(tile.own)
        part = cloud.select(tile.points)
        yield _Tile(part, own, tile.points[own], tile.shift_m, context, encoder.spec.inputs)


def _tile_limits(
    encoder: VoxelEncoder, passes: Sequence[_Pass], tile_m: float | None
) -> TileLimits:
    """Return when to cut: at the number of voxels that fit, or at the requested width."""
    finest_m, coarsest_m = (choose(each.voxel_m for each in passes) for choose in (min, max))
    # The halo is the receptive field, so that no voxel of a tile misses input that affects it, and
    # one voxel more: the borders of the tile and of the halo cut voxels in two. A turned cube
    # reaches farther by the square root of 2.
    diagonal = math.sqrt(2) if any(each.turn_rad for each in passes) else 1.0
    halo_m = (encoder.reach + 1) * coarsest_m * diagonal
    widest_m = (HIGHEST_CELL - ANCHOR_CELLS) * finest_m / diagonal - 2 * halo_m
    if tile_m is None:
        return TileLimits(halo_m, finest_m, encoder.max_voxels, widest_m)
    # A tile narrower than a voxel is useless, and coordinates that differ in their last digit
    # only cannot be cut.
    return TileLimits(halo_m, finest_m, sys.maxsize, max(coarsest_m, min(tile_m, widest_m)))
