"""Pairs of points and the pixels that see them, with the teacher's vectors at these pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from clip3d_cli.core.cameras import Occlusion, ProjectedPoints, project, remove_occluded
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.scenes import PosedScene, View
from clip3d_cli.core.superpoints import compute_superpoints
from clip3d_cli.datasets.images import read_depth
from clip3d_cli.datasets.sweeps import MergedSweeps
from clip3d_cli.teachers.cache import Features
from clip3d_cli.teachers.sampling import sample_features
from clip3d_cli.training.option_types import Count, NonNegative, PositiveCount

Rows = npt.NDArray[np.int64]

# Superpoints and balancing work on a sample of this many times the pairs that are kept: the vectors
# of all pairs of a scene would take hundreds of megabytes.
_POOL_FACTOR = 8
# Largest extent of a superpoint, in cells.
_LARGEST_CELLS = 10


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
    """Pairs of a point and a pixel that sees it, with the teacher's vector at the pixel.

    Attributes:
        point: (P,) int64, index of each pair's point in the swept cloud; a point that several
            views see may occur once for each.
        vectors: (P, D) float32, unit length: the teacher's vector at each pair's pixel.
        visible: (S,) int64, ascending indices of all points that the chosen views see; the pairs
            are a sample of them.
    """

    point: Rows
    vectors: npt.NDArray[np.float32]
    visible: Rows

    def __len__(self) -> int:
        return len(self.point)


@dataclass(frozen=True, slots=True, eq=False)
class SceneProjection:
    """A swept cloud and the points of it that some views of its scene see.

    Attributes:
        scene: the scene.
        swept: N points of its sweeps in the world frame.
        view_index: (V,) int64, ascending: the views that were chosen.
        projected: visible points of each chosen view, with their pixels.
    """

    scene: PosedScene
    swept: MergedSweeps
    view_index: Rows
    projected: tuple[ProjectedPoints, ...]

    @property
    def visible(self) -> Rows:
        """(S,) int64, ascending: points that at least one of the views sees."""
        none = np.zeros(0, dtype=np.int64)
        return np.unique(np.concatenate([none, *(each.point_index for each in self.projected)]))


def project_scene(
    scene: PosedScene, swept: MergedSweeps, options: BatchOptions, rng: np.random.Generator
) -> SceneProjection:
    """Project a swept cloud into at most ``options.views`` randomly chosen views of its scene.

    Args:
        scene: the scene of the cloud.
        swept: N points in the world frame.
        options: number of views, and the occlusion test.
        rng: chooses the views.

    Raises:
        InputError: a depth image cannot be read, or is required and missing.
    """
    view_index = np.sort(rng.permutation(len(scene.views))[: options.views or None])
    projected = tuple(
        visible_points(scene.views[index], swept.cloud, options) for index in view_index
    )
    return SceneProjection(scene, swept, view_index, projected)


def sample_pixel_pairs(
    projection: SceneProjection,
    features: Sequence[Features],
    keep: npt.NDArray[np.bool_],
    options: BatchOptions,
    rng: np.random.Generator,
) -> PixelPairs:
    """Return a uniform sample of the pairs of all chosen views of a scene.

    At most ``options.pairs`` pairs, or several times as many if they are balanced afterwards.

    Args:
        projection: visible points of the chosen views.
        features: (h, w, D) teacher features of every view of the scene.
        keep: (N,) True for points that may be in a pair.
        options: number of pairs, and whether vectors are averaged over superpoints.
        rng: draws the sample.
    """
    projected = [each.select(keep[each.point_index]) for each in projection.projected]
    # Pairs are numbered view by view: those of view v from first[v] to first[v] + sizes[v] − 1.
    sizes = np.array([len(each) for each in projected], dtype=np.int64)
    first = np.cumsum(sizes) - sizes
    most = options.pairs * (_POOL_FACTOR if options.superpoint_m or options.balance else 1)
    sample = np.sort(rng.permutation(int(sizes.sum()))[:most])
    visible_rows = projection.visible
    visible_rows = visible_rows[keep[visible_rows]]
    points = [np.zeros(0, np.int64)]
    vectors = []
    for index, seen, start in zip(projection.view_index, projected, first, strict=True):
        # rows: the sampled pairs of this view, as rows of its visible points.
        rows = sample[(sample >= start) & (sample < start + len(seen))] - start
        points.append(seen.point_index[rows])
        size = projection.scene.views[index].size
        vectors.append(sample_features(features[index], seen.uv[rows], size))
    if not len(sample):
        dim = features[0].shape[2] if len(features) else 0
        return PixelPairs(points[0], np.zeros((0, dim), np.float32), visible_rows)
    pairs = PixelPairs(np.concatenate(points), np.concatenate(vectors), visible_rows)
    if not options.superpoint_m:
        return pairs
    return _average_over_superpoints(pairs, projection.swept.cloud, options, rng)


def visible_points(view: View, cloud: PointCloud, options: BatchOptions) -> ProjectedPoints:
    """Return the points of a cloud that one view sees, by the occlusion test of the options.

    Args:
        view: the camera and its images.
        cloud: N points in the world frame.
        options: occlusion test, least depth and tolerance.

    Raises:
        InputError: the depth image cannot be read, or is required and missing.
    """
    projected = project(view, cloud.xyz, least_depth_m=options.least_depth_m)
    depth = None
    if view.depth is not None and options.occlusion in ("depth", "auto"):
        depth = read_depth(view.depth, view.depth_unit_m)
    return remove_occluded(
        projected, view, options.occlusion, depth=depth, tolerance_m=options.tolerance_m
    )


def _average_over_superpoints(
    pairs: PixelPairs, cloud: PointCloud, options: BatchOptions, rng: np.random.Generator
) -> PixelPairs:
    """Return a sample of the pairs, each with the mean vector of all pairs of its superpoint."""
    cell_m = options.superpoint_m
    # (N,): number of each point's superpoint.
    superpoint = compute_superpoints(
        cloud.xyz, cell_m=cell_m, largest_m=_LARGEST_CELLS * cell_m, rgb=cloud.rgb
    )
    # (P,): superpoints of the pairs, renumbered from 0.
    _, superpoint_of_pair = np.unique(superpoint[pairs.point], return_inverse=True)
    mean = np.zeros((int(superpoint_of_pair.max()) + 1, pairs.vectors.shape[1]), dtype=np.float32)
    np.add.at(mean, superpoint_of_pair, pairs.vectors)
    mean /= np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-6)
    sample = np.arange(len(pairs))
    # If pairs are balanced afterwards, that draws the sample.
    if not options.balance:
        sample = np.sort(rng.permutation(len(pairs))[: options.pairs])
    return PixelPairs(pairs.point[sample], mean[superpoint_of_pair[sample]], pairs.visible)


def sample_balanced_pairs(
    pairs: PixelPairs,
    word: npt.NDArray[np.int64],
    options: BatchOptions,
    rng: np.random.Generator,
) -> tuple[PixelPairs, npt.NDArray[np.int64]]:
    """Return a sample of at most ``options.pairs`` pairs in which rare words are more frequent.

    Sampling is without replacement. A pair whose word occurs n times has the weight
    w = n^-balance. Source: Efraimidis and Spirakis (2006), keys u^(1/w).

    Args:
        pairs: P pairs.
        word: (P,) word of each pair.
        options: number of pairs, and ``balance``.
        rng: draws the sample.

    Returns:
        The sampled pairs, in their original order, and their words.
    """
    weight = np.bincount(word)[word].astype(np.float64) ** -options.balance
    # Compare log keys: u^(1/w) underflows to 0 for frequent words, and ties go to the first view.
    # log1p(-u) is the log of a uniform number in (0, 1], so it is never infinite.
    key = np.log1p(-rng.random(len(word))) / weight
    sample = np.sort(np.argsort(-key, kind="stable")[: options.pairs])
    sampled = PixelPairs(pairs.point[sample], pairs.vectors[sample], pairs.visible)
    return sampled, word[sample]
