"""What a text encoder is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from clip3d_cli.core.words import FeatureSpace


class TextEncoder(Protocol):
    """Turns prompts into unit vectors of one space.

    Attributes:
        space: where the vectors live.
    """

    space: FeatureSpace

    def __call__(self, prompts: Sequence[str]) -> torch.Tensor:
        """Embed prompts as (P, D) float32 of unit length, on the CPU, in their order."""
        ...

    def is_truncated(self, prompt: str) -> bool:
        """Whether the last words of a prompt are too far back to be read."""
        ...
