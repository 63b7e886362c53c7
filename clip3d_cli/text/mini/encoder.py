"""The mini text encoder: a lexicon of common names, and a small network for all other words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from clip3d_cli.core.embeddings import FeatureSpace
from clip3d_cli.errors import SetupError
from clip3d_cli.text.bpe import CONTEXT_LENGTH, ClipTokenizer, unpack_merges
from clip3d_cli.text.encoder import normalize_rows
from clip3d_cli.text.mini.network import Floats, MiniConfig, MiniTextNetwork, Tensors
from clip3d_cli.weights_files import shipped_weights

WEIGHTS_NAME = "mini-text-b32"
WEIGHTS_FORMAT = "clip3d-mini-text-1"
# Name of the tensor with CLIP's byte-pair merges: see `clip3d_cli.text.bpe.unpack_merges`.
MERGES = "tokenizer.merges"

_ARTICLES = ("a ", "an ", "the ")
_BATCH_PROMPTS = 512
_NETWORK_PREFIX = "network."
_REMEDY = "Install clip3d again, or set CLIP3D_WEIGHTS."


class MiniTextEncoder:
    """A small text encoder that approximates the one of OpenAI's CLIP ViT-B/32.

    It was trained on names alone. Templates that add no meaning ("a photo of a {}.") are
    therefore removed from a prompt first. A lexicon then gives the vectors of common names, and a
    small network, which reads any words, those of all others.

    Attributes:
        space: "openclip/ViT-B-32/openai", 512 dimensions.
    """

    def __init__(self, weights: Path | None = None) -> None:
        """Load the encoder.

        Args:
            weights: safetensors file in this encoder's format; the shipped file by default.

        Raises:
            SetupError: E_WEIGHTS: the file is missing, damaged or of another format.
        """
        path = shipped_weights(WEIGHTS_NAME) if weights is None else weights
        settings, tensors = _read_weights(path)
        try:
            self.space = FeatureSpace(settings["space"], settings["network"]["dim"])
            # Text before and after the name, of each template that adds no meaning.
            self._wrappers = [tuple(text.split("{}")) for text in settings["wrappers"]]
            network = {name.removeprefix(_NETWORK_PREFIX): t for name, t in tensors.items()}
            self._network = MiniTextNetwork(MiniConfig(**settings["network"]), network)
            self._lexicon = _Lexicon(tensors)
            self._path, self._packed_merges = path, tensors[MERGES].tobytes()
        except (KeyError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise SetupError("E_WEIGHTS", path, f"lacks parts: {reason}", _REMEDY) from error
        # The longest first: "a photo of a {}" must be tried before "a {}".
        self._wrappers.sort(key=lambda sides: -len(sides[0]) - len(sides[1]))

    def is_truncated(self, prompt: str) -> bool:
        """Return whether a prompt has too many tokens, so that its last words are ignored.

        Raises:
            SetupError: E_WEIGHTS: the tokenizer's merges are needed, and damaged in the file.
        """
        # A token of ASCII text has at least one character, so most prompts need no tokenizer.
        if prompt.isascii() and "&" not in prompt and len(prompt) <= CONTEXT_LENGTH - 2:
            return False
        return self._tokenizer.is_truncated(prompt)

    def __call__(self, prompts: Sequence[str]) -> Floats:
        """Return a unit vector for each of P prompts, (P, 512) float32, in their order.

        Prompts that differ only in case, in underscores or in a template without meaning get the
        same vector.

        Raises:
            SetupError: E_WEIGHTS: the tokenizer's merges are needed, and damaged in the file.
        """
        names = [self._name_in_prompt(prompt) for prompt in prompts]
        offsets = self._lexicon.offsets(names)
        offsets.update(self._network_offsets({name for name in names if name not in offsets}))
        if not names:
            return np.empty((0, self.space.dim), dtype=np.float32)
        return normalize_rows(self._network.mean + np.stack([offsets[name] for name in names]))

    def stores(self, name: str) -> bool:
        """Return whether the lexicon has a vector of a name, which is then the name of a thing."""
        return self._name_in_prompt(name) in self._lexicon

    @cached_property
    def _tokenizer(self) -> ClipTokenizer:
        # Made on first use: it takes a tenth of a second, and the lexicon has most words.
        try:
            return ClipTokenizer(unpack_merges(self._packed_merges))
        except ValueError as error:
            raise SetupError("E_WEIGHTS", self._path, str(error), _REMEDY) from error

    def _network_offsets(self, names: set[str]) -> dict[str, Floats]:
        """Return the network's offset from the mean, (512,), for each name."""
        # The network takes prompts of equal length.
        by_length: dict[int, list[tuple[str, list[int]]]] = {}
        for name in sorted(names):
            # Two tokens fewer than there are positions, as in CLIP, which adds start and end.
            tokens = self._tokenizer.tokens(f"a {name}")[: CONTEXT_LENGTH - 2]
            by_length.setdefault(len(tokens), []).append((name, tokens))
        offsets: dict[str, Floats] = {}
        for group in by_length.values():
            for start in range(0, len(group), _BATCH_PROMPTS):
                batch = group[start : start + _BATCH_PROMPTS]
                vectors = self._network(np.array([tokens for _, tokens in batch], dtype=np.int64))
                offsets.update(zip((name for name, _ in batch), vectors, strict=True))
        return offsets

    def _name_in_prompt(self, prompt: str) -> str:
        """Return a prompt in lower case without template, underscores and article."""
        text = " ".join(prompt.lower().replace("_", " ").split())
        for before, after in self._wrappers:
            has_name = len(text) > len(before) + len(after)
            if has_name and text.startswith(before) and text.endswith(after):
                text = text[len(before) : len(text) - len(after)]
                break
        for article in _ARTICLES:
            if text.startswith(article) and len(text) > len(article):
                return text[len(article) :]
        return text


