"""From scans to training batches: cut, turn, bend, thin, voxelise, ask."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.voxels import choose_voxel, voxelize
from clip3d_cli.encoders.input_channels import Terrain, voxel_inputs
from clip3d_cli.sparse.tensor import SparseTensor
from clip3d_cli.training.losses import IGNORED, WordTargets
from weights.recipe.points.sources import Scan
from weights.recipe.points.taxonomy import Taxonomy

INPUTS = ("one", "height_near", "height_far", "z_spread", "z_offset", "log_voxel")
VOXEL_SIZES_M = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
_AERIAL = frozenset({"ign", "ahn", "sim-aerial"})


@dataclass(frozen=True, slots=True)
class Mixture:
    """What a batch is made of.

    Attributes:
        share_of_source: how often each source is drawn.
        scans_per_batch: how many clouds a batch has.
        voxels_per_scan: a cloud with more is cut to the part around a random voxel.
        rows_per_scan: how many judged voxels of a cloud the loss looks at, rare labels first.
    """

    share_of_source: dict[str, float]
    scans_per_batch: int
    voxels_per_scan: int
    rows_per_scan: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Clouds, and what is asked of some of their voxels.

    Attributes:
        voxels: M cells of all clouds.
        rows: (R,) int64, rows of ``voxels`` that are looked at, cloud after cloud.
        targets: of each cloud's rows.
    """

    voxels: SparseTensor
    rows: Tensor
    targets: tuple[WordTargets, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """One cloud of a batch: (M, 3) cells, (M, C) channels, the rows looked at, and of what."""

    cells: Tensor
    channels: Tensor
    rows: Tensor
    targets: WordTargets


class Batches(IterableDataset[Batch]):
    """Endless batches, a function of the seed and of the number of workers."""

    def __init__(
        self,
        scans: list[Scan],
        mixture: Mixture,
        vector_of_word: dict[str, Tensor],
        seed: int,
    ) -> None:
        self.scans_of_source: dict[str, list[Scan]] = {}
        for scan in scans:
            self.scans_of_source.setdefault(scan.source, []).append(scan)
        self.weight_of_leaves = {
            source: _weights(group) for source, group in self.scans_of_source.items()
        }
        self.mixture = mixture
        self.taxonomy = Taxonomy.read()
        self.vector_of_word = vector_of_word
        self.seed = seed

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        rng = np.random.default_rng((self.seed, worker.id if worker else 0))
        sources = [s for s in self.mixture.share_of_source if s in self.scans_of_source]
        share = np.array([self.mixture.share_of_source[source] for source in sources])
        while True:
            picked = rng.choice(len(sources), self.mixture.scans_per_batch, p=share / share.sum())
            parts = [self._sample(sources[position], rng) for position in picked]
            yield _collate(parts)

    def _sample(self, source: str, rng: np.random.Generator) -> Sample:
        scans = self.scans_of_source[source]
        scan = scans[rng.integers(len(scans))]
        xyz, meaning = augment(scan, rng)
        voxel_m = _jittered(choose_voxel(xyz, VOXEL_SIZES_M), rng)
        grid = voxelize(xyz, voxel_m)
        cloud = PointCloud(xyz)
        channels = voxel_inputs(INPUTS, cloud, grid, Terrain(xyz))
        truth = _majority(grid.voxel_of_point, meaning, len(grid), len(scan.leaves_of_meaning))
        kept = _around_one(grid.cells, self.mixture.voxels_per_scan, rng)
        weight_of_leaves = self.weight_of_leaves[source]
        weight = np.array([weight_of_leaves[leaves] for leaves in scan.leaves_of_meaning])
        rows = _rare_first(truth[kept], weight, self.mixture.rows_per_scan, rng)
        question = self.taxonomy.ask(scan.known, rng)
        targets = WordTargets(
            torch.stack([self.vector_of_word[word] for word in question]),
            torch.from_numpy(truth[kept][rows]),
            torch.from_numpy(_accepted(scan.leaves_of_meaning, list(question.values()))),
        )
        return Sample(
            torch.from_numpy(grid.cells[kept]),
            torch.from_numpy(channels[kept]),
            torch.from_numpy(rows),
            targets,
        )


def augment(
    scan: Scan, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int16]]:
    """A scan as another sensor at another place might have seen it.

    Thinned (aerial ones at times to a thirtieth: surveys differ that much), turned about the
    vertical, mirrored, scaled by up to a tenth (less upwards), tilted by up to three degrees,
    with up to two centimetres of noise, anywhere on the lattice.
    """
    shares = [1.0, 1.0, rng.uniform(0.35, 1.0)]
    if scan.source in _AERIAL:
        shares += [np.exp(rng.uniform(np.log(0.03), 0))] * 2
    keep = rng.random(len(scan.xyz)) < rng.choice(shares)
    if keep.sum() < 100:
        keep[:] = True
    xyz = scan.xyz[keep] - scan.xyz.mean(axis=0)
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    tilt = np.eye(3)
    tilt[2, :2] = np.tan(np.radians(rng.normal(0, 1.2, 2).clip(-3, 3)))
    size = rng.uniform(0.9, 1.1)
    scale = np.diag([size * rng.choice([-1, 1]), size, size * rng.uniform(0.95, 1.05)])
    xyz = xyz @ (tilt @ turn @ scale).T + rng.uniform(-50, 50, 3)
    xyz += rng.normal(0, rng.uniform(0, 0.02), xyz.shape)
    return xyz, scan.meaning[keep]


