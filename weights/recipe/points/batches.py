"""Training batches: augmented and voxelized parts of scans, each with a random query of words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.voxels import choose_voxel_size, voxelize
from clip3d_cli.encoders.input_channels import TwoScaleGround, voxel_inputs
from clip3d_cli.sparse.tensor import SparseTensor
from clip3d_cli.training.losses import IGNORED, WordTargets
from weights.recipe.points.sources import Scan
from weights.recipe.points.taxonomy import Taxonomy

INPUTS = ("one", "height_near", "height_far", "z_spread", "z_offset", "log_voxel")
VOXEL_SIZES_M = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
_AERIAL = frozenset({"ign", "ahn", "sim-aerial"})


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """What batches consist of.

    Attributes:
        weight_of_source: how often each source is drawn, relative to the others.
        scans_per_batch: number of scans in a batch.
        max_voxels_per_scan: larger scans are cut to the voxels nearest to a random one.
        max_targets_per_scan: number of voxels per scan that the loss uses; voxels with rare leaf
            sets are preferred.
    """

    weight_of_source: dict[str, float]
    scans_per_batch: int
    max_voxels_per_scan: int
    max_targets_per_scan: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Voxels of several scans, and the targets of some of them.

    Attributes:
        voxels: M voxels of all scans.
        target_rows: (T,) int64 ascending, the rows of ``voxels`` that have targets.
        targets: the query of each scan and the ground truth of its target rows.
    """

    voxels: SparseTensor
    target_rows: Tensor
    targets: tuple[WordTargets, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """One scan of a batch.

    Attributes:
        cells: (M, 3) int32, voxel coordinates.
        channels: (M, C) float32.
        target_rows: (T,) int64, the rows that have targets.
        targets: the query and the ground truth of these rows.
    """

    cells: Tensor
    channels: Tensor
    target_rows: Tensor
    targets: WordTargets


class Batches(IterableDataset[Batch]):
    """Endless random batches; they depend on the seed and on the number of workers only."""

    def __init__(
        self,
        scans: list[Scan],
        options: BatchOptions,
        vector_of_word: dict[str, Tensor],
        seed: int,
    ) -> None:
        """Prepare to draw batches.

        Args:
            scans: all scans of all sources.
            options: what batches consist of.
            vector_of_word: (D,) unit vector of every word of the taxonomy.
            seed: random seed.
        """
        self.scans_of_source: dict[str, list[Scan]] = {}
        for scan in scans:
            self.scans_of_source.setdefault(scan.source, []).append(scan)
        self.weight_of_leaf_set = {
            source: _leaf_set_weights(group) for source, group in self.scans_of_source.items()
        }
        self.options = options
        self.taxonomy = Taxonomy.read()
        self.vector_of_word = vector_of_word
        self.seed = seed

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        rng = np.random.default_rng((self.seed, worker.id if worker else 0))
        sources = [
            source for source in self.options.weight_of_source if source in self.scans_of_source
        ]
        weight = np.array([self.options.weight_of_source[source] for source in sources])
        probability = weight / weight.sum()
        while True:
            drawn = rng.choice(len(sources), self.options.scans_per_batch, p=probability)
            yield _collate([self._draw_sample(sources[position], rng) for position in drawn])

    def _draw_sample(self, source: str, rng: np.random.Generator) -> Sample:
        scans = self.scans_of_source[source]
        scan = scans[rng.integers(len(scans))]
        xyz, leaf_set_of_point = augment(scan, rng)
        voxel_m = _draw_voxel_size(choose_voxel_size(xyz, VOXEL_SIZES_M), rng)
        grid = voxelize(xyz, voxel_m)
        channels = voxel_inputs(INPUTS, PointCloud(xyz), grid, TwoScaleGround(xyz))
        leaf_set = _majority_per_voxel(
            grid.voxel_of_point, leaf_set_of_point, len(grid), len(scan.leaf_sets)
        )
        kept = _nearest_to_random(grid.cells, self.options.max_voxels_per_scan, rng)
        weight_of_leaf_set = self.weight_of_leaf_set[source]
        weight = np.array([weight_of_leaf_set[leaves] for leaves in scan.leaf_sets])
        target_rows = _draw_target_rows(
            leaf_set[kept], weight, self.options.max_targets_per_scan, rng
        )
        query = self.taxonomy.draw_query(scan.known_leaves, rng)
        targets = WordTargets(
            torch.stack([self.vector_of_word[word] for word in query]),
            torch.from_numpy(leaf_set[kept][target_rows]),
            torch.from_numpy(_accepted_words(scan.leaf_sets, list(query.values()))),
        )
        return Sample(
            torch.from_numpy(grid.cells[kept]),
            torch.from_numpy(channels[kept]),
            torch.from_numpy(target_rows),
            targets,
        )


def augment(
    scan: Scan, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int16]]:
    """Return the points of a scan as another sensor at another place might have measured them.

    Points are thinned to as little as 35 % (aerial scans at times to 3 %, as densities of surveys
    differ that much), rotated about the vertical, mirrored, scaled by up to 10 %, tilted by up to
    3°, given up to 2 cm of noise, and moved to anywhere on the voxel lattice.

    Args:
        scan: N points.
        rng: draws the augmentation.

    Returns:
        (P, 3) float64 metres, and (P,) int16 indices into the scan's leaf sets.
    """
    shares = [1.0, 1.0, rng.uniform(0.35, 1.0)]
    if scan.source in _AERIAL:
        shares += [np.exp(rng.uniform(np.log(0.03), 0))] * 2
    keep = rng.random(len(scan.xyz)) < rng.choice(shares)
    if keep.sum() < 100:
        keep[:] = True
    xyz = scan.xyz[keep] - scan.xyz.mean(axis=0)
    angle = rng.uniform(0, 2 * np.pi)
    rotation = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    # A shear, z += a x + b y, which keeps walls upright.
    tilt = np.eye(3)
    tilt[2, :2] = np.tan(np.radians(rng.normal(0, 1.2, 2).clip(-3, 3)))
    size = rng.uniform(0.9, 1.1)
    scale = np.diag([size * rng.choice([-1, 1]), size, size * rng.uniform(0.95, 1.05)])
    xyz = xyz @ (tilt @ rotation @ scale).T + rng.uniform(-50, 50, 3)
    xyz += rng.normal(0, rng.uniform(0, 0.02), xyz.shape)
    return xyz, scan.leaf_set_of_point[keep]


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


