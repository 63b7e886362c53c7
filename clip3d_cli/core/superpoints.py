"""Superpoints: connected patches of a cloud with similar shape, such as parts of walls and poles.

The cloud is voxelized, adjacent voxels form a graph, and regions of voxels are merged for as long
as that lowers the energy of a piecewise constant approximation (Koepfler, Lopez and Morel, SIAM J.
Numer. Anal. 1994): the squared deviation of the voxels' features from the mean of their region,
plus ``coarseness`` for every pair of adjacent voxels in two regions. The features describe the
covariance of the points around a voxel, scaled to trace 1: flat for a wall, long for a pole, round
for a bush, with their orientation.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.grouping import group_equal_rows, run_starts, sort_keys
from clip3d_cli.core.voxels import VoxelGrid, voxelize
from clip3d_cli.errors import InputError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

# Half of the 26 neighbours of a voxel: the other half are the same pairs from the other side.
_HALF_NEIGHBOURS = tuple(offset for offset in product((-1, 0, 1), repeat=3) if offset > (0, 0, 0))
# The six different elements of a symmetric 3×3 matrix.
_MATRIX_ELEMENTS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
# Elements off the diagonal occur twice, so that the distance of two vectors of six elements is the
# Frobenius distance of the matrices.
_ELEMENT_WEIGHTS: Floats = np.sqrt([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])
_STEPS_PER_CELL = 1 << 16
_LARGEST_KEY = 1 << 62
# The points of a scan thin out with distance. Voxels with few neighbours are also connected with
# the nearest ones at 2 and 4 times the voxel size.
_BRIDGE_LEVELS = 2
_FEW_NEIGHBOURS = 4
_COVARIANCE_HOPS = 2
_COST_STEPS = 1 << 12
_HASH_FACTOR = 0x9E3779B1
# In floating point, 0.3 / 0.1 is slightly less than 3.
_ROUNDING = 1e-9


def compute_superpoints(
    xyz: Floats,
    *,
    cell_m: float,
    largest_m: float = 2.0,
    coarseness: float = 0.05,
    rgb: npt.NDArray[np.uint8] | None = None,
    color_weight: float = 1.0,
) -> Integers:
    """Return the superpoint of each point, (N,) int64, numbered from 0 without gaps.

    The result does not depend on the order of the points. Good values are voxels of 0.05 m and
    superpoints of up to 1 m in rooms, 0.2 m and 2 m in streets.

    Args:
        xyz: (N, 3) float64, metres, all finite.
        cell_m: edge of the voxels in metres.
        largest_m: largest extent along x, y or z of a superpoint of several voxels, in metres.
        coarseness: cost of each pair of adjacent voxels in two superpoints; a higher cost gives
            larger superpoints.
        rgb: (N, 3) uint8, or None. With colors, surfaces of equal shape are separated by color.
        color_weight: distance between black and white; for comparison, the distance between a
            wall and the floor is 0.71.

    Raises:
        InputError: E_VOXEL_RANGE: the cloud spans too many cells.
    """
    if not len(xyz):
        return np.zeros(0, dtype=np.int64)
    grid = voxelize(xyz, cell_m)
    cells = grid.cells.astype(np.int64)
    adjacency = _bridge_gaps(cells, _adjacent_voxels(cells))
    features = _shape_features(grid, xyz, adjacency)
    if rgb is not None:
        features = np.concatenate([features, _mean_colors(grid, rgb) * color_weight], axis=1)
    max_cells = int(largest_m / cell_m + _ROUNDING)
    region_of_voxel = _merge_regions(
        _Regions.of_voxels(cells, features), adjacency, coarseness, max_cells
    )
    # A region is named by one of its voxels. Number the regions from 0 in the order of these.
    superpoint_of_voxel: Integers = np.unique(region_of_voxel, return_inverse=True)[1].reshape(-1)
    return superpoint_of_voxel[grid.voxel_of_point]


@dataclass(frozen=True, slots=True, eq=False)
class _Adjacency:
    """E pairs of adjacent regions, each pair once. At first, every voxel is a region.

    Attributes:
        low: (E,) int64, the region with the lower number.
        high: (E,) int64, the region with the higher number.
        length: (E,) float64, length of the common border: number of pairs of adjacent voxels.
    """

    low: Integers
    high: Integers
    length: Floats

    def __len__(self) -> int:
        return len(self.low)

    def select(self, keep: Mask) -> _Adjacency:
        """Return the pairs where an (E,) bool mask is True."""
        return _Adjacency(self.low[keep], self.high[keep], self.length[keep])

    def after_merge(self, region: Integers) -> _Adjacency:
        """Return the pairs of adjacent regions after regions were merged.

        Args:
            region: (M,) int64, for each region the one it belongs to now, possibly itself.
        """
        one, other = region[self.low], region[self.high]
        is_border = one != other
        if not is_border.any():
            return self.select(is_border)
        one, other = one[is_border], other[is_border]
        low, high = np.minimum(one, other), np.maximum(one, other)
        # Bring equal pairs together, and add up the lengths of their borders.
        order, keys = sort_keys(low * len(region) + high)
        starts = run_starts(keys)
        length = np.add.reduceat(self.length[is_border][order], starts)
        return _Adjacency(low[order[starts]], high[order[starts]], length)


def _adjacent_voxels(cells: Integers) -> _Adjacency:
    """Return the pairs of voxels that share a face, an edge or a corner.

    Args:
        cells: (M, 3) int64, sorted by x, then y, then z.

    Raises:
        InputError: E_VOXEL_RANGE: the cells span too large a box for keys of 62 bits.
    """
    # One empty cell on each side, so that the key of a neighbour never wraps to the next row.
    columns = [column - column.min() + 1 for column in cells.T]
    spans = [int(column.max()) + 2 for column in columns]
    if spans[0] * spans[1] * spans[2] > _LARGEST_KEY:
        raise InputError(
            "E_VOXEL_RANGE",
            "the cloud",
            "spans too many voxels for superpoints",
            "Remove far outliers, or choose larger voxels.",
        )
    # (M,) ascending, because the cells are sorted.
    keys = (columns[0] * spans[1] + columns[1]) * spans[2] + columns[2]
    lows, highs = [], []
    for x, y, z in _HALF_NEIGHBOURS:
        wanted = keys + ((x * spans[1] + y) * spans[2] + z)
        row = np.searchsorted(keys, wanted)
        row[row == len(keys)] = 0
        # Voxels whose neighbour at this offset is occupied.
        low = np.flatnonzero(keys[row] == wanted)
        lows.append(low)
        highs.append(row[low])
    low, high = np.concatenate(lows), np.concatenate(highs)
    return _Adjacency(low, high, np.ones(len(low)))


def _bridge_gaps(cells: Integers, adjacency: _Adjacency) -> _Adjacency:
    """Add pairs for voxels with few neighbours, with the nearest voxels at coarser levels.

    Args:
        cells: (M, 3) int64, sorted.
        adjacency: pairs of adjacent voxels.
    """
    voxels = np.arange(len(cells))
    for level in range(1, _BRIDGE_LEVELS + 1):
        degree = np.bincount(np.concatenate([adjacency.low, adjacency.high]), minlength=len(cells))
        is_lonely = degree < _FEW_NEIGHBOURS
        coarse = cells >> level
        # The first voxel stands for each coarse cell; each voxel has a coarse cell.
        first, coarse_of_voxel = group_equal_rows(list(coarse.T))
        coarse_pairs = _adjacent_voxels(coarse[first])
        # Pairs of adjacent coarse cells, then pairs of each voxel with the first in its cell.
        one = np.concatenate([first[coarse_pairs.low], voxels])
        other = np.concatenate([first[coarse_pairs.high], first[coarse_of_voxel]])
        is_needed = is_lonely[one] | is_lonely[other]
        is_needed[len(coarse_pairs) :] = is_lonely
        # Merging nothing removes repeated pairs and pairs of a voxel with itself.
        adjacency = _Adjacency(
            np.concatenate([adjacency.low, one[is_needed]]),
            np.concatenate([adjacency.high, other[is_needed]]),
            np.ones(len(adjacency) + int(is_needed.sum())),
        ).after_merge(voxels)
        adjacency.length[:] = 1
    return adjacency


def _shape_features(grid: VoxelGrid, xyz: Floats, adjacency: _Adjacency) -> Floats:
    """Return the normalized covariance of the points around each voxel, (M, 6) float64.

    The covariance is that of the mean points of the voxels at most two hops away.

    Args:
        grid: M voxels.
        xyz: (N, 3) float64, metres.
        adjacency: pairs of adjacent voxels.
    """
    voxel = grid.voxel_of_point
    # (N, 3) position of each point within its voxel, in whole steps: sums of whole numbers are
    # exact, so they do not depend on the order of the points.
    offset_m = xyz - (grid.origin + grid.cells[voxel] * grid.size_m)
    steps = np.floor(offset_m * (_STEPS_PER_CELL / grid.size_m))
    points = np.bincount(voxel)[:, None]
    mean_steps = np.stack([np.bincount(voxel, column) for column in steps.T], axis=1) / points
    # (M, 3) mean point of each voxel, in cells, relative to the middle of the cloud.
    middle = grid.cells - grid.cells.mean(axis=0) + mean_steps / _STEPS_PER_CELL
    # (M, 10) moments: count, 3 first, 6 second. Sums over the neighbourhood add up.
    seconds = [middle[:, i] * middle[:, j] for i, j in _MATRIX_ELEMENTS]
    moments = np.column_stack([np.ones(len(grid)), middle, *seconds])
    for _ in range(_COVARIANCE_HOPS):
        moments = _add_neighbours(moments, adjacency)
    moments /= moments[:, :1]
    means = moments[:, 1:4]
    products = np.stack([means[:, i] * means[:, j] for i, j in _MATRIX_ELEMENTS], axis=1)
    covariance = moments[:, 4:] - products
    trace = covariance[:, :3].sum(axis=1, keepdims=True)
    features: Floats = np.divide(
        covariance, trace, out=np.zeros_like(covariance), where=trace > 1e-6
    )
    features *= _ELEMENT_WEIGHTS
    return features


def _add_neighbours(values: Floats, adjacency: _Adjacency) -> Floats:
    """Return the sum over each voxel and its neighbours, (M, C), of values (M, C)."""
    total: Floats = values.copy()
    for column, sums in zip(values.T, total.T, strict=True):
        sums += np.bincount(adjacency.low, column[adjacency.high], len(column))
        sums += np.bincount(adjacency.high, column[adjacency.low], len(column))
    return total


def _mean_colors(grid: VoxelGrid, rgb: npt.NDArray[np.uint8]) -> Floats:
    """Return the mean color of each voxel, (M, 3); black and white have distance 1."""
    points = np.bincount(grid.voxel_of_point)[:, None]
    sums = np.stack([np.bincount(grid.voxel_of_point, column) for column in rgb.T], axis=1)
    colors: Floats = sums / points / (255 * np.sqrt(3))
    return colors


@dataclass(frozen=True, slots=True, eq=False)
class _Regions:
    """Sums over each region, stored in the row of the voxel that names the region.

    Rows of voxels that name no region are outdated.

    Attributes:
        size: (M,) float64, number of voxels.
        features: (M, C) float64, sum of the features.
        least: (M, 3) int64, low corner of the bounding box, in cells.
        most: (M, 3) int64, high corner of the bounding box, in cells.
    """

    size: Floats
    features: Floats
    least: Integers
    most: Integers

    @staticmethod
    def of_voxels(cells: Integers, features: Floats) -> _Regions:
        """Return one region per voxel."""
        return _Regions(np.ones(len(cells)), features.copy(), cells.copy(), cells.copy())

    def merge_cost(self, adjacency: _Adjacency) -> Floats:
        """Return the rise of the squared deviation by a merge, per length of border, (E,)."""
        low, high = self.size[adjacency.low], self.size[adjacency.high]
        means = self.features / self.size[:, None]
        distance = np.square(means[adjacency.low] - means[adjacency.high]).sum(axis=1)
        cost: Floats = low * high / (low + high) * distance / adjacency.length
        return cost

    def merged_extent(self, adjacency: _Adjacency) -> Integers:
        """Return the longest side of the box around both regions of each pair, (E,), in cells."""
        most = np.maximum(self.most[adjacency.low], self.most[adjacency.high])
        least = np.minimum(self.least[adjacency.low], self.least[adjacency.high])
        extent: Integers = (most - least).max(axis=1)
        return extent

    def merged(self, target: Integers, source: Integers) -> tuple[Integers, _Regions]:
        """Return the regions after merges; these regions are not changed.

        Args:
            target: (J,) int64, regions that others are merged into.
            source: (J,) int64, the region that is merged into each target.

        Returns:
            (H,) int64, distinct targets, and the H merged regions.
        """
        order, keys = sort_keys(target)
        starts = run_starts(keys)
        distinct, source = keys[starts], source[order]
        return distinct, _Regions(
            self.size[distinct] + np.add.reduceat(self.size[source], starts),
            self.features[distinct] + np.add.reduceat(self.features[source], starts),
            np.minimum(self.least[distinct], np.minimum.reduceat(self.least[source], starts)),
            np.maximum(self.most[distinct], np.maximum.reduceat(self.most[source], starts)),
        )

    def update(self, rows: Integers, regions: _Regions) -> None:
        """Overwrite some rows."""
        self.size[rows] = regions.size
        self.features[rows] = regions.features
        self.least[rows] = regions.least
        self.most[rows] = regions.most


def _merge_regions(
    regions: _Regions, adjacency: _Adjacency, coarseness: float, max_cells: int
) -> Integers:
    """Merge regions until no merge lowers the energy.

    In each round, regions that are each other's cheapest neighbour are merged, together with the
    regions whose cheapest neighbour is one of the two, unless the result would be too long.

    Args:
        regions: one region per voxel; overwritten.
        adjacency: pairs of adjacent voxels.
        coarseness: merges that cost more than this are not made.
        max_cells: largest extent of a region, in cells.

    Returns:
        (M,) int64, for each voxel the voxel that names its region.
    """
    count = len(regions.size)
    region_of_voxel = np.arange(count)
    while True:
        adjacency = adjacency.select(regions.merged_extent(adjacency) < max(max_cells, 1))
        cost = regions.merge_cost(adjacency)
        cheap = np.flatnonzero(cost <= coarseness)
        if not len(cheap):
            return region_of_voxel
        relative = cost[cheap] / max(coarseness, 1e-300)
        target, source, pairs = _choose_merges(
            adjacency.low[cheap], adjacency.high[cheap], relative, count
        )
        rows, merged = regions.merged(target, source)
        # A pair fits, but a pair with its followers may be too long: then merge the pair alone.
        is_too_long = np.zeros(count, dtype=np.bool_)
        is_too_long[rows] = (merged.most - merged.least).max(axis=1) >= max(max_cells, 1)
        if is_too_long.any():
            keep = ~is_too_long[target]
            keep[:pairs] = True
            target, source = target[keep], source[keep]
            rows, merged = regions.merged(target, source)
        regions.update(rows, merged)
        # (M,) for each region the one it belongs to after this round.
        new_region = np.arange(count)
        new_region[source] = target
        region_of_voxel = new_region[region_of_voxel]
        adjacency = adjacency.after_merge(new_region)


def _choose_merges(
    low: Integers, high: Integers, cost: Floats, count: int
) -> tuple[Integers, Integers, int]:
    """Choose the merges of one round.

    Args:
        low: (E,) int64, one region of each pair that may be merged.
        high: (E,) int64, the other region.
        cost: (E,) float64, 0…1.
        count: M, number of rows of regions.

    Returns:
        (J,) int64 targets and (J,) int64 sources, pairs of mutually cheapest regions first and
        then their followers; and the number of these pairs.
    """
    # Ties between about equal costs are broken by a hash of the pair's row. If they were broken by
    # position, a plane would grow from one end, by one voxel a round.
    hash_bits = len(low).bit_length()
    hashed = (np.arange(len(low)) * _HASH_FACTOR) & ((1 << hash_bits) - 1)
    key = ((cost * _COST_STEPS).astype(np.int64) << hash_bits) | hashed
    # (M,) key of the cheapest pair of each region.
    cheapest = np.full(count, _LARGEST_KEY)
    np.minimum.at(cheapest, low, key)
    np.minimum.at(cheapest, high, key)
    of_low, of_high = cheapest[low] == key, cheapest[high] == key
    target, source = low[of_low & of_high], high[of_low & of_high]
    # (M,) the target of the region's pair, −1 for regions without a pair.
    target_of_region = np.full(count, -1)
    target_of_region[target] = target_of_region[source] = target
    # A follower's cheapest neighbour prefers another region: its leader.
    follower = np.concatenate([low[of_low & ~of_high], high[of_high & ~of_low]])
    leader = np.concatenate([high[of_low & ~of_high], low[of_high & ~of_low]])
    has_pair = target_of_region[leader] >= 0
    return (
        np.concatenate([target, target_of_region[leader[has_pair]]]),
        np.concatenate([source, follower[has_pair]]),
        len(target),
    )
