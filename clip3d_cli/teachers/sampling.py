"""From features of patches to features of pixels, and to the words that lie nearest."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.embeddings import ClassEmbeddings
from clip3d_cli.core.validation import validate_array
from clip3d_cli.text.encoder import normalize_rows

Features = npt.NDArray[np.float16] | npt.NDArray[np.float32]
Vectors = npt.NDArray[np.float32]

# Rows at a time: four corners of 512 float32 numbers for each are 34 MB.
_CHUNK = 4096


def sample_features(
    features: Features, uv: npt.NDArray[np.float64], size: tuple[int, int]
) -> Vectors:
    """(P, D) float32: the unit vector at each of P places of an image.

    Bilinear between the centres of patches; beyond the outermost centres, theirs. The word that
    is nearest to such a vector is the word of the largest bilinearly interpolated similarity,
    which is what CLIP2Scene takes (it enlarges the similarities to the image's size).

    Args:
        features: (h, w, D) of a grid of patches that covers the image evenly.
        uv: (P, 2) px to the right and down; (0, 0) is the middle of the upper left pixel.
        size: width and height of the image that ``uv`` speaks of, px.

    Raises:
        TypeError: ``features`` are neither float16 nor float32, or ``uv`` is not float64.
        ValueError: another shape, or a place that is not finite.
    """
    kind = np.float16 if features.dtype == np.float16 else np.float32
    validate_array("features", features, kind, (None, None, None))
    validate_array("uv", uv, np.float64, (None, 2))
    if not np.isfinite(uv).all():
        raise ValueError("uv must be finite")
    sides = np.array(features.shape[1::-1])
    at = np.clip((uv + 0.5) * (sides / np.array(size)) - 0.5, 0, sides - 1)
    low = np.minimum(at.astype(np.int64), np.maximum(sides - 2, 0))
    high = np.minimum(low + 1, sides - 1)
    share = (at - low).astype(np.float32)
    # Once for every patch: once for every corner takes twice as long in all.
    features = features.astype(np.float32)
    vectors = np.empty((len(uv), features.shape[2]), dtype=np.float32)
    for rows in _chunks(len(uv)):
        (left, up), (right, down) = low[rows].T, high[rows].T
        x, y = share[rows, :1], share[rows, 1:]
        upper = features[up, left] * (1 - x) + features[up, right] * x
        lower = features[down, left] * (1 - x) + features[down, right] * x
        vectors[rows] = normalize_rows(upper * (1 - y) + lower * y)
    return vectors


def pseudo_labels(
    vectors: Vectors, words: ClassEmbeddings
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """For each of P vectors the word that lies nearest, and their cosine.

    The class of a word is ``words.class_of_vector[word_index]``.

    Args:
        vectors: (P, D) float32 of the words' space.
        words: W words.

    Returns:
        ``word_index`` (P,) int32, the first of equally near ones; ``similarity`` (P,) float32.

    Raises:
        TypeError: ``vectors`` are not float32.
        ValueError: they are not of the words' width.
    """
    validate_array("vectors", vectors, np.float32, (None, words.space.dim))
    word_index = np.empty(len(vectors), dtype=np.int32)
    similarity = np.empty(len(vectors), dtype=np.float32)
    for rows in _chunks(len(vectors)):
        of_words = vectors[rows] @ words.vectors.T
        word_index[rows] = of_words.argmax(axis=1)
        similarity[rows] = of_words.max(axis=1)
    return word_index, similarity


def _chunks(count: int) -> Iterator[slice]:
    return (slice(start, start + _CHUNK) for start in range(0, count, _CHUNK))
