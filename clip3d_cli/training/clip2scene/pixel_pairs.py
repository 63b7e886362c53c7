"""Pairs of a point and a pixel that sees it, with what the teacher says there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from clip3d_cli.core.cameras import Occlusion, Sightings, project, visible
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.scenes import PosedScene, View
from clip3d_cli.core.superpoints import superpoints
from clip3d_cli.datasets.images import read_depth
from clip3d_cli.datasets.sweeps import MergedSweeps
from clip3d_cli.teachers.cache import Features
from clip3d_cli.teachers.sampling import sample_features
from clip3d_cli.training.option_types import Count, NonNegative, PositiveCount

Rows = npt.NDArray[np.int64]

# Targets are pooled over a sample of pairs: vectors of all would take hundreds of megabytes.
_POOLED = 8
_WIDEST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """Table ``[batch]`` of a pretraining: the content of a batch."""

    scenes: Annotated[
        PositiveCount, Meta(description="scenes in a batch, in each training process")
    ] = 4
    sweeps: Annotated[
        PositiveCount,
        Meta(description="scans used of a scene: the key frame, and others drawn from before it"),
    ] = 3
    among: Annotated[
        Count, Meta(description="number of scans before the key frame to draw the others from")
    ] = 10
    merge: Annotated[
        bool,
        Meta(
            description="give the network all sweeps as one cloud (the ablation); otherwise each "
            "sweep is an input of its own, and they meet in the grid cells of Eq. 2"
        ),
    ] = False
    cell_m: Annotated[
        NonNegative,
        Meta(description="edge length in metres of a grid cell of Eq. 2; 0 for that of a voxel"),
    ] = 0.0
    views: Annotated[
        Count,
        Meta(
            description="largest number of images used of a scene, drawn for each batch; 0 for all"
        ),
    ] = 0
    pairs: Annotated[
        PositiveCount, Meta(description="largest number of point-pixel pairs of a scene")
    ] = 4096
    points: Annotated[
        Count,
        Meta(
            description="cut a scene to a disc that holds this number of points of the key frame "
            "around a random visible point; 0 for whole scenes"
        ),
    ] = 0
    occlusion: Annotated[
        Occlusion,
        Meta(
            description="test for points hidden from a camera: depth by the depth image, points by "
            "nearer points, none keeps all points; auto is depth for views with a depth image, and "
            "points for the others"
        ),
    ] = "auto"
    least_depth_m: Annotated[
        NonNegative,
        Meta(
            description="least depth of a point in a camera, in metres; nearer points are left out"
        ),
    ] = 1.0
    tolerance_m: Annotated[
        NonNegative,
        Meta(description="largest distance in metres of a visible point from the depth image"),
    ] = 0.05
    superpoint_m: Annotated[
        NonNegative,
        Meta(
            description="average the teacher's vectors over superpoints made of cells of this edge "
            "length in metres (as SAS, Li et al. 2025); 0 for no averaging (CLIP2Scene)"
        ),
    ] = 0.0
    balance: Annotated[
        NonNegative,
        Meta(
            description="preference for pairs of rare words: 0 draws all pairs alike, 1 draws all "
            "words about equally often"
        ),
    ] = 0.0
    augment: Annotated[
        bool,
        Meta(
            description="rotate each scene about the vertical axis, mirror and shift it at random"
        ),
    ] = True


@dataclass(frozen=True, slots=True, eq=False)
class PixelPairs:
    """P points of a swept cloud, and the teacher's vectors at pixels that see them.

    Attributes:
        point: (P,) int64, rows of the cloud; one is there for each view that was drawn for it.
        vectors: (P, D) float32, unit length.
        seen: (S,) int64, rows of the cloud, ascending: all points that any view drawn sees, of
            which the pairs are a sample.
    """

    point: Rows
    vectors: npt.NDArray[np.float32]
    seen: Rows

    def __len__(self) -> int:
        return len(self.point)


@dataclass(frozen=True, slots=True, eq=False)
class Sighted:
    """A swept cloud and what some views of its scene see of it.

    Attributes:
        scene: whose views.
        swept: N points of its sweeps in the world.
        views: (V,) int64, the views that were drawn, ascending.
        found: what each of them sees.
    """

    scene: PosedScene
    swept: MergedSweeps
    views: Rows
    found: tuple[Sightings, ...]

    @property
    def points(self) -> Rows:
        """(S,) int64, ascending: the points that any of the views sees."""
        none = np.zeros(0, dtype=np.int64)
        return np.unique(np.concatenate([none, *(seen.point_index for seen in self.found)]))


def sight(
    scene: PosedScene, swept: MergedSweeps, options: BatchOptions, rng: np.random.Generator
) -> Sighted:
    """Look for the points of a swept cloud in at most ``options.views`` views, drawn evenly.

    Raises:
        InputError: a depth image cannot be read, or is asked for and missing.
    """
    views = np.sort(rng.permutation(len(scene.views))[: options.views or None])
    found = tuple(seen_points(scene.views[view], swept.cloud, options) for view in views)
    return Sighted(scene, swept, views, found)


def pixel_pairs(
    sighted: Sighted,
    features: Sequence[Features],
    kept: npt.NDArray[np.bool_],
    options: BatchOptions,
    rng: np.random.Generator,
) -> PixelPairs:
    """Pairs of a scene, drawn evenly from all of all its views.

    At most ``options.pairs``, and several times as many where they are to be balanced.

    Args:
        sighted: which points the views see.
        features: (h, w, D) of every view of the scene.
        kept: (N,) True for the points that may be in a pair.
        options: how many pairs, and whether they are pooled.
        rng: draws.
    """
    found = [seen.only(kept[seen.point_index]) for seen in sighted.found]
    sizes = np.array([len(seen) for seen in found], dtype=np.int64)
    most = options.pairs * (_POOLED if options.superpoint_m or options.balance else 1)
    taken = np.sort(rng.permutation(int(sizes.sum()))[:most])
    before = np.cumsum(sizes) - sizes
    points = [np.zeros(0, np.int64)]
    every = sighted.points
    every = every[kept[every]]
    vectors = []
    for view_index, seen, first in zip(sighted.views, found, before, strict=True):
        rows = taken[(taken >= first) & (taken < first + len(seen))] - first
        points.append(seen.point_index[rows])
        size = sighted.scene.views[view_index].size
        vectors.append(sample_features(features[view_index], seen.uv[rows], size))
    if not len(taken):
        dim = features[0].shape[2] if len(features) else 0
        return PixelPairs(points[0], np.zeros((0, dim), np.float32), every)
    pairs = PixelPairs(np.concatenate(points), np.concatenate(vectors), every)
    return _pooled(pairs, sighted.swept.cloud, options, rng) if options.superpoint_m else pairs


def seen_points(view: View, cloud: PointCloud, options: BatchOptions) -> Sightings:
    """The points of a cloud in the world that one view sees, by the occlusion test asked for.

    Raises:
        InputError: its depth image cannot be read, or is asked for and missing.
    """
    seen = project(view, cloud.xyz, least_depth_m=options.least_depth_m)
    depth = None
    if view.depth is not None and options.occlusion in ("depth", "auto"):
        depth = read_depth(view.depth, view.depth_unit_m)
    return visible(seen, view, options.occlusion, depth=depth, tolerance_m=options.tolerance_m)


def _pooled(
    pairs: PixelPairs, cloud: PointCloud, options: BatchOptions, rng: np.random.Generator
) -> PixelPairs:
    """Fewer pairs, each with the mean vector of the pairs of its superpoint."""
    cell_m = options.superpoint_m
    patch = superpoints(cloud.xyz, cell_m=cell_m, largest_m=_WIDEST * cell_m, rgb=cloud.rgb)
    _, patch_of_pair = np.unique(patch[pairs.point], return_inverse=True)
    total = np.zeros((int(patch_of_pair.max()) + 1, pairs.vectors.shape[1]), dtype=np.float32)
    np.add.at(total, patch_of_pair, pairs.vectors)
    total /= np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-6)
    few = np.arange(len(pairs))
    if not options.balance:
        few = np.sort(rng.permutation(len(pairs))[: options.pairs])
    return PixelPairs(pairs.point[few], total[patch_of_pair[few]], pairs.seen)


def balanced(
    pairs: PixelPairs,
    word: npt.NDArray[np.int64],
    options: BatchOptions,
    rng: np.random.Generator,
) -> tuple[PixelPairs, npt.NDArray[np.int64]]:
    """A sample of at most ``options.pairs`` pairs in which rare words are drawn more often.

    Sampling is without replacement. A pair whose word occurs n times has the weight
    w = n^-balance. Source: Efraimidis and Spirakis (2006), keys u^(1/w).

    Returns:
        The sampled pairs, in their original order, and their (P,) words.
    """
    weight = np.bincount(word)[word].astype(np.float64) ** -options.balance
    # Compare log keys: u^(1/w) underflows to 0 for frequent words, and ties go to the first view.
    # log1p(-u) is the log of a uniform number in (0, 1], so it is never infinite.
    key = np.log1p(-rng.random(len(word))) / weight
    drawn = np.sort(np.argsort(-key, kind="stable")[: options.pairs])
    return PixelPairs(pairs.point[drawn], pairs.vectors[drawn], pairs.seen), word[drawn]
