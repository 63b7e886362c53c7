"""Feature spaces, and the vectors of classes in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.validation import validate_array
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.errors import SetupError


@dataclass(frozen=True, slots=True)
class FeatureSpace:
    """A space in which vectors can be compared.

    Vectors of two spaces must not be compared, even if they have the same number of dimensions.

    Attributes:
        name: name of the space, such as ``openclip/ViT-B-32/openai``.
        dim: number of dimensions D.
    """

    name: str
    dim: int

    def require(self, other: FeatureSpace, owner: str) -> None:
        """Check that vectors of another model live in this space.

        Args:
            other: the space of the other model.
            owner: name of the other model, for the message.

        Raises:
            SetupError: E_SPACE_MISMATCH: the spaces differ.
        """
        if self != other:
            raise SetupError(
                "E_SPACE_MISMATCH",
                owner,
                f"lives in {other.name} ({other.dim}), the points in {self.name} ({self.dim})",
                f"Choose a text encoder of {self.name}, or other weights.",
            )


@dataclass(frozen=True, slots=True)
class ClassEmbeddings:
    """Unit vectors of the W words of K classes.

    Attributes:
        vectors: (W, D) float32, unit length, one row per word.
        class_of_vector: (W,) int32, class index of each row. The similarity to a class is the
            highest similarity to one of its words.
        vocabulary: the K classes.
        space: space of the vectors.

    Raises:
        TypeError: an array has another dtype.
        ValueError: an array has another shape, a vector has another length than 1, or a class has
            no vector.
    """

    vectors: npt.NDArray[np.float32]
    class_of_vector: npt.NDArray[np.int32]
    vocabulary: Vocabulary
    space: FeatureSpace

    def __post_init__(self) -> None:
        validate_array("vectors", self.vectors, np.float32, (None, self.space.dim))
        validate_array("class_of_vector", self.class_of_vector, np.int32, (len(self.vectors),))
        if not np.allclose(np.linalg.norm(self.vectors, axis=1), 1, atol=1e-4):
            raise ValueError("vectors must have unit length")
        if set(self.class_of_vector.tolist()) != set(range(len(self.vocabulary))):
            raise ValueError("every class needs a vector, and every vector a class")
