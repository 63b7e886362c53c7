"""Training batches: augmented and voxelized parts of scans, each with a random query of words.

A batch is a function of its number, the seed, and the list of scans of its epoch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from clip3d_cli.core.voxels import VoxelGrid, choose_voxel_size, count_voxels, voxelize
from clip3d_cli.encoders.input_channels import CloudContext, voxel_inputs
from clip3d_cli.sparse.tensor import SparseTensor
from clip3d_cli.training.losses import IGNORED, WordTargets
from weights.recipe.points.augmentation import (
    add_strays,
    change_intensity,
    hide,
    move,
    recolor,
    thin,
)
from weights.recipe.points.scan_lists import ListedScan, ScanLists
from weights.recipe.points.sources import Scan, read_scan
from weights.recipe.points.taxonomy import Taxonomy

INPUTS = (
    "one",
    "height_near",
    "height_far",
    "z_spread",
    "z_offset",
    "log_voxel",
    "red",
    "green",
    "blue",
    "has_color",
    "intensity_rank",
    "has_intensity",
)
Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

VOXEL_SIZES_M = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
_AERIAL = frozenset({"ign", "ahn", "sim-aerial"})
_INDOOR = frozenset({"sim-indoor"})
# Queries of each crop: they cost little beside the network.
_QUERIES = 2
# A leaf whose points are fewer than these in all scans is not drawn by itself.
_FEWEST_POINTS = 200
# Points of a leaf in one scan beyond these do not make the scan likelier to be drawn for it.
_MANY_POINTS = 400
# How much more often the usual leaves are drawn than others.
_USUAL_FACTOR = 3.0
# Share of voxels that is added to that of each leaf set in their weights, so that the weight of the
# rarest has a limit.
_LEAST_SHARE = 1e-3
# Points that are read around a crop, as a multiple of those that its voxels need on average.
_CROP_MARGIN = 1.7
# Shares of samples that are two crops in one.
_JOINED_INDOORS, _JOINED_OUTDOORS = 0.2, 0.05


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """What batches consist of.

    Attributes:
        weight_of_source: how often each source is drawn, relative to the others.
        inputs: channels of the network.
        scans_per_batch: number of scans in a batch.
        max_voxels_per_scan: larger scans are cut to the voxels nearest to a random one.
        max_targets_per_scan: number of voxels per scan that the loss uses.
        rare_share: share of crops that are drawn by leaf: all leaves equally often, then a scan
            that has it, then a place where it is.
        rarity: exponent of the weight of a voxel in the loss, its leaf set's share of all voxels
            to the minus this: 0 for equal weights, 1 for equal weights of all leaf sets.
    """

    weight_of_source: dict[str, float]
    inputs: tuple[str, ...] = INPUTS
    scans_per_batch: int = 4
    max_voxels_per_scan: int = 15_000
    max_targets_per_scan: int = 6_000
    rare_share: float = 0.5
    rarity: float = 0.5


@dataclass(frozen=True, slots=True)
class Batch:
    """Voxels of several scans, and the targets of some of them.

    Attributes:
        voxels: M voxels of all scans.
        target_rows: (T,) int64 ascending, the rows of ``voxels`` that have targets.
        target_weights: (T,) float32, their weights in the loss.
        targets: the queries of each scan and the ground truth of its target rows.
    """

    voxels: SparseTensor
    target_rows: Tensor
    target_weights: Tensor
    targets: tuple[tuple[WordTargets, ...], ...]

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch on a device."""
        return Batch(
            self.voxels.to(device),
            self.target_rows.to(device),
            self.target_weights.to(device),
            tuple(
                tuple(
                    WordTargets(*(each.to(device) for each in (t.vectors, t.meaning, t.accepted)))
                    for t in queries
                )
                for queries in self.targets
            ),
        )


