"""Posed scenes in memory whose teacher features encode the pixel and the camera of a patch.

Every point has an intensity of its own, which identifies the point in a voxel with one point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from clip3d_cli.core.embeddings import ClassEmbeddings, FeatureSpace
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.scenes import PosedScene, Sweep, View
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.metrics.rules import NO_BENCHMARK, BenchmarkRules
from clip3d_cli.teachers.cache import write_features
from clip3d_cli.training.clip2scene.batches import NetworkInputs, PosedBatch, PosedBatches
from clip3d_cli.training.clip2scene.pixel_pairs import BatchOptions

SPACE = FeatureSpace("openclip/where/test", 4)
SIZE, PATCH_PX = (64, 32), 8
FOCAL, MIDDLE = 32.0, (31.5, 15.5)
LOW, HIGH = (-4, 3, -2), (4, 8, 2)  # a box before the cameras
STEPS = 65535  # of an intensity
AHEAD = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # looks along +y, z is up
BACK = np.array([[-1.0, 0, 0], [0, 0, -1], [0, -1, 0]])  # looks along −y


class Where:
    """A teacher whose vector of a patch is (u/64, v/32, 1, camera/4) of its centre.

    The number of the camera is the red value of its image.
    """

    name = "where"
    space = SPACE

    def __call__(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        h, w = image.shape[0] // PATCH_PX, image.shape[1] // PATCH_PX
        v, u = np.meshgrid((np.arange(h) + 0.5) / h, (np.arange(w) + 0.5) / w, indexing="ij")
        camera = np.full((h, w), image[0, 0, 0] / 4)
        return np.stack([u, v, np.ones((h, w)), camera], axis=2).astype(np.float32)


def where(view: View, camera: int, xyz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the vector that `Where` has for the pixel of a point, computed independently."""
    x, y, z = view.camera_from_world[:3, :3] @ xyz + view.camera_from_world[:3, 3]
    u, v = FOCAL * x / z + MIDDLE[0], FOCAL * y / z + MIDDLE[1]
    half = PATCH_PX / 2
    u = np.clip(u + 0.5, half, SIZE[0] - half) / SIZE[0]
    v = np.clip(v + 0.5, half, SIZE[1] - half) / SIZE[1]
    vector = np.array([u, v, 1, camera / 4])
    return vector / np.linalg.norm(vector)


def view_from(
    root: Path, camera: int, place: Sequence[float], turn: npt.NDArray[np.float64] = AHEAD
) -> View:
    """Return camera 0 … 4 at a place; it looks along +y unless it is rotated."""
    path = root / f"camera{camera}.png"
    root.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        Image.new("RGB", SIZE, (camera, 0, 0)).save(path)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = turn, -turn @ np.asarray(place, dtype=np.float64)
    intrinsics = np.array([[FOCAL, 0, MIDDLE[0]], [0, FOCAL, MIDDLE[1]], [0, 0, 1]])
    return View(path, SIZE, intrinsics, pose)


def with_intensity(xyz: npt.NDArray[np.float64], first: int = 1) -> PointCloud:
    """Return a cloud whose points are numbered by their intensities."""
    number = np.arange(first, first + len(xyz)) / STEPS
    return PointCloud(np.asarray(xyz, dtype=np.float64), None, number.astype(np.float32))


def lattice(count: int, seed: int, low: Sequence[float], high: Sequence[float]) -> PointCloud:
    """Return random points in a box, no two nearer than 0.2 m."""
    sides = [np.arange(a, b, 0.3) for a, b in zip(low, high, strict=True)]
    every = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, 3)
    rng = np.random.default_rng(seed)
    return with_intensity(
        rng.permutation(every)[:count] + rng.uniform(-0.025, 0.025, (count, 3)), 1 + 1000 * seed
    )


