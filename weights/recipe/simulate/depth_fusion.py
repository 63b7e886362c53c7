"""Fusion of depth images to a surface, as rooms are captured with hand-held depth cameras.

A truncated signed distance function (TSDF) is averaged over all images on a grid of voxels; the
vertices of its zero surface are what scanning software exports. Source: Curless and Levoy,
"A volumetric method for building complex models from range images" (1996). Approximation: an image
updates the voxels along its pixels' rays near the measured depth, instead of all voxels in view.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from weights.recipe.simulate.primitives import F32, U16, Rng

_MAX_CELLS = 10_000_000
_NEIGHBOURS = 7


@dataclass(frozen=True, slots=True)
class Measured:
    """M measured pixels of all images.

    Attributes:
        origin: (M, 3) float32, the camera's estimated position in metres.
        direction: (M, 3) float32, unit vectors of the estimated rays.
        range_m: (M,) float32, the measured range.
        true_range_m: (M,) float32, the range without noise.
        label: (M,) uint16.
        rgb: (M, 3) float32, sRGB values 0…255; images without colour have zeros.
    """

    origin: F32
    direction: F32
    range_m: F32
    true_range_m: F32
    label: U16
    rgb: F32


@dataclass(frozen=True, slots=True)
class FusionOptions:
    """How images are fused and the surface is cleaned.

    Attributes:
        voxel_m: edge of a voxel.
        truncation_m: the distance function is clipped to ± this.
        min_weight: voxels with less weight are unknown; a pixel at 1 m weighs 1.
        cluster_m: vertices in one cube of this edge become one; 0 keeps all.
        smoothing: how far vertices move to the mean of their neighbours, 0…1.
        slide: how far, at most, vertices then move towards one of their neighbours, 0…1: cleaning
            of meshes breaks up the pattern of the grid.
        min_component: patches of fewer vertices are removed.
    """

    voxel_m: float
    truncation_m: float
    min_weight: float
    cluster_m: float
    smoothing: float
    slide: float
    min_component: int


def fuse(measured: Measured, options: FusionOptions, rng: Rng) -> tuple[F32, U16, F32]:
    """Return vertices of the fused surface, (N, 3) metres, their labels and their rgb 0…255.

    A vertex has the label of most pixels around it, and their mean colour.

    Args:
        measured: pixels of all images.
        options: how they are fused.
        rng: draws how vertices slide along the surface.
    """
    grid = _Grid.around(measured, options)
    vertices = grid.vertices()
    if len(vertices) and options.cluster_m > 0:
        vertices = _clustered(vertices, options.cluster_m)
    if len(vertices) and options.smoothing + options.slide > 0:
        vertices = _smoothed(vertices, options, rng)
    if len(vertices) and options.cluster_m > 0:
        vertices = _without_twins(vertices, 0.55 * options.cluster_m)
    if len(vertices) and options.min_component > 1:
        kept = _in_large_components(vertices, 2.5 * grid.voxel_m, options.min_component)
        vertices = vertices[kept]
    label, rgb = _of_nearest_pixels(vertices, measured, grid.voxel_m)
    return vertices, label, rgb


@dataclass(frozen=True, slots=True)
class _Grid:
    """A dense grid of the averaged distance function.

    Attributes:
        corner: (3,) metres, the centre of voxel (0, 0, 0).
        voxel_m: edge of a voxel in metres.
        known: (X, Y, Z) bool, which voxels have been measured often enough.
        distance: (X, Y, Z) float32, metres, positive on the camera's side; meaningless
            where unknown.
    """

    corner: F32
    voxel_m: float
    known: NDArray[np.bool_]
    distance: F32

    @classmethod
    def around(cls, measured: Measured, options: FusionOptions) -> "_Grid":
        """Return the grid that all images update."""
        points = measured.origin + measured.direction * measured.range_m[:, None]
        # The grid is where many points are; a few far ones, behind a window, do not stretch it.
        low, high = np.percentile(points[::7], [0.4, 99.6], axis=0) + [[-0.3], [0.3]]
        low, high = np.maximum(low, points.min(axis=0)), np.minimum(high, points.max(axis=0))
        inside = ((points >= low) & (points <= high)).all(axis=1)
        points, direction = points[inside], measured.direction[inside]
        # Samples never leave the grid: its margin is wider than they reach.
        margin = options.truncation_m + 3 * options.voxel_m
        low, high = low - margin, high + margin
        # Halls are fused on a coarser grid, as scanning software does.
        volume = float(np.prod(high - low))
        voxel_m = max(options.voxel_m, (volume / _MAX_CELLS) ** (1 / 3))
        shape = tuple(int(n) for n in np.ceil((high - low) / voxel_m).astype(np.int64) + 1)
        weight = (1 / np.maximum(measured.range_m[inside], 0.5) ** 2).astype(np.float32)
        # (3, M) points in units of voxels; columns that lie apart are faster than rows of three.
        scaled = np.ascontiguousarray(((points - low) / voxel_m).T, dtype=np.float32)
        along = np.ascontiguousarray(direction.T, dtype=np.float32)
        count = int(np.prod(shape))
        total, sums = np.zeros(count, np.float32), np.zeros(count, np.float32)
        reach = int(np.ceil(options.truncation_m / voxel_m))
        for step in range(-reach, reach + 1):
            sample = scaled + along * np.float32(step)
            nearest = np.rint(sample)
            # How far the voxel's centre is in front of the measured point, along the ray.
            beyond = ((nearest - sample) * along).sum(axis=0) + np.float32(step)
            distance = np.clip(-beyond * voxel_m, -options.truncation_m, options.truncation_m)
            x, y, z = nearest.astype(np.int32)
            # 64-bit indices: `add.at` is twenty times slower with any other.
            flat = ((x * shape[1] + y) * shape[2] + z).astype(np.int64)
            np.add.at(total, flat, weight)
            np.add.at(sums, flat, weight * distance.astype(np.float32))
        # Neighbours fill the gaps between the rays of far pixels, which real images, of more
        # pixels, do not have.
        around, free = _sum_of_neighbours(total.reshape(shape), np.zeros(shape, np.float32))
        known = around >= options.min_weight * 3
        distance, _ = _sum_of_neighbours(sums.reshape(shape), free)
        np.divide(distance, around, out=distance, where=known)
        return cls(low.astype(np.float32), voxel_m, known, distance)

    def vertices(self) -> F32:
        """Return where the distance function is zero on the edges of the grid.

        These are the vertices that marching cubes (Lorensen and Cline, 1987) makes.
        """
        shape = self.known.shape
        strides = (shape[1] * shape[2], shape[2], 1)
        distance, known = self.distance.ravel(), self.known.ravel()
        # Only cells near the surface can have a vertex on one of their three edges.
        near = np.flatnonzero(known & (np.abs(distance) < 2.2 * self.voxel_m))
        parts = []
        for axis, stride in enumerate(strides):
            cell = near[near + stride < len(distance)]
            other = cell + stride
            a, b = distance[cell], distance[other]
            crosses = known[other] & ((a > 0) != (b > 0)) & (np.abs(a - b) < 2.5 * self.voxel_m)
            cell, a, b = cell[crosses], a[crosses], b[crosses]
            index = np.stack(np.unravel_index(cell, shape), axis=1).astype(np.float32)
            index[:, axis] += a / (a - b)
            parts.append(self.corner + index * np.float32(self.voxel_m))
        return np.concatenate(parts).astype(np.float32)


def _sum_of_neighbours(volume: F32, scratch: F32) -> tuple[F32, F32]:
    """Return for each voxel the sum over its 3 x 3 x 3 neighbourhood, in the memory of `scratch`.

    The rim of the volume must be zero. Both arrays are overwritten, as new memory costs more time
    than the sums; the second that is returned is free.
    """
    for axis in range(3):
        old, new = np.moveaxis(volume, axis, 0), np.moveaxis(scratch, axis, 0)
        np.add(old[:-2], old[1:-1], out=new[1:-1])
        new[1:-1] += old[2:]
        new[0] = new[-1] = 0
        volume, scratch = scratch, volume
    return volume, scratch


def _cell_keys(points: F32, size_m: float) -> NDArray[np.int64]:
    """Return (N,) a number of the cube of ``size_m`` that each point is in."""
    cell = np.floor((points - points.min(axis=0)) / size_m).astype(np.int64)
    extent = cell.max(axis=0) + 1
    return np.asarray((cell[:, 0] * extent[1] + cell[:, 1]) * extent[2] + cell[:, 2])


def _clustered(points: F32, size_m: float) -> F32:
    """Return the mean point in each cube that has points."""
    _, cluster = np.unique(_cell_keys(points, size_m), return_inverse=True)
    count = np.bincount(cluster)
    sums = [np.bincount(cluster, points[:, axis]) / count for axis in range(3)]
    return np.stack(sums, axis=1).astype(np.float32)


def _smoothed(points: F32, options: FusionOptions, rng: Rng) -> F32:
    """Return points moved towards the mean of their neighbours, and along the surface."""
    count = min(_NEIGHBOURS, len(points))
    _, nearest = cKDTree(points).query(points, k=count)
    around = points[nearest.reshape(len(points), count)]
    smooth = points + options.smoothing * (around.mean(axis=1) - points)
    # Neighbours lie on the same surface, so that a way towards one stays on it.
    chosen = around[np.arange(len(points)), rng.integers(count, size=len(points))]
    slide = rng.uniform(0, options.slide, (len(points), 1))
    return np.asarray(smooth + slide * (chosen - points), dtype=np.float32)


def _without_twins(points: F32, distance_m: float) -> F32:
    """Return points without those that are nearer than a distance to an earlier one."""
    distance, nearest = cKDTree(points).query(points, k=2, distance_upper_bound=distance_m)
    is_twin = np.isfinite(distance[:, 1]) & (nearest[:, 1] < np.arange(len(points)))
    return np.asarray(points[~is_twin])


def _in_large_components(points: F32, size_m: float, least: int) -> NDArray[np.bool_]:
    """Return (N,) which points belong to patches of at least ``least`` points."""
    cell = np.floor((points - points.min(axis=0)) / size_m).astype(np.int64)
    occupied = np.zeros(cell.max(axis=0) + 1, dtype=np.bool_)
    occupied[tuple(cell.T)] = True
    component, count = ndimage.label(occupied, np.ones((3, 3, 3)))
    of_point = component[tuple(cell.T)]
    return np.asarray(np.bincount(of_point, minlength=count + 1)[of_point] >= least)


def _of_nearest_pixels(vertices: F32, measured: Measured, size_m: float) -> tuple[U16, F32]:
    """Return (N,) labels and (N, 3) rgb of the nearest cube of pixels.

    A cube has its most frequent label, and the mean colour of its pixels, near ones counting more.
    """
    if not len(vertices):
        return np.zeros(0, dtype=np.uint16), np.zeros((0, 3), dtype=np.float32)
    points = measured.origin + measured.direction * measured.true_range_m[:, None]
    # Sorted by cube, then by label.
    key = _cell_keys(points, size_m) * 65_536 + measured.label
    pair, first, pair_of_pixel, votes = np.unique(
        key, return_index=True, return_inverse=True, return_counts=True
    )
    starts = np.flatnonzero(np.diff(pair // 65_536, prepend=-1))
    weight = 1 / np.maximum(measured.range_m, 0.5) ** 2
    columns = [weight, *(weight * measured.rgb[:, k] for k in range(3))]
    # (C, 4) weight and weighted colours of each cube.
    sums = np.stack(
        [np.add.reduceat(np.bincount(pair_of_pixel, column), starts) for column in columns], axis=1
    )
    # The pair of each cube that has most pixels; of equals, the last.
    cube_of_pair = np.zeros(len(pair), dtype=np.int64)
    cube_of_pair[starts[1:]] = 1
    cube_of_pair = np.cumsum(cube_of_pair)
    order = np.lexsort((votes, cube_of_pair))
    chosen = first[order[np.append(starts[1:], len(pair)) - 1]]
    _, nearest = cKDTree(points[chosen]).query(vertices)
    rgb = (sums[:, 1:] / sums[:, :1])[nearest]
    return measured.label[chosen[nearest]], rgb.astype(np.float32)
