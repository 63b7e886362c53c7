"""A text encoder that knows nothing: every prompt gets a vector of its own, always the same."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from clip3d_cli.core.embeddings import FeatureSpace
from clip3d_cli.text.encoder import normalize_rows

SPACE = FeatureSpace("tests/tiny", 16)
_LONGEST = 77


class TinyTextEncoder:
    space = SPACE

    def __call__(self, prompts: Sequence[str]) -> np.ndarray:
        rows = [hashlib.sha256(prompt.encode()).digest()[: SPACE.dim] for prompt in prompts]
        return normalize_rows(np.array([list(row) for row in rows], np.float32) - np.float32(127.5))

    def is_truncated(self, prompt: str) -> bool:
        return len(prompt.split()) > _LONGEST
