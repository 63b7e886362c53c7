"""Interface of text encoders, and how to open one by its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from clip3d_cli import registry
from clip3d_cli.core.embeddings import FeatureSpace
from clip3d_cli.errors import SetupError


class TextEncoder(Protocol):
    """Embeds prompts as unit vectors.

    Attributes:
        space: space of the vectors, of D dimensions.
    """

    space: FeatureSpace

    def __call__(self, prompts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return a unit vector for each of P prompts, (P, D) float32, in their order."""
        ...

    def is_truncated(self, prompt: str) -> bool:
        """Return whether a prompt is too long, so that its last words are ignored."""
        ...


def normalize_rows(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return rows scaled to length 1, (P, D) float32; zero rows stay zero."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: npt.NDArray[np.float32] = rows / np.maximum(length, np.float32(1e-12))
    return unit


def open_text_encoder(name: str) -> TextEncoder:
    """Open a text encoder.

    Args:
        name: registered name, and after a colon the model, such as ``mini`` or
            ``openclip:ViT-B-32/openai``.

    Raises:
        UsageError: E_UNKNOWN_NAME: no text encoder or model has that name.
        SetupError: weights or packages are missing.
    """
    kind, colon, model = name.partition(":")
    try:
        encoder_class = registry.load("text_encoders", kind)
    except ModuleNotFoundError as error:
        raise SetupError(
            "E_SYSTEM",
            f"the text encoder {name}",
            f"needs {error.name}, which is not installed",
            "Install it with pip install clip3d, or use --text-encoder mini.",
        ) from error
    encoder: TextEncoder = encoder_class(model) if colon else encoder_class()
    return encoder