def _nearest_to_random(
    cells: npt.NDArray[np.int32], count: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Return the rows, ascending, of the ``count`` cells nearest in x and y to a random one."""
    if len(cells) <= count:
        return np.arange(len(cells))
    center = cells[rng.integers(len(cells)), :2]
    squared_distance = ((cells[:, :2].astype(np.int64) - center) ** 2).sum(axis=1)
    return np.sort(np.argpartition(squared_distance, count)[:count])


def _draw_target_rows(
    leaf_set: npt.NDArray[np.int64],
    weight: npt.NDArray[np.float64],
    count: int,
    rng: np.random.Generator,
) -> npt.NDArray[np.int64]:
    """Return at most ``count`` rows of voxels with ground truth, drawn without replacement.

    Source: Efraimidis and Spirakis, "Weighted random sampling with a reservoir" (2006): the
    largest keys u^(1/w).

    Args:
        leaf_set: (M,) leaf set of each voxel, −1 for none.
        weight: (L,) weight of each leaf set.
        count: highest number of rows.
        rng: random generator.
    """
    known = np.flatnonzero(leaf_set >= 0)
    key = rng.random(len(known)) ** (1 / weight[leaf_set[known]])
    return np.sort(known[np.argsort(-key, kind="stable")[:count]])


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


def _leaf_set_weights(scans: list[Scan]) -> dict[frozenset[str], float]:
    """Return the weight of each leaf set of a source: the inverse root of its share of points."""
    points_of_set: dict[frozenset[str], int] = {}
    for scan in scans:
        known = scan.leaf_set_of_point[scan.leaf_set_of_point >= 0]
        counts = np.bincount(known, minlength=len(scan.leaf_sets))
        for leaves, count in zip(scan.leaf_sets, counts, strict=True):
            points_of_set[leaves] = points_of_set.get(leaves, 0) + int(count)
    points = max(1, sum(points_of_set.values()))
    return {leaves: (count / points + 1e-3) ** -0.5 for leaves, count in points_of_set.items()}


def _collate(samples: list[Sample]) -> Batch:
    cells, target_rows, first_row = [], [], 0
    for number, sample in enumerate(samples):
        # Column 0 of the batch's cells is the number of the scan.
        scan_number = torch.full((len(sample.cells), 1), number, dtype=torch.int32)
        cells.append(torch.cat((scan_number, sample.cells), dim=1))
        target_rows.append(sample.target_rows + first_row)
        first_row += len(sample.cells)
    channels = torch.cat([sample.channels for sample in samples])
    targets = tuple(sample.targets for sample in samples)
    return Batch(SparseTensor(torch.cat(cells), channels), torch.cat(target_rows), targets)
