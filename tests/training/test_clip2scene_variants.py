from __future__ import annotations

import math
from typing import get_args

import pytest
import torch

from clip3d_cli.training.clip2scene.loss_variants import (
    Pairs,
    Semantic,
    SpatialTemporal,
    semantic_loss,
    spatial_temporal_loss,
)
from clip3d_cli.training.clip2scene.losses import Cells, Words, spatial_temporal_consistency
from clip3d_cli.training.clip2scene.targets import (
    cell_texts,
    cell_words,
    choose_words,
    nearest_words,
)

AXES = Words(torch.eye(2), torch.tensor([0, 1]))


def _pairs(raw: list[list[float]], word: list[int], pixels: list[list[float]]) -> Pairs:
    return Pairs(torch.tensor(raw), torch.tensor(word), torch.tensor(pixels))


def _cross_entropy(right: float, wrong: float) -> float:
    return -math.log(math.exp(right) / (math.exp(right) + math.exp(wrong)))


def test_code_takes_features_as_they_are() -> None:
    # (3, 4) of word 0: products 3 and 4, neither shortened to unit length nor divided by τ.
    pairs = _pairs([[3.0, 4.0], [9.0, 9.0]], [0, -1], [[1.0, 0], [1.0, 0]])
    found = semantic_loss("code", pairs, AXES, temperature=0.01)
    assert found.item() == pytest.approx(_cross_entropy(3.0, 4.0), rel=1e-5)


def test_cross_entropy_by_hand() -> None:
    # The same point at unit length is (0.6, 0.8); τ = 0.5 doubles.
    pairs = _pairs([[3.0, 4.0], [5.0, 0.0]], [0, 1], [[1.0, 0], [1.0, 0]])
    wanted = (_cross_entropy(1.2, 1.6) + _cross_entropy(0.0, 2.0)) / 2
    found = semantic_loss("cross_entropy", pairs, AXES, temperature=0.5)
    assert found.item() == pytest.approx(wanted, rel=1e-5)


def test_words_of_one_class_are_right_together() -> None:
    # Words 0 and 1 are of one class: −log((e^0.6 + e^0.8) / (e^0.6 + e^0.8 + e^−0.6)).
    words = Words(torch.tensor([[1.0, 0], [0, 1], [-1, 0]]), torch.tensor([4, 4, 2]))
    pairs = _pairs([[0.6, 0.8]], [0], [[1.0, 0]])
    right = math.exp(0.6) + math.exp(0.8)
    wanted = -math.log(right / (right + math.exp(-0.6)))
    found = semantic_loss("cross_entropy", pairs, words, temperature=1.0)
    assert found.item() == pytest.approx(wanted, rel=1e-5)


def test_divergence_by_hand() -> None:
    # τ = 1. The pixel (1, 0) gives q ∝ (e, 1), the point (0.6, 0.8) gives p ∝ (e^0.6, e^0.8).
    pairs = _pairs([[0.6, 0.8]], [-1], [[1.0, 0]])
    q = math.e / (math.e + 1)
    p = math.exp(0.6) / (math.exp(0.6) + math.exp(0.8))
    wanted = q * math.log(q / p) + (1 - q) * math.log((1 - q) / (1 - p))
    found = semantic_loss("kl", pairs, AXES, temperature=1.0)
    assert found.item() == pytest.approx(wanted, rel=1e-5)


def test_cosine_by_hand() -> None:
    pairs = _pairs([[3.0, 4.0], [2.0, 0.0]], [-1, 0], [[1.0, 0], [1.0, 0]])
    found = semantic_loss("cosine", pairs, AXES)
    assert found.item() == pytest.approx((0.4 + 0.0) / 2, abs=1e-6)


@pytest.mark.parametrize("name", get_args(Semantic))
def test_every_semantic_loss_improves_by_going_to_the_word(name: Semantic) -> None:
    raw = torch.tensor([[1.0, 1.0], [1.0, 1.0]], requires_grad=True)
    pairs = Pairs(raw, torch.tensor([0, 1]), torch.eye(2))
    semantic_loss(name, pairs, AXES).backward()
    assert raw.grad is not None
    downhill = -raw.grad
    assert downhill[0, 0] > downhill[0, 1]
    assert downhill[1, 1] > downhill[1, 0]


@pytest.mark.parametrize("name", get_args(Semantic))
def test_every_semantic_loss_of_nothing_is_zero_with_a_graph(name: Semantic) -> None:
    raw = torch.zeros(0, 2, requires_grad=True)
    pairs = Pairs(raw, torch.zeros(0, dtype=torch.int64), torch.zeros(0, 2))
    loss = semantic_loss(name, pairs, AXES)
    loss.backward()
    assert loss.item() == 0


@pytest.mark.parametrize("name", get_args(Semantic))
def test_every_semantic_loss_survives_long_features_and_low_temperatures(name: Semantic) -> None:
    raw = torch.tensor([[1e4, -1e4], [0.0, 0.0]], requires_grad=True)
    pairs = Pairs(raw, torch.tensor([1, 0]), torch.eye(2))
    loss = semantic_loss(name, pairs, AXES, temperature=0.01)
    loss.backward()
    assert loss.isfinite()
    assert raw.grad is not None
    assert raw.grad.isfinite().all()


