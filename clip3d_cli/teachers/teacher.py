"""What a teacher is."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.embeddings import FeatureSpace


class Teacher(Protocol):
    """Gives every patch of an image a unit vector in a text space: frozen, deterministic.

    Attributes:
        name: model, weights, variant and image size in one line fit for a file's name: features
            cached under one name are never those of another teacher.
        space: where the vectors live, the same as that of the text encoder they are compared with.
        text_encoder: the name of that, such as ``mini`` or ``openclip:ViT-B-16/openai``.
    """

    name: str
    space: FeatureSpace
    text_encoder: str

    def __call__(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """(h, w, D) float32, unit length, of an (H, W, 3) uint8 image.

        The patch grid covers the image evenly: patch (i, j) is the image's rectangle from
        (i·H/h, j·W/w) to ((i+1)·H/h, (j+1)·W/w).
        """
        ...
