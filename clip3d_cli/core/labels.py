"""Labels: the class and the score of every point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.validation import validate_array
from clip3d_cli.core.vocabulary import Vocabulary

# Class index of a point without a class. Files store 0 for it: see `Labels.class_id`.
UNLABELED_INDEX = -1


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels of a cloud of N points, in the order of the points.

    Example:
        >>> names = np.array([*labels.vocabulary.names, "unlabeled"])
        >>> names[labels.class_index]  # (N,) name of the class of each point

    Attributes:
        class_index: (N,) int32, position of each point's class in ``vocabulary``, 0 to K − 1;
            −1 for unlabeled points.
        score: (N,) float32, score of the best class, 0…1, also of points that are unlabeled
            because their score is below the threshold; 0 for points with a coordinate that is not
            finite.
        vocabulary: the K classes.
        ranking: (N, R) int32, class indices of the R best classes, best first; or None if no
            ranking was requested. Rows of points with a coordinate that is not finite are −1.
        ranking_score: (N, R) float32, scores of the ranked classes, or None.

    Raises:
        TypeError: an array has another dtype.
        ValueError: an array has another shape, or there is a ranking without its scores.
    """

    class_index: npt.NDArray[np.int32]
    score: npt.NDArray[np.float32]
    vocabulary: Vocabulary
    ranking: npt.NDArray[np.int32] | None = None
    ranking_score: npt.NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        points = len(self.class_index)
        validate_array("class_index", self.class_index, np.int32, (None,))
        validate_array("score", self.score, np.float32, (points,))
        if (self.ranking is None) != (self.ranking_score is None):
            raise ValueError("ranking and ranking_score must be given together")
        if self.ranking is not None and self.ranking_score is not None:
            validate_array("ranking", self.ranking, np.int32, (points, None))
            validate_array("ranking_score", self.ranking_score, np.float32, self.ranking.shape)

    def __len__(self) -> int:
        return len(self.class_index)

    @property
    def class_id(self) -> npt.NDArray[np.int64]:
        """Class number of each point as label files store it, (N,) int64; 0 for unlabeled."""
        # Class index −1 takes the last element, which is 0.
        id_of_index = np.append(self.vocabulary.class_ids, 0)
        return id_of_index[self.class_index]