class _Lexicon:
    """Stored vectors of common names: coordinates in eight bits on A common axes.

    Args:
        tensors: ``lexicon.names``: names in UTF-8, one a line; ``lexicon.coordinates``: (P, A)
            int8; ``lexicon.scales``: (P, 1), factor of each row; ``lexicon.axes``: (A, 512).
    """

    def __init__(self, tensors: Tensors) -> None:
        names = tensors["lexicon.names"].tobytes().decode("utf-8").split("\n")
        self._row_of_name = {name: row for row, name in enumerate(names)}
        self._coordinates = tensors["lexicon.coordinates"]
        self._scales = tensors["lexicon.scales"]
        self._axes = tensors["lexicon.axes"].astype(np.float32)

    def __contains__(self, name: str) -> bool:
        return self._row(name) is not None

    def offsets(self, names: Sequence[str]) -> dict[str, Floats]:
        """Return the offset from the mean, (512,), for each of the names that are stored."""
        rows_found = {name: self._row(name) for name in names}
        known = {name: row for name, row in rows_found.items() if row is not None}
        rows = np.array(list(known.values()), dtype=np.int64)
        scales = self._scales[rows].astype(np.float32)
        coordinates = self._coordinates[rows].astype(np.float32) * scales
        return dict(zip(known, np.einsum("pk,kd->pd", coordinates, self._axes), strict=True))

    def _row(self, name: str) -> int | None:
        row = self._row_of_name.get(name)
        return self._row_of_name.get(name.replace("-", " ")) if row is None else row


def _read_weights(path: Path) -> tuple[dict[str, Any], dict[str, npt.NDArray[np.generic]]]:
    """Read the settings in the metadata of a safetensors file, and all tensors."""
    try:
        with safe_open(path, framework="np") as file:
            settings = json.loads((file.metadata() or {}).get("settings", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        raise SetupError("E_WEIGHTS", path, f"cannot be read: {error}", _REMEDY) from error
    if settings.get("format") != WEIGHTS_FORMAT:
        fault = f"is not of the format {WEIGHTS_FORMAT}"
        raise SetupError("E_WEIGHTS", path, fault, _REMEDY)
    return settings, tensors
