"""The native engine alone, against the same network in PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from native_twin import native_twin

from clip3d_cli.core.embeddings import FeatureSpace
from clip3d_cli.encoders.minkunet_shape import MinkUNetShape
from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.encoders.scoring import ClassQuery
from clip3d_cli.encoders.spec import EncoderSpec
from clip3d_cli.encoders.weights_file import read_weights
from clip3d_cli.encoders.weights_torch import save_encoder
from clip3d_cli.errors import InputError
from clip3d_cli.labelling.open_encoder import open_encoder, why_not_native
from clip3d_cli.native.library import engine_status
from clip3d_cli.sparse.key_layout import HIGHEST_CELL, LOWEST_CELL
from clip3d_cli.sparse.numpy_engine import Epilogue, NumpyEngine
from clip3d_cli.sparse.tensor import SparseTensor
from clip3d_cli.weights_files import shipped_weights

DIM = 24
NETWORKS: dict[str, dict[str, Any]] = {
    "14": {"layers": 14, "width": 0.25},
    "18, stem 5, no bias": {"layers": 18, "width": 0.25, "stem_kernel": 5, "head_bias": False},
    "34": {"layers": 34, "width": 0.25},
    "own channels": {
        "channels": [8, 16, 24, 24, 32, 24, 16, 16, 8],
        "blocks": [1, 2, 1, 2, 1, 1, 2, 1],
    },
}


def network(config: dict[str, Any], inputs: int = 2, dim: int = DIM) -> PointEncoder:
    torch.manual_seed(5)
    names = tuple(f"channel {number}" for number in range(inputs))
    space = FeatureSpace("tests/native", dim)
    made = PointEncoder(EncoderSpec("minkunet", config, names, (0.1,), space, "mini", 20.0))
    # Moves the running statistics away from their start.
    made(tensor_of(*cloud(0, channels=inputs)))
    return made.eval()


def cloud(seed: int, rows: int = 3000, channels: int = 2) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    cells = np.unique(draw.integers(-20, 20, (rows, 3), dtype=np.int32), axis=0)
    return cells, draw.normal(size=(len(cells), channels)).astype(np.float32)


def tensor_of(cells: np.ndarray, channels: np.ndarray) -> SparseTensor:
    batched = np.pad(cells, ((0, 0), (1, 0)))
    return SparseTensor(torch.from_numpy(batched), torch.from_numpy(channels))


def unit(rows: int, dim: int = DIM) -> np.ndarray:
    words = np.random.default_rng(9).normal(size=(rows, dim))
    return (words / np.linalg.norm(words, axis=1, keepdims=True)).astype(np.float32)


def agree(encoder: PointEncoder, cells: np.ndarray, channels: np.ndarray) -> None:
    # One word along each axis: the similarities are the vectors themselves.
    words = np.eye(encoder.space.dim, dtype=np.float32)
    found = np.concatenate([*native_twin(encoder).similarities(cells, channels, words)])
    with torch.no_grad():
        wanted = encoder(tensor_of(cells, channels)).numpy()
    assert found.dtype == np.float32
    assert np.abs(found - wanted).max() <= 1e-4 * np.abs(wanted).max()


@pytest.mark.parametrize("config", NETWORKS.values(), ids=NETWORKS)
def test_vectors_are_those_of_pytorch(config: dict[str, Any]) -> None:
    agree(network(config), *cloud(1))


def test_channels_that_never_varied_are_normalized_as_in_pytorch() -> None:
    """Their variance is 0: only epsilon is left to divide by."""
    encoder = network(NETWORKS["14"])
    for name, buffer in encoder.network.named_buffers():
        if name.endswith("norm.running_var"):
            buffer[::3] = 0
    agree(encoder, *cloud(1))


@pytest.mark.parametrize(("inputs", "dim"), [(1, 3), (7, 513)])
def test_odd_numbers_of_channels(inputs: int, dim: int) -> None:
    agree(network(NETWORKS["14"], inputs, dim), *cloud(1, 400, inputs))


@pytest.mark.parametrize("config", NETWORKS.values(), ids=NETWORKS)
def test_the_shape_names_every_tensor(config: dict[str, Any]) -> None:
    state = network(config).network.state_dict()
    shape = MinkUNetShape(2, DIM, **config)
    assert {name: tuple(value.shape) for name, value in state.items()} == shape.tensor_shapes()


def test_answers_are_those_of_pytorch() -> None:
    encoder = network(NETWORKS["14"])
    cells, channels = cloud(2)
    for first, width in ((range(9), 1), ((0, 3, 4, 7), 3)):
        query = ClassQuery(unit(9), np.array(first), width)
        found = native_twin(encoder).classify(cells, channels, query)
        wanted = encoder.classify(cells, channels, query)
        np.testing.assert_array_equal(found.ranking, wanted.ranking)
        np.testing.assert_allclose(found.score, wanted.score, rtol=1e-4)
        assert len(np.unique(found.ranking[:, 0])) > 1


def test_threads_and_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = network(NETWORKS["18, stem 5, no bias"])
    cells, channels = cloud(3, 20_000)
    one, three = (
        np.concatenate([*native_twin(encoder, threads=n).similarities(cells, channels, unit(5))])
        for n in (1, 3)
    )
    np.testing.assert_array_equal(one, three)
    monkeypatch.setattr("clip3d_cli.encoders.native_encoder._BLOCK_NUMBERS", 1000)
    chunks = [*native_twin(encoder).similarities(cells, channels, unit(5))]
    assert len(chunks) > 10
    np.testing.assert_array_equal(np.concatenate(chunks), one)


def test_a_call_leaves_the_encoder_and_its_arguments_as_they_were() -> None:
    native = native_twin(network(NETWORKS["14"]))
    cells, channels = cloud(4)
    before = channels.copy()
    first = np.concatenate([*native.similarities(cells, channels, unit(5))])
    np.concatenate([*native.similarities(*cloud(5, 100), unit(5))])
    again = np.concatenate([*native.similarities(cells, channels, unit(5))])
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(channels, before)


@pytest.mark.parametrize("rows", [0, 1])
def test_hardly_any_voxels(rows: int) -> None:
    native = native_twin(network(NETWORKS["14"]))
    cells, channels = np.zeros((rows, 3), np.int32), np.ones((rows, 2), np.float32)
    answer = native.classify(cells, channels, ClassQuery(unit(4), np.arange(4), 2))
    assert answer.ranking.shape == answer.score.shape == (rows, 2)
    assert np.isfinite(answer.score).all()


def test_cells_at_the_edge_of_the_lattice() -> None:
    encoder = network(NETWORKS["14"])
    ends = (LOWEST_CELL, HIGHEST_CELL)
    cells = np.array([(x, y, z) for x in ends for y in ends for z in ends], np.int32)
    agree(encoder, cells, np.ones((8, 2), np.float32))
    for beyond in (LOWEST_CELL - 1, HIGHEST_CELL + 1):
        cells = np.sort(np.array([[0, 0, 0], [0, beyond, 0]], np.int32), axis=0)
        with pytest.raises(InputError, match="voxels along y: range over") as caught:
            [*native_twin(encoder).similarities(cells, np.ones((2, 2), np.float32), unit(2))]
        assert caught.value.code == "E_VOXEL_RANGE"


@pytest.mark.parametrize("rows", [[0, 0], [1, 0]], ids=["twice", "not sorted"])
def test_cells_out_of_order_are_refused(rows: list[int]) -> None:
    native = native_twin(network(NETWORKS["14"]))
    cells, channels = cloud(1)
    with pytest.raises(ValueError, match="must be sorted"):
        [*native.similarities(cells[rows], channels[rows], unit(2))]


def test_other_channels_than_the_spec_names_are_refused() -> None:
    native = native_twin(network(NETWORKS["14"]))
    cells, channels = cloud(1, channels=3)
    with pytest.raises(ValueError, match=r"takes 2 channels \(channel 0, channel 1\), not 3"):
        [*native.similarities(cells, channels, unit(2))]


def test_the_shipped_network_labels_alike_on_both() -> None:
    path = shipped_weights("points-default")
    if engine_status().fault is not None:
        pytest.skip(f"native: {engine_status().fault}")
    native = open_encoder(path, backend="native")
    torch_twin = open_encoder(path, backend="torch")
    assert (native.backend, torch_twin.backend) == ("native", "torch")
    cells, _ = cloud(6, 6000)
    channels = np.random.default_rng(6).uniform(-1, 1, (len(cells), 6)).astype(np.float32)
    query = ClassQuery(unit(12, 512), np.arange(12), 2)
    found, wanted = (each.encoder.classify(cells, channels, query) for each in (native, torch_twin))
    is_tie = wanted.score[:, 0] - wanted.score[:, 1] < 1e-4
    assert is_tie.mean() < 0.01
    np.testing.assert_array_equal(found.ranking[~is_tie, 0], wanted.ranking[~is_tie, 0])
    np.testing.assert_allclose(found.score, wanted.score, rtol=1e-3)


def test_stored_numbers_of_every_type_are_read(tmp_path: Path) -> None:
    encoder = network(NETWORKS["14"])
    for dtype, error in ((torch.float32, 0), (torch.float16, 1e-3), (torch.bfloat16, 1e-2)):
        save_encoder(encoder, tmp_path / "e.safetensors", dtype)
        _, state = read_weights(tmp_path / "e.safetensors")
        for name, value in encoder.network.state_dict().items():
            np.testing.assert_allclose(state[name], value.numpy(), rtol=error, atol=error / 10)


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        (("cuda:0", "auto", "minkunet"), "runs on CPUs, not on cuda:0"),
        (("cpu", "torch", "minkunet"), "--backend torch was requested"),
        (("cpu", "auto", "spvcnn"), "does not support spvcnn"),
    ],
)
def test_why_pytorch_computes(choice: tuple[str, str, str], reason: str) -> None:
    assert reason in str(why_not_native(*choice))


def test_a_residual_is_not_lost_under_the_sums_of_two_parts() -> None:
    if engine_status().fault is not None:
        pytest.skip(f"native: {engine_status().fault}")
    engine = NumpyEngine()
    feats, residual = np.ones((5, 3), np.float32), np.ones((5, 2), np.float32)
    part = feats, engine.pack(np.ones((1, 3, 2), np.float32))
    assert (engine.convolve([part], None, Epilogue(residual=residual)) == 4).all()
    with pytest.raises(ValueError, match="sums of one part"):
        engine.convolve([part, part], None, Epilogue(residual=residual))
