"""The teacher: predicts the CLIP vector of a name by kernel regression."""

from pathlib import Path

import numpy as np
import torch

from weights.recipe.text import name_lists
from weights.recipe.text.features import PhraseFeatures, compute_features
from weights.recipe.text.kernel import assign_folds, compute_similarities, fit_kernel, read_kernel
from weights.recipe.text.minilm import MiniLM
from weights.recipe.text.phrases import Phrases, merge_repeats
from weights.recipe.text.wordnet import Nouns

KERNEL = Path(__file__).with_name("kernel.json")
_FOLDS = 10


class Teacher:
    """Kernel regression from features of phrases to their CLIP vectors.

    Attributes:
        phrases: training phrases, each prompt once.
        mean: (512,) float32, mean vector of the training phrases.
        kernel: the kernel with its hyperparameters.
    """

    def __init__(self, phrases: Phrases, nouns: Nouns, minilm: MiniLM, *, steps: int = 0) -> None:
        """Fit the regression.

        Args:
            phrases: training phrases.
            nouns: WordNet.
            minilm: sentence encoder.
            steps: gradient steps to fit the hyperparameters; 0 reads those in ``kernel.json``,
                which were fitted without the held-out names.
        """
        self.phrases = merge_repeats(phrases.select(name_lists.is_usable(phrases)))
        self._nouns, self._minilm = nouns, minilm
        self._features = self.features(list(self.phrases.names), list(self.phrases.prompts))
        vectors = torch.from_numpy(self.phrases.vectors)
        self.mean = vectors.mean(0)
        offsets = vectors - self.mean
        # A last column predicts how far from the mean a vector should be.
        length = offsets.norm(dim=1, keepdim=True)
        self._mean_length = length.mean()
        similarities = compute_similarities(self._features, self._features)
        if steps:
            folds = torch.from_numpy(assign_folds(self.phrases.names, _FOLDS, seed=0))
            self.kernel = fit_kernel(similarities, offsets, folds, steps=steps)
        else:
            self.kernel = read_kernel(KERNEL)
        with torch.no_grad():
            gram = self.kernel(similarities)
            noise = self.kernel.log_noise.exp() * torch.eye(len(gram))
            targets = torch.cat([offsets, length - self._mean_length], dim=1)
            self._dual = torch.linalg.solve(gram + noise, targets)

    def features(self, names: list[str], prompts: list[str]) -> PhraseFeatures:
        """Return the features of P phrases; MiniLM's states are cached on disk."""
        return compute_features(names, prompts, self._nouns, self._minilm)

    @torch.no_grad()
    def __call__(self, features: PhraseFeatures, *, batch: int = 2048) -> np.ndarray:
        """Predict the offset of each vector from the mean, (P, 512) float32.

        Regression shrinks vectors towards the mean, so their length is predicted separately.
        """
        out = np.empty((len(features.form), self.phrases.vectors.shape[1]), np.float32)
        for start in range(0, len(out), batch):
            part = features.select(np.arange(start, min(start + batch, len(out))))
            predicted = self.kernel(compute_similarities(part, self._features)) @ self._dual
            length = (predicted[:, -1:] + self._mean_length).clamp(0.3, 0.9)
            unit = torch.nn.functional.normalize(predicted[:, :-1], dim=1)
            out[start : start + batch] = (unit * length).numpy()
        return out
