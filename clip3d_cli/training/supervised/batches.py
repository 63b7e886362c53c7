"""From scenes with truth to batches of voxels, each with the class of most of its points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
from msgspec import Meta
from torch import Tensor

from clip3d_cli.core.grouping import run_starts, sort_keys
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.scenes import PosedScene
from clip3d_cli.core.voxels import choose_voxel, voxelize
from clip3d_cli.datasets.dataset import Dataset
from clip3d_cli.datasets.sweeps import read_in_world
from clip3d_cli.encoders.input_channels import Terrain, voxel_inputs
from clip3d_cli.errors import InputError
from clip3d_cli.sparse.tensor import SparseTensor
from clip3d_cli.training.augmentation import Rows, batched, disc, drawn_scene, turned
from clip3d_cli.training.clip2scene.batches import NetworkInputs
from clip3d_cli.training.losses import IGNORED
from clip3d_cli.training.option_types import Count, PositiveCount

# Of every process that makes batches.
_MEMORY_BYTES = 1 << 28
_LEAVE_OUT = "Leave the scene out."

Read = tuple[PointCloud, npt.NDArray[np.int32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledOptions:
    """Table ``[batch]`` of a fine-tuning: the content of a batch."""

    scenes: Annotated[
        PositiveCount, Meta(description="scenes in a batch, in each training process")
    ] = 4
    points: Annotated[
        Count,
        Meta(
            description="cut a scene to a disc that holds this number of points around a random "
            "labelled point; 0 for whole scenes"
        ),
    ] = 0
    augment: Annotated[
        bool,
        Meta(
            description="rotate each scene about the vertical axis, mirror and shift it at random"
        ),
    ] = True


@dataclass(frozen=True, slots=True, eq=False)
class LabelledBatch:
    """Voxels of several scans and what they truly are.

    Attributes:
        voxels: M cells, each scan a cloud of its own.
        truth: (M,) int64, a class index; −1 = not judged.
    """

    voxels: SparseTensor
    truth: Tensor

    def to(self, device: torch.device | str) -> LabelledBatch:
        """The same batch on a device."""
        return LabelledBatch(self.voxels.to(device), self.truth.to(device))


class _Memory:
    """The scenes that a process read first, as many as fit: few labels are soon all there."""

    def __init__(self) -> None:
        self._scenes: dict[int, Read] = {}
        self._room = _MEMORY_BYTES

    def __reduce__(self) -> tuple[type[_Memory], tuple[()]]:
        # Another process remembers what it read itself.
        return _Memory, ()

    def scene(self, place: int, read: Callable[[], Read]) -> Read:
        """The scene of a place, read if it must be."""
        if place in self._scenes:
            return self._scenes[place]
        cloud, truth = read()
        arrays = (cloud.xyz, cloud.rgb, cloud.intensity, truth)
        size = sum(array.nbytes for array in arrays if array is not None)
        if size <= self._room:
            self._room -= size
            self._scenes[place] = cloud, truth
        return cloud, truth


@dataclass(frozen=True, slots=True, eq=False)
class LabelledBatches:
    """The batch of any number: a function of it and of the seed, in whichever process.

    Attributes:
        dataset: reads the scans and their truth.
        scenes: L ≥ 1 of them, all with truth; every L scenes drawn, each is drawn once.
        inputs: what the network is told.
        options: what a batch is made of.
        seed: of every draw.
    """

    dataset: Dataset
    scenes: Sequence[PosedScene]
    inputs: NetworkInputs
    options: LabelledOptions
    seed: int = 0
    _memory: _Memory = field(default_factory=_Memory, init=False, repr=False)

    def __call__(self, number: int) -> LabelledBatch:
        """The batch of a number.

        Raises:
            InputError: a scan or its truth cannot be read, or is not there.
        """
        first = number * self.options.scenes
        samples = [self._sample(turn) for turn in range(first, first + self.options.scenes)]
        cells, channels, truth = zip(*samples, strict=True)
        return LabelledBatch(batched(cells, channels), torch.from_numpy(np.concatenate(truth)))

    def _sample(
        self, turn: int
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """The (M, 3) cells, (M, C) channels and (M,) truth of a scene."""
        place, rng = drawn_scene(turn, len(self.scenes), self.seed)
        cloud, truth = self._memory.scene(place, lambda: self._read(self.scenes[place]))
        middles = np.flatnonzero(truth != IGNORED)
        every = np.arange(len(cloud))
        kept = disc(cloud.xyz, every, middles if len(middles) else every, self.options.points, rng)
        xyz = turned(cloud.xyz, rng) if self.options.augment else cloud.xyz
        voxel_m = choose_voxel(xyz, self.inputs.voxel_sizes_m)
        part = replace(cloud, xyz=xyz).only(kept)
        grid = voxelize(part.xyz, voxel_m)
        channels = voxel_inputs(self.inputs.channels, part, grid, Terrain(xyz))
        return grid.cells, channels, commonest(truth[kept], grid.voxel_of_point, len(grid))

    def _read(self, scene: PosedScene) -> Read:
        """The usable points of a scene's key frame in the world, and their truth."""
        cloud, keep = read_in_world(self.dataset, scene.sweeps[0])
        truth = self.dataset.ground_truth(scene)
        if truth is None:
            raise InputError("E_DATASET", scene.name, "has no truth to learn from", _LEAVE_OUT)
        if not len(cloud):
            fault = "has no point left that is finite and not of the vehicle"
            raise InputError("E_EMPTY_FILE", scene.sweeps[0].path, fault, _LEAVE_OUT)
        return cloud, truth[keep]


def commonest(truth: npt.NDArray[np.int32], voxel_of_point: Rows, voxels: int) -> Rows:
    """(M,) int64: the class of most of a voxel's judged points, the first of several as common.

    Args:
        truth: (N,) int32, a class of every point; −1 = not judged.
        voxel_of_point: (N,) int64.
        voxels: M.

    Returns:
        −1 where no point of a voxel is judged.
    """
    answer = np.full(voxels, IGNORED, dtype=np.int64)
    judged = truth != IGNORED
    if not judged.any():
        return answer
    classes = int(truth.max()) + 1
    _, keys = sort_keys(voxel_of_point[judged] * classes + truth[judged])
    starts = run_starts(keys)
    points = np.diff(starts, append=len(keys))
    voxel, index = np.divmod(keys[starts], classes)
    best = np.lexsort((index, -points, voxel))
    first = best[run_starts(voxel[best])]
    answer[voxel[first]] = index[first]
    return answer