def _jittered(size_m: float, rng: np.random.Generator) -> float:
    """Mostly the size that labelling would choose, now and then the next one."""
    position = VOXEL_SIZES_M.index(size_m) + int(rng.choice([-1, 0, 1], p=[0.15, 0.7, 0.15]))
    return VOXEL_SIZES_M[min(max(position, 0), len(VOXEL_SIZES_M) - 1)]


def _majority(
    voxel_of_point: npt.NDArray[np.int64],
    meaning: npt.NDArray[np.int16],
    voxels: int,
    meanings: int,
) -> npt.NDArray[np.int64]:
    """(M,) the commonest meaning among a voxel's judged points, −1 where none is."""
    judged = meaning >= 0
    cell = voxel_of_point[judged] * meanings + meaning[judged]
    votes = np.bincount(cell, minlength=voxels * meanings).reshape(voxels, meanings)
    return np.where(votes.sum(axis=1) > 0, votes.argmax(axis=1), IGNORED).astype(np.int64)


def _around_one(
    cells: npt.NDArray[np.int32], most: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """The rows of the cells nearest, seen from above, to one of them."""
    if len(cells) <= most:
        return np.arange(len(cells))
    middle = cells[rng.integers(len(cells)), :2]
    away = ((cells[:, :2].astype(np.int64) - middle) ** 2).sum(axis=1)
    return np.sort(np.argpartition(away, most)[:most])


def _rare_first(
    truth: npt.NDArray[np.int64],
    weight: npt.NDArray[np.float64],
    most: int,
    rng: np.random.Generator,
) -> npt.NDArray[np.int64]:
    """At most so many rows of judged voxels, drawn with the weight of their meaning.

    The keys u^(1/w) of Efraimidis and Spirakis (2006) draw without replacement.
    """
    judged = np.flatnonzero(truth >= 0)
    key = rng.random(len(judged)) ** (1 / weight[truth[judged]])
    return np.sort(judged[np.argsort(-key, kind="stable")[:most]])


def _accepted(
    leaves_of_meaning: tuple[frozenset[str], ...], asked: list[frozenset[str]]
) -> npt.NDArray[np.bool_]:
    """(L, W + 1) which words are right for each meaning; the last means none of them."""
    covered = frozenset[str]().union(*asked)
    rows = [[bool(leaves & word) for word in asked] for leaves in leaves_of_meaning]
    none = [not leaves <= covered for leaves in leaves_of_meaning]
    return np.column_stack([np.array(rows), none])


def _weights(scans: list[Scan]) -> dict[frozenset[str], float]:
    """How much a set of leaves counts: by the inverse root of their share in the source."""
    total: dict[frozenset[str], int] = {}
    for scan in scans:
        counts = np.bincount(scan.meaning[scan.meaning >= 0], minlength=len(scan.leaves_of_meaning))
        for leaves, count in zip(scan.leaves_of_meaning, counts, strict=True):
            total[leaves] = total.get(leaves, 0) + int(count)
    points = max(1, sum(total.values()))
    return {leaves: (count / points + 1e-3) ** -0.5 for leaves, count in total.items()}


def _collate(samples: list[Sample]) -> Batch:
    cells, rows, first = [], [], 0
    for number, sample in enumerate(samples):
        batch = torch.full((len(sample.cells), 1), number, dtype=torch.int32)
        cells.append(torch.cat((batch, sample.cells), dim=1))
        rows.append(sample.rows + first)
        first += len(sample.cells)
    channels = torch.cat([sample.channels for sample in samples])
    targets = tuple(sample.targets for sample in samples)
    return Batch(SparseTensor(torch.cat(cells), channels), torch.cat(rows), targets)
