"""Objects as clusters of points of one class (Euclidean clustering, single linkage)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from clip3d_cli.core.grouping import group_equal_rows

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# Edge of a cell as a share of the linking distance: the diagonal is a little shorter than that
# distance, so that all points of a cell are in one cluster.
_CELL = (1 - 1e-9) / np.sqrt(3)
# Points whose cells are further apart along an axis are never linked: 2 cells lie between them.
_REACH = 2


def instances_of(
    xyz: Floats,
    class_index: npt.NDArray[np.int32],
    thing_classes: Iterable[int],
    *,
    link_m: float,
) -> npt.NDArray[np.int32]:
    """Number the objects of a cloud.

    Two points of one class are in one object if a chain of points of that class leads from one to
    the other, in steps of at most ``link_m``. The objects do not depend on the order of the points
    nor on how the cloud is rotated.

    Args:
        xyz: (N, 3) float64, metres; points that are not finite are in no object.
        class_index: (N,) int32.
        thing_classes: class indices of the countable classes; points of others are in no object.
        link_m: linking distance, metres, above 0.

    Returns:
        (N,) int32 number of the object, from 1; 0 = in no object.
    """
    instance = np.zeros(len(xyz), dtype=np.int32)
    finite = np.isfinite(xyz).all(axis=1)
    last = 0
    for thing in sorted(thing_classes):
        rows = np.flatnonzero(finite & (class_index == thing))
        if len(rows):
            instance[rows] = cluster_points(xyz[rows], link_m) + last + 1
            last = int(instance[rows].max())
    return instance


def cluster_points(xyz: Floats, link_m: float) -> Integers:
    """Return the cluster of every point, where points within a distance are in one cluster.

    Points are grouped into cells whose points are all linked, so that the work grows with the
    number of cells and not with the number of neighbours of a point.

    Args:
        xyz: (N, 3) float64, metres, N ≥ 1, all finite.
        link_m: linking distance, metres, above 0.

    Returns:
        (N,) int64 number of the cluster, from 0, in the order of the first point of each.
    """
    cells = _Cells.of(xyz, link_m)
    # First pass: one point per cell links most cells that are in one cluster.
    near = cKDTree(xyz[cells.first_point]).query_pairs(link_m, output_type="ndarray")
    component = _components(near, len(cells.size))
    # Second pass: all points, of neighbouring cells that are not in one cluster yet.
    tree = cKDTree(cells.lattice)
    pairs = tree.query_pairs(_REACH, p=np.inf, output_type="ndarray")
    pairs = pairs[component[pairs[:, 0]] != component[pairs[:, 1]]]
    linked = component[pairs[cells.are_linked(pairs)]]
    component = _components(linked, int(component.max()) + 1)[component]
    return _numbered_by_first_point(component[cells.cell_of_point])


@dataclass(frozen=True, slots=True, eq=False)
class _Cells:
    """Points by M occupied cells of a lattice.

    Attributes:
        xyz: (N, 3) float64 metres, cell after cell.
        lattice: (M, 3) float64 whole numbers, the position of each cell.
        start: (M,) position in ``xyz`` of the first point of each cell.
        size: (M,) number of points of each cell.
        first_point: (M,) number of a point in each cell, in the input order.
        cell_of_point: (N,) cell of each point, in the input order.
        link_m: linking distance, metres.
    """

    xyz: Floats
    lattice: Floats
    start: Integers
    size: Integers
    first_point: Integers
    cell_of_point: Integers
    link_m: float

    @classmethod
    def of(cls, xyz: Floats, link_m: float) -> _Cells:
        lattice = np.floor((xyz - xyz.min(axis=0)) / (link_m * _CELL))
        first_point, cell_of_point = group_equal_rows([_ranks(column) for column in lattice.T])
        size = np.bincount(cell_of_point)
        order = np.argsort(cell_of_point, kind="stable")
        start = np.cumsum(size) - size
        return cls(
            xyz[order], lattice[first_point], start, size, first_point, cell_of_point, link_m
        )

    def are_linked(self, pairs: Integers) -> npt.NDArray[np.bool_]:
        """Return for (E, 2) pairs of cells whether two of their points are within the distance."""
        low = np.minimum.reduceat(self.xyz, self.start)
        high = np.maximum.reduceat(self.xyz, self.start)
        pair, point = self._points(pairs[:, 0], (low, high), pairs[:, 1])
        other_pair, other_point = self._points(pairs[:, 1], (low, high), pairs[:, 0])
        linked = np.zeros(len(pairs), dtype=np.bool_)
        if len(point) and len(other_point):
            # A fourth coordinate keeps the points of different pairs apart: one search for all.
            gap = 4 * self.link_m
            tree = cKDTree(np.column_stack([self.xyz[point], gap * pair]))
            query = np.column_stack([self.xyz[other_point], gap * other_pair])
            _, nearest = tree.query(query, distance_upper_bound=2 * self.link_m)
            # The tree returns its size where there is no point within the bound.
            found = np.flatnonzero(nearest < len(point))
            steps = self.xyz[point[nearest[found]]] - self.xyz[other_point[found]]
            near = np.square(steps).sum(axis=1) <= self.link_m**2
            linked[other_pair[found[near]]] = True
        return linked

    def _points(
        self, cells: Integers, boxes: tuple[Floats, Floats], others: Integers
    ) -> tuple[Integers, Integers]:
        """Return the points of E cells that are near enough to the box of another cell.

        Args:
            cells: (E,) cells.
            boxes: (M, 3) lowest and (M, 3) highest coordinates of the points of each cell.
            others: (E,) cells to whose boxes the points must be near.

        Returns:
            (P,) number of the pair, 0…E − 1, and (P,) position of the point in ``xyz``.
        """
        count = self.size[cells]
        pair = np.repeat(np.arange(len(cells)), count)
        # Number within its cell, then position among all points.
        number = np.arange(len(pair)) - np.repeat(np.cumsum(count) - count, count)
        point = self.start[cells][pair] + number
        low, high = (box[others][pair] for box in boxes)
        outside = self.xyz[point] - np.clip(self.xyz[point], low, high)
        near = np.square(outside).sum(axis=1) <= self.link_m**2
        return pair[near], point[near]


def _components(edges: Integers, nodes: int) -> Integers:
    """Return the (nodes,) connected component of each node of a graph with (E, 2) edges."""
    ones = np.ones(len(edges), dtype=np.int8)
    graph = coo_array((ones, (edges[:, 0], edges[:, 1])), shape=(nodes, nodes))
    component: Integers = connected_components(graph, directed=False)[1].astype(np.int64)
    return component


def _numbered_by_first_point(cluster: Integers) -> Integers:
    """Number (N,) clusters from 0, in the order of the first point of each."""
    _, first, number = np.unique(cluster, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[number.reshape(-1)]


def _ranks(column: Floats) -> Integers:
    """Return for (N,) numbers their (N,) position among the different ones, sorted."""
    ranks: Integers = np.unique(column, return_inverse=True)[1].reshape(-1)
    return ranks
