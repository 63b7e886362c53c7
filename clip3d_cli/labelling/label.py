"""Labelling: every point takes the class whose words lie nearest to it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.labels import UNLABELED, Labels
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.vocabulary import ClassEmbeddings
from clip3d_cli.core.voxels import ANCHOR_CELLS, choose_voxel, voxelize
from clip3d_cli.encoders.input_channels import Terrain, voxel_inputs
from clip3d_cli.encoders.scoring import ClassQuery, RankedClasses
from clip3d_cli.encoders.voxel_encoder import VoxelEncoder
from clip3d_cli.labelling.tiles import TileLimits, cut_tiles
from clip3d_cli.sparse.lattice import HIGHEST_CELL

T = TypeVar("T")


class Progress(Protocol):
    """What shows how far a long job is: wraps what it walks over."""

    def __call__(self, steps: Iterable[T], what: str) -> Iterable[T]:
        """The same steps, counted under a name."""
        ...


def silent(steps: Iterable[T], what: str) -> Iterable[T]:
    """The steps themselves: progress for notebooks and tests."""
    del what
    return steps


@dataclass(frozen=True, slots=True)
class LabelOptions:
    """How a cloud is labelled.

    Attributes:
        voxel_m: the edge of a voxel, metres; None takes the encoder's that suits the cloud.
        tile_m: the widest tile, metres; None cuts only what does not fit.
        unknown_threshold: a point whose winner scores less is unlabeled, 0…1.
        ranking: how many classes to rank per point; 0 for none.
    """

    voxel_m: float | None = None
    tile_m: float | None = None
    unknown_threshold: float = 0.0
    ranking: int = 0


def label_cloud(
    cloud: PointCloud,
    encoder: VoxelEncoder,
    classes: ClassEmbeddings,
    options: LabelOptions | None = None,
    *,
    progress: Progress = silent,
) -> Labels:
    """Give every point the class whose words lie nearest to it.

    The answer does not depend on the order of the points, nor on ``tile_m``; memory does.
    Points with a coordinate that is not finite are unlabeled, with score 0.

    Args:
        cloud: N points.
        encoder: compares every voxel with the words.
        classes: the words' unit vectors, of the encoder's space.
        options: voxel, tiles, threshold, ranking.
        progress: wraps the tiles.

    Returns:
        N labels. A score is the softmax of the scaled similarities over the classes and one
        more, whose similarity is 0 and which stands for "none of these": CLIP2Scene puts the
        same zero row before its text matrix. It is comparable between points, and no
        calibrated probability. Through a closed head it is the share of the softmax over all
        classes that the head was trained on, whichever of them are asked for.

    Raises:
        SetupError: words and points live in different spaces.
        InputError: the cloud lacks a channel that the encoder needs.
    """
    options = options or LabelOptions()
    encoder.spec.space.require(classes.space, "the text encoder")
    answers = _Answers.empty(len(cloud), min(options.ranking, len(classes.vocabulary)))
    finite, kept = _finite(cloud)
    if len(finite):
        voxel_m = options.voxel_m or choose_voxel(finite.xyz, encoder.spec.voxel_sizes_m)
        limits = _limits(encoder, voxel_m, options.tile_m)
        tiles = list(cut_tiles(finite.xyz, limits))
        terrain = Terrain(finite.xyz)
        question = ClassQuery.of(classes, answers.width)
        for tile in progress(tiles, "labelling"):
            part = finite.only(tile.points)
            grid = voxelize(part.xyz, voxel_m)
            channels = voxel_inputs(encoder.spec.inputs, part, grid, terrain)
            voxels = encoder.classify(grid.cells, channels, question)
            owned = np.flatnonzero(tile.own)
            answers.put(kept[tile.points[owned]], voxels, grid.voxel_of_point[owned])
    return answers.labels(classes, options.unknown_threshold)


def voxel_for(cloud: PointCloud, encoder: VoxelEncoder) -> float | None:
    """The size that `choose_voxel` gives for a cloud, metres; None where no point is finite."""
    finite, _ = _finite(cloud)
    return choose_voxel(finite.xyz, encoder.spec.voxel_sizes_m) if len(finite) else None


@dataclass(frozen=True, slots=True)
class _Answers:
    """What is known so far of every point."""

    ranking: npt.NDArray[np.int32]
    score: npt.NDArray[np.float32]
    wanted: int

    @classmethod
    def empty(cls, points: int, wanted: int) -> _Answers:
        width = max(1, wanted)
        return cls(
            np.full((points, width), UNLABELED, dtype=np.int32),
            np.zeros((points, width), dtype=np.float32),
            wanted,
        )

    @property
    def width(self) -> int:
        return int(self.ranking.shape[1])

    def put(
        self,
        rows: npt.NDArray[np.int64],
        voxels: RankedClasses,
        voxel_of_row: npt.NDArray[np.int64],
    ) -> None:
        self.ranking[rows] = voxels.ranking[voxel_of_row]
        self.score[rows] = voxels.score[voxel_of_row]

    def labels(self, classes: ClassEmbeddings, unknown_threshold: float) -> Labels:
        winner = np.where(self.score[:, 0] < unknown_threshold, UNLABELED, self.ranking[:, 0])
        return Labels(
            winner.astype(np.int32),
            self.score[:, 0].copy(),
            classes.vocabulary,
            self.ranking if self.wanted else None,
            self.score if self.wanted else None,
        )


def _finite(cloud: PointCloud) -> tuple[PointCloud, npt.NDArray[np.int64]]:
    """The points whose coordinates are finite, and their rows in the cloud."""
    if np.isfinite(cloud.xyz).all():
        return cloud, np.arange(len(cloud))
    rows = np.flatnonzero(np.isfinite(cloud.xyz).all(axis=1))
    return cloud.only(rows), rows


def _limits(encoder: VoxelEncoder, voxel_m: float, tile_m: float | None) -> TileLimits:
    """When to cut: by the number of voxels that fit, or as the user says."""
    halo_m = encoder.reach * voxel_m
    widest = (HIGHEST_CELL - ANCHOR_CELLS) * voxel_m - 2 * halo_m
    if tile_m is None:
        return TileLimits(halo_m, voxel_m, encoder.max_voxels, widest)
    # Below a voxel nothing is gained, and below a coordinate's last digit nothing can be cut.
    return TileLimits(halo_m, voxel_m, sys.maxsize, max(voxel_m, min(tile_m, widest)))
