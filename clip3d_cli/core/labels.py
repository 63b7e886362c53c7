"""What labelling answers: a class and a score for every point, in input order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.checks import check_array
from clip3d_cli.core.vocabulary import Vocabulary

UNLABELED = -1


@dataclass(frozen=True, slots=True)
class Labels:
    """The class of every point of a cloud, in the cloud's order and of its length.

    Attributes:
        class_index: (N,) int32, a position in ``vocabulary``; −1 = unlabeled.
        score: (N,) float32 in 0…1, the winner's; 0 where unlabeled for want of coordinates.
        vocabulary: K classes.
        ranking: (N, R) int32, the R nearest classes, best first, or None; row entries are −1
            where the point has no coordinates.
        ranking_score: (N, R) float32, their scores, or None.
    """

    class_index: npt.NDArray[np.int32]
    score: npt.NDArray[np.float32]
    vocabulary: Vocabulary
    ranking: npt.NDArray[np.int32] | None = None
    ranking_score: npt.NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        points = len(self.class_index)
        check_array("class_index", self.class_index, np.int32, (None,))
        check_array("score", self.score, np.float32, (points,))
        if (self.ranking is None) != (self.ranking_score is None):
            raise ValueError("ranking and ranking_score come together")
        if self.ranking is not None and self.ranking_score is not None:
            check_array("ranking", self.ranking, np.int32, (points, None))
            check_array("ranking_score", self.ranking_score, np.float32, self.ranking.shape)

    def __len__(self) -> int:
        return len(self.class_index)

    @property
    def class_id(self) -> npt.NDArray[np.int64]:
        """(N,) int64: the numbers that go into files; 0 = unlabeled."""
        number_of_index = np.append(self.vocabulary.class_ids, 0)
        return number_of_index[self.class_index]
