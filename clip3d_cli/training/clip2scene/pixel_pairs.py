"""Pairs of a point and a pixel that sees it, with what the teacher says there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.cameras import Occlusion, Sightings, project, visible
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.scenes import PosedScene, View
from clip3d_cli.core.superpoints import superpoints
from clip3d_cli.datasets.images import read_depth
from clip3d_cli.datasets.sweeps import MergedSweeps
from clip3d_cli.teachers.cache import Features
from clip3d_cli.teachers.sampling import sample_features

Rows = npt.NDArray[np.int64]

# Targets are pooled over a sample of pairs: vectors of all would take hundreds of megabytes.
_POOLED = 8
_WIDEST = 10


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """What a batch is made of.

    Attributes:
        scenes: how many scenes a batch has.
        sweeps: S, how many scans of a scene: the key frame and S − 1 drawn from those before it.
        among: how many earlier sweeps they are drawn from.
        merge: put the sweeps together before the network sees them (the ablation "merged"); else
            each is an input of its own, and they meet in the cells of the grid.
        cell_m: the edge of a grid cell, metres; 0 takes the voxel's.
        views: the most images of a scene that are looked at; 0 for all.
        pairs: the most pairs of a point and a pixel of a scene.
        points: sweeps are cut to the disc around one of the points that images see that holds so
            many points of the key frame; 0 for whole sweeps.
        occlusion: which points count as hidden.
        least_depth_m: nearer points are not looked at, metres.
        tolerance_m: how far a point may lie from the depth image, metres.
        superpoint_m: cells of the superpoints over which targets are averaged, metres; 0 for
            none. SAS (Li et al. 2025) gains by it; CLIP2Scene has none.
        balance: 0 draws pairs as they come; towards 1, words of few pixels are drawn as often
            as common ones. Eq. 1 weighs classes alike anyhow; a mean over pairs does not.
        augment: turn each scene about the vertical and mirror it, at random.
    """

    scenes: int = 4
    sweeps: int = 3
    among: int = 10
    merge: bool = False
    cell_m: float = 0.0
    views: int = 0
    pairs: int = 4096
    points: int = 0
    occlusion: Occlusion = "auto"
    least_depth_m: float = 1.0
    tolerance_m: float = 0.05
    superpoint_m: float = 0.0
    balance: float = 0.0
    augment: bool = True


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