@dataclass(frozen=True, slots=True)
class Sample:
    """One scan of a batch.

    Attributes:
        cells: (M, 3) int32, voxel coordinates.
        channels: (M, C) float32.
        target_rows: (T,) int64, the rows that have targets.
        target_weights: (T,) float32, their weights in the loss.
        targets: the queries and the ground truth of these rows.
    """

    cells: Tensor
    channels: Tensor
    target_rows: Tensor
    target_weights: Tensor
    targets: tuple[WordTargets, ...]


class DrawTable:
    """Which scan to draw, how often, and what its voxels weigh.

    Args:
        scans: all scans of an epoch.
        options: weights of sources and of rare leaves.
    """

    def __init__(self, scans: Sequence[ListedScan], options: BatchOptions) -> None:
        self.options = options
        self.scans_of_source: dict[str, list[ListedScan]] = defaultdict(list)
        for scan in scans:
            self.scans_of_source[scan.source].append(scan)
        weights = options.weight_of_source
        self._sources = [source for source in weights if source in self.scans_of_source]
        weight = np.array([weights[source] for source in self._sources])
        self._probability = weight / weight.sum()
        # Scans with each leaf, and the number of its points; labels of several leaves do not
        # count, as it is not known where each of them is.
        self._scans_of_leaf: dict[str, list[tuple[ListedScan, int]]] = defaultdict(list)
        for source in self._sources:
            for scan in self.scans_of_source[source]:
                for leaves, count in scan.points_of_leaves.items():
                    if "|" not in leaves:
                        self._scans_of_leaf[leaves].append((scan, count))

    @cached_property
    def _leaves(self) -> list[str]:
        return sorted(
            leaf
            for leaf, entries in self._scans_of_leaf.items()
            if sum(count for _, count in entries) >= _FEWEST_POINTS
        )

    @cached_property
    def _leaf_probability(self) -> npt.NDArray[np.float64]:
        usual = Taxonomy.read().usual
        entries = [self._scans_of_leaf[leaf] for leaf in self._leaves]
        # A leaf of a few scans only is drawn less, or the network would learn these scans by heart.
        scans = np.array([len(each) for each in entries])
        # So are things of a few points, which most scans do not show.
        points = np.array([np.mean([count for _, count in each]) for each in entries])
        weight = np.minimum(1.0, scans / 12) ** 0.5 * np.minimum(1.0, points / 100) ** 0.5
        weight *= np.where([leaf in usual for leaf in self._leaves], _USUAL_FACTOR, 1.0)
        return np.asarray(weight / weight.sum())

    def draw(self, rng: np.random.Generator) -> tuple[ListedScan, str]:
        """Return a scan, and the leaf that it was drawn for, or "" if for none."""
        if self._leaves and rng.random() < self.options.rare_share:
            leaf = self._leaves[int(rng.choice(len(self._leaves), p=self._leaf_probability))]
            entries = self._scans_of_leaf[leaf]
            weight = np.array([min(count, _MANY_POINTS) for _, count in entries], dtype=float)
            return entries[int(rng.choice(len(entries), p=weight / weight.sum()))][0], leaf
        source = self._sources[int(rng.choice(len(self._sources), p=self._probability))]
        scans = self.scans_of_source[source]
        return scans[int(rng.integers(len(scans)))], ""

    @cached_property
    def weight_of_leaves(self) -> dict[str, float]:
        """Weight in the loss of each leaf set, by its leaves joined with "|"; the mean is 1."""
        share: dict[str, float] = defaultdict(float)
        for source, probability in zip(self._sources, self._probability, strict=True):
            scans = self.scans_of_source[source]
            for scan in scans:
                total = sum(scan.points_of_leaves.values()) or 1
                for leaves, count in scan.points_of_leaves.items():
                    share[leaves] += probability * count / total / len(scans)
        weight = {
            leaves: (each + _LEAST_SHARE) ** -self.options.rarity for leaves, each in share.items()
        }
        mean = sum(weight[leaves] * share[leaves] for leaves in share)
        return {leaves: value / mean for leaves, value in weight.items()}


