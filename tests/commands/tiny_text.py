"""A text encoder that knows nothing: every prompt gets a vector of its own, always the same."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch.nn.functional import normalize

from clip3d_cli.core.words import FeatureSpace

SPACE = FeatureSpace("tests/tiny", 16)
_LONGEST = 77


class TinyTextEncoder:
    space = SPACE

    def __call__(self, prompts: Sequence[str]) -> torch.Tensor:
        rows = [hashlib.sha256(prompt.encode()).digest()[: SPACE.dim] for prompt in prompts]
        return normalize(torch.tensor([list(row) for row in rows]).float() - 127.5, dim=1)

    def is_truncated(self, prompt: str) -> bool:
        return len(prompt.split()) > _LONGEST
