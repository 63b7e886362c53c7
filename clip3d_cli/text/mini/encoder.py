"""The text encoder that comes with clip3d: no network, no download, no PyTorch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from clip3d_cli import registry
from clip3d_cli.core.vocabulary import FeatureSpace
from clip3d_cli.errors import SetupError
from clip3d_cli.text.bpe import CONTEXT_LENGTH, ClipTokenizer, unpack_merges
from clip3d_cli.text.encoder import unit_rows
from clip3d_cli.text.mini.network import Floats, MiniConfig, MiniTextNetwork, Stored

WEIGHTS_NAME = "mini-text-b32"
WEIGHTS_FORMAT = "clip3d-mini-text-1"
MERGES = "tokenizer.merges"

_ARTICLES = ("a ", "an ", "the ")
_BATCH = 512
_PREFIX = "network."
_REMEDY = "Install clip3d again, or set CLIP3D_WEIGHTS."


class MiniTextEncoder:
    """Our own small encoder, taught to answer like OpenAI's CLIP ViT-B/32.

    It is taught with names alone, so the sentences around a name that it knows to carry no
    meaning ("a photo of a {}.") are taken away first. Then a lexicon answers for common names,
    and a small network, which reads any words, for all others.

    Attributes:
        space: "openclip/ViT-B-32/openai", 512.
    """

    def __init__(self, weights: Path | None = None) -> None:
        """Load the encoder.

        Args:
            weights: a safetensors file of this format; by default the one clip3d brings.

        Raises:
            SetupError: the file is missing, cut off or of another format.
        """
        path = registry.weights_file(WEIGHTS_NAME) if weights is None else weights
        settings, tensors = _read_weights(path)
        try:
            self.space = FeatureSpace(settings["space"], settings["network"]["dim"])
            self._wrappers = [tuple(text.split("{}")) for text in settings["wrappers"]]
            network = {name.removeprefix(_PREFIX): value for name, value in tensors.items()}
            self._network = MiniTextNetwork(MiniConfig(**settings["network"]), network)
            self._lexicon = _Lexicon(tensors)
            self._path, self._packed_merges = path, tensors[MERGES].tobytes()
        except (KeyError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise SetupError("E_WEIGHTS", path, f"lacks parts: {reason}", _REMEDY) from error
        self._wrappers.sort(key=lambda sides: -len(sides[0]) - len(sides[1]))

    def is_truncated(self, prompt: str) -> bool:
        """Whether the last words of a prompt are too far back to be read.

        Raises:
            SetupError: the file's byte-pair merges are needed and damaged.
        """
        # Every token of plain letters is at least one of them.
        if prompt.isascii() and "&" not in prompt and len(prompt) <= CONTEXT_LENGTH - 2:
            return False
        return self._tokenizer.is_truncated(prompt)

    def __call__(self, prompts: Sequence[str]) -> Floats:
        """Embed prompts as (P, 512) float32 of unit length, in their order.

        Prompts that differ in case, in underscores, or in a sentence of no meaning get the same
        vector.

        Raises:
            SetupError: the file's byte-pair merges are needed and damaged.
        """
        names = [self._name_in(prompt) for prompt in prompts]
        offsets = self._lexicon.offsets(names)
        offsets.update(self._read({name for name in names if name not in offsets}))
        if not names:
            return np.empty((0, self.space.dim), dtype=np.float32)
        return unit_rows(self._network.mean + np.stack([offsets[name] for name in names]))

    @cached_property
    def _tokenizer(self) -> ClipTokenizer:
        # Takes a tenth of a second, and the lexicon knows most words.
        try:
            return ClipTokenizer(unpack_merges(self._packed_merges))
        except ValueError as error:
            raise SetupError("E_WEIGHTS", self._path, str(error), _REMEDY) from error

    def _read(self, names: set[str]) -> dict[str, Floats]:
        """Give the network's offsets from the mean, each (512,)."""
        by_length: dict[int, list[tuple[str, list[int]]]] = {}
        for name in sorted(names):
            # Two places fewer than there are positions, as in CLIP, which adds start and end.
            tokens = self._tokenizer.tokens(f"a {name}")[: CONTEXT_LENGTH - 2]
            by_length.setdefault(len(tokens), []).append((name, tokens))
        offsets: dict[str, Floats] = {}
        for group in by_length.values():
            for start in range(0, len(group), _BATCH):
                part = group[start : start + _BATCH]
                answers = self._network(np.array([tokens for _, tokens in part], dtype=np.int64))
                offsets.update(zip((name for name, _ in part), answers, strict=True))
        return offsets

    def _name_in(self, prompt: str) -> str:
        text = " ".join(prompt.lower().replace("_", " ").split())
        for before, after in self._wrappers:
            fits = len(text) > len(before) + len(after)
            if fits and text.startswith(before) and text.endswith(after):
                text = text[len(before) : len(text) - len(after)]
                break
        for article in _ARTICLES:
            if text.startswith(article) and len(text) > len(article):
                return text[len(article) :]
        return text


class _Lexicon:
    """Stored vectors by name: coordinates in eight bits on common axes."""

    def __init__(self, tensors: Stored) -> None:
        names = tensors["lexicon.names"].tobytes().decode("utf-8").split("\n")
        self._row_of_name = {name: row for row, name in enumerate(names)}
        self._coordinates = tensors["lexicon.coordinates"]
        self._scales = tensors["lexicon.scales"]
        self._axes = tensors["lexicon.axes"].astype(np.float32)

    def offsets(self, names: Sequence[str]) -> dict[str, Floats]:
        """Give the offsets, each (512,), of those names that are stored."""
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
