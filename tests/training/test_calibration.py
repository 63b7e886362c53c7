"""The scale of similarities: found again where it is known, and of no other effect."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from posed_sample import SPACE, four_words, make
from torch import Tensor
from torch.nn import functional

from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.encoders.spec import EncoderSpec
from clip3d_cli.labelling.label import label_cloud
from clip3d_cli.training.calibration import fit_logit_scale
from clip3d_cli.training.clip2scene.batches import PosedBatch
from clip3d_cli.training.clip2scene.model import Clip2Scene, LossOptions

WORDS, DIM = 6, 8


class Drawn:
    """A learner whose points' vectors are given, and words whose pixels are drawn by a softmax."""

    def __init__(self, class_of_word: list[int]) -> None:
        torch.manual_seed(0)
        # In a cone, as CLIP's are: far from the zero row, which no pixel is ever told.
        self._axis = functional.normalize(torch.randn(DIM), dim=0)
        self.word_vectors = self._near(WORDS)
        self.class_of_word = torch.tensor(class_of_word)
        self.evaluated = False

    def _near(self, count: int) -> Tensor:
        return functional.normalize(self._axis + 0.25 * torch.randn(count, DIM), dim=1)

    def eval(self) -> None:
        self.evaluated = True

    def batch(self, pairs: int, scale: float) -> Any:
        vectors = self._near(pairs)
        chance = (scale * vectors @ self.word_vectors.T).softmax(dim=1)
        return SimpleNamespace(vectors=vectors, pair_word=chance.multinomial(1)[:, 0])

    def pair_vectors(self, batch: Any) -> Tensor:
        assert self.evaluated
        vectors: Tensor = batch.vectors
        return vectors


def learner_of() -> Clip2Scene:
    torch.manual_seed(0)
    shape: dict[str, Any] = {"width": 0.25, "layers": 14}
    spec = EncoderSpec("minkunet", shape, ("intensity",), (0.2,), SPACE, "mini", 1.0)
    return Clip2Scene(PointEncoder(spec), four_words(), LossOptions(), steps=4)


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> PosedBatch:
    return make(tmp_path_factory.mktemp("scenes"), pairs=100, cell_m=0.5, voxel_m=0.2)(0)


@pytest.mark.parametrize("scale", [8.0, 20.0, 50.0])
@pytest.mark.parametrize("class_of_word", [[0, 1, 2, 3, 4, 5], [0, 0, 1, 2, 2, 1]])
def test_a_known_scale_is_found_again(scale: float, class_of_word: list[int]) -> None:
    learner: Any = Drawn(class_of_word)
    batches = [learner.batch(pairs, scale) for pairs in (3000, 1000)]
    # Two steps of the scales that are tried.
    assert fit_logit_scale(learner, batches) == pytest.approx(scale, rel=0.26)


def test_every_pair_counts_as_much_and_not_every_batch() -> None:
    learner: Any = Drawn(list(range(WORDS)))
    batches = [learner.batch(4000, 30.0), learner.batch(40, 1.0)]
    assert fit_logit_scale(learner, batches) == pytest.approx(30, rel=0.2)


def test_the_scale_stays_in_its_range() -> None:
    learner: Any = Drawn(list(range(WORDS)))
    certain = learner.batch(500, 1e4)
    assert fit_logit_scale(learner, [certain]) == pytest.approx(100)
    wrong = SimpleNamespace(
        vectors=certain.vectors, pair_word=(certain.vectors @ learner.word_vectors.T).argmin(dim=1)
    )
    assert fit_logit_scale(learner, [wrong]) < 10


def test_without_pairs_it_is_one(batch: PosedBatch) -> None:
    none = torch.zeros(0, dtype=torch.int64)
    empty = replace(batch, pair_row=none, pair_word=none)
    assert fit_logit_scale(learner_of(), []) == 1
    assert fit_logit_scale(learner_of(), [empty, empty]) == 1


def test_the_network_stays_as_it_was(batch: PosedBatch) -> None:
    learner = learner_of().train()
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    first = fit_logit_scale(learner, [batch])
    assert not learner.training
    assert all(torch.equal(value, before[name]) for name, value in learner.state_dict().items())
    assert all(weight.grad is None for weight in learner.parameters())
    assert fit_logit_scale(learner, [batch]) == first


def test_labels_do_not_depend_on_it() -> None:
    rng = np.random.default_rng(0)
    cloud = PointCloud(rng.uniform(-3, 3, (300, 3)), None, rng.random(300).astype(np.float32))
    encoder = learner_of().encoder
    head: Any = encoder.network.head
    with torch.no_grad():
        head.weight *= 100
    found = [
        label_cloud(
            cloud,
            PointEncoder(replace(encoder.spec, logit_scale=scale), encoder.network).eval(),
            four_words(),
        )
        for scale in (1.0, 30.0)
    ]
    assert found[0].class_index.tolist() == found[1].class_index.tolist()
    assert len(set(found[0].class_index.tolist())) > 1
    assert not np.allclose(found[0].score, found[1].score)
