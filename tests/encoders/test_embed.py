"""The vectors of voxels: one contract for every engine and every architecture."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from native_twin import native_twin
from two_heads import both_heads, network, tensor, voxels

from clip3d_cli import registry
from clip3d_cli.core.embeddings import FeatureSpace
from clip3d_cli.encoders.native_encoder import NativeEncoder
from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.encoders.spec import EncoderSpec
from clip3d_cli.encoders.weights_torch import load_encoder
from clip3d_cli.errors import InputError
from clip3d_cli.sparse.key_layout import HIGHEST_CELL

ENGINES = [("native", "minkunet"), *(("torch", name) for name in registry.names("point_encoders"))]


@pytest.fixture(params=ENGINES, ids=["-".join(each) for each in ENGINES])
def engine(request: pytest.FixtureRequest) -> Any:
    """An encoder that embeds."""
    engine, architecture = request.param
    reference = network(architecture)
    return native_twin(reference) if engine == "native" else reference


def same_bits_if_native(engine: Any, found: np.ndarray, wanted: np.ndarray) -> None:
    """The native engine promises equal bits; matrix products of PyTorch differ in the last ones."""
    if isinstance(engine, NativeEncoder):
        np.testing.assert_array_equal(found, wanted)
    else:
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_vectors_have_unit_length_and_differ(engine: Any) -> None:
    cells, channels = voxels(1)
    vectors = engine.embed(cells, channels)
    assert vectors.shape == (len(cells), 24)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert vectors.std(axis=0).min() > 1e-4


@pytest.mark.parametrize("seed", [1, 2])
def test_vectors_are_those_of_the_network_in_pytorch(engine: Any, seed: int) -> None:
    reference = network(engine.spec.architecture)
    with torch.no_grad():
        wanted = reference(tensor(seed)).numpy()
    np.testing.assert_allclose(engine.embed(*voxels(seed)), wanted, atol=1e-5)


def test_vectors_do_not_depend_on_tiles(engine: Any) -> None:
    """A tile with a halo of `reach` gives its voxels the vectors of the whole cloud."""
    draw = np.random.default_rng(3)
    half = engine.reach + 40
    cells = np.unique(draw.integers((-half, 0, 0), (half, 4, 3), (4000, 3), np.int32), axis=0)
    channels = draw.normal(size=(len(cells), 2)).astype(np.float32)
    whole = engine.embed(cells, channels)
    owned = (cells[:, 0] >= -9) & (cells[:, 0] <= 6)

    def vectors_with_halo(halo: int) -> np.ndarray:
        rows = (cells[:, 0] >= -9 - halo) & (cells[:, 0] <= 6 + halo)
        assert rows.sum() < len(cells)
        vectors: np.ndarray = engine.embed(cells[rows], channels[rows])[owned[rows]]
        return vectors

    same_bits_if_native(engine, vectors_with_halo(engine.reach), whole[owned])
    # The cloud can tell: without a halo the vectors are others.
    assert np.abs(vectors_with_halo(0) - whole[owned]).max() > 1e-2


def test_vectors_do_not_depend_on_a_second_cloud_far_away(engine: Any) -> None:
    cells, channels = voxels(1)
    other = cells + np.array([0, 0, 2 * engine.reach + 64], np.int32)
    both = np.concatenate((cells, other))
    order = np.lexsort(both.T[::-1])
    found = engine.embed(both[order], np.concatenate((channels, channels))[order])
    of_first = np.argsort(order)[: len(cells)]
    same_bits_if_native(engine, found[of_first], engine.embed(cells, channels))


def test_vectors_do_not_depend_on_threads_and_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    cells, channels = voxels(1)
    one, three = (native_twin(network(), threads=n).embed(cells, channels) for n in (1, 3))
    np.testing.assert_array_equal(one, three)
    monkeypatch.setattr("clip3d_cli.encoders.native_encoder._BLOCK_NUMBERS", 24 * 7)
    np.testing.assert_array_equal(native_twin(network()).embed(cells, channels), one)


def test_vectors_and_similarities_agree() -> None:
    cells, channels = voxels(1)
    words = np.random.default_rng(4).normal(size=(5, 24)).astype(np.float32)
    words /= np.linalg.norm(words, axis=1, keepdims=True)
    native = native_twin(network())
    similarities = np.concatenate([*native.similarities(cells, channels, words)])
    np.testing.assert_allclose(native.embed(cells, channels) @ words.T, similarities, atol=1e-5)


def test_no_second_array_of_all_vectors_is_made() -> None:
    torch.manual_seed(5)
    space = FeatureSpace("tests/embed", 512)
    config = {"layers": 14, "width": 0.25}
    spec = EncoderSpec("minkunet", config, ("one", "z_offset"), (0.2,), space, "mini", 20.0)
    native = native_twin(PointEncoder(spec).eval())
    cells, channels = voxels(1, 60_000)
    tracemalloc.start()
    try:
        vectors = native.embed(cells, channels)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert vectors.nbytes > 50e6
    assert peak_bytes < 2 * vectors.nbytes


@pytest.mark.parametrize("rows", [0, 1])
def test_few_voxels(engine: Any, rows: int) -> None:
    vectors = engine.embed(np.zeros((rows, 3), np.int32), np.ones((rows, 2), np.float32))
    assert vectors.shape == (rows, 24)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), np.ones(rows), atol=1e-6)


def test_invalid_voxels_are_rejected(engine: Any) -> None:
    cells, _ = voxels(1)
    with pytest.raises(ValueError, match=r"takes 2 channels \(one, z_offset\), not 3"):
        engine.embed(cells, np.ones((len(cells), 3), np.float32))
    beyond = np.array([[0, 0, 0], [0, HIGHEST_CELL + 1, 0]], np.int32)
    with pytest.raises(InputError, match="voxels along y") as caught:
        engine.embed(beyond, np.ones((2, 2), np.float32))
    assert caught.value.code == "E_VOXEL_RANGE"


@pytest.mark.parametrize("on_native", [True, False], ids=["native", "torch"])
def test_a_closed_head_gives_no_vectors(tmp_path: Path, on_native: bool) -> None:
    native_twin(network())  # or a skip
    path = both_heads(tmp_path, network(), 24)
    load: Any = NativeEncoder.load if on_native else load_encoder
    with pytest.raises(ValueError, match="no vectors in the text space: open the weights with hea"):
        load(path, head="closed").embed(*voxels(1))
    assert load(path, head="text").embed(*voxels(1)).shape[1] == 24
