from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import normalize

from clip3d_cli.training.clip2scene.losses import (
    Cells,
    Words,
    fused_features,
    semantic_consistency,
    spatial_temporal_consistency,
)
from clip3d_cli.training.segment_ops import segment_logsumexp, segment_softmax

# Class 0 is (1, 0), class 1 is (0, 1).
AXES = Words(torch.eye(2), torch.tensor([0, 1]))


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def _case(pairs: int = 40, words: int = 6, classes: int = 3) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(0)
    vectors = normalize(torch.randn(pairs, 4, dtype=torch.float64), dim=1)
    told = Words(normalize(torch.randn(words, 4), dim=1), torch.arange(words) % classes)
    return vectors, torch.arange(pairs) % (words + 1) - 1, told  # type: ignore[return-value]


def test_semantic_by_hand() -> None:
    # p0 and p1 are of class 0, p2 of class 1; τ = 0.5 doubles every product.
    #   class 0: numerator   exp(2·0.6) + exp(2·1.0)          (t0·p0, t0·p1)
    #            denominator 2 · exp(2·0.8)                   (t0·p2, once for each of its 2 pairs)
    #   class 1: numerator   exp(2·0.6)                       (t1·p2)
    #            denominator exp(2·0.8) + exp(2·0.0)          (t1·p0, t1·p1)
    vectors = torch.tensor([[0.6, 0.8], [1.0, 0.0], [0.8, 0.6]])
    class_0 = (math.exp(1.2) + math.exp(2.0)) / (2 * math.exp(1.6))
    class_1 = math.exp(1.2) / (math.exp(1.6) + math.exp(0.0))
    wanted = -math.log(class_0) - math.log(class_1)
    found = semantic_consistency(vectors, torch.tensor([0, 0, 1]), AXES)
    assert found.item() == pytest.approx(wanted, rel=1e-5)


def test_semantic_counts_a_word_as_often_as_it_is_given() -> None:
    # Class 0 has two words: (1, 0), given twice, and (0.6, 0.8), given once. p3 is of class 1.
    #   class 0, denominator: 2 · exp(t0·p3) + 1 · exp(t1·p3) = 2 · exp(0) + exp(0.8), τ = 1.
    words = Words(torch.tensor([[1.0, 0], [0.6, 0.8], [0, 1]]), torch.tensor([7, 7, 3]))
    vectors = torch.tensor([[1.0, 0], [1.0, 0], [1.0, 0], [0, 1.0]])
    class_0 = (math.exp(1) + math.exp(1) + math.exp(0.6)) / (2 * math.exp(0) + math.exp(0.8))
    class_1 = math.exp(1) / (3 * math.exp(0))
    found = semantic_consistency(vectors, torch.tensor([0, 0, 1, 2]), words, temperature=1.0)
    assert found.item() == pytest.approx(-math.log(class_0) - math.log(class_1), rel=1e-5)


def _as_printed(vectors: torch.Tensor, word: torch.Tensor, words: Words, tau: float) -> float:
    """Eq. 1 by its double sum over pairs."""
    total = 0.0
    rows = [i for i in range(len(word)) if word[i] >= 0]
    kind = {i: int(words.class_of_word[word[i]]) for i in rows}
    for c in set(kind.values()):
        mine = [i for i in rows if kind[i] == c]
        near = sum(math.exp(float(words.vectors[word[i]] @ vectors[i].float()) / tau) for i in mine)
        far = sum(
            math.exp(float(words.vectors[word[i]] @ vectors[j].float()) / tau)
            for i in mine
            for j in rows
            if kind[j] != c
        )
        total -= math.log(near / far)
    return total


@pytest.mark.parametrize("temperature", [1.0, 0.5, 0.07])
def test_semantic_is_the_double_sum(temperature: float) -> None:
    vectors, word, words = _case()
    found = semantic_consistency(vectors, word, words, temperature=temperature)  # type: ignore[arg-type]
    wanted = _as_printed(vectors, word, words, temperature)  # type: ignore[arg-type]
    assert found.item() == pytest.approx(wanted, rel=1e-4)