@dataclass(frozen=True, slots=True)
class CropDraw:
    """A thinned scan that crops are drawn from.

    Attributes:
        scan: N points.
        keep: (N,) which of them are left.
        voxel_m: voxel edge in metres.
        points_per_voxel: how many points a voxel has on average, about.
    """

    scan: Scan
    keep: npt.NDArray[np.bool_]
    voxel_m: float
    points_per_voxel: float

    def crop(self, leaf: str, max_voxels: int, rng: np.random.Generator) -> tuple[Rows, int]:
        """Return the points of an upright cylinder around a random point.

        Args:
            leaf: the point in the middle has this label; "" for any point.
            max_voxels: number of voxels that the points fill at least, where the scan has as many.
            rng: draws the place.

        Returns:
            (P,) ascending rows of the scan, and the position of the middle among them.
        """
        scan, keep = self.scan, self.keep
        candidates = keep
        if leaf:
            candidates = scan.leaf_set_of_point == scan.leaf_sets.index(frozenset((leaf,)))
        middle = int(rng.choice(np.flatnonzero(candidates)))
        if not keep[middle]:
            keep = keep.copy()
            keep[middle] = True
        rows = np.flatnonzero(keep)
        xy = scan.cloud.xyz[:, :2]
        squared = ((xy[rows] - xy[middle]) ** 2).sum(axis=1)  # (P,) m²
        wanted = int(_CROP_MARGIN * max_voxels * max(1.0, self.points_per_voxel))
        while wanted < len(rows):
            inside = np.argpartition(squared, wanted)[:wanted]
            # Near a LiDAR the points are denser than on average, and fill fewer voxels.
            if count_voxels(scan.cloud.xyz[rows[inside]], self.voxel_m) > max_voxels:
                rows = rows[np.sort(inside)]
                break
            wanted *= 2
        return rows, int(np.searchsorted(rows, middle))


