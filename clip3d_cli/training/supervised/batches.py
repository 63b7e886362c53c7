"""Batches of fine-tuning: voxels, each with the class of most of its points."""

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
from clip3d_cli.core.voxels import choose_voxel_size, voxelize
from clip3d_cli.datasets.dataset import Dataset
from clip3d_cli.datasets.sweeps import read_in_world
from clip3d_cli.encoders.input_channels import CloudContext, voxel_inputs
from clip3d_cli.errors import InputError
from clip3d_cli.sparse.tensor import SparseTensor
from clip3d_cli.training.augmentation import (
    Rows,
    augment_xyz,
    collate_voxels,
    crop_to_disc,
    sample_scene,
)
from clip3d_cli.training.clip2scene.batches import NetworkInputs
from clip3d_cli.training.losses import IGNORED
from clip3d_cli.training.option_types import Count, PositiveCount

# Scenes kept in memory, in each process that makes batches.
_CACHE_BYTES = 1 << 28
_LEAVE_OUT = "Leave the scene out."

LabelledCloud = tuple[PointCloud, npt.NDArray[np.int32]]


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
    """Voxels of several scans with their classes.

    Attributes:
        voxels: M voxels; every scan is a cloud of its own, with its own batch number.
        truth: (M,) int64, class index of each voxel; −1 = no ground truth.
    """

    voxels: SparseTensor
    truth: Tensor

    def to(self, device: torch.device | str) -> LabelledBatch:
        """Return the batch on a device."""
        return LabelledBatch(self.voxels.to(device), self.truth.to(device))


class _SceneCache:
    """The scenes that a process read first, up to a number of bytes.

    With few labelled scenes, all of them are soon in memory.
    """

    def __init__(self) -> None:
        self._scenes: dict[int, LabelledCloud] = {}
        self._free_bytes = _CACHE_BYTES

    def __reduce__(self) -> tuple[type[_SceneCache], tuple[()]]:
        # A worker process starts with an empty cache instead of a copy.
        return _SceneCache, ()

    def get(self, index: int, read: Callable[[], LabelledCloud]) -> LabelledCloud:
        """Return the scene of an index; it is read if it is not in the cache."""
        if index in self._scenes:
            return self._scenes[index]
        cloud, truth = read()
        arrays = (cloud.xyz, cloud.rgb, cloud.intensity, truth)
        size = sum(array.nbytes for array in arrays if array is not None)
        if size <= self._free_bytes:
            self._free_bytes -= size
            self._scenes[index] = cloud, truth
        return cloud, truth


@dataclass(frozen=True, slots=True, eq=False)
class LabelledBatches:
    """Makes the batch of any number; it depends on the number and the seed only.

    Attributes:
        dataset: reads the scans and their ground truth.
        scenes: training scenes with ground truth, at least one.
        inputs: input of the network.
        options: content of a batch.
        seed: random seed of the run.
    """

    dataset: Dataset
    scenes: Sequence[PosedScene]
    inputs: NetworkInputs
    options: LabelledOptions
    seed: int = 0
    _cache: _SceneCache = field(default_factory=_SceneCache, init=False, repr=False)

    def __call__(self, number: int) -> LabelledBatch:
        """Return the batch of a number.

        Raises:
            InputError: a scan or its ground truth is missing or cannot be read.
        """
        first = number * self.options.scenes
        samples = [self._sample(turn) for turn in range(first, first + self.options.scenes)]
        cells, channels, truth = zip(*samples, strict=True)
        return LabelledBatch(
            collate_voxels(cells, channels), torch.from_numpy(np.concatenate(truth))
        )

    def _sample(
        self, turn: int
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Return the cells (M, 3), channels (M, C) and classes (M,) of the scene of a turn."""
        index, rng = sample_scene(turn, len(self.scenes), self.seed)
        cloud, truth = self._cache.get(index, lambda: self._read(self.scenes[index]))
        labelled = np.flatnonzero(truth != IGNORED)
        all_points = np.arange(len(cloud))
        centers = labelled if len(labelled) else all_points
        keep = crop_to_disc(cloud.xyz, all_points, centers, self.options.points, rng)
        xyz = augment_xyz(cloud.xyz, rng) if self.options.augment else cloud.xyz
        voxel_m = choose_voxel_size(xyz, self.inputs.voxel_sizes_m)
        augmented = replace(cloud, xyz=xyz)
        part = augmented.select(keep)
        grid = voxelize(part.xyz, voxel_m)
        # The context is the whole cloud, not the crop, as in labelling.
        channels = voxel_inputs(self.inputs.channels, part, grid, CloudContext(augmented))
        return grid.cells, channels, majority_class(truth[keep], grid.voxel_of_point, len(grid))

    def _read(self, scene: PosedScene) -> LabelledCloud:
        """Return the usable points of a scene's key frame in the world, and their classes."""
        cloud, keep = read_in_world(self.dataset, scene.sweeps[0])
        truth = self.dataset.ground_truth(scene)
        if truth is None:
            raise InputError("E_DATASET", scene.name, "has no ground truth", _LEAVE_OUT)
        if not len(cloud):
            fault = "has no finite point outside the vehicle"
            raise InputError("E_EMPTY_FILE", scene.sweeps[0].path, fault, _LEAVE_OUT)
        return cloud, truth[keep]


def majority_class(truth: npt.NDArray[np.int32], voxel_of_point: Rows, voxels: int) -> Rows:
    """Return the class of most of a voxel's labelled points, (M,) int64.

    Of several equally frequent classes it is the lowest.

    Args:
        truth: (N,) int32, class of every point; −1 = no ground truth.
        voxel_of_point: (N,) int64, voxel of every point.
        voxels: M.

    Returns:
        Class index of each voxel; −1 where none of its points has ground truth.
    """
    majority = np.full(voxels, IGNORED, dtype=np.int64)
    labelled = truth != IGNORED
    if not labelled.any():
        return majority
    classes = int(truth.max()) + 1
    # One key for voxel and class, sorted: equal keys are the points of one class in one voxel.
    _, keys = sort_keys(voxel_of_point[labelled] * classes + truth[labelled])
    starts = run_starts(keys)
    points = np.diff(starts, append=len(keys))  # (U,): points of each voxel and class
    voxel, index = np.divmod(keys[starts], classes)
    # Sorted by voxel, then by falling number of points, then by class: the first of a voxel wins.
    order = np.lexsort((index, -points, voxel))
    first = order[run_starts(voxel[order])]
    majority[voxel[first]] = index[first]
    return majority
