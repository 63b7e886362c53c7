"""What a text encoder is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from clip3d_cli import registry
from clip3d_cli.core.vocabulary import FeatureSpace
from clip3d_cli.errors import SetupError


class TextEncoder(Protocol):
    """Turns prompts into unit vectors of one space.

    Attributes:
        space: where the vectors live.
    """

    space: FeatureSpace

    def __call__(self, prompts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Embed prompts as (P, D) float32 of unit length, in their order."""
        ...

    def is_truncated(self, prompt: str) -> bool:
        """Whether the last words of a prompt are too far back to be read."""
        ...


def unit_rows(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The rows of (P, D), each scaled to length one; zeros stay zeros."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: npt.NDArray[np.float32] = rows / np.maximum(length, np.float32(1e-12))
    return unit


def open_text_encoder(name: str) -> TextEncoder:
    """Open the text encoder of a name such as ``mini`` or ``openclip:ViT-B-32/openai``.

    Raises:
        UsageError: E_UNKNOWN_NAME: no text encoder or model has that name.
        SetupError: weights or packages are missing.
    """
    kind, colon, model = name.partition(":")
    try:
        part = registry.part("text_encoders", kind)
    except ModuleNotFoundError as error:
        raise SetupError(
            "E_SYSTEM",
            f"the text encoder {name}",
            f"needs {error.name}, which is not installed",
            "Install it with pip install clip3d, or use --text-encoder mini.",
        ) from error
    encoder: TextEncoder = part(model) if colon else part()
    return encoder