class Batches:
    """Batches by number; a batch depends on its number, the seed, and the scans of its epoch."""

    def __init__(
        self,
        lists: ScanLists,
        options: BatchOptions,
        vector_of_word: dict[str, Tensor],
        seed: int,
        batches_per_epoch: int,
    ) -> None:
        """Prepare to make batches.

        Args:
            lists: the scans of every epoch.
            options: what batches consist of.
            vector_of_word: (D,) unit vector of every word of the taxonomy.
            seed: random seed.
            batches_per_epoch: number of batches before new scans are listed.
        """
        self.lists = lists
        self.options = options
        self.vector_of_word = vector_of_word
        self.seed = seed
        self.batches_per_epoch = batches_per_epoch
        self.taxonomy = Taxonomy.read()
        self._tables: dict[int, DrawTable] = {}

    def __call__(self, number: int) -> Batch:
        """Return the batch of a number."""
        table = self.table_of(number)
        return _collate(
            [
                self._sample(table, np.random.default_rng((self.seed, number, position)))
                for position in range(self.options.scans_per_batch)
            ]
        )

    def table_of(self, number: int) -> DrawTable:
        """Return the table of the epoch of a batch; only the newest is kept."""
        epoch = number // self.batches_per_epoch
        if epoch not in self._tables:
            self._tables.clear()
            self._tables[epoch] = DrawTable(self.lists.of_epoch(epoch), self.options)
        return self._tables[epoch]

    def _sample(self, table: DrawTable, rng: np.random.Generator) -> Sample:
        """Return a part of a random scan, with a random query."""
        options = self.options
        listed, leaf = table.draw(rng)
        scan = read_scan(listed.file)
        keep = thin(len(scan.cloud), rng, aerial=scan.source in _AERIAL)
        # Labelling chooses the size by the points that it gets.
        is_whole = bool(keep.all())
        size_m = (
            listed.voxel_m if is_whole else choose_voxel_size(scan.cloud.xyz[keep], VOXEL_SIZES_M)
        )
        voxel_m = _draw_voxel_size(size_m, rng)
        cloud = change_intensity(recolor(scan.cloud, rng), rng)
        draw = CropDraw(scan, keep, voxel_m, listed.points / listed.voxels if is_whole else 1.5)
        rows, xyz, middle = self._place_crops(draw, leaf, rng)
        shown = hide(xyz, rng, voxel_m=voxel_m)
        part, rows = replace(cloud.select(rows), xyz=xyz).select(shown), rows[shown]
        part, leaf_set_of_point = add_strays(part, scan.leaf_set_of_point[rows], rng)
        grid = voxelize(part.xyz, voxel_m)
        # The network reads ranks of intensities among all points of the scan, not of the crop.
        channels = voxel_inputs(options.inputs, part, grid, CloudContext(part, cloud))
        leaf_set = _majority_per_voxel(
            grid.voxel_of_point, leaf_set_of_point, len(grid), len(scan.leaf_sets)
        )
        kept = _nearest_cells(grid, middle, options.max_voxels_per_scan)
        target_rows = _draw_target_rows(leaf_set[kept], options.max_targets_per_scan, rng)
        meaning = leaf_set[kept][target_rows]
        weight = np.array(
            [table.weight_of_leaves.get("|".join(sorted(leaves)), 1.0) for leaves in scan.leaf_sets]
        )
        return Sample(
            torch.from_numpy(grid.cells[kept]),
            torch.from_numpy(channels[kept]),
            torch.from_numpy(target_rows),
            torch.from_numpy(weight[meaning].astype(np.float32)),
            tuple(
                self._draw_targets(scan, meaning, rng, complete=number == 0)
                for number in range(_QUERIES)
            ),
        )

    def _draw_targets(
        self, scan: Scan, meaning: Rows, rng: np.random.Generator, *, complete: bool
    ) -> WordTargets:
        """Return a random query and which of its words are right.

        Args:
            scan: its labels.
            meaning: (T,) leaf sets of the target rows.
            rng: draws the query.
            complete: see `Taxonomy.draw_query`.
        """
        query = self.taxonomy.draw_query(scan.known_leaves, rng, fine=scan.fine, complete=complete)
        return WordTargets(
            torch.stack([self.vector_of_word[word] for word in query]),
            torch.from_numpy(meaning),
            torch.from_numpy(_accepted_words(scan.leaf_sets, list(query.values()))),
        )

    def _place_crops(
        self, draw: CropDraw, leaf: str, rng: np.random.Generator
    ) -> tuple[Rows, Floats, Floats]:
        """Return a moved crop of a scan, or two that stand in or above each other.

        Overlapping scenes teach the network not to rely on what usually stands around a thing
        (Nekrasov et al., "Mix3D", 2021); a storey above another has no ground of its own.

        Returns:
            (P,) rows of the scan, (P, 3) their places in metres, and (3,) the middle.
        """
        scan, voxel_m = draw.scan, draw.voxel_m
        is_indoor = scan.source in _INDOOR
        is_joined = rng.random() < (_JOINED_INDOORS if is_indoor else _JOINED_OUTDOORS)
        max_voxels = self.options.max_voxels_per_scan // (2 if is_joined else 1)
        rows, middle = draw.crop(leaf, max_voxels, rng)
        xyz = move(scan.cloud.xyz[rows], rng, indoor=is_indoor, voxel_m=voxel_m)
        if not is_joined:
            return rows, xyz, xyz[middle]
        others, other_middle = draw.crop("", max_voxels, rng)
        other_xyz = move(scan.cloud.xyz[others], rng, indoor=is_indoor, voxel_m=voxel_m)
        # Floor on floor; another storey is 2.5 to 4 m higher or lower.
        offset = xyz[middle] - other_xyz[other_middle]
        offset[2] = np.quantile(xyz[:, 2], 0.02) - np.quantile(other_xyz[:, 2], 0.02)
        if is_indoor and rng.random() < 0.5:
            offset[2] += rng.choice([-1, 1]) * rng.uniform(2.5, 4.0)
        joined = np.concatenate((xyz, other_xyz + offset))
        return np.concatenate((rows, others)), joined, xyz[middle]


