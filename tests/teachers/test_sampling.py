from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from clip3d_cli.core.embeddings import ClassEmbeddings, FeatureSpace
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.teachers import sampling
from clip3d_cli.teachers.sampling import pseudo_labels, sample_features

DIM = 16


def unit(vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def random_features(h: int, w: int, seed: int = 0) -> npt.NDArray[np.float32]:
    return unit(np.random.default_rng(seed).normal(size=(h, w, DIM)))


def some_words(count: int = 7) -> ClassEmbeddings:
    vectors = unit(np.random.default_rng(9).normal(size=(count, DIM)))
    names = [f"class {number}" for number in range(count - 1)]
    classes = np.array([*range(count - 1), 0], dtype=np.int32)
    return ClassEmbeddings(vectors, classes, Vocabulary.from_names(names), FeatureSpace("a", DIM))


def test_patch_centres_have_their_own_vectors() -> None:
    """A 60×40 image in 3×2 patches of 20: the middle of patch (1, 2) is pixel (49.5, 29.5)."""
    features = random_features(2, 3)
    at = [(20 * column + 9.5, 20 * row + 9.5) for row in range(2) for column in range(3)]
    vectors = sample_features(features, np.array(at), (60, 40))
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, features.reshape(6, DIM), atol=1e-6)


def test_between_centres_by_hand() -> None:
    features = np.zeros((2, 2, 2), dtype=np.float32)
    features[0, :, 0] = features[1, :, 1] = 1
    # A quarter of the way down from the upper centres (row 4.5 of 20) to the lower ones (14.5).
    vectors = sample_features(features, np.array([[3.0, 7.0]]), (20, 20))
    np.testing.assert_allclose(vectors, [np.array([0.75, 0.25]) / np.hypot(0.75, 0.25)], rtol=1e-6)


def test_pixels_beyond_the_outermost_centres_get_their_vectors() -> None:
    features = random_features(3, 4)
    corners = np.array([[-0.5, -0.5], [79.5, -0.5], [-0.5, 59.5], [79.5, 59.5], [500.0, -500.0]])
    vectors = sample_features(features, corners, (80, 60))
    expected = features[[0, 0, 2, 2, 0], [0, 3, 0, 3, 3]]
    np.testing.assert_allclose(vectors, expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (4, 1)])
def test_grids_of_one_row_or_column(shape: tuple[int, int]) -> None:
    features = random_features(*shape)
    uv = np.random.default_rng(0).uniform(-0.5, 39.5, (50, 2))
    vectors = sample_features(features, uv, (40, 40))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    if shape == (1, 1):
        np.testing.assert_allclose(vectors, np.broadcast_to(features[0], (50, DIM)), atol=1e-6)


def test_nearest_words_are_those_of_interpolated_similarities() -> None:
    """CLIP2Scene enlarges similarities and takes the largest: the same word at every pixel."""
    import torch

    words = some_words()
    features = random_features(3, 5)
    of_patches = torch.from_numpy(features @ words.vectors.T).permute(2, 0, 1)[None]
    large = torch.nn.functional.interpolate(of_patches, size=(48, 80), mode="bilinear")[0]
    expected = large.argmax(dim=0).numpy()
    rows, columns = np.mgrid[:48, :80]
    uv = np.stack([columns.ravel(), rows.ravel()], axis=1).astype(np.float64)
    vectors = sample_features(features, uv, (80, 48))
    word_index, similarity = pseudo_labels(vectors, words)
    assert word_index.dtype == np.int32 and similarity.dtype == np.float32
    assert len(np.unique(expected)) > 4
    agreed = word_index.reshape(48, 80) == expected
    ties = large.sort(dim=0).values
    assert (agreed | (ties[-1] - ties[-2] < 1e-5).numpy()).all()
    assert agreed.mean() > 0.99
    # The cosine is that of a unit vector; interpolated vectors are shorter.
    np.testing.assert_allclose(
        similarity, (vectors * words.vectors[word_index]).sum(axis=1), atol=1e-6
    )
    assert (similarity.reshape(48, 80) >= large.max(dim=0).values.numpy() - 1e-6).all()


def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    features, words = random_features(6, 7).astype(np.float16), some_words()
    uv = np.random.default_rng(1).uniform(0, 99, (1000, 2))
    vectors = sample_features(features, uv, (100, 100))
    word_index, similarity = pseudo_labels(vectors, words)
    monkeypatch.setattr(sampling, "_CHUNK", 7)
    np.testing.assert_array_equal(sample_features(features, uv, (100, 100)), vectors)
    again, close = pseudo_labels(vectors, words)
    np.testing.assert_array_equal(again, word_index)
    np.testing.assert_allclose(close, similarity, atol=1e-6)
    whole = sample_features(features.astype(np.float32), uv, (100, 100))
    np.testing.assert_array_equal(vectors, whole)


def test_no_pixels() -> None:
    vectors = sample_features(random_features(2, 2), np.empty((0, 2)), (10, 10))
    assert vectors.shape == (0, DIM)
    assert [part.shape for part in pseudo_labels(vectors, some_words())] == [(0,), (0,)]


@pytest.mark.parametrize(
    ("features", "uv", "fault"),
    [
        (random_features(2, 2).astype(np.float64), np.zeros((1, 2)), TypeError),
        (random_features(2, 2)[0], np.zeros((1, 2)), ValueError),
        (random_features(2, 2)[0].astype(np.float16), np.zeros((1, 2)), ValueError),
        (random_features(2, 2), np.zeros((1, 2), dtype=np.float32), TypeError),
        (random_features(2, 2), np.zeros((1, 3)), ValueError),
        (random_features(2, 2), np.array([[0, np.nan]]), ValueError),
    ],
)
def test_wrong_arrays_are_rejected(
    features: npt.NDArray[np.float32], uv: npt.NDArray[np.float64], fault: type[Exception]
) -> None:
    with pytest.raises(fault):
        sample_features(features, uv, (10, 10))


def test_vectors_of_another_width() -> None:
    with pytest.raises(ValueError, match="vectors"):
        pseudo_labels(np.zeros((3, DIM + 1), dtype=np.float32), some_words())
