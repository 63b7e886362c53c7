"""Vectors of pixels, interpolated between patches, and the words that are most similar to them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.embeddings import ClassEmbeddings
from clip3d_cli.core.validation import validate_array
from clip3d_cli.text.encoder import normalize_rows

Features = npt.NDArray[np.float16] | npt.NDArray[np.float32]
Vectors = npt.NDArray[np.float32]

# Pixels at a time: four patches with 512 float32 numbers for each of them take 34 MB.
_CHUNK = 4096


def sample_features(
    features: Features, uv: npt.NDArray[np.float64], size: tuple[int, int]
) -> Vectors:
    """Return the unit vectors at P pixels of an image.

    They are interpolated bilinearly between the centres of patches; pixels beyond the outermost
    centres get the vectors of these. The word that is most similar to such a vector is the word
    with the largest bilinearly interpolated similarity, which is what CLIP2Scene takes (it enlarges
    the similarities to the size of the image).

    Args:
        features: (h, w, D) float16 or float32 vectors of a grid of patches that covers the image
            evenly.
        uv: (P, 2) float64 pixels to the right and down; (0, 0) is the centre of the upper left
            pixel.
        size: width and height in pixels of the image that ``uv`` refers to.

    Returns:
        (P, D) float32.

    Raises:
        TypeError: an array has another dtype.
        ValueError: an array has another shape, or ``uv`` is not finite.
    """
    kind = np.float16 if features.dtype == np.float16 else np.float32
    validate_array("features", features, kind, (None, None, None))
    validate_array("uv", uv, np.float64, (None, 2))
    if not np.isfinite(uv).all():
        raise ValueError("uv must be finite")
    sides = np.array(features.shape[1::-1])  # (w, h), in the order of uv
    # (P, 2) columns and rows of patches, where whole numbers are centres of patches.
    at = np.clip((uv + 0.5) * (sides / np.array(size)) - 0.5, 0, sides - 1)
    low = np.minimum(at.astype(np.int64), np.maximum(sides - 2, 0))
    high = np.minimum(low + 1, sides - 1)
    share = (at - low).astype(np.float32)  # weight of the patches at `high`
    # Converting the patches here is faster than converting the four patches of every pixel.
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
    """Return the most similar word of each of P vectors, and the similarity.

    The class of a word is ``words.class_of_vector[word_index]``.

    Args:
        vectors: (P, D) float32 in the space of the words.
        words: W words.

    Returns:
        ``word_index`` (P,) int32, the first of equally similar words; ``similarity`` (P,) float32,
        the cosine.

    Raises:
        TypeError: ``vectors`` are not float32.
        ValueError: ``vectors`` do not have D dimensions.
    """
    validate_array("vectors", vectors, np.float32, (None, words.space.dim))
    word_index = np.empty(len(vectors), dtype=np.int32)
    similarity = np.empty(len(vectors), dtype=np.float32)
    for rows in _chunks(len(vectors)):
        similarities = vectors[rows] @ words.vectors.T  # (rows, W)
        word_index[rows] = similarities.argmax(axis=1)
        similarity[rows] = similarities.max(axis=1)
    return word_index, similarity


def _chunks(count: int) -> Iterator[slice]:
    return (slice(start, start + _CHUNK) for start in range(0, count, _CHUNK))
