"""What labelling asks of a point encoder, and how nearness becomes classes and scores."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.vocabulary import ClassEmbeddings
from clip3d_cli.encoders.spec import EncoderSpec

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """The words that voxels are compared with, or the rows of a closed head that are asked for.

    Attributes:
        words: (W, D) float32, unit length, those of a class side by side; for a closed head of
            D classes one-hot rows, one for each class asked for.
        first_word: (K,) int64, where the words of each class begin.
        width: R, how many classes to rank, 1…K.
    """

    words: Floats
    first_word: npt.NDArray[np.int64]
    width: int

    @classmethod
    def of(cls, classes: ClassEmbeddings, width: int) -> Question:
        """The question which of the classes are nearest."""
        order = np.argsort(classes.class_of_vector, kind="stable")
        sorted_classes = classes.class_of_vector[order]
        first = np.searchsorted(sorted_classes, np.arange(len(classes.vocabulary)))
        return cls(classes.vectors[order], first.astype(np.int64), width)

    @property
    def columns(self) -> npt.NDArray[np.int64]:
        """(K,) which of a closed head's classes each class is."""
        columns: npt.NDArray[np.int64] = self.words.argmax(axis=1)
        return columns


@dataclass(frozen=True, slots=True, eq=False)
class VoxelAnswers:
    """The classes of M voxels.

    Attributes:
        ranking: (M, R) int32, the nearest classes, best first.
        score: (M, R) float32, their scores.
    """

    ranking: npt.NDArray[np.int32]
    score: Floats

    @classmethod
    def joined(cls, parts: Iterable[VoxelAnswers], width: int) -> VoxelAnswers:
        """The answers of parts one after another, each of that width."""
        rankings, scores = [np.empty((0, width), np.int32)], [np.empty((0, width), np.float32)]
        for part in parts:
            rankings.append(part.ranking)
            scores.append(part.score)
        return cls(np.concatenate(rankings), np.concatenate(scores))


class VoxelEncoder(Protocol):
    """Compares voxels with words in a text space, or judges them by a closed head.

    Attributes:
        spec: what it is.
        stride: the edge of the widest cells, in voxels: answers follow shifts by multiples of it.
        reach: how many voxels away the input can still change an answer.
        max_voxels: how many voxels it takes at once in about two gigabytes.
    """

    @property
    def spec(self) -> EncoderSpec: ...  # noqa: D102

    @property
    def stride(self) -> int: ...  # noqa: D102

    @property
    def reach(self) -> int: ...  # noqa: D102

    @property
    def max_voxels(self) -> int: ...  # noqa: D102

    def answer(
        self, cells: npt.NDArray[np.int32], channels: Floats, question: Question
    ) -> VoxelAnswers:
        """The nearest classes of every voxel.

        Args:
            cells: (M, 3) int32, sorted by x, then y, then z; unique.
            channels: (M, C) float32, those that ``spec.inputs`` names.
            question: the words.

        Raises:
            InputError: E_VOXEL_RANGE, a cell beyond what keys hold.
        """
        ...


def rank(similarity: Floats, question: Question, logit_scale: float) -> VoxelAnswers:
    """Rank the classes of some voxels; a class is as near as the nearest of its words.

    Args:
        similarity: (P, W) float32 with each of the question's words.
        question: the words.
        logit_scale: turns similarity into scores.
    """
    nearest = similarity
    if len(question.first_word) < similarity.shape[1]:
        nearest = np.maximum.reduceat(similarity, question.first_word, axis=1)
    index = _best(nearest, question.width)
    scale = np.float32(logit_scale)
    best = np.take_along_axis(nearest, index, axis=1) * scale
    # The class "none of these" has similarity 0 to everything.
    top = np.maximum(best[:, :1], 0)
    total = np.exp(nearest * scale - top).sum(axis=1, keepdims=True) + np.exp(-top)
    return VoxelAnswers(index.astype(np.int32), np.exp(best - top) / total)


def rank_logits(logits: Floats, question: Question, logit_scale: float) -> VoxelAnswers:
    """Rank the classes of some voxels by a closed head's answers, as they are.

    Args:
        logits: (P, D) float32, of all classes of the head.
        question: K of them; a score is the share of each in the softmax over all D.
        logit_scale: what the logits are multiplied by before the softmax.
    """
    chosen = logits[:, question.columns]
    index = _best(chosen, question.width)
    scale = np.float32(logit_scale)
    top = logits.max(axis=1, keepdims=True)
    total = np.exp((logits - top) * scale).sum(axis=1, keepdims=True)
    best = np.take_along_axis(chosen, index, axis=1)
    return VoxelAnswers(index.astype(np.int32), np.exp((best - top) * scale) / total)


def _best(nearness: Floats, width: int) -> npt.NDArray[np.int64]:
    """(P, width): the columns with the greatest numbers, greatest first."""
    if width == 1:
        winner: npt.NDArray[np.int64] = nearness.argmax(axis=1)
        return winner[:, None]
    return np.argsort(-nearness, axis=1, kind="stable")[:, :width]
