"""The text side of any open_clip model: the one file that imports open_clip."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from clip3d_cli import registry
from clip3d_cli.core.words import FeatureSpace
from clip3d_cli.errors import SetupError, UsageError

DEFAULT_MODEL = "ViT-B-32/openai"

_BATCH = 256


class OpenClipTextEncoder:
    """The text encoder of an open_clip model with one of its sets of trained weights.

    Attributes:
        space: "openclip/<model>/<tag>"; a model and its "-quickgelu" twin are one space.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        cache: Path | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        """Load a model, from the cache where it is there, else from the hub.

        Args:
            model: "<model>/<tag>" as in ``open_clip.list_pretrained()``.
            cache: folder of downloads; by default the hub's own.
            device: where to compute.

        Raises:
            UsageError: open_clip knows no such model or tag.
            SetupError: open_clip cannot be imported, or the weights cannot be had.
        """
        open_clip = _import_open_clip()
        name, tag = _known_model(open_clip, model)
        self._device = torch.device(device)
        folder = str(cache) if cache else None
        with _quiet():
            try:
                self._model = open_clip.create_model(
                    name,
                    tag,
                    device=self._device,
                    cache_dir=folder,
                    # Weights trained with the quick form of GELU give other vectors without it,
                    # and open_clip only warns.
                    force_quick_gelu=_wants_quick_gelu(open_clip, name, tag),
                    require_pretrained=True,
                    # Refuses pickles that would run code.
                    weights_only=True,
                ).eval()
                self._tokenizer = open_clip.get_tokenizer(name, cache_dir=folder)
            # Download and file errors come as a dozen types, some of them bare Exceptions.
            except Exception as error:
                raise _no_weights(name, tag, cache, error) from error
        with torch.inference_mode():
            dim = self._model.encode_text(self._tokenizer([""]).to(self._device)).shape[1]
        self.space = FeatureSpace(f"openclip/{name.removesuffix('-quickgelu')}/{tag}", dim)

    def is_truncated(self, prompt: str) -> bool:
        """Whether the last words of a prompt are too far back to be read."""
        length = self._tokenizer([""]).shape[1]
        beyond = self._tokenizer([prompt], context_length=2 * length)[0, length:]
        return bool((beyond != beyond[-1]).any())

    @torch.inference_mode()
    def __call__(self, prompts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Embed prompts as (P, D) float32 of unit length, in their order."""
        out = np.empty((len(prompts), self.space.dim), dtype=np.float32)
        for start in range(0, len(prompts), _BATCH):
            tokens = self._tokenizer(list(prompts[start : start + _BATCH])).to(self._device)
            vectors = self._model.encode_text(tokens).float()
            out[start : start + _BATCH] = functional.normalize(vectors, dim=1).cpu().numpy()
        return out


def _import_open_clip() -> ModuleType:
    try:
        import open_clip
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        fault = f"torchvision does not belong to this PyTorch {torch.__version__}: {error}"
        remedy = (
            "Install both from one source, for example: pip install --force-reinstall torch "
            "torchvision; or use --text-encoder mini, which needs neither torchvision nor weights."
        )
        raise SetupError("E_TORCHVISION", "open_clip", fault, remedy) from error
    except ImportError as error:
        remedy = "Install it: pip install open_clip_torch; or use --text-encoder mini."
        raise SetupError(
            "E_WEIGHTS", "open_clip", f"cannot be imported: {error}", remedy
        ) from error
    module: ModuleType = open_clip
    return module


def _known_model(open_clip: ModuleType, model: str) -> tuple[str, str]:
    """Split "<model>/<tag>" and check both against open_clip's own list."""
    known: list[tuple[str, str]] = open_clip.list_pretrained()
    name, _, tag = model.rpartition("/")
    if not name:
        fault = f"{model!r} is not <model>/<tag>"
        raise UsageError(
            "E_UNKNOWN_NAME", "text encoder", fault, f"Say for example {DEFAULT_MODEL}."
        )
    tags = [t for n, t in known if n == name]
    if not tags:
        raise registry.unknown_name("open_clip model", name, dict.fromkeys(n for n, _ in known))
    if tag not in tags:
        raise registry.unknown_name(f"weights of {name}", tag, tags)
    return name, tag


def _wants_quick_gelu(open_clip: ModuleType, name: str, tag: str) -> bool:
    settings: dict[str, Any] = open_clip.get_pretrained_cfg(name, tag)
    return bool(settings.get("quick_gelu", False))


def _no_weights(name: str, tag: str, cache: Path | None, error: Exception) -> SetupError:
    if cache is None:
        from huggingface_hub.constants import HF_HUB_CACHE

        cache = Path(HF_HUB_CACHE)
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    fault = f"no weights {tag!r} in {cache} and none could be fetched: {reason}"
    remedy = (
        "Connect to the internet once, or copy that folder from a machine that has them; or use "
        "--text-encoder mini, which needs no download."
    )
    return SetupError("E_WEIGHTS", f"open_clip {name}", fault, remedy)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep open_clip from logging to the root logger, which would print."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
