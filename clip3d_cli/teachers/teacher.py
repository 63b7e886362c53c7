"""The protocol of image teachers."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.embeddings import FeatureSpace


class Teacher(Protocol):
    """A frozen, deterministic image model with a vector for every patch, in the space of words.

    Attributes:
        name: model, weights, variant and image size as part of a file name. Two teachers with
            different features have different names, because features are cached by this name.
        space: space of the vectors, which is that of the text encoder.
        text_encoder: name of the text encoder whose words the vectors are compared with, such as
            ``mini`` or ``openclip:ViT-B-16/openai``.
    """

    name: str
    space: FeatureSpace
    text_encoder: str

    def __call__(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return the vectors of an image.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            (h, w, D) float32 of unit length. The grid of patches covers the image evenly: patch
            (i, j) is the rectangle from (i·H/h, j·W/w) to ((i+1)·H/h, (j+1)·W/w).
        """
        ...