def test_semantic_draws_points_to_their_words_and_others_away() -> None:
    vectors = torch.tensor([[0.6, 0.8], [0.6, 0.8]], requires_grad=True)
    semantic_consistency(vectors, torch.tensor([0, 1]), AXES).backward()
    assert vectors.grad is not None
    downhill = -vectors.grad
    # By hand: each point is the only one in one numerator and in one denominator: ±1/τ.
    torch.testing.assert_close(downhill, torch.tensor([[2.0, -2.0], [-2.0, 2.0]]))


def test_semantic_does_not_depend_on_the_order_of_pairs_words_or_classes() -> None:
    vectors, word, words = _case()
    wanted = semantic_consistency(vectors, word, words)  # type: ignore[arg-type]
    order = torch.randperm(len(vectors))
    again = semantic_consistency(vectors[order], word[order], words)  # type: ignore[arg-type]
    torch.testing.assert_close(again, wanted)
    place = torch.tensor([3, 5, 1, 0, 2, 4])
    vectors_, classes_ = torch.empty(6, 4), torch.empty(6, dtype=torch.int64)
    vectors_[place], classes_[place] = words.vectors, 90 - 7 * words.class_of_word  # type: ignore[attr-defined]
    renamed = torch.where(word >= 0, place[word], -1)
    again = semantic_consistency(vectors, renamed, Words(vectors_, classes_))
    torch.testing.assert_close(again, wanted)


@pytest.mark.parametrize("temperature", [0.01, 1e-4])
def test_semantic_stays_finite_at_low_temperatures(temperature: float) -> None:
    vectors, word, words = _case()
    vectors = vectors.float().requires_grad_()
    loss = semantic_consistency(vectors, word, words, temperature=temperature)  # type: ignore[arg-type]
    loss.backward()
    assert loss.isfinite()
    assert vectors.grad is not None
    assert vectors.grad.isfinite().all()


@pytest.mark.parametrize("word", [[], [-1, -1], [0, 0], [1, -1]])
def test_semantic_without_two_classes_is_zero_with_a_graph(word: list[int]) -> None:
    vectors = torch.ones(len(word), 2, requires_grad=True)
    loss = semantic_consistency(vectors, torch.tensor(word, dtype=torch.int64), AXES)
    loss.backward()
    assert loss.item() == 0
    assert vectors.grad is not None
    assert (vectors.grad == 0).all()


def test_semantic_of_half_precision_is_computed_in_float32() -> None:
    vectors, word, words = _case()
    half = vectors.bfloat16()
    found = semantic_consistency(half, word, words)  # type: ignore[arg-type]
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, semantic_consistency(half.float(), word, words))  # type: ignore[arg-type]


def test_fusion_by_hand() -> None:
    # One cell of text (1, 0): the pixel (0.6, 0.8) weighs exp(0.6), the point (1, 0) exp(1).
    points, pixels = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8]])
    cells = Cells(torch.tensor([0]), torch.tensor([0]), torch.tensor([[1.0, 0.0]]))
    a = math.exp(0.6) / (math.exp(0.6) + math.exp(1.0))
    wanted = [[a * 0.6 + (1 - a) * 1.0, a * 0.8]]
    torch.testing.assert_close(fused_features(points, pixels, cells), torch.tensor(wanted))
    sharp = fused_features(points, pixels, cells, temperature=0.01)
    torch.testing.assert_close(sharp, points)


def test_spatial_temporal_by_hand() -> None:
    # Cell 0 as above; cell 1, of text (0, 1), holds the points (0, 1) and (0.8, 0.6), weighing
    # exp(1) and exp(0.6). The last point is in no cell.
    points = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.8, 0.6], [0.6, 0.8]])
    cells = Cells(torch.tensor([0, 1, 1, -1]), torch.tensor([0, -1]), torch.eye(2))
    pixels = torch.tensor([[0.6, 0.8], [1.0, 0.0]])
    a = math.exp(0.6) / (math.exp(0.6) + math.exp(1.0))
    f_0 = (a * 0.6 + (1 - a), a * 0.8)
    f_1 = (a * 0.8, (1 - a) + a * 0.6)
    products = (f_0[0], f_1[1], 0.8 * f_1[0] + 0.6 * f_1[1])
    wanted = sum(1 - _sigmoid(product) for product in products) / 3
    found = spatial_temporal_consistency(points, pixels, cells)
    assert found.item() == pytest.approx(wanted, rel=1e-5)