def _draw_voxel_size(size_m: float, rng: np.random.Generator) -> float:
    """Return ``size_m``, the size that labelling would choose, or at times the next one."""
    position = VOXEL_SIZES_M.index(size_m) + int(rng.choice([-1, 0, 1], p=[0.15, 0.7, 0.15]))
    return VOXEL_SIZES_M[min(max(position, 0), len(VOXEL_SIZES_M) - 1)]


def _majority_per_voxel(
    voxel_of_point: npt.NDArray[np.int64],
    leaf_set_of_point: npt.NDArray[np.int16],
    voxels: int,
    leaf_sets: int,
) -> npt.NDArray[np.int64]:
    """Return the most frequent leaf set in each of M voxels, −1 where no point has one.

    Args:
        voxel_of_point: (N,) voxel of each point.
        leaf_set_of_point: (N,) leaf set of each point, −1 for none.
        voxels: M.
        leaf_sets: L.
    """
    known = leaf_set_of_point >= 0
    # Counts over (voxel, leaf set) pairs, packed into one index.
    pair = voxel_of_point[known] * leaf_sets + leaf_set_of_point[known]
    votes = np.bincount(pair, minlength=voxels * leaf_sets).reshape(voxels, leaf_sets)
    return np.where(votes.sum(axis=1) > 0, votes.argmax(axis=1), IGNORED).astype(np.int64)


def _nearest_cells(grid: VoxelGrid, middle: npt.NDArray[np.float64], count: int) -> Rows:
    """Return the rows, ascending, of the ``count`` cells nearest in x and y to a point."""
    if len(grid) <= count:
        return np.arange(len(grid))
    squared = ((grid.centers[:, :2] - middle[:2]) ** 2).sum(axis=1)
    return np.sort(np.argpartition(squared, count)[:count])


def _draw_target_rows(
    leaf_set: npt.NDArray[np.int64], count: int, rng: np.random.Generator
) -> Rows:
    """Return at most ``count`` ascending rows of (M,) voxels with ground truth, not −1."""
    known = np.flatnonzero(leaf_set >= 0)
    return np.sort(rng.permutation(known)[:count])


def _accepted_words(
    leaf_sets: tuple[frozenset[str], ...], leaves_of_word: list[frozenset[str]]
) -> npt.NDArray[np.bool_]:
    """Return (L, W + 1) which words are right for each leaf set; the last is "none of these".

    "None of these" is right for a leaf set that has a leaf which no word means.
    """
    covered = frozenset[str]().union(*leaves_of_word)
    rows = [[bool(leaves & word) for word in leaves_of_word] for leaves in leaf_sets]
    none = [not leaves <= covered for leaves in leaf_sets]
    return np.column_stack([np.array(rows), none])


def _collate(samples: list[Sample]) -> Batch:
    cells, target_rows, first_row = [], [], 0
    for number, sample in enumerate(samples):
        # Column 0 of the batch's cells is the number of the scan.
        scan_number = torch.full((len(sample.cells), 1), number, dtype=torch.int32)
        cells.append(torch.cat((scan_number, sample.cells), dim=1))
        target_rows.append(sample.target_rows + first_row)
        first_row += len(sample.cells)
    channels = torch.cat([sample.channels for sample in samples])
    return Batch(
        SparseTensor(torch.cat(cells), channels),
        torch.cat(target_rows),
        torch.cat([sample.target_weights for sample in samples]),
        tuple(sample.targets for sample in samples),
    )