@dataclass
class InMemory:
    """A data set in memory, with clouds by path, that records which sweeps are read."""

    clouds: dict[Path, PointCloud] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    name: str = "memory"
    root: Path = Path()
    vocabulary: Vocabulary | None = None
    ego_half_size_m: float = 0.0
    thing_classes: frozenset[int] = frozenset()
    rules: BenchmarkRules = NO_BENCHMARK

    def splits(self) -> tuple[str, ...]:
        return ("all",)

    def scenes(self, split: str) -> Sequence[PosedScene]:
        return ()

    def cloud(self, sweep: Sweep) -> PointCloud:
        self.asked.append(sweep.path.stem)
        return self.clouds[sweep.path]

    def ground_truth(self, scene: PosedScene) -> npt.NDArray[np.int32] | None:
        return None

    def instances(self, scene: PosedScene) -> npt.NDArray[np.int32] | None:
        return None

    def scene(self, name: str, clouds: Sequence[PointCloud], views: Sequence[View]) -> PosedScene:
        """Return a scene of these clouds, which are in the world frame already."""
        sweeps = []
        for number, cloud in enumerate(clouds):
            path = Path(f"{name}/{number}.bin" if number else f"{name}/{name}.bin")
            self.clouds[path] = cloud
            sweeps.append(Sweep(path, np.eye(4)))
        return PosedScene(name, tuple(sweeps), tuple(views))


def four_words() -> ClassEmbeddings:
    """Return words for the left and right half of an image, of near and far camera numbers."""
    vectors = np.array([[0, 0.5, 1, 0], [1, 0.5, 1, 0], [0, 0.5, 1, 1], [1, 0.5, 1, 1]])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = Vocabulary.from_names(["left", "right", "far left", "far right"])
    return ClassEmbeddings(vectors.astype(np.float32), np.arange(4, dtype=np.int32), names, SPACE)


def batches_of(
    dataset: InMemory,
    scenes: Sequence[PosedScene],
    folder: Path,
    *,
    inputs: tuple[str, ...] = ("intensity",),
    voxel_m: float = 0.05,
    seed: int = 0,
    **options: object,
) -> PosedBatches:
    """Return batches of scenes, after writing their features to a folder."""
    chosen = {"occlusion": "none", "augment": False, "scenes": 1, "least_depth_m": 0.5} | options
    return PosedBatches(
        dataset,
        scenes,
        [write_features(scene, Where(), folder) for scene in scenes],
        four_words(),
        NetworkInputs(inputs, (voxel_m,)),
        BatchOptions(**chosen),  # type: ignore[arg-type]
        seed,
    )


def make_scene(
    dataset: InMemory, root: Path, number: int, *, sweeps: int = 3, views: int = 2
) -> PosedScene:
    """Return a scene whose points are numbered by their intensities through all sweeps."""
    # A little apart, so that no voxel of the merged sweeps holds two points.
    clouds = [
        lattice(300, 10 * number + sweep, np.add(LOW, 0.1 * sweep).tolist(), HIGH)
        for sweep in range(sweeps)
    ]
    places = [(0, 0, 0), (1, -1, 0.3)]
    cameras = [view_from(root / f"{number}", 2 * view, places[view]) for view in range(views)]
    return dataset.scene(f"scene{number}", clouds, cameras)


def make(
    tmp_path: Path, *, scenes: int = 1, sweeps: int = 3, views: int = 2, **options: Any
) -> PosedBatches:
    dataset = InMemory()
    made = [
        make_scene(dataset, tmp_path / "images", number, sweeps=sweeps, views=views)
        for number in range(scenes)
    ]
    return batches_of(dataset, made, tmp_path / "features", **options)


def tensors_of(batch: PosedBatch) -> list[torch.Tensor]:
    names = [name for name in PosedBatch.__slots__ if name not in ("voxels", "cells")]
    return [batch.voxels.cells, batch.voxels.feats, *(getattr(batch, name) for name in names)]


def number_of(batch: PosedBatch) -> Any:
    """Return the number of the point in each voxel, (M,), from its intensity."""
    return np.rint(batch.voxels.feats[:, 0].numpy() * STEPS).astype(int)


def points_of(dataset: InMemory) -> dict[int, Any]:
    """Return the position of every point by its number."""
    found: dict[int, Any] = {}
    for cloud in dataset.clouds.values():
        assert cloud.intensity is not None
        numbers = np.rint(cloud.intensity * STEPS).astype(int)
        found |= dict(zip(numbers.tolist(), cloud.xyz, strict=True))
    return found
