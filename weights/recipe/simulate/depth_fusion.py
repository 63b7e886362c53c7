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

from weights.recipe.simulate.primitives import F32, U16

_MAX_CELLS = 24_000_000
_STEPS_PER_VOXEL = 1.05


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
        min_component: patches of fewer vertices are removed.
    """

    voxel_m: float
    truncation_m: float
    min_weight: float
    cluster_m: float
    smoothing: float
    min_component: int


def fuse(measured: Measured, options: FusionOptions) -> tuple[F32, U16, F32]:
    """Return vertices of the fused surface, (N, 3) metres, their labels and their rgb 0…255.

    The label of a vertex is that of most pixels around it.
    """
    grid = _Grid.around(measured, options)
    vertices, rgb = grid.vertices(options)
    if len(vertices) and options.cluster_m > 0:
        vertices, rgb = _clustered(vertices, rgb, options.cluster_m)
    if len(vertices) and options.smoothing > 0:
        vertices = _smoothed(vertices, options.smoothing)
    if len(vertices) and options.min_component > 1:
        kept = _in_large_components(vertices, 2.5 * grid.voxel_m, options.min_component)
        vertices, rgb = vertices[kept], rgb[kept]
    return vertices, _nearest_labels(vertices, measured, grid.voxel_m), rgb


@dataclass(frozen=True, slots=True)
class _Grid:
    """A dense grid of the averaged distance function and of colours.

    Attributes:
        corner: (3,) metres, the centre of voxel (0, 0, 0).
        voxel_m: edge of a voxel in metres.
        weight: (X, Y, Z) float32.
        distance: (X, Y, Z) float32, metres, positive on the camera's side; 0 where unknown.
        rgb: (X·Y·Z, 3) float32 or None.
    """

    corner: F32
    voxel_m: float
    weight: F32
    distance: F32
    rgb: F32

    @classmethod
    def around(cls, measured: Measured, options: FusionOptions) -> "_Grid":
        """Return the grid that all images update."""
        points = measured.origin + measured.direction * measured.range_m[:, None]
        margin = options.truncation_m + 2 * options.voxel_m
        low, high = points.min(axis=0) - margin, points.max(axis=0) + margin
        # Halls are fused on a coarser grid, as scanning software does.
        volume = float(np.prod(high - low))
        voxel_m = max(options.voxel_m, (volume / _MAX_CELLS) ** (1 / 3))
        shape = np.ceil((high - low) / voxel_m).astype(np.int64) + 1
        steps = int(np.ceil(options.truncation_m / (voxel_m * _STEPS_PER_VOXEL)))
        weight_of_pixel = 1 / np.maximum(measured.range_m, 0.5) ** 2
        cells, distances, weights = [], [], []
        color_cells, color_weights, color_pixels = [], [], []
        for step in range(-steps, steps + 1):
            offset_m = step * voxel_m * _STEPS_PER_VOXEL
            sample = points + measured.direction * np.float32(offset_m)
            index = np.rint((sample - low) / voxel_m).astype(np.int64)
            inside = ((index >= 0) & (index < shape)).all(axis=1)
            index = index[inside]
            center = index * voxel_m + low
            along = np.einsum(
                "ij,ij->i", center - measured.origin[inside], measured.direction[inside]
            )
            distance = measured.range_m[inside] - along
            flat = (index[:, 0] * shape[1] + index[:, 1]) * shape[2] + index[:, 2]
            cells.append(flat)
            distances.append(
                np.clip(distance, -options.truncation_m, options.truncation_m).astype(np.float32)
            )
            weights.append(weight_of_pixel[inside].astype(np.float32))
            if abs(step) <= 1:
                color_cells.append(flat)
                color_weights.append(weight_of_pixel[inside])
                color_pixels.append(np.flatnonzero(inside))
        count = int(np.prod(shape))
        cell = np.concatenate(cells)
        weight = np.concatenate(weights)
        total = np.bincount(cell, weight, count)
        mean = np.bincount(cell, weight * np.concatenate(distances), count)
        mean = np.divide(mean, total, out=mean, where=total > 0)
        color_cell = np.concatenate(color_cells)
        color_weight = np.concatenate(color_weights)
        color_total = np.maximum(np.bincount(color_cell, color_weight, count), 1e-9)
        pixel = np.concatenate(color_pixels)
        rgb = np.empty((count, 3), dtype=np.float32)
        for channel in range(3):
            values = measured.rgb[pixel, channel] * color_weight
            rgb[:, channel] = np.bincount(color_cell, values, count) / color_total
        return cls(
            low.astype(np.float32),
            voxel_m,
            total.reshape(shape).astype(np.float32),
            mean.reshape(shape).astype(np.float32),
            rgb,
        )

    def vertices(self, options: FusionOptions) -> tuple[F32, F32]:
        """Return where the distance function is zero on the edges of the grid, and the colours.

        These are the vertices that marching cubes (Lorensen and Cline, 1987) makes.
        """
        known = self.weight >= options.min_weight
        strides = (self.weight.shape[1] * self.weight.shape[2], self.weight.shape[2], 1)
        distance, known_flat = self.distance.ravel(), known.ravel()
        # Only cells near the surface can have a vertex on one of their three edges.
        near = np.flatnonzero(known_flat & (np.abs(distance) < 2.2 * self.voxel_m))
        parts, colors = [], []
        for axis, stride in enumerate(strides):
            cell = near[near + stride < len(distance)]
            other = cell + stride
            a, b = distance[cell], distance[other]
            crosses = known_flat[other] & ((a > 0) != (b > 0))
            cell, other, a, b = cell[crosses], other[crosses], a[crosses], b[crosses]
            share = a / (a - b)
            index = np.stack(np.unravel_index(cell, self.weight.shape), axis=1).astype(np.float32)
            index[:, axis] += share
            parts.append(self.corner + index * np.float32(self.voxel_m))
            nearer = np.where(share < 0.5, cell, other)
            farther = np.where(share < 0.5, other, cell)
            color = self.rgb[nearer]
            colors.append(np.where(color.any(axis=1, keepdims=True), color, self.rgb[farther]))
        return np.concatenate(parts).astype(np.float32), np.concatenate(colors)


def _cell_keys(points: F32, size_m: float) -> NDArray[np.int64]:
    """Return (N,) a number of the cube of ``size_m`` that each point is in."""
    cell = np.floor((points - points.min(axis=0)) / size_m).astype(np.int64)
    extent = cell.max(axis=0) + 1
    return np.asarray((cell[:, 0] * extent[1] + cell[:, 1]) * extent[2] + cell[:, 2])


def _clustered(points: F32, rgb: F32, size_m: float) -> tuple[F32, F32]:
    """Return the mean point and the mean colour in each cube that has points."""
    _, cluster = np.unique(_cell_keys(points, size_m), return_inverse=True)
    count = np.bincount(cluster)

    def mean(values: F32) -> F32:
        sums = [np.bincount(cluster, values[:, k]) / count for k in range(3)]
        return np.stack(sums, axis=1).astype(np.float32)

    return mean(points), mean(rgb)


def _smoothed(points: F32, factor: float, neighbours: int = 7) -> F32:
    """Return points moved by ``factor`` towards the mean of their neighbours."""
    count = min(neighbours, len(points))
    _, nearest = cKDTree(points).query(points, k=count)
    mean = points[nearest.reshape(len(points), count)].mean(axis=1)
    return (points + np.float32(factor) * (mean - points)).astype(np.float32)


def _in_large_components(points: F32, size_m: float, least: int) -> NDArray[np.bool_]:
    """Return (N,) which points belong to patches of at least ``least`` points."""
    cell = np.floor((points - points.min(axis=0)) / size_m).astype(np.int64)
    occupied = np.zeros(cell.max(axis=0) + 1, dtype=np.bool_)
    occupied[tuple(cell.T)] = True
    component, count = ndimage.label(occupied, np.ones((3, 3, 3)))
    of_point = component[tuple(cell.T)]
    return np.asarray(np.bincount(of_point, minlength=count + 1)[of_point] >= least)


def _nearest_labels(vertices: F32, measured: Measured, size_m: float) -> U16:
    """Return (N,) the label of the nearest cube of pixels; a cube has its most frequent label."""
    if not len(vertices):
        return np.zeros(0, dtype=np.uint16)
    points = measured.origin + measured.direction * measured.true_range_m[:, None]
    cube = _cell_keys(points, size_m)
    # Count each (cube, label) pair, then keep the largest count of each cube.
    pair, first, votes = np.unique(
        cube * 65_536 + measured.label, return_index=True, return_counts=True
    )
    order = np.lexsort((-votes, pair // 65_536))
    _, best = np.unique((pair // 65_536)[order], return_index=True)
    chosen = first[order[best]]
    _, nearest = cKDTree(points[chosen]).query(vertices)
    return measured.label[chosen[nearest]]
