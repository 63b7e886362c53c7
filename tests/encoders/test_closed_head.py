"""A second head of fixed classes beside the text head: what it answers, on every engine."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from two_heads import both_heads, closed_layer, names, network, tensor, trunk_of, voxels

from clip3d_cli import registry
from clip3d_cli.core.embeddings import FeatureSpace
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.encoders.closed_head import closed_classes
from clip3d_cli.encoders.native_encoder import NativeEncoder
from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.encoders.scoring import ClassQuery, RankedClasses
from clip3d_cli.encoders.voxel_encoder import VoxelEncoder
from clip3d_cli.encoders.weights_torch import load_encoder
from clip3d_cli.errors import SetupError, UsageError
from clip3d_cli.labelling.label import LabelOptions, label_cloud
from clip3d_cli.labelling.open_encoder import open_encoder
from clip3d_cli.native.library import engine_status
from clip3d_cli.sparse.backends.torch.backend import TorchBackend

SIZES = (1, 3, 11, 16, 19, 200)
PRECISIONS = {"exact": 1e-5, "high": 1e-4, "fast": 0.02}


def raw_logits(encoder: PointEncoder, layer: nn.Linear) -> np.ndarray:
    """(M, K), by the layer itself on what the trunk says."""
    with torch.no_grad():
        logits: np.ndarray = layer(trunk_of(encoder, 1)).numpy()
    return logits


def shares_of(logits: np.ndarray) -> np.ndarray:
    return torch.from_numpy(logits).double().softmax(dim=1).numpy()


def answers(
    encoder: VoxelEncoder, wanted: Vocabulary | None = None, width: int = 1
) -> RankedClasses:
    classes = closed_classes(encoder.spec.closed, wanted)
    return encoder.classify(*voxels(1), ClassQuery.of(classes, width))


def native(path: Path, precision: str = "exact") -> NativeEncoder:
    if engine_status().fault is not None:
        pytest.skip(f"native: {engine_status().fault}")
    return NativeEncoder.load(path, precision=precision, head="closed")


@pytest.mark.parametrize("count", SIZES)
@pytest.mark.parametrize("architecture", registry.names("point_encoders"))
def test_pytorch_takes_the_class_of_the_greatest_logit(
    tmp_path: Path, architecture: str, count: int
) -> None:
    text = network(architecture)
    encoder = load_encoder(both_heads(tmp_path, text, count), head="closed")
    assert encoder.space == FeatureSpace("classes/numbers", count)
    logits = raw_logits(text, closed_layer(text, count))
    found = answers(encoder)
    np.testing.assert_array_equal(found.ranking[:, 0], logits.argmax(axis=1))
    np.testing.assert_allclose(found.score[:, 0], shares_of(logits).max(axis=1), rtol=1e-5)
    assert len(np.unique(found.ranking)) >= min(count, 3)


@pytest.mark.parametrize("count", SIZES)
@pytest.mark.parametrize(("precision", "error"), PRECISIONS.items())
def test_the_native_engine_does_as_pytorch(
    tmp_path: Path, count: int, precision: str, error: float
) -> None:
    """Any number of classes: where another class wins, its logit was within the engine's error."""
    text = network()
    encoder = native(both_heads(tmp_path, text, count), precision)
    logits = raw_logits(text, closed_layer(text, count))
    found = answers(encoder, width=min(3, count))
    assert found.ranking.shape == found.score.shape == (len(logits), min(3, count))
    winner = np.take_along_axis(logits, found.ranking[:, :1].astype(np.int64), axis=1)[:, 0]
    assert (logits.max(axis=1) - winner).max() <= error
    wanted = np.take_along_axis(shares_of(logits), found.ranking.astype(np.int64), axis=1)
    np.testing.assert_allclose(found.score, wanted, atol=error)
    assert (np.diff(found.score, axis=1) <= 0).all()


@pytest.mark.parametrize("on_native", [True, False], ids=["native", "torch"])
def test_some_of_the_classes_in_any_order(tmp_path: Path, on_native: bool) -> None:
    text = network()
    path = both_heads(tmp_path, text, 11)
    encoder: VoxelEncoder = native(path) if on_native else load_encoder(path, head="closed")
    columns = [7, 0, 10]
    wanted = Vocabulary.from_names([f"class {column}" for column in columns])
    logits = raw_logits(text, closed_layer(text, 11))
    found = answers(encoder, wanted, width=3)
    order = np.argsort(-logits[:, columns], axis=1)
    np.testing.assert_array_equal(found.ranking, order)
    # A score is a share among all that the head knows: what is none of these scores low.
    shares = np.take_along_axis(shares_of(logits)[:, columns], order, axis=1)
    np.testing.assert_allclose(found.score, shares, rtol=1e-4)
    assert found.score.sum(axis=1).max() < 1