@pytest.mark.parametrize("name", ["kl", "cosine"])
def test_losses_of_pixels_refuse_to_go_without(name: Semantic) -> None:
    with pytest.raises(ValueError, match="needs the pixels"):
        semantic_loss(name, Pairs(torch.eye(2), torch.tensor([0, 1])), AXES)


def test_unknown_losses_are_refused() -> None:
    with pytest.raises(ValueError, match="'nce'"):
        semantic_loss("nce", Pairs(torch.eye(2), torch.tensor([0, 1])), AXES)  # type: ignore[arg-type]
    cells = Cells(torch.tensor([0]), torch.tensor([0]), torch.eye(2))
    with pytest.raises(ValueError, match="'nce'"):
        spatial_temporal_loss("nce", torch.eye(2)[:1], torch.eye(2)[:1], cells)  # type: ignore[arg-type]


def _grid(points: int) -> tuple[torch.Tensor, torch.Tensor, Cells]:
    torch.manual_seed(0)
    cells = Cells(torch.arange(points) % 4 - 1, torch.arange(9) % 3, torch.randn(3, 4))
    return torch.randn(points, 4), torch.randn(9, 4), cells


@pytest.mark.parametrize("name", get_args(SpatialTemporal))
def test_every_spatial_temporal_loss_has_a_graph(name: SpatialTemporal) -> None:
    points, pixels, cells = _grid(20)
    points.requires_grad_()
    spatial_temporal_loss(name, points, pixels, cells).backward()
    assert points.grad is not None
    assert bool(points.grad.any()) == (name != "none")


def test_code_fuses_eight_points_a_cell_and_no_pixels() -> None:
    points, pixels, cells = _grid(80)
    # 20 points in each of three cells and none in a fourth: the first 8 of each remain.
    first = torch.cat([torch.nonzero(cells.of_point == g).flatten()[:8] for g in range(3)])
    alone = Cells(cells.of_point[first], cells.of_pixel[:0], cells.texts)
    wanted = spatial_temporal_consistency(points[first], pixels[:0], alone)
    torch.testing.assert_close(spatial_temporal_loss("code", points, pixels, cells), wanted)


def test_code_divides_by_eight_a_cell() -> None:
    # One point in the one cell: its fused feature is itself, (1 − sigmoid(1)) / 8.
    cells = Cells(torch.tensor([1]), torch.tensor([1]), torch.eye(2))
    points = torch.tensor([[0.6, 0.8]])
    found = spatial_temporal_loss("code", points, torch.eye(2)[:1], cells)
    assert found.item() == pytest.approx((1 - 1 / (1 + math.exp(-1))) / 8, rel=1e-5)


def test_own_words_are_the_nearest() -> None:
    vectors = torch.tensor([[0.6, 0.8], [0.8, -0.6], [-0.1, -0.2]], requires_grad=True)
    assert nearest_words(vectors, AXES).tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("mode", "started", "coin", "unseen", "wanted"),
    [
        ("switch", False, 0.0, True, [5, -1]),
        ("switch", True, 0.49, False, [7, -1]),
        ("switch", True, 0.5, False, [5, -1]),
        ("switch", True, 0.49, True, [7, 8]),
        ("switch", True, 0.5, True, [5, 8]),
        ("own", False, 0.9, True, [5, -1]),
        ("own", True, 0.9, False, [7, -1]),
        ("own", True, 0.9, True, [7, 8]),
        ("image", True, 0.0, True, [5, -1]),
    ],
)
def test_words_switch(
    mode: str, started: bool, coin: float, unseen: bool, wanted: list[int]
) -> None:
    image, own = torch.tensor([5, -1]), torch.tensor([7, 8])
    found = choose_words(image, own, mode=mode, started=started, coin=coin, unseen=unseen)  # type: ignore[arg-type]
    assert found.tolist() == wanted


def test_unknown_ways_are_refused() -> None:
    with pytest.raises(ValueError, match="'both'"):
        choose_words(torch.tensor([1]), torch.tensor([1]), mode="both", started=True, coin=0.1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'last'"):
        cell_words(torch.tensor([1]), torch.tensor([0]), 1, how="last")  # type: ignore[arg-type]


def test_cells_take_the_commonest_word_or_the_first() -> None:
    cell = torch.tensor([2, 2, 2, 0, 0, 0, 0, 1, -1])
    word = torch.tensor([4, 1, 1, 3, 2, 3, 2, -1, 9])
    assert cell_words(word, cell, 4).tolist() == [2, -1, 1, -1]
    assert cell_words(word, cell, 4, how="first").tolist() == [3, -1, 4, -1]
    order = torch.randperm(9)
    assert cell_words(word[order], cell[order], 4).tolist() == [2, -1, 1, -1]


def test_cells_without_pixels_have_no_word_and_no_text() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    assert cell_words(none, none, 2).tolist() == [-1, -1]
    texts = cell_texts(torch.tensor([1, -1]), AXES)
    torch.testing.assert_close(texts, torch.tensor([[0.0, 1.0], [0.0, 0.0]]))
