"""Scenes with ground truth in memory: a floor, poles on it, and balls in the air."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from posed_sample import InMemory, with_intensity

from clip3d_cli.core.embeddings import ClassEmbeddings, FeatureSpace
from clip3d_cli.core.scenes import PosedScene
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.encoders.spec import EncoderSpec
from clip3d_cli.training.clip2scene.batches import NetworkInputs
from clip3d_cli.training.supervised.batches import LabelledBatch, LabelledBatches, LabelledOptions
from clip3d_cli.training.supervised.model import FineTuner, SupervisedOptions

SPACE = FeatureSpace("test/labelled", 8)
INPUTS = NetworkInputs(("one", "height_near", "z_spread"), (0.2,))
NAMES = ("floor", "pole", "ball")

Truth = npt.NDArray[np.int32]


@dataclass
class LabelledMemory(InMemory):
    """Scenes in memory, with the ground truth of each by its name."""

    truths: dict[str, Truth] = field(default_factory=dict)
    vocabulary: Vocabulary | None = field(
        default_factory=lambda: Vocabulary.from_names(list(NAMES))
    )

    def ground_truth(self, scene: PosedScene) -> Truth | None:
        return self.truths.get(scene.name)

    def labelled(
        self, name: str, xyz: npt.NDArray[np.float64], truth: Sequence[int] | Truth
    ) -> PosedScene:
        """Return a scene of points that are numbered by their intensities."""
        self.truths[name] = np.asarray(truth, dtype=np.int32)
        return self.scene(name, [with_intensity(xyz)], [])


def park(dataset: LabelledMemory, number: int) -> PosedScene:
    """Return a scene with all three classes."""
    rng = np.random.default_rng(number)
    side = np.arange(-5, 5, 0.2)
    flat = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    floor = np.column_stack([flat, rng.normal(0, 0.01, len(flat))])
    height = np.arange(0.3, 3, 0.1)
    poles = [
        np.column_stack([np.tile(rng.uniform(-4, 4, 2), (len(height), 1)), height])
        for _ in range(6)
    ]
    sphere = rng.normal(size=(120, 3))
    sphere /= np.linalg.norm(sphere, axis=1, keepdims=True)
    balls = [0.5 * sphere + (*rng.uniform(-4, 4, 2), 4) for _ in range(3)]
    parts = [floor, np.concatenate(poles), np.concatenate(balls)]
    truth = np.repeat(np.arange(3), [len(part) for part in parts])
    # Not on the borders of voxels.
    return dataset.labelled(f"park{number}", np.concatenate(parts) + 0.07, truth)


def parks(count: int = 2, seed: int = 0, **options: Any) -> LabelledBatches:
    """Return batches of parks."""
    dataset = LabelledMemory()
    scenes = [park(dataset, number) for number in range(count)]
    return LabelledBatches(dataset, scenes, INPUTS, LabelledOptions(**options), seed)


def words_of(names: Sequence[str] = NAMES, words_each: int = 1) -> ClassEmbeddings:
    """Return some embedded words for each class; a vector depends on its position only."""
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(len(names) * words_each, SPACE.dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = np.repeat(np.arange(len(names), dtype=np.int32), words_each)
    return ClassEmbeddings(
        vectors.astype(np.float32), index, Vocabulary.from_names(list(names)), SPACE
    )


def tuner_of(
    *, seed: int = 0, start: int = 0, words: ClassEmbeddings | None = None, **options: Any
) -> FineTuner:
    """Return a small network: random weights from one seed, the closed head from another."""
    torch.manual_seed(start)
    shape = {"width": 0.25, "layers": 14}
    spec = EncoderSpec(
        "minkunet", shape, INPUTS.channels, INPUTS.voxel_sizes_m, SPACE, "mini", 14.0
    )
    encoder = PointEncoder(spec)
    torch.manual_seed(seed)
    return FineTuner(encoder, words or words_of(), SupervisedOptions(**options))


def tensors_of(batch: LabelledBatch) -> list[torch.Tensor]:
    return [batch.voxels.cells, batch.voxels.feats, batch.truth]