def test_great_logits_overflow_nothing(tmp_path: Path) -> None:
    text = network()
    layer = closed_layer(text, 5)
    with torch.no_grad():
        layer.weight *= 1e4
    path = both_heads(tmp_path, text, 5, layer)
    for encoder in (native(path), load_encoder(path, head="closed")):
        score = answers(encoder, width=5).score
        assert np.isfinite(score).all()
        np.testing.assert_allclose(score.sum(axis=1), 1, rtol=1e-5)


def test_a_scale_sharpens_scores_and_changes_no_class(tmp_path: Path) -> None:
    text = network()
    plain = both_heads(tmp_path, text, 5)
    sharp = both_heads(tmp_path, text, 5, logit_scale=3.0)
    shares = shares_of(3 * raw_logits(text, closed_layer(text, 5))).max(axis=1)
    for of_file in (native, lambda path: load_encoder(path, head="closed")):
        found = answers(of_file(sharp))
        np.testing.assert_array_equal(found.ranking, answers(of_file(plain)).ranking)
        np.testing.assert_allclose(found.score[:, 0], shares, rtol=1e-4)


def test_a_text_head_without_bias_takes_nothing_from_the_closed_one(tmp_path: Path) -> None:
    text = network(config={"layers": 14, "width": 0.25, "head_bias": False})
    path = both_heads(tmp_path, text, 6)
    logits = raw_logits(text, closed_layer(text, 6))
    for encoder in (native(path), load_encoder(path, head="closed")):
        np.testing.assert_array_equal(answers(encoder).ranking[:, 0], logits.argmax(axis=1))


def test_half_precision_makes_no_ties(tmp_path: Path) -> None:
    """Logits in halves would often be equal near the top."""
    backend = TorchBackend()
    backend.dtype = torch.bfloat16
    encoder = load_encoder(both_heads(tmp_path, network(), 200), backend=backend, head="closed")
    with torch.no_grad():
        logits = encoder(tensor(1))
    first, second = logits.topk(2, dim=1).values.unbind(1)
    assert (first > second).all()


@pytest.mark.parametrize("backend", ["native", "torch"])
def test_labels_do_not_depend_on_tiles(tmp_path: Path, backend: str) -> None:
    if backend == "native" and engine_status().fault is not None:
        pytest.skip(f"native: {engine_status().fault}")
    path = both_heads(tmp_path, network(), 16)
    opened = open_encoder(path, backend=backend, head="closed")
    assert opened.backend == backend
    xyz = np.random.default_rng(2).uniform(0, (90, 6, 3), (4000, 3))
    cloud, classes = PointCloud(xyz), closed_classes(opened.encoder.spec.closed)
    whole = label_cloud(cloud, opened.encoder, classes)
    tiled = label_cloud(cloud, opened.encoder, classes, LabelOptions(tile_m=20))
    np.testing.assert_array_equal(whole.class_index, tiled.class_index)
    assert len(np.unique(whole.class_index)) > 2
    assert whole.vocabulary.name == "numbers"
    unsure = label_cloud(cloud, opened.encoder, classes, LabelOptions(unknown_threshold=0.15))
    np.testing.assert_array_equal(unsure.class_index == -1, whole.score < 0.15)
    assert 0 < (unsure.class_index == -1).mean() < 1


def test_words_are_not_compared_with_a_closed_head(tmp_path: Path) -> None:
    path = both_heads(tmp_path, network(), 5)
    open_text, open_closed = (load_encoder(path, head=head) for head in ("text", "closed"))
    cloud = PointCloud(np.zeros((1, 3)))
    with pytest.raises(SetupError, match=r"lives in classes/numbers \(5\), the points in tests/"):
        label_cloud(cloud, open_text, closed_classes(open_text.spec.closed))
    other = dataclasses.replace(
        closed_classes(open_closed.spec.closed), space=FeatureSpace("tests/two-heads", 5)
    )
    with pytest.raises(SetupError, match="E_SPACE_MISMATCH"):
        label_cloud(cloud, open_closed, other)


def test_a_class_it_was_not_trained_on_is_refused(tmp_path: Path) -> None:
    spec = load_encoder(both_heads(tmp_path, network(), 3)).spec
    with pytest.raises(UsageError, match="not trained on 'clas 1'") as caught:
        closed_classes(spec.closed, Vocabulary.from_names(["class 0", "clas 1"]))
    assert caught.value.code == "E_CLASSES"
    assert caught.value.remedy.startswith("Did you mean class 1? It knows: class 0, class 1, cla")
    with pytest.raises(ValueError, match="has no closed head"):
        closed_classes(None)


def test_the_classes_of_a_question_are_the_asker_s(tmp_path: Path) -> None:
    spec = load_encoder(both_heads(tmp_path, network(), 4)).spec
    everything = closed_classes(spec.closed)
    assert [entry.name for entry in everything.vocabulary.classes] == names(4)
    np.testing.assert_array_equal(everything.vectors, np.eye(4, dtype=np.float32))
    wanted = Vocabulary.from_names(["class 2=anything|else", "class 0"], "mine")
    some = closed_classes(spec.closed, wanted)
    assert some.vocabulary is wanted
    np.testing.assert_array_equal(some.vectors.argmax(axis=1), [2, 0])