def test_spatial_temporal_draws_points_together_and_reaches_the_pixels() -> None:
    points = torch.tensor([[1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    pixels = torch.tensor([[0.0, 1.0]], requires_grad=True)
    cells = Cells(torch.tensor([0, 0]), torch.tensor([0]), torch.tensor([[0.6, 0.8]]))
    spatial_temporal_consistency(points, pixels, cells).backward()
    assert points.grad is not None
    assert pixels.grad is not None
    assert points.grad[0, 1] < 0, "the first point goes towards the others"
    assert points.grad[1, 0] < 0, "the second goes towards the first"
    assert pixels.grad.abs().sum() > 0


def test_spatial_temporal_does_not_depend_on_order() -> None:
    torch.manual_seed(0)
    points, pixels = torch.randn(50, 4), torch.randn(30, 4)
    cells = Cells(torch.arange(50) % 8 - 1, torch.arange(30) % 5 - 1, torch.randn(7, 4))
    wanted = spatial_temporal_consistency(points, pixels, cells)
    p, x, g = torch.randperm(50), torch.randperm(30), torch.randperm(7)
    place = torch.empty(8, dtype=torch.int64)
    place[g], place[-1] = torch.arange(7), -1
    turned = Cells(place[cells.of_point[p]], place[cells.of_pixel[x]], cells.texts[g])
    found = spatial_temporal_consistency(points[p], pixels[x], turned)
    torch.testing.assert_close(found, wanted)


def test_spatial_temporal_of_long_features_is_finite() -> None:
    points = torch.tensor([[1000.0, 0.0], [-1000.0, 1.0]], requires_grad=True)
    cells = Cells(torch.tensor([0, 0]), torch.tensor([0]), torch.tensor([[1.0, 0.0]]))
    loss = spatial_temporal_consistency(points, torch.tensor([[0.0, 500.0]]), cells)
    loss.backward()
    assert loss.isfinite()
    assert points.grad is not None
    assert points.grad.isfinite().all()


@pytest.mark.parametrize("cell", [[], [-1, -1]])
def test_spatial_temporal_of_nothing_is_zero_with_a_graph(cell: list[int]) -> None:
    points = torch.ones(len(cell), 2, requires_grad=True)
    of_point = torch.tensor(cell, dtype=torch.int64)
    cells = Cells(of_point, of_point[:0], torch.zeros(0, 2))
    loss = spatial_temporal_consistency(points, torch.zeros(0, 2), cells)
    loss.backward()
    assert loss.item() == 0
    assert points.grad is not None


def test_losses_repeat_to_the_bit() -> None:
    torch.manual_seed(0)
    points = torch.randn(5000, 16)
    cells = Cells(torch.randint(0, 60, (5000,)), torch.randint(0, 60, (900,)), torch.randn(60, 16))
    pixels = torch.randn(900, 16)
    one, two = (spatial_temporal_consistency(points, pixels, cells) for _ in range(2))
    assert torch.equal(one, two)


def test_segments_are_those_of_each_row_alone() -> None:
    torch.manual_seed(0)
    values, segment = 30 * torch.randn(200), torch.randint(0, 9, (200,))
    sums, shares = segment_logsumexp(values, segment, 10), segment_softmax(values, segment, 10)
    for number in range(9):
        mine = values[segment == number]
        torch.testing.assert_close(sums[number], mine.logsumexp(0))
        torch.testing.assert_close(shares[segment == number], mine.softmax(0))
    assert sums[9] == -math.inf


def test_spatial_temporal_gradients_are_those_of_the_attention_too() -> None:
    # A text that is far from even, so that attention moves with the features.
    torch.manual_seed(0)
    cells = Cells(torch.tensor([0, 0, 0]), torch.tensor([0, 0]), torch.tensor([[3.0, -2.0]]))
    points, pixels = torch.randn(3, 2), torch.randn(2, 2)
    for features in (points, pixels):
        features.requires_grad_()
        spatial_temporal_consistency(points, pixels, cells).backward()
        assert features.grad is not None
        step = torch.zeros_like(features)
        step[1, 0] = 1e-2
        with torch.no_grad():
            sides = [features + step, features - step]
            up, down = (
                spatial_temporal_consistency(points, side, cells)
                if features is pixels
                else spatial_temporal_consistency(side, pixels, cells)
                for side in sides
            )
        assert features.grad[1, 0].item() == pytest.approx((up - down).item() / 2e-2, rel=1e-2)
        features.requires_grad_(False)
